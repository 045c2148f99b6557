// I-quants: types whose quants are points of a codebook (i_quant_grids.h) or a table of 16 values.
// Except for IQ4_NL all have super-blocks of 256 weights; g counts groups of 32, l groups of 8.
#ifndef BRINK_QUANT_I_QUANTS_H_
#define BRINK_QUANT_I_QUANTS_H_

#include <bit>
#include <cstddef>
#include <cstdint>

#include "brink/gguf/tensor_types.h"
#include "brink/quant/i_quant_grids.h"
#include "brink/quant/load.h"

namespace brink::quant {

/// w = d (2 s + 1) (t + delta), t ternary points of 8, delta 1/8 or -1/8. Of the 16 bits qh[g],
/// three belong to each of four codes (bits 8..10, the low ones are in qs[4 g + l]), three are s,
/// the highest is the sign of delta.
struct BlockIQ1_S {
  static constexpr TensorType kType = TensorType::kIQ1_S;
  std::uint8_t d[2];  // f16
  std::uint8_t qs[32];
  std::uint8_t qh[16];  // u16[8]
};

/// As IQ1_S, with three-bit s for 16 weights and delta for 8. Nibble l of qh (32 of them, low ones
/// first) has bits 8..10 of code l and the sign of delta. Each of four u16 `scales` has four s,
/// lowest bits first, and in its highest nibble a part of d.
struct BlockIQ1_M {
  static constexpr TensorType kType = TensorType::kIQ1_M;
  std::uint8_t qs[32];
  std::uint8_t qh[16];
  std::uint8_t scales[8];  // u16[4]
};

/// w = d (2 s + 1) / 8 * q. For each group of 32 four code bytes and a u32: four times seven
/// sign bits (see even_signs), then s.
struct BlockIQ2_XXS {
  static constexpr TensorType kType = TensorType::kIQ2_XXS;
  std::uint8_t d[2];  // f16
  std::uint8_t qs[64];
};

/// w = d (2 s + 1) / 8 * q. A u16 for 8 weights: 9 bits of code, 7 of signs (see even_signs). s is
/// a nibble of `scales` for 16 weights.
struct BlockIQ2_XS {
  static constexpr TensorType kType = TensorType::kIQ2_XS;
  std::uint8_t d[2];  // f16
  std::uint8_t qs[64];
  std::uint8_t scales[8];
};

/// w = d (2 s + 1) / 8 * q. Codes have ten bits, two of them in qh[g] (lowest bits first); all
/// eight signs are stored. s is a nibble of `scales` for 16 weights.
struct BlockIQ2_S {
  static constexpr TensorType kType = TensorType::kIQ2_S;
  std::uint8_t d[2];  // f16
  std::uint8_t qs[32];
  std::uint8_t signs[32];
  std::uint8_t qh[8];
  std::uint8_t scales[8];
};

/// w = d (2 s + 1) / 4 * q. A code byte for 4 weights, then a u32 for each group of 32: four times
/// seven sign bits (see even_signs), then s.
struct BlockIQ3_XXS {
  static constexpr TensorType kType = TensorType::kIQ3_XXS;
  std::uint8_t d[2];  // f16
  std::uint8_t qs[64];
  std::uint8_t signs[32];
};

/// w = d (2 s + 1) q. Codes for 4 weights have nine bits, the highest of code i of group g in bit i
/// of qh[g]; all signs are stored. s is a nibble of `scales` for 32 weights.
struct BlockIQ3_S {
  static constexpr TensorType kType = TensorType::kIQ3_S;
  std::uint8_t d[2];  // f16
  std::uint8_t qs[64];
  std::uint8_t qh[8];
  std::uint8_t signs[32];
  std::uint8_t scales[4];
};

/// w = d v[q], 32 weights; nibble j of qs is weight j, the high nibble weight j + 16.
struct BlockIQ4_NL {
  static constexpr TensorType kType = TensorType::kIQ4_NL;
  std::uint8_t d[2];  // f16
  std::uint8_t qs[16];
};

/// w = d (s - 32) v[q] in groups of 32 laid out as IQ4_NL's. Low four bits of s are nibbles of
/// scales_l, the high two lie in the u16 scales_h.
struct BlockIQ4_XS {
  static constexpr TensorType kType = TensorType::kIQ4_XS;
  std::uint8_t d[2];         // f16
  std::uint8_t scales_h[2];  // u16
  std::uint8_t scales_l[4];
  std::uint8_t qs[128];
};

static_assert(kIsBlock<BlockIQ1_S> && kIsBlock<BlockIQ1_M> && kIsBlock<BlockIQ2_XXS> &&
              kIsBlock<BlockIQ2_XS> && kIsBlock<BlockIQ2_S> && kIsBlock<BlockIQ3_XXS> &&
              kIsBlock<BlockIQ3_S> && kIsBlock<BlockIQ4_NL> && kIsBlock<BlockIQ4_XS>);

/// v of IQ4_NL and IQ4_XS.
inline constexpr std::int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};

