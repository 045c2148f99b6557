// Definitions of eval/calibration.h.
#ifndef BRINK_EVAL_CALIBRATION_IMPL_H_
#define BRINK_EVAL_CALIBRATION_IMPL_H_

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "brink/core/error.h"
#include "brink/cpu/simulated_activations.h"
#include "brink/eval/calibration.h"
#include "brink/gguf/tensor_map.h"

namespace brink {
namespace calibration_detail {

/// Magnitudes of the inputs of one tensor. As bits, which are in the order of the numbers.
class Magnitudes {
 public:
  void add(const float* x, std::size_t count, bool histogram) {
    if (histogram && bins_.empty()) bins_.resize(kBins);
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t bits = std::bit_cast<std::uint32_t>(x[i]) & 0x7fffffffu;
      largest_ = std::max(largest_, bits);
      if (histogram) ++bins_[bits >> kShift];
    }
  }

  float largest() const { return std::bit_cast<float>(largest_); }

  /// The upper end of the bin in which `percentile` % of all values are reached.
  float percentile(double percentile) const {
    if (bins_.empty()) return largest();
    const auto all = std::accumulate(bins_.begin(), bins_.end(), std::uint64_t{0});
    const auto wanted =
        static_cast<std::uint64_t>(std::ceil(percentile / 100 * static_cast<double>(all)));
    std::uint64_t seen = 0;
    std::uint32_t bin = 0;
    while (seen < wanted) seen += bins_[bin++];
    return std::bit_cast<float>(std::min(largest_, bin << kShift));
  }

 private:
  static constexpr unsigned kShift = 16;  // 7 bits of mantissa are left
  static constexpr std::size_t kBins = std::size_t{1} << (31 - kShift);

  std::uint32_t largest_ = 0;
  std::vector<std::uint64_t> bins_;
};

}  // namespace calibration_detail

ActivationScales calibrate_activations(const Model& model, const TokenWindows& windows,
                                       SessionOptions options, double percentile,
                                       const std::function<void(std::size_t)>& on_window) {
  if (!(percentile > 0 && percentile <= 100))
    throw Error("the percentile " + std::to_string(percentile) + " is not above 0 and at most 100");
  const TensorMap tensors(model.gguf());
  std::vector<calibration_detail::Magnitudes> magnitudes(tensors.size());
  run_observed(
      model, windows, std::move(options),
      [&](const ProductInput& input) {
        std::size_t previous = tensors.size();
        for (const WeightMatrix* matrix : input.matrices) {
          if (!*matrix) continue;
          const std::size_t tensor = tensors.index_of(matrix->data);
          if (tensor != previous)
            magnitudes[tensor].add(input.rows, input.count * input.columns, percentile < 100);
          previous = tensor;
        }
      },
      on_window);
  ActivationScales scales;
  for_each_rounded_matrix(model.weights(), [&](const WeightMatrix& matrix) {
    const std::size_t tensor = tensors.index_of(matrix.data);
    const std::string name(tensors[tensor].name);
    if (!std::isfinite(magnitudes[tensor].largest()))
      throw Error("an input of this matrix is not finite on this text",
                  {model.gguf().path(), name, {}});
    scales[name] = magnitudes[tensor].percentile(percentile) / kInt8Max;
  });
  return scales;
}

}  // namespace brink

#endif  // BRINK_EVAL_CALIBRATION_IMPL_H_
