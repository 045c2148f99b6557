// Choosing the next token from logits.
#ifndef BRINK_TEXT_SAMPLER_H_
#define BRINK_TEXT_SAMPLER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "brink/text/stop_matcher.h"

namespace brink {

/// The defaults are llama.cpp's.
struct SamplingOptions {
  float temperature = 0.8f;         ///< 0: greedy; finite, >= 0
  int top_k = 40;                   ///< the K most probable tokens remain; 0: all
  float top_p = 0.95f;              ///< the fewest tokens with this much probability; 1: all
  float min_p = 0.05f;              ///< tokens with >= min_p x the highest probability; 0: all
  float repetition_penalty = 1.0f;  ///< > 0; 1: none
  int repetition_window = 64;       ///< how many accepted tokens are penalised; 0: none
  std::uint64_t seed = 42;
};

/// Samples token ids. The stages run in llama.cpp's order:
/// 1. repetition penalty: the logit of each token among the last `repetition_window` accepted ones
///    is divided by the penalty where positive, else multiplied (once, however often it occurs),
/// 2. top-k, 3. top-p (of what top-k left, made to sum to one), 4. min-p, all at temperature 1,
/// 5. temperature: one draw from softmax(logits / temperature) of what is left.
/// Equal logits rank by id, lowest first; that also decides greedy ties. Greedy skips 2 to 5.
///
/// The same options, logits and accepted tokens give the same ids everywhere: the generator is
/// integer arithmetic, probabilities are in double. (Across C libraries exp() may differ in its
/// last bit, which can change a draw with a probability of about 1e-16.)
class Sampler {
 public:
  /// Throws Error naming the option that is out of range.
  explicit Sampler(SamplingOptions options = {});

  /// One id in [0, logits.size()). NaN logits are never chosen; +infinity takes all probability.
  /// Throws Error when no logit is a number above -infinity.
  std::int32_t sample(std::span<const float> logits);

  /// How many of the largest logits are enough to choose from: 0 if all are needed.
  std::size_t needed() const;
  /// What sample() of all logits would choose, from the needed() largest ones: ids, largest logit
  /// first, the lower id first among equals, and their logits (not read where one is needed; its id
  /// is -1 if no logit is a number above -infinity).
  std::int32_t sample(std::span<const std::int32_t> best_ids, std::span<const float> best_logits);

  /// Records a token for the repetition penalty: prompt tokens, if wanted, and each sampled one.
  void accept(std::int32_t id);

  const SamplingOptions& options() const { return options_; }

 private:
  struct Candidate {
    float logit;
    std::int32_t id;
  };
  static bool better(const Candidate& a, const Candidate& b);

  std::span<const float> penalise(std::span<const float> logits);
  void keep_top_k(std::span<const float> logits);
  std::int32_t choose_candidate();
  void keep_top_p();
  void keep_min_p();
  std::int32_t draw();
  double uniform();  // in [0, 1), 53 bits

  SamplingOptions options_;
  std::uint64_t generator_;           // SplitMix64's counter
  std::vector<std::int32_t> recent_;  // ring of the last accepted tokens
  std::size_t recent_at_ = 0;         // where the next one goes
  std::vector<float> penalised_;
  std::vector<Candidate> candidates_;
  std::vector<double> weights_;
};

}  // namespace brink

#endif  // BRINK_TEXT_SAMPLER_H_
