// Ternary types: 256 weights of -1, 0 or 1 times one f16 scale (TQ2_0's fourth code gives 2).
#ifndef BRINK_QUANT_TERNARY_H_
#define BRINK_QUANT_TERNARY_H_

#include <cstddef>
#include <cstdint>

#include "brink/gguf/tensor_types.h"
#include "brink/quant/load.h"

namespace brink::quant {

/// w = d (t - 1). Five base-3 digits a byte, four in the last four bytes. A byte is the fraction
/// 0.t0 t1 t2 t3 t4 (base 3) of 256, rounded up, so that a digit is the whole part of three times
/// the fraction left by those before it. Digit n of byte m is weight
///   32 n + m        of qs[0..31],
///   160 + 16 n + m  of qs[32..47] (m from 0),
///   240 + 4 n + m   of qh.
struct BlockTQ1_0 {
  static constexpr TensorType kType = TensorType::kTQ1_0;
  std::uint8_t qs[48];
  std::uint8_t qh[4];
  std::uint8_t d[2];  // f16
};

/// w = d (q - 1). Weight 128 h + 32 j + l is bits 2j, 2j+1 of qs[32 h + l].
struct BlockTQ2_0 {
  static constexpr TensorType kType = TensorType::kTQ2_0;
  std::uint8_t qs[64];
  std::uint8_t d[2];  // f16
};

static_assert(kIsBlock<BlockTQ1_0> && kIsBlock<BlockTQ2_0>);

/// 3^n, n < 5
inline constexpr std::uint8_t kPowersOf3[5] = {1, 3, 9, 27, 81};

/// Base-3 digit n of a byte of TQ1_0.
inline int ternary_digit(std::uint8_t byte, std::size_t n) {
  return (byte * kPowersOf3[n] & 255) * 3 >> 8;
}

inline void decode_block(const BlockTQ1_0& b, float* out) {
  const float d = load_f16(b.d);
  const auto weight = [d](std::uint8_t byte, std::size_t n) {
    return d * static_cast<float>(ternary_digit(byte, n) - 1);
  };
  for (std::size_t n = 0; n < 5; ++n) {
    for (std::size_t m = 0; m < 32; ++m) out[32 * n + m] = weight(b.qs[m], n);
    for (std::size_t m = 0; m < 16; ++m) out[160 + 16 * n + m] = weight(b.qs[32 + m], n);
  }
  for (std::size_t n = 0; n < 4; ++n)
    for (std::size_t m = 0; m < 4; ++m) out[240 + 4 * n + m] = weight(b.qh[m], n);
}

inline void decode_block(const BlockTQ2_0& b, float* out) {
  const float d = load_f16(b.d);
  for (std::size_t g = 0; g < 8; ++g)
    for (std::size_t l = 0; l < 32; ++l)
      out[32 * g + l] = d * static_cast<float>((b.qs[g / 4 * 32 + l] >> (g % 4 * 2) & 3) - 1);
}

}  // namespace brink::quant

#endif  // BRINK_QUANT_TERNARY_H_
