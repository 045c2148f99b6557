// How far the next-token distributions of a model are from those of a base model.
#ifndef BRINK_EVAL_DIVERGENCE_H_
#define BRINK_EVAL_DIVERGENCE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "brink/eval/base_logits.h"
#include "brink/eval/statistics.h"
#include "brink/model/model.h"
#include "brink/model/session.h"

namespace brink {

struct Quantile {
  double share = 0;
  double value = 0;
};

/// What is kept of scored tokens: 21 bytes each.
struct TokenDivergences {
  std::vector<double> nll;             ///< -ln p of the token that came
  std::vector<double> base_nll;        ///< the same by the base
  std::vector<float> kl;               ///< D(base || model), nats
  std::vector<std::uint8_t> same_top;  ///< 1 where both find the same token most probable

  void reserve(std::size_t tokens);
  void resize(std::size_t tokens);
  std::size_t size() const { return nll.size(); }
  void append(const TokenDivergences& more);
};

/// Figures over all scored tokens of a text; intervals from resampling windows.
struct Divergence {
  std::size_t windows = 0;
  std::size_t tokens = 0;

  /// D(base || model) of a token's distribution over the whole vocabulary, in nats. Rounding of the
  /// sums can make it a little less than 0 (1e-7): that counts as 0.
  Estimate kl_mean;
  std::vector<Quantile> kl_quantiles;  ///< 0.5, 0.9, 0.95, 0.99, 0.999
  double kl_max = 0;
  std::vector<double> kl_windows;  ///< sum over the tokens of each window, to pair models by

  Estimate perplexity;  ///< of the model
  /// Of the model, as in Perplexity.
  std::optional<Estimate> bits_per_byte;
  Estimate base_perplexity;  ///< of the base
  /// ln(perplexity / base perplexity): the mean over tokens of the difference of -ln p.
  Estimate ln_ratio;
  /// Of ln_ratio, from the differences of paired windows: their standard deviation over the square
  /// root of their number. Nothing with a single window.
  std::optional<double> ln_ratio_standard_error;

  /// Share of the tokens for which both models find the same token most probable.
  Estimate same_top;

  /// How much more probable (0 to 1) the model finds the token that came than the base does.
  Estimate shift_mean;
  Estimate shift_rms;
  std::vector<Quantile> shift_quantiles;  ///< 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, ..., 0.999
};

/// Told of windows as they are done: the first of them, and all their scored tokens.
using OnComparedWindows = std::function<void(std::size_t first, const TokenDivergences& tokens)>;

/// Runs the base's windows from `begin` on through a session. Throws Error when the vocabularies
/// differ, a logit is not finite or the base's file is damaged.
void compare_windows(const BaseLogits& base, Session& session, std::size_t begin,
                     const OnComparedWindows& on_windows);

/// The figures of all scored tokens, in order. Moved in, they take no more memory.
Divergence summarize_divergence(const TokenWindows& windows, TokenDivergences tokens);

/// Runs the base's windows through a session. Keeps 21 bytes a scored token. `on_window`:
/// windows done so far. Throws Error when the vocabularies differ, a logit is not finite or the
/// base's file is damaged.
Divergence measure_divergence(const BaseLogits& base, Session& session,
                              const std::function<void(std::size_t)>& on_window = {});

/// The same with a session of its own; context and sequences of `options` are chosen here.
Divergence measure_divergence(const BaseLogits& base, const Model& model,
                              const SessionOptions& options,
                              const std::function<void(std::size_t)>& on_window = {});

}  // namespace brink

#endif  // BRINK_EVAL_DIVERGENCE_H_
