// Definitions of eval/generation.h.
#ifndef BRINK_EVAL_GENERATION_IMPL_H_
#define BRINK_EVAL_GENERATION_IMPL_H_

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "brink/core/error.h"
#include "brink/cpu/kernels.h"
#include "brink/eval/generation.h"
#include "brink/text/stop_matcher.h"
#include "brink/text/tokenizer.h"

namespace brink {
namespace generation_detail {

inline std::size_t longest_answer(const GenerationRequest& request) {
  std::size_t longest = 0;
  for (const auto& answer : request.answers) longest = std::max(longest, answer.size());
  return longest;
}

/// That so many tokens after the prompt take: the last one need not be fed.
inline std::size_t positions(const GenerationRequest& request, std::size_t tokens) {
  return request.prompt.size() + tokens - std::min<std::size_t>(tokens, 1);
}

inline std::size_t common_beginning(std::span<const std::int32_t> a,
                                    std::span<const std::int32_t> b) {
  return static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

inline SessionOptions session_options(const GenerationOptions& options) {
  SessionOptions session = options.session;
  session.sequences = options.sequences + 1;  // the first one holds what prompts share
  session.same_kernels = true;
  return session;
}

inline double log_probability(const LogitSums& sums, std::span<const float> logits,
                              std::int32_t id) {
  return static_cast<double>(logits[static_cast<std::size_t>(id)]) -
         static_cast<double>(sums.largest) - std::log(sums.sum);
}

}  // namespace generation_detail

/// A request being worked on, in the sequence that it owns.
struct BatchGenerator::Slot {
  enum class Phase : std::uint8_t { kIdle, kPrompt, kAnswer, kGenerate, kDone };

  std::size_t sequence = 0;
  Phase phase = Phase::kIdle;
  std::size_t index = 0;  // of the request
  const GenerationRequest* request = nullptr;
  GenerationResult result;
  std::size_t answer = 0;     // kAnswer: which one is fed
  std::int32_t pending = -1;  // sampled, not yet fed
  std::optional<Sampler> sampler;
  std::optional<StreamDecoder> decoder;
  std::optional<StopMatcher> stop;