/// Eight signs of which seven are stored: the number of minus signs is even.
inline std::uint32_t even_signs(std::uint32_t seven) {
  return seven | static_cast<std::uint32_t>(std::popcount(seven) & 1) << 7;
}

/// Super-block scale of IQ1_M as f16 bits: the top nibbles of four u16, the lowest first.
inline std::uint16_t iq1_m_scale_bits(const std::uint8_t* scales) {
  return static_cast<std::uint16_t>(scales[1] >> 4 | (scales[3] & 0xf0) | (scales[5] & 0xf0) << 4 |
                                    (scales[7] & 0xf0) << 8);
}

/// s of 16 weights, i of 16.
inline int iq1_m_scale(const std::uint8_t* scales, std::size_t i) {
  return load<std::uint16_t>(scales + i / 4 * 2) >> (i % 4 * 3) & 7;
}

/// s of group g of 8.
inline int iq4_xs_scale(const BlockIQ4_XS& b, std::size_t g) {
  const int low = b.scales_l[g / 2] >> (g % 2 * 4) & 15;
  const int high = load<std::uint16_t>(b.scales_h) >> (g * 2) & 3;
  return (low | high << 4) - 32;
}

/// Nibble i of a row of bytes, low nibbles first.
inline int nibble(const std::uint8_t* bytes, std::size_t i) {
  return bytes[i / 2] >> (i % 2 * 4) & 15;
}

/// out[i] = scale * magnitude i, negated where bit i of `signs` is set; Point has a byte a weight.
template <class Point>
void decode_signed(float scale, Point magnitudes, std::uint32_t signs, float* out) {
  for (std::size_t i = 0; i < sizeof(Point); ++i) {
    const float magnitude = static_cast<float>(magnitudes >> (8 * i) & 255);
    out[i] = scale * (signs >> i & 1 ? -magnitude : magnitude);
  }
}

/// out[i] = scale8 * (8 t_i + sign), with scale8 = d (2 s + 1) / 8.
inline void decode_iq1(float scale8, std::size_t code, bool minus, float* out) {
  for (std::size_t i = 0; i < 8; ++i) {
    const int biased = static_cast<int>(kIq1Grid[code] >> (8 * i) & 255);
    out[i] = scale8 * static_cast<float>(biased - 8 + (minus ? -1 : 1));
  }
}

inline void decode_block(const BlockIQ1_S& b, float* out) {
  const float d = load_f16(b.d);
  for (std::size_t g = 0; g < 8; ++g) {
    const std::uint32_t qh = load<std::uint16_t>(b.qh + 2 * g);
    const float scale8 = d * static_cast<float>(2 * (qh >> 12 & 7) + 1) * 0.125f;
    for (std::size_t l = 0; l < 4; ++l) {
      const std::size_t code = b.qs[4 * g + l] | (qh >> (3 * l) & 7) << 8;
      decode_iq1(scale8, code, qh >> 15 != 0, out + 32 * g + 8 * l);
    }
  }
}

inline void decode_block(const BlockIQ1_M& b, float* out) {
  const float d = f16_to_f32(iq1_m_scale_bits(b.scales));
  for (std::size_t l = 0; l < 32; ++l) {
    const float scale8 = d * static_cast<float>(2 * iq1_m_scale(b.scales, l / 2) + 1) * 0.125f;
    const std::size_t high = static_cast<std::size_t>(nibble(b.qh, l));
    decode_iq1(scale8, b.qs[l] | (high & 7) << 8, high >> 3 != 0, out + 8 * l);
  }
}

