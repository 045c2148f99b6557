// Scoring rows of logits on all threads, as they come from a session.
#ifndef BRINK_EVAL_SCORING_H_
#define BRINK_EVAL_SCORING_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "brink/core/error.h"
#include "brink/cpu/kernels.h"
#include "brink/cpu/thread_pool.h"
#include "brink/eval/windows.h"
#include "brink/model/session.h"

namespace brink {

/// What a model says of one scored token.
struct TokenScore {
  double nll = 0;         ///< -ln p of the token that came
  std::uint32_t top = 0;  ///< the most probable token, the lower id among equals
  float largest = 0;      ///< its logit
  double log_sum = 0;     ///< ln of the sum of e^(logit - largest)
};

/// Scores the rows of a LogitsSink. Not for several threads at once.
class RowScorer {
 public:
  RowScorer(const Session& session, const TokenWindows& windows)
      : windows_(windows),
        vocabulary_(session.model().config().vocabulary),
        kernels_(session.options().kernels != nullptr ? *session.options().kernels
                                                      : best_kernels()),
        pool_(session.options().threads) {}

  std::size_t vocabulary() const { return vocabulary_; }
  const Kernels& kernels() const { return kernels_; }

  /// fn(index, logits of that token, score) for every row, several at a time. Throws Error when a
  /// logit is not finite.
  template <class F>
  void run(std::size_t first, std::span<const float> logits, F&& fn) {
    pool_.run(logits.size() / vocabulary_, [&](std::size_t row, unsigned) {
      const auto of_row = logits.subspan(row * vocabulary_, vocabulary_);
      fn(first + row, of_row, score(first + row, of_row));
    });
  }

 private:
  TokenScore score(std::size_t index, std::span<const float> logits) const {
    LogitSums sums;
    kernels_.sum_logits(logits.data(), logits.size(), &sums);
    if (!std::isfinite(sums.sum))
      throw Error("the model's logits are not finite in window " +
                  std::to_string(index / windows_.scored_per_window()) + " of the text");
    const auto target = static_cast<std::size_t>(windows_.target(index));
    TokenScore score;
    score.top = sums.top;
    score.largest = sums.largest;
    score.log_sum = std::log(sums.sum);
    score.nll =
        static_cast<double>(sums.largest) - static_cast<double>(logits[target]) + score.log_sum;
    return score;
  }

  const TokenWindows& windows_;
  const std::size_t vocabulary_;
  const Kernels& kernels_;
  ThreadPool pool_;
};

}  // namespace brink

#endif  // BRINK_EVAL_SCORING_H_
