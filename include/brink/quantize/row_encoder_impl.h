// Definitions of row_encoder.h.
#ifndef BRINK_QUANTIZE_ROW_ENCODER_IMPL_H_
#define BRINK_QUANTIZE_ROW_ENCODER_IMPL_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "brink/quant/block_scales.h"
#include "brink/quant/format.h"
#include "brink/quantize/row_encoder.h"

namespace brink {
namespace row_encoder_detail {

/// Sum of term(i) for i < count: sixteen sums, so that adding is not what it waits for, in an order
/// that does not depend on the instruction set.
template <class F>
double sum_of(std::size_t count, F&& term) {
  constexpr std::size_t kSums = 16;
  double sums[kSums] = {};
  std::size_t i = 0;
  for (; i + kSums <= count; i += kSums)
    for (std::size_t k = 0; k < kSums; ++k) sums[k] += term(i + k);
  for (; i < count; ++i) sums[0] += term(i);
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

}  // namespace row_encoder_detail

void RowEncoder::encode(const float* weights, const float* importance, std::size_t count,
                        std::uint8_t* blocks) {
  namespace d = row_encoder_detail;
  const EncodeFn encoder = kernels_->encode[static_cast<std::size_t>(type_)];
  if (importance == nullptr || !has_f16_scales(type_)) {
    encoder(weights, importance, count, effort_, blocks);
    return;
  }
  constexpr std::size_t kGroup = 256;
  weighted_.resize(count);
  for (std::size_t first = 0; first < count; first += kGroup) {
    const std::size_t size = std::min(kGroup, count - first);
    const float* w = weights + first;
    const double squares =
        d::sum_of(size, [&](std::size_t i) { return double{w[i]} * double{w[i]}; });
    // Of weights beyond 1e18 the square would be infinite: they count like 1e18.
    const auto mean = static_cast<float>(std::min(squares / static_cast<double>(size), 1e36));
    for (std::size_t i = 0; i < size; ++i)
      weighted_[first + i] = importance[first + i] * std::sqrt(std::min(mean + w[i] * w[i], 1e36f));
  }
  // Weights, or their importance, so small that nothing is left: by importance alone.
  float most = 0;
  for (const float value : weighted_) most = std::max(most, value);
  const bool weighs = most >= 0x1p-100f && most <= 0x1p100f;
  encoder(weights, weighs ? weighted_.data() : importance, count, effort_, blocks);

  decoded_.resize(count);
  kernels_->decode[static_cast<std::size_t>(type_)](blocks, decoded_.data(), count);
  const double own = d::sum_of(count, [&](std::size_t i) {
    return double{importance[i]} * double{weights[i]} * double{weights[i]};
  });
  const double common = d::sum_of(count, [&](std::size_t i) {
    return double{importance[i]} * double{weights[i]} * double{decoded_[i]};
  });
  // A row of which next to nothing is left would be blown up.
  if (!(common > 0.25 * own) || !(own > 0)) return;
  scale_blocks(type_, static_cast<float>(own / common), blocks, row_bytes(type_, count));
}

std::vector<float> column_importance(const Gguf& gguf, const GgufTensor& tensor,
                                     std::span<const float> mean_squares) {
  std::vector<float> importance(mean_squares.begin(), mean_squares.end());
  if (tensor.name != "token_embd.weight" || gguf.find_tensor("output.weight") != nullptr)
    return importance;
  const double sum = row_encoder_detail::sum_of(
      importance.size(), [&](std::size_t i) { return double{importance[i]}; });
  if (!(sum > 0) || !std::isfinite(sum)) return importance;
  const double scale = static_cast<double>(importance.size()) / sum;
  for (float& value : importance) value = static_cast<float>(value * scale + 1);
  return importance;
}

}  // namespace brink

#endif  // BRINK_QUANTIZE_ROW_ENCODER_IMPL_H_