/// (2 s + 1) / 8 and (2 s + 1) / 4 times d, exact.
inline float iq2_scale(float d, int s) { return d * static_cast<float>(2 * s + 1) * 0.125f; }
inline float iq3_xxs_scale(float d, int s) { return d * static_cast<float>(2 * s + 1) * 0.25f; }

inline void decode_block(const BlockIQ2_XXS& b, float* out) {
  const float d = load_f16(b.d);
  for (std::size_t g = 0; g < 8; ++g) {
    const std::uint8_t* qs = b.qs + 8 * g;
    const std::uint32_t bits = load<std::uint32_t>(qs + 4);
    const float scale = iq2_scale(d, static_cast<int>(bits >> 28));
    for (std::size_t l = 0; l < 4; ++l)
      decode_signed(scale, kIq2XxsGrid[qs[l]], even_signs(bits >> (7 * l) & 127),
                    out + 32 * g + 8 * l);
  }
}

inline void decode_block(const BlockIQ2_XS& b, float* out) {
  const float d = load_f16(b.d);
  for (std::size_t l = 0; l < 32; ++l) {
    const std::uint32_t bits = load<std::uint16_t>(b.qs + 2 * l);
    decode_signed(iq2_scale(d, nibble(b.scales, l / 2)), kIq2XsGrid[bits & 511],
                  even_signs(bits >> 9), out + 8 * l);
  }
}

inline void decode_block(const BlockIQ2_S& b, float* out) {
  const float d = load_f16(b.d);
  for (std::size_t l = 0; l < 32; ++l) {
    const std::size_t high = b.qh[l / 4] >> (l % 4 * 2) & 3;
    decode_signed(iq2_scale(d, nibble(b.scales, l / 2)), kIq2SGrid[b.qs[l] | high << 8], b.signs[l],
                  out + 8 * l);
  }
}

inline void decode_block(const BlockIQ3_XXS& b, float* out) {
  const float d = load_f16(b.d);
  for (std::size_t g = 0; g < 8; ++g) {
    const std::uint32_t bits = load<std::uint32_t>(b.signs + 4 * g);
    const float scale = iq3_xxs_scale(d, static_cast<int>(bits >> 28));
    for (std::size_t l = 0; l < 4; ++l) {
      const std::uint32_t signs = even_signs(bits >> (7 * l) & 127);
      const std::size_t first = 8 * g + 2 * l;
      decode_signed(scale, kIq3XxsGrid[b.qs[first]], signs, out + 4 * first);
      decode_signed(scale, kIq3XxsGrid[b.qs[first + 1]], signs >> 4, out + 4 * first + 4);
    }
  }
}

inline void decode_block(const BlockIQ3_S& b, float* out) {
  const float d = load_f16(b.d);
  for (std::size_t i = 0; i < 64; ++i) {
    const std::size_t high = b.qh[i / 8] >> (i % 8) & 1;
    const float scale = d * static_cast<float>(2 * nibble(b.scales, i / 8) + 1);
    decode_signed(scale, kIq3SGrid[b.qs[i] | high << 8],
                  static_cast<std::uint32_t>(nibble(b.signs, i)), out + 4 * i);
  }
}

inline void decode_block(const BlockIQ4_NL& b, float* out) {
  const float d = load_f16(b.d);
  for (std::size_t j = 0; j < 16; ++j) {
    out[j] = d * static_cast<float>(kIq4Values[b.qs[j] & 15]);
    out[j + 16] = d * static_cast<float>(kIq4Values[b.qs[j] >> 4]);
  }
}

inline void decode_block(const BlockIQ4_XS& b, float* out) {
  const float d = load_f16(b.d);
  for (std::size_t g = 0; g < 8; ++g) {
    const float scale = d * static_cast<float>(iq4_xs_scale(b, g));
    const std::uint8_t* qs = b.qs + 16 * g;
    for (std::size_t j = 0; j < 16; ++j) {
      out[32 * g + j] = scale * static_cast<float>(kIq4Values[qs[j] & 15]);
      out[32 * g + j + 16] = scale * static_cast<float>(kIq4Values[qs[j] >> 4]);
    }
  }
}

}  // namespace brink::quant

#endif  // BRINK_QUANT_I_QUANTS_H_
