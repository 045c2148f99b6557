// Definitions of cpu/simulated_activations.h. Plain loops: the compiler makes vectors of them, and
// beside the product in f32 they cost next to nothing. Divisions, and no products before a sum, so
// that nothing can be contracted to a fused operation: bits are the same everywhere.
#ifndef BRINK_CPU_SIMULATED_ACTIVATIONS_IMPL_H_
#define BRINK_CPU_SIMULATED_ACTIVATIONS_IMPL_H_

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

#include "brink/cpu/simulated_activations.h"

namespace brink {
namespace simulated_detail {

// Adding this to a number below 2^22 leaves no bits for a fraction: what is left after taking it
// away again is the nearest integer, ties to even.
inline constexpr float kRounder = 0x1.8p23f;

// Within +-limit; NaN stays NaN.
inline float clamped(float v, float limit) { return v > limit ? limit : v < -limit ? -limit : v; }

inline float nearest_integer(float v) { return (v + kRounder) - kRounder; }

// Steps of E4M3 are an eighth of the power of two below a value, from 2^-6 on: the rounder for that
// step is kRounder times as large.
inline float nearest_e4m3(float v) {
  constexpr std::uint32_t kExponentMask = 0x7f800000, kOneExponent = 1u << 23;
  const std::uint32_t power = std::bit_cast<std::uint32_t>(v) & kExponentMask;
  const std::uint32_t least = std::bit_cast<std::uint32_t>(0x1p-6f);
  // 1.5 * 2^23 steps: 2^20 times the power of two, and half of that besides.
  const std::uint32_t bits = (power > least ? power : least) + 20 * kOneExponent + kOneExponent / 2;
  const float rounder = std::bit_cast<float>(bits);
  return (v + rounder) - rounder;
}

// A scale of 0 is that of a row of zeros.
template <float (*kNearest)(float)>
void round_scaled(const float* x, std::size_t n, float scale, float largest, float* out) {
  if (scale == 0.0f) {
    std::fill_n(out, n, 0.0f);
    return;
  }
  for (std::size_t i = 0; i < n; ++i) out[i] = kNearest(clamped(x[i] / scale, largest)) * scale;
}

}  // namespace simulated_detail

float row_scale(const float* x, std::size_t n, float largest) {
  // Magnitudes compare as integers as they do as floats, with infinity and NaN above all numbers.
  std::uint32_t most = 0;
  for (std::size_t i = 0; i < n; ++i)
    most = std::max(most, std::bit_cast<std::uint32_t>(x[i]) & 0x7fffffffu);
  if (most >= 0x7f800000u) return std::numeric_limits<float>::quiet_NaN();
  const float max = std::bit_cast<float>(most);
  return max < 1e-35f ? 0.0f : max / largest;
}

void round_int8(const float* x, std::size_t n, float scale, float* out) {
  using namespace simulated_detail;
  round_scaled<nearest_integer>(x, n, scale, kInt8Max, out);
}

void round_fp8(const float* x, std::size_t n, float scale, float* out) {
  using namespace simulated_detail;
  round_scaled<nearest_e4m3>(x, n, scale, kE4M3Max, out);
}

}  // namespace brink

#endif  // BRINK_CPU_SIMULATED_ACTIVATIONS_IMPL_H_