  void choose(const Tokenizer& tokenizer, std::span<const float> logits);
  void end(Finish why);
};

// Samples a token and adds its text.
void BatchGenerator::Slot::choose(const Tokenizer& tokenizer, std::span<const float> logits) {
  pending = sampler->sample(logits);
  sampler->accept(pending);
  ++result.tokens;
  if (tokenizer.is_end_of_generation(pending)) return end(Finish::kEndOfText);
  bool stopped = false;
  result.text += stop->push(decoder->push(pending), stopped);
  if (stopped) return end(Finish::kStop);
  if (result.tokens == request->max_tokens) end(Finish::kMaxTokens);
}

void BatchGenerator::Slot::end(Finish why) {
  result.finish = why;
  if (why == Finish::kStop) return;  // what follows a stop text is not shown
  bool stopped = false;
  result.text += stop->push(decoder->finish(), stopped);
  if (stopped)
    result.finish = Finish::kStop;
  else
    result.text += stop->finish();
}

std::size_t context_of(const GenerationRequest& request) {
  const std::size_t answer = generation_detail::longest_answer(request);
  return generation_detail::positions(request, std::max(answer, request.max_tokens));
}

BatchGenerator::BatchGenerator(Model model, const GenerationOptions& options)
    : session_(std::move(model), generation_detail::session_options(options)),
      stop_(options.stop) {}

void BatchGenerator::feed_shared(const std::vector<GenerationRequest>& requests) {
  std::span<const std::int32_t> shared;
  // One token of every prompt is left, so that it has logits of its own.
  if (requests.size() > 1)
    shared = std::span(requests[0].prompt).first(requests[0].prompt.size() - 1);
  for (const GenerationRequest& request : requests) {
    const auto others = std::span(request.prompt).first(request.prompt.size() - 1);
    shared = shared.first(generation_detail::common_beginning(shared, others));
  }
  shared = shared.first(std::min(shared.size(), session_.options().context));
  const std::size_t kept = generation_detail::common_beginning(shared, shared_);
  session_.truncate(0, kept);
  shared_.resize(kept);  // true also if what follows throws
  session_.feed(shared.subspan(kept), Logits::kNone, 0);
  shared_.assign(shared.begin(), shared.end());
  work_.prompt_tokens += shared.size() - kept;
}

void BatchGenerator::start(Slot& slot, const GenerationRequest& request) {
  slot.request = &request;
  slot.result = {};
  slot.answer = 0;
  slot.sampler.emplace(request.sampling);
  slot.decoder.emplace(session_.model().tokenizer());
  slot.stop.emplace(stop_);
  const std::size_t context = session_.options().context;
  const std::size_t for_answers =
      generation_detail::positions(request, generation_detail::longest_answer(request));
  if (request.prompt.size() > context || (request.max_tokens == 0 && for_answers > context)) {
    slot.result.finish = Finish::kContext;
    slot.phase = Slot::Phase::kDone;
    return;
  }
  if (for_answers <= context) slot.result.answers.resize(request.answers.size());
  session_.fork(0, slot.sequence);
  slot.phase = Slot::Phase::kPrompt;
}

// One row of logits that a slot asked for, the `row`th of its input.
void BatchGenerator::take_row(Slot& slot, std::size_t row, std::span<const float> logits) {
  const Kernels* chosen = session_.options().kernels;
  const Kernels& kernels = chosen != nullptr ? *chosen : best_kernels();
  std::vector<AnswerScore>& scores = slot.result.answers;
  const bool scored =
      slot.phase == Slot::Phase::kAnswer || (slot.phase == Slot::Phase::kPrompt && !scores.empty());
  LogitSums sums;
  if (scored) {
    kernels.sum_logits(logits.data(), logits.size(), &sums);
    if (!std::isfinite(sums.sum))
      throw Error("the model's logits are not finite after prompt " + std::to_string(slot.index));
  }
  const auto score = [&](std::size_t answer, std::size_t token) {
    const std::int32_t id = slot.request->answers[answer][token];
    AnswerScore& of = scores[answer];
    of.log_probability += generation_detail::log_probability(sums, logits, id);
    of.greedy = of.greedy && static_cast<std::uint32_t>(id) == sums.top;
    ++of.tokens;
  };
  if (slot.phase == Slot::Phase::kAnswer) return score(slot.answer, row + 1);
  if (slot.phase == Slot::Phase::kPrompt)
    for (std::size_t answer = 0; answer < scores.size(); ++answer) score(answer, 0);
  if (slot.request->max_tokens > 0) slot.choose(session_.model().tokenizer(), logits);
}

// What comes after the phase whose rows were taken.
void BatchGenerator::advance(Slot& slot) {
  const std::size_t prompt = slot.request->prompt.size();
  if (slot.phase == Slot::Phase::kAnswer) ++slot.answer;
  if (slot.phase != Slot::Phase::kGenerate) {
    session_.truncate(slot.sequence, prompt);
    while (slot.answer < slot.result.answers.size() &&
           slot.request->answers[slot.answer].size() == 1)
      ++slot.answer;
    if (slot.answer < slot.result.answers.size()) {
      slot.phase = Slot::Phase::kAnswer;
      return;
    }
  }
  slot.phase = Slot::Phase::kGenerate;
  if (slot.request->max_tokens > 0 && slot.result.finish == Finish::kNone &&
      session_.position(slot.sequence) == session_.options().context)
    slot.end(Finish::kContext);
  if (slot.request->max_tokens == 0 || slot.result.finish != Finish::kNone)
    slot.phase = Slot::Phase::kDone;
}

// One step of all slots that are at work.
void BatchGenerator::step(std::vector<Slot>& slots) {
  struct Row {
    Slot* slot;
    std::size_t row;
  };
  std::vector<SequenceInput> inputs;
  std::vector<Row> rows;
  for (Slot& slot : slots) {
    SequenceInput input{slot.sequence, {}, Logits::kLast};
    if (slot.phase == Slot::Phase::kPrompt) {
      input.tokens = std::span(slot.request->prompt).subspan(shared_.size());
      work_.prompt_tokens += input.tokens.size();
    } else if (slot.phase == Slot::Phase::kAnswer) {
      const std::span<const std::int32_t> answer = slot.request->answers[slot.answer];
      input.tokens = answer.first(answer.size() - 1);
      input.logits = Logits::kAll;
      work_.answer_tokens += input.tokens.size();
    } else if (slot.phase == Slot::Phase::kGenerate) {
      input.tokens = {&slot.pending, 1};
      ++work_.generated_tokens;
    } else {
      continue;
    }
    inputs.push_back(input);
    const std::size_t count = input.logits == Logits::kAll ? input.tokens.size() : 1;
    for (std::size_t row = 0; row < count; ++row) rows.push_back({&slot, row});
  }
  const std::size_t vocabulary = session_.model().config().vocabulary;
  session_.step_to(inputs, [&](std::size_t first, std::span<const float> logits) {
    for (std::size_t i = 0; i < logits.size() / vocabulary; ++i) {
      const Row& row = rows[first + i];
      // A row of kGenerate belongs to the token after `pending`, which take_row replaces.
      take_row(*row.slot, row.row, logits.subspan(i * vocabulary, vocabulary));
    }
  });
  ++work_.steps;
  for (Slot& slot : slots)
    if (slot.phase != Slot::Phase::kIdle && slot.phase != Slot::Phase::kDone) advance(slot);
}

void BatchGenerator::run(const std::vector<GenerationRequest>& requests,
                         const std::function<void(std::size_t, GenerationResult&&)>& done) {
  const auto vocabulary = static_cast<std::int32_t>(session_.model().config().vocabulary);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const std::string which = "prompt " + std::to_string(i);
    if (requests[i].prompt.empty()) throw Error(which + " has no tokens");
    for (const auto& answer : requests[i].answers) {
      if (answer.empty()) throw Error("an answer to " + which + " has no tokens");
      for (const std::int32_t id : answer)
        if (id < 0 || id >= vocabulary)
          throw Error("an answer to " + which + " has the token id " + std::to_string(id) +
                      ", which is not in the vocabulary");
    }
  }
  feed_shared(requests);
  std::vector<Slot> slots(session_.options().sequences - 1);
  for (std::size_t s = 0; s < slots.size(); ++s) slots[s].sequence = s + 1;
  std::size_t next = 0;
  for (;;) {
    bool working = false;
    for (Slot& slot : slots) {
      while (slot.phase == Slot::Phase::kIdle || slot.phase == Slot::Phase::kDone) {
        if (slot.phase == Slot::Phase::kDone) {
          slot.phase = Slot::Phase::kIdle;
          session_.clear(slot.sequence);
          done(slot.index, std::move(slot.result));
        }
        if (next == requests.size()) break;
        slot.index = next;
        start(slot, requests[next++]);
      }
      working = working || slot.phase != Slot::Phase::kIdle;
    }
    if (!working) return;
    step(slots);
  }
}

}  // namespace brink

#endif  // BRINK_EVAL_GENERATION_IMPL_H_
