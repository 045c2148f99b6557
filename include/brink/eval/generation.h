// Answers of a model to many prompts, and what it thinks of given ones.
#ifndef BRINK_EVAL_GENERATION_H_
#define BRINK_EVAL_GENERATION_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "brink/model/generate.h"
#include "brink/model/model.h"
#include "brink/model/session.h"
#include "brink/text/sampler.h"

namespace brink {

/// One prompt: answers to score after it, and what to generate.
struct GenerationRequest {
  std::vector<std::int32_t> prompt;                ///< not empty; as Tokenizer::encode gives it
  std::vector<std::vector<std::int32_t>> answers;  ///< each not empty
  std::size_t max_tokens = 0;                      ///< 0: generate nothing
  SamplingOptions sampling = {.temperature = 0};
};

/// ln p of a given answer after the prompt.
struct AnswerScore {
  double log_probability = 0;  ///< summed up over the answer's tokens
  std::size_t tokens = 0;
  bool greedy = true;  ///< every token is the most probable one at its place
};

struct GenerationResult {
  std::vector<AnswerScore> answers;  ///< as requested
  std::string text;  ///< generated, without the stop text; control tokens give no text
  std::size_t tokens = 0;
  /// kNone where nothing was to be generated. kContext where the context is full: with no answers
  /// when they and the prompt do not fit.
  Finish finish = Finish::kNone;
};

struct GenerationOptions {
  SessionOptions session;         ///< `sequences` and `same_kernels` are chosen here
  std::size_t sequences = 32;     ///< requests that are worked on at once
  std::vector<std::string> stop;  ///< texts that end an answer
};

/// What was computed, for tokens per second.
struct GenerationWork {
  std::size_t prompt_tokens = 0;  ///< the shared beginning counts once
  std::size_t answer_tokens = 0;
  std::size_t generated_tokens = 0;
  std::size_t steps = 0;
};

/// Works on many requests at once: each is a sequence of the session's steps, and where one ends
/// the next takes its place. What all prompts begin with is computed once and forked.
///
/// Results do not depend on `sequences`, on the order of requests nor on the others: all products
/// are computed by one kind of kernel (SessionOptions::same_kernels), which makes a row the same
/// bits in any company.
class BatchGenerator {
 public:
  /// Throws Error as Session does.
  BatchGenerator(Model model, const GenerationOptions& options);

  /// Answers all requests; `done` is told each one's index and result as it ends, in any order.
  /// What `done` throws ends the run. Throws Error on an empty prompt or answer, an id that is not
  /// in the vocabulary, or logits that are not finite.
  void run(const std::vector<GenerationRequest>& requests,
           const std::function<void(std::size_t, GenerationResult&&)>& done);

  const Session& session() const { return session_; }
  const GenerationWork& work() const { return work_; }

 private:
  struct Slot;

  void feed_shared(const std::vector<GenerationRequest>& requests);
  void start(Slot& slot, const GenerationRequest& request);
  void step(std::vector<Slot>& slots);
  void take_row(Slot& slot, std::size_t row, std::span<const float> logits);
  void advance(Slot& slot);

  Session session_;
  std::vector<std::string> stop_;
  std::vector<std::int32_t> shared_;  // what sequence 0 holds
  GenerationWork work_;
};

/// How many tokens of context a request takes.
std::size_t context_of(const GenerationRequest& request);

}  // namespace brink

#endif  // BRINK_EVAL_GENERATION_H_
