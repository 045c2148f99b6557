// Perplexity of a text.
#ifndef BRINK_EVAL_PERPLEXITY_H_
#define BRINK_EVAL_PERPLEXITY_H_

#include <cstddef>
#include <functional>
#include <optional>
#include <span>

#include "brink/eval/statistics.h"
#include "brink/eval/windows.h"
#include "brink/model/model.h"
#include "brink/model/session.h"

namespace brink {

struct Perplexity {
  std::size_t windows = 0;
  std::size_t tokens = 0;  ///< scored
  /// Mean of -ln p over the scored tokens, p what the model gave the token that came.
  Estimate nll;
  Estimate perplexity;  ///< e^nll
  /// Of the perplexity, as if tokens were independent of each other: sqrt(variance of -ln p /
  /// (tokens - 1)) times the perplexity, what llama-perplexity prints.
  double standard_error = 0;
  /// -log2 p summed up over the scored tokens, per byte of the text they stand for: for comparing
  /// models with different vocabularies. Not there when the bytes are not known.
  std::optional<Estimate> bits_per_byte;
};

/// Told of windows as they are done: the first of them, and -ln p of all their scored tokens.
using OnScoredWindows = std::function<void(std::size_t first, std::span<const double> nll)>;

/// Feeds the windows from `begin` on to a session. Throws Error when a logit is not finite.
void score_windows(Session& session, const TokenWindows& windows, std::size_t begin,
                   const OnScoredWindows& on_windows);

/// The figures of -ln p of all scored tokens, in order.
Perplexity summarize_perplexity(const TokenWindows& windows, std::span<const double> nll);

/// Feeds the windows to a session and adds up. `on_window`: windows done so far. Throws Error when
/// a logit is not finite.
Perplexity measure_perplexity(Session& session, const TokenWindows& windows,
                              const std::function<void(std::size_t)>& on_window = {});

/// The same with a session of its own; context and sequences of `options` are chosen here. Keeps 8
/// bytes a scored token beside it.
Perplexity measure_perplexity(const Model& model, const TokenWindows& windows,
                              const SessionOptions& options,
                              const std::function<void(std::size_t)>& on_window = {});

}  // namespace brink

#endif  // BRINK_EVAL_PERPLEXITY_H_
