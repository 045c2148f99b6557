// Definitions of model/rope.h.
#ifndef BRINK_MODEL_ROPE_IMPL_H_
#define BRINK_MODEL_ROPE_IMPL_H_

#include <algorithm>
#include <cmath>
#include <numbers>

#include "brink/model/rope.h"

namespace brink {
namespace rope_detail {

/// The dimension (as a pair index) that turns `rotations` times over the original context.
inline double correction_dimension(const RopeConfig& rope, double rotations) {
  return static_cast<double>(rope.dimensions) *
         std::log(static_cast<double>(rope.original_context) /
                  (rotations * 2.0 * std::numbers::pi)) /
         (2.0 * std::log(rope.base));
}

inline std::span<const float> choose_factors(const Config& config, const Weights& weights,
                                             std::size_t context) {
  if (!weights.rope_factors.empty()) return weights.rope_factors;
  return context > config.rope.original_context ? weights.rope_factors_long
                                                : weights.rope_factors_short;
}

}  // namespace rope_detail

std::vector<double> rope_frequencies(const RopeConfig& rope, std::span<const float> factors) {
  const std::size_t pairs = rope.dimensions / 2;
  std::vector<double> frequencies(pairs);
  const bool yarn = rope.scaling == RopeScaling::kYarn;
  double low = 0.0;
  double high = 0.0;
  if (yarn) {
    // Rounded outwards and clamped, as in the paper's code.
    low = std::max(0.0, std::floor(rope_detail::correction_dimension(rope, rope.beta_fast)));
    high = std::min(static_cast<double>(rope.dimensions) - 1.0,
                    std::ceil(rope_detail::correction_dimension(rope, rope.beta_slow)));
  }
  for (std::size_t i = 0; i < pairs; ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(rope.dimensions);
    const double unscaled =
        std::pow(rope.base, -exponent) / (factors.empty() ? 1.0 : static_cast<double>(factors[i]));
    double share = 0.0;  // of the unscaled frequency
    if (yarn) {
      // 0.001 keeps the ramp defined where both ends fall together.
      const double ramp = (static_cast<double>(i) - low) / std::max(0.001, high - low);
      share = (1.0 - std::clamp(ramp, 0.0, 1.0)) * rope.extrapolation;
    }
    frequencies[i] = unscaled * (share + (1.0 - share) / rope.factor);
  }
  return frequencies;
}

RopeTable::RopeTable(const Config& config, const Weights& weights, std::size_t context)
    : frequencies_(
          rope_frequencies(config.rope, rope_detail::choose_factors(config, weights, context))),
      magnitude_(config.rope.magnitude) {}

void RopeTable::fill(std::size_t position, float* cos_sin) const {
  const std::size_t pairs = frequencies_.size();
  for (std::size_t i = 0; i < pairs; ++i) {
    const double angle = static_cast<double>(position) * frequencies_[i];
    cos_sin[i] = static_cast<float>(std::cos(angle) * magnitude_);
    cos_sin[pairs + i] = static_cast<float>(std::sin(angle) * magnitude_);
  }
}

}  // namespace brink

#endif  // BRINK_MODEL_ROPE_IMPL_H_
