// K-quants: super-blocks of 256 weights with f16 super-block scales and quantized scales (and
// minima) for sub-blocks of 16 or 32 weights.
#ifndef BRINK_QUANT_K_QUANTS_H_
#define BRINK_QUANT_K_QUANTS_H_

#include <cstddef>
#include <cstdint>

#include "brink/gguf/tensor_types.h"
#include "brink/quant/load.h"

namespace brink::quant {

/// w = d s q - dmin m. 16 sub-blocks of 16; s is the low, m the high nibble of `scales`. Weight
/// 128 h + 32 j + l is bits 2j, 2j+1 of qs[32 h + l].
struct BlockQ2_K {
  static constexpr TensorType kType = TensorType::kQ2_K;
  std::uint8_t scales[16];
  std::uint8_t qs[64];
  std::uint8_t d[2];     // f16
  std::uint8_t dmin[2];  // f16
};

/// w = d (s - 32) (q - 4). 16 sub-blocks of 16. The low two bits of q lie as in Q2_K; bit 2 of
/// weight 32 g + l is bit g of hmask[l].
struct BlockQ3_K {
  static constexpr TensorType kType = TensorType::kQ3_K;
  std::uint8_t hmask[32];
  std::uint8_t qs[64];
  std::uint8_t scales[12];  // see q3_k_scale
  std::uint8_t d[2];        // f16
};

/// w = d s q - dmin m. 8 sub-blocks of 32. Weight 64 h + l is the low, 64 h + 32 + l the high
/// nibble of qs[32 h + l].
struct BlockQ4_K {
  static constexpr TensorType kType = TensorType::kQ4_K;
  std::uint8_t d[2];        // f16
  std::uint8_t dmin[2];     // f16
  std::uint8_t scales[12];  // see q4_k_scale, q4_k_min
  std::uint8_t qs[128];
};

/// As Q4_K with a fifth bit: bit 4 of weight 32 g + l is bit g of qh[l].
struct BlockQ5_K {
  static constexpr TensorType kType = TensorType::kQ5_K;
  std::uint8_t d[2];        // f16
  std::uint8_t dmin[2];     // f16
  std::uint8_t scales[12];  // see q4_k_scale, q4_k_min
  std::uint8_t qh[32];
  std::uint8_t qs[128];
};

/// w = d s (q - 32). 16 sub-blocks of 16. Low nibbles: weight 128 h + 32 j + l is nibble j / 2 of
/// ql[64 h + 32 (j % 2) + l]; high bits: bits 2j, 2j+1 of qh[32 h + l].
struct BlockQ6_K {
  static constexpr TensorType kType = TensorType::kQ6_K;
  std::uint8_t ql[128];
  std::uint8_t qh[64];
  std::int8_t scales[16];
  std::uint8_t d[2];  // f16
};

static_assert(kIsBlock<BlockQ2_K> && kIsBlock<BlockQ3_K> && kIsBlock<BlockQ4_K> &&
              kIsBlock<BlockQ5_K> && kIsBlock<BlockQ6_K>);

/// Scale i of 16, -32..31: low nibbles in bytes 0..7 (first eight scales low, the others high),
/// bits 4 and 5 in bytes 8..11, two bits of scales i, i + 4, i + 8, i + 12 a byte.
inline int q3_k_scale(const std::uint8_t* scales, std::size_t i) {
  const int low = scales[i % 8] >> (i / 8 * 4) & 15;
  const int high = scales[8 + i % 4] >> (i / 4 * 2) & 3;
  return (low | high << 4) - 32;
}

/// Scale i of 8, 0..63: the first four in the low six bits of bytes 0..3; of the others four bits
/// in the low nibbles of bytes 8..11 and two in the top bits of bytes 0..3.
inline int q4_k_scale(const std::uint8_t* scales, std::size_t i) {
  return i < 4 ? scales[i] & 63 : (scales[i + 4] & 15) | scales[i - 4] >> 6 << 4;
}

/// Minimum i of 8, 0..63: as the scales, in bytes 4..7 and the high nibbles of bytes 8..11.
inline int q4_k_min(const std::uint8_t* scales, std::size_t i) {
  return i < 4 ? scales[i + 4] & 63 : scales[i + 4] >> 4 | scales[i] >> 6 << 4;
}

inline void decode_block(const BlockQ2_K& b, float* out) {
  const float d = load_f16(b.d);
  const float dmin = load_f16(b.dmin);
  for (std::size_t g = 0; g < 16; ++g) {
    const float scale = d * static_cast<float>(b.scales[g] & 15);
    const float min = dmin * static_cast<float>(b.scales[g] >> 4);
    const std::uint8_t* qs = b.qs + g / 8 * 32 + g % 2 * 16;
    for (std::size_t l = 0; l < 16; ++l)
      out[16 * g + l] = scale * static_cast<float>(qs[l] >> (g % 8 / 2 * 2) & 3) - min;
  }
}

inline void decode_block(const BlockQ3_K& b, float* out) {
  const float d = load_f16(b.d);
  for (std::size_t g = 0; g < 16; ++g) {
    const float scale = d * static_cast<float>(q3_k_scale(b.scales, g));
    const std::uint8_t* qs = b.qs + g / 8 * 32 + g % 2 * 16;
    const std::uint8_t* hmask = b.hmask + g % 2 * 16;
    for (std::size_t l = 0; l < 16; ++l) {
      const int q = (qs[l] >> (g % 8 / 2 * 2) & 3) | (hmask[l] >> (g / 2) & 1) << 2;
      out[16 * g + l] = scale * static_cast<float>(q - 4);
    }
  }
}

inline void decode_block(const BlockQ4_K& b, float* out) {
  const float d = load_f16(b.d);
  const float dmin = load_f16(b.dmin);
  for (std::size_t g = 0; g < 8; ++g) {
    const float scale = d * static_cast<float>(q4_k_scale(b.scales, g));
    const float min = dmin * static_cast<float>(q4_k_min(b.scales, g));
    const std::uint8_t* qs = b.qs + g / 2 * 32;
    for (std::size_t l = 0; l < 32; ++l)
      out[32 * g + l] = scale * static_cast<float>(qs[l] >> (g % 2 * 4) & 15) - min;
  }
}

inline void decode_block(const BlockQ5_K& b, float* out) {
  const float d = load_f16(b.d);
  const float dmin = load_f16(b.dmin);
  for (std::size_t g = 0; g < 8; ++g) {
    const float scale = d * static_cast<float>(q4_k_scale(b.scales, g));
    const float min = dmin * static_cast<float>(q4_k_min(b.scales, g));
    const std::uint8_t* qs = b.qs + g / 2 * 32;
    for (std::size_t l = 0; l < 32; ++l) {
      const int q = (qs[l] >> (g % 2 * 4) & 15) | (b.qh[l] >> g & 1) << 4;
      out[32 * g + l] = scale * static_cast<float>(q) - min;
    }
  }
}

inline void decode_block(const BlockQ6_K& b, float* out) {
  const float d = load_f16(b.d);
  for (std::size_t g = 0; g < 16; ++g) {
    const float scale = d * static_cast<float>(b.scales[g]);
    const std::size_t half = g / 8, part = g % 8 / 2, first = g % 2 * 16;
    const std::uint8_t* ql = b.ql + half * 64 + part % 2 * 32 + first;
    const std::uint8_t* qh = b.qh + half * 32 + first;
    for (std::size_t l = 0; l < 16; ++l) {
      const int q = (ql[l] >> (part / 2 * 4) & 15) | (qh[l] >> (part * 2) & 3) << 4;
      out[16 * g + l] = scale * static_cast<float>(q - 32);
    }
  }
}

}  // namespace brink::quant

#endif  // BRINK_QUANT_K_QUANTS_H_
