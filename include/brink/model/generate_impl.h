// Definitions of model/generate.h and of Session::generate.
#ifndef BRINK_MODEL_GENERATE_IMPL_H_
#define BRINK_MODEL_GENERATE_IMPL_H_

#include <span>
#include <utility>

#include "brink/core/error.h"
#include "brink/model/generate.h"
#include "brink/model/session.h"
#include "brink/text/tokenizer.h"

namespace brink {

struct Generation::State {
  State(Session& owner, std::vector<std::int32_t> ids, const GenerateOptions& options)
      : session(owner),
        prompt(std::move(ids)),
        max_tokens(options.max_tokens),
        sequence(options.sequence),
        sampler(options.sampling),
        decoder(owner.model().tokenizer()),
        stop(options.stop) {}

  /// Samples tokens until there is text to show or the generation ends.
  void advance();
  void end(Finish why);
  /// Leaves what the sampler needs in `outputs`.
  void feed(std::span<const std::int32_t> ids);

  Session& session;
  std::vector<std::int32_t> prompt;
  std::size_t max_tokens;
  std::size_t sequence;
  Sampler sampler;
  StreamDecoder decoder;
  StopMatcher stop;
  Outputs outputs;            // of the last step
  std::int32_t pending = -1;  // sampled, not yet fed
  std::size_t tokens = 0;
  std::string piece;
  Finish finish = Finish::kNone;
  bool started = false;
  bool done = false;  // the last piece has been taken
};

void Generation::State::feed(std::span<const std::int32_t> ids) {
  const SequenceInput input{sequence, ids, Logits::kLast};
  outputs = session.step_best({&input, 1}, sampler.needed());
}

void Generation::State::end(Finish why) {
  finish = why;
  if (why == Finish::kStop) return;  // what follows a stop text is not shown
  bool stopped = false;
  piece += stop.push(decoder.finish(), stopped);
  if (stopped) {
    finish = Finish::kStop;
    return;
  }
  piece += stop.finish();
}

void Generation::State::advance() {
  piece.clear();
  if (finish != Finish::kNone) {
    done = true;
    return;
  }
  while (piece.empty() && finish == Finish::kNone) {
    if (tokens == max_tokens) {
      end(Finish::kMaxTokens);
      break;
    }
    if (pending >= 0) {
      if (session.position(sequence) == session.options().context) {
        end(Finish::kContext);
        break;
      }
      feed({&pending, 1});
    }
    pending = outputs.best_ids.empty() ? sampler.sample(outputs.logits)
                                       : sampler.sample(outputs.best_ids, outputs.best_logits);
    sampler.accept(pending);
    ++tokens;
    if (session.model().tokenizer().is_end_of_generation(pending)) {
      end(Finish::kEndOfText);
      break;
    }
    bool stopped = false;
    piece += stop.push(decoder.push(pending), stopped);
    if (stopped) end(Finish::kStop);
  }
  if (piece.empty()) done = true;
}

Generation::Generation(std::unique_ptr<State> state) : state_(std::move(state)) {}
Generation::Generation(Generation&&) noexcept = default;
Generation& Generation::operator=(Generation&&) noexcept = default;
Generation::~Generation() = default;

Generation::Iterator Generation::begin() {
  State& s = *state_;
  if (!s.started) {
    s.started = true;
    s.feed(s.prompt);
    for (const std::int32_t id : s.prompt) s.sampler.accept(id);
    s.advance();
  }
  return Iterator(this);
}

std::size_t Generation::prompt_tokens() const { return state_->prompt.size(); }
std::size_t Generation::tokens() const { return state_->tokens; }
Finish Generation::finish() const { return state_->finish; }
std::string_view Generation::piece() const { return state_->piece; }
bool Generation::done() const { return state_->done; }
void Generation::advance() { state_->advance(); }

Generation Session::generate(std::string_view prompt, const GenerateOptions& options) {
  const EncodeOptions encode{position(options.sequence) == 0, true};
  return generate(model_.tokenizer().encode(prompt, encode), options);
}

Generation Session::generate(std::span<const std::int32_t> tokens, const GenerateOptions& options) {
  check_sequence(options.sequence);
  if (tokens.empty()) throw Error("the prompt has no tokens: there is nothing to continue");
  return Generation(std::make_unique<Generation::State>(
      *this, std::vector<std::int32_t>(tokens.begin(), tokens.end()), options));
}

}  // namespace brink

#endif  // BRINK_MODEL_GENERATE_IMPL_H_
