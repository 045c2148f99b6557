// What the tests of the encoders need: one row through an encoder and the reference decoder, and
// its error in double.
#ifndef BRINK_TESTS_SUPPORT_ENCODE_CHECK_H_
#define BRINK_TESTS_SUPPORT_ENCODE_CHECK_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "brink/cpu/kernels.h"
#include "brink/quant/encode.h"
#include "brink/quant/format.h"

namespace brink::testing {

/// `weights` encoded with this machine's best kernels and decoded again.
inline std::vector<float> encoded_and_decoded(TensorType type, const std::vector<float>& weights,
                                              const float* importance, Effort effort) {
  std::vector<std::uint8_t> blocks(row_bytes(type, weights.size()));
  best_kernels().encode[static_cast<std::size_t>(type)](weights.data(), importance, weights.size(),
                                                        effort, blocks.data());
  std::vector<float> decoded(weights.size());
  format_of(type).decode(blocks.data(), decoded.data(), decoded.size());
  return decoded;
}

/// Sum of importance (1 where nullptr) times squared difference.
inline double weighted_error(const float* a, const float* b, const float* importance,
                             std::size_t count) {
  double sum = 0.0;
  for (std::size_t i = 0; i < count; ++i) {
    const double e = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += (importance != nullptr ? static_cast<double>(importance[i]) : 1.0) * e * e;
  }
  return sum;
}

inline double weighted_error(TensorType type, const std::vector<float>& weights,
                             const float* importance, Effort effort) {
  const std::vector<float> decoded = encoded_and_decoded(type, weights, importance, effort);
  return weighted_error(weights.data(), decoded.data(), importance, weights.size());
}

/// The error of the best levels, d times a member of `levels` (in ascending order), for scale `d`.
inline double error_at_scale(const std::vector<float>& weights, const float* importance, double d,
                             const std::vector<double>& levels) {
  double sum = 0.0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    double least = INFINITY;
    for (const double level : levels) {
      const double e = static_cast<double>(weights[i]) - d * level;
      least = std::min(least, e * e);
    }
    sum += (importance != nullptr ? static_cast<double>(importance[i]) : 1.0) * least;
  }
  return sum;
}

/// Blocks of the distributions that weights have: normal, uniform, Laplace, Student's t.
inline std::vector<float> sample_block(std::size_t count, int kind, std::mt19937_64& random) {
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::exponential_distribution<float> exponential;
  std::student_t_distribution<float> heavy(3.0f);
  std::vector<float> weights(count);
  for (float& w : weights) {
    switch (kind % 4) {
      case 0:
        w = 0.02f * normal(random);
        break;
      case 1:
        w = 0.1f * uniform(random);
        break;
      case 2:
        w = (random() % 2 ? 0.02f : -0.02f) * exponential(random);
        break;
      default:
        w = 0.02f * heavy(random);
    }
  }
  return weights;
}

/// Importances of the spread that activations have (log-normal, sigma 1).
inline std::vector<float> sample_importance(std::size_t count, std::mt19937_64& random) {
  std::lognormal_distribution<float> lognormal(0.0f, 1.0f);
  std::vector<float> importance(count);
  for (float& v : importance) v = lognormal(random);
  return importance;
}

/// How far an encoder is from the best that a search in double finds: sums over sample blocks.
struct Gap {
  double best = 0.0;
  double found[2] = {0.0, 0.0};  ///< by effort

  /// Error of `effort` over the best possible, less 1.
  double of(Effort effort) const { return found[static_cast<int>(effort)] / best - 1.0; }
};

/// `best_error(weights, importance)` gives the best possible. No encoder may beat it.
template <class BestError>
Gap measure_gap(TensorType type, int blocks, bool weighted, const BestError& best_error) {
  Gap gap;
  std::mt19937_64 random(static_cast<std::uint64_t>(type) + (weighted ? 100 : 0));
  const std::size_t count = format_of(type).block_size;
  for (int n = 0; n < blocks; ++n) {
    const std::vector<float> weights = sample_block(count, n, random);
    const std::vector<float> importance = sample_importance(count, random);
    const float* columns = weighted ? importance.data() : nullptr;
    // Blocks count alike, whatever the size of their weights.
    const std::vector<float> zero(count);
    const double norm = weighted_error(weights.data(), zero.data(), columns, count);
    gap.best += best_error(weights, columns) / norm;
    for (const Effort effort : {Effort::kDefault, Effort::kHigh}) {
      gap.found[static_cast<int>(effort)] += weighted_error(type, weights, columns, effort) / norm;
    }
  }
  return gap;
}

}  // namespace brink::testing

#endif  // BRINK_TESTS_SUPPORT_ENCODE_CHECK_H_
