// 4-bit floats (E2M1) with small shared scales.
// MXFP4: Open Compute "Microscaling Formats (MX)", version 1.0. NVFP4: NVIDIA's variant of it.
#ifndef BRINK_QUANT_FP4_H_
#define BRINK_QUANT_FP4_H_

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "brink/gguf/tensor_types.h"
#include "brink/quant/load.h"

namespace brink::quant {

/// 32 weights; the low nibble of qs[j] is weight j, the high one weight j + 16. w is the E2M1 value
/// times 2^(e - 127).
struct BlockMXFP4 {
  static constexpr TensorType kType = TensorType::kMXFP4;
  std::uint8_t e;
  std::uint8_t qs[16];
};

/// 64 weights, four groups of 16 with an unsigned E4M3 scale each; in group g the low nibble of
/// qs[8 g + j] is weight 16 g + j, the high one weight 16 g + 8 + j.
struct BlockNVFP4 {
  static constexpr TensorType kType = TensorType::kNVFP4;
  std::uint8_t d[4];
  std::uint8_t qs[32];
};

static_assert(kIsBlock<BlockMXFP4> && kIsBlock<BlockNVFP4>);

/// Twice the E2M1 values, which makes them integers; the scales below are halved in return. Code 8
/// (minus zero) counts as plus zero.
inline constexpr std::int8_t kE2m1Doubled[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                                 0, -1, -2, -3, -4, -6, -8, -12};

/// 2^(e - 128), half of the scale that the byte stands for. The NaN code 255 counts as 2^128 (its
/// half is a finite number).
constexpr float e8m0_half(std::uint8_t e) {
  const std::uint32_t bits = e < 2 ? 0x00200000u << e : static_cast<std::uint32_t>(e - 1) << 23;
  return std::bit_cast<float>(bits);
}

/// Half of an unsigned E4M3 number (exponent bias 7); the NaN code 0x7f counts as zero. Bit 7 has
/// no meaning, except that it makes 0xff not that code.
constexpr float ue4m3_half(std::uint8_t code) {
  if (code == 0x7f) return 0.0f;
  const int exponent = code >> 3 & 15;
  const int mantissa = code & 7;
  const float fraction = static_cast<float>(exponent == 0 ? mantissa : mantissa + 8);
  // 2^(max(exponent, 1) - 7 - 3 - 1)
  const int power = (exponent == 0 ? 1 : exponent) - 11;
  return fraction * std::bit_cast<float>(static_cast<std::uint32_t>(power + 127) << 23);
}

inline constexpr auto kUe4m3Half = [] {
  std::array<float, 256> halves{};
  for (std::size_t code = 0; code < 256; ++code)
    halves[code] = ue4m3_half(static_cast<std::uint8_t>(code));
  return halves;
}();

inline void decode_block(const BlockMXFP4& b, float* out) {
  const float d = e8m0_half(b.e);
  for (std::size_t j = 0; j < 16; ++j) {
    out[j] = d * static_cast<float>(kE2m1Doubled[b.qs[j] & 15]);
    out[j + 16] = d * static_cast<float>(kE2m1Doubled[b.qs[j] >> 4]);
  }
}

inline void decode_block(const BlockNVFP4& b, float* out) {
  for (std::size_t g = 0; g < 4; ++g) {
    const float d = kUe4m3Half[b.d[g]];
    for (std::size_t j = 0; j < 8; ++j) {
      out[16 * g + j] = d * static_cast<float>(kE2m1Doubled[b.qs[8 * g + j] & 15]);
      out[16 * g + j + 8] = d * static_cast<float>(kE2m1Doubled[b.qs[8 * g + j] >> 4]);
    }
  }
}

}  // namespace brink::quant

#endif  // BRINK_QUANT_FP4_H_
