// The scalar references of the operations in ops-inl.h, kv-inl.h and attention-inl.h: float64, one
// value at a time, straight from the definition. Tests measure the kernels against them.
#ifndef BRINK_CPU_OPS_REFERENCE_H_
#define BRINK_CPU_OPS_REFERENCE_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include "brink/core/half.h"
#include "brink/cpu/kernels.h"

namespace brink::reference {

inline std::vector<double> rms_norm(std::span<const float> x, std::span<const float> weight,
                                    double eps) {
  double sum = 0;
  for (const float v : x) sum += static_cast<double>(v) * static_cast<double>(v);
  const double factor = 1 / std::sqrt(sum / static_cast<double>(x.size()) + eps);
  std::vector<double> out(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    out[i] = static_cast<double>(x[i]) * factor * static_cast<double>(weight[i]);
  }
  return out;
}

inline double swiglu(double gate, double up) { return gate / (1 + std::exp(-gate)) * up; }

inline std::vector<double> softmax(std::span<const double> x) {
  const double largest = *std::max_element(x.begin(), x.end());
  std::vector<double> out(x.size());
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += out[i] = std::exp(x[i] - largest);
  for (double& v : out) v /= sum;
  return out;
}

/// cos_sin: rotary/2 cosines, then rotary/2 sines.
inline std::vector<double> rope(std::span<const float> x, std::span<const float> cos_sin,
                                std::size_t rotary, bool neox) {
  std::vector<double> out(x.begin(), x.end());
  const std::size_t pairs = rotary / 2;
  for (std::size_t i = 0; i < pairs; ++i) {
    const std::size_t a = neox ? i : 2 * i;
    const std::size_t b = neox ? i + pairs : 2 * i + 1;
    const double cosine = static_cast<double>(cos_sin[i]);
    const double sine = static_cast<double>(cos_sin[pairs + i]);
    out[a] = static_cast<double>(x[a]) * cosine - static_cast<double>(x[b]) * sine;
    out[b] = static_cast<double>(x[a]) * sine + static_cast<double>(x[b]) * cosine;
  }
  return out;
}

/// Value `i` of a cached row, as the format defines it.
inline double kv_value(KvType type, const void* row, std::size_t i) {
  const std::uint8_t* bytes = static_cast<const std::uint8_t*>(row);
  std::uint16_t half;
  switch (type) {
    case KvType::kF32: {
      float value;
      std::memcpy(&value, bytes + 4 * i, sizeof(value));
      return static_cast<double>(value);
    }
    case KvType::kF16:
      std::memcpy(&half, bytes + 2 * i, sizeof(half));
      return static_cast<double>(f16_to_f32(half));
    case KvType::kQ8_0: {
      const std::uint8_t* block = bytes + i / 32 * 34;
      std::memcpy(&half, block, sizeof(half));
      const std::int8_t q = static_cast<std::int8_t>(block[2 + i % 32]);
      return static_cast<double>(f16_to_f32(half)) * static_cast<double>(q);
    }
    case KvType::kQ4_0: {
      const std::uint8_t* block = bytes + i / 32 * 18;
      std::memcpy(&half, block, sizeof(half));
      const int byte = block[2 + i % 16];
      const int q = (i % 32 < 16 ? byte & 15 : byte >> 4) - 8;
      return static_cast<double>(f16_to_f32(half)) * static_cast<double>(q);
    }
  }
  return 0;
}

/// Output of query `index` of `args`: softmax over its visible positions of scale * q . k, then the
/// weighted sum of v; zero when all scores are minus infinity.
inline std::vector<double> attention(const AttentionArgs& args, std::size_t index) {
  const float* query = args.queries + index * args.query_stride;
  const std::size_t visible = args.visible[index];
  const auto row = [](const void* const* pages, KvType type, std::size_t dim, std::size_t j) {
    return static_cast<const std::uint8_t*>(pages[j / kKvPage]) +
           j % kKvPage * kv_row_bytes(type, dim);
  };
  std::vector<double> scores(visible);
  for (std::size_t j = 0; j < visible; ++j) {
    const std::uint8_t* key = row(args.k_pages, args.k_type, args.k_dim, j);
    double dot = 0;
    for (std::size_t i = 0; i < args.k_dim; ++i) {
      dot += static_cast<double>(query[i]) * kv_value(args.k_type, key, i);
    }
    scores[j] = dot * static_cast<double>(args.scale);
  }
  std::vector<double> out(args.v_dim);
  if (*std::max_element(scores.begin(), scores.end()) == -std::numeric_limits<double>::infinity()) {
    return out;
  }
  const std::vector<double> weights = softmax(scores);
  for (std::size_t j = 0; j < visible; ++j) {
    const std::uint8_t* value = row(args.v_pages, args.v_type, args.v_dim, j);
    for (std::size_t i = 0; i < args.v_dim; ++i) {
      out[i] += weights[j] * kv_value(args.v_type, value, i);
    }
  }
  return out;
}

}  // namespace brink::reference

#endif  // BRINK_CPU_OPS_REFERENCE_H_
