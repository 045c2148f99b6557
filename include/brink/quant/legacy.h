// The first generation of block types: 32 weights that share one f16 scale (and one f16 minimum in
// the _1 types). Nibble j of the 16 bytes `qs` is weight j, the high nibble weight j + 16.
#ifndef BRINK_QUANT_LEGACY_H_
#define BRINK_QUANT_LEGACY_H_

#include <cstddef>
#include <cstdint>

#include "brink/gguf/tensor_types.h"
#include "brink/quant/load.h"

namespace brink::quant {

/// w = d (q - 8)
struct BlockQ4_0 {
  static constexpr TensorType kType = TensorType::kQ4_0;
  std::uint8_t d[2];  // f16
  std::uint8_t qs[16];
};

/// w = d q + m
struct BlockQ4_1 {
  static constexpr TensorType kType = TensorType::kQ4_1;
  std::uint8_t d[2];  // f16
  std::uint8_t m[2];  // f16
  std::uint8_t qs[16];
};

/// w = d (q - 16); bit j of `qh` is bit 4 of weight j
struct BlockQ5_0 {
  static constexpr TensorType kType = TensorType::kQ5_0;
  std::uint8_t d[2];   // f16
  std::uint8_t qh[4];  // u32
  std::uint8_t qs[16];
};

/// w = d q + m; bit j of `qh` is bit 4 of weight j
struct BlockQ5_1 {
  static constexpr TensorType kType = TensorType::kQ5_1;
  std::uint8_t d[2];   // f16
  std::uint8_t m[2];   // f16
  std::uint8_t qh[4];  // u32
  std::uint8_t qs[16];
};

/// w = d q
struct BlockQ8_0 {
  static constexpr TensorType kType = TensorType::kQ8_0;
  std::uint8_t d[2];  // f16
  std::int8_t qs[32];
};

static_assert(kIsBlock<BlockQ4_0> && kIsBlock<BlockQ4_1> && kIsBlock<BlockQ5_0> &&
              kIsBlock<BlockQ5_1> && kIsBlock<BlockQ8_0>);

/// Nibble of weight j of 32.
inline int nibble_of_32(const std::uint8_t* qs, std::size_t j) {
  return j < 16 ? qs[j] & 15 : qs[j - 16] >> 4;
}

/// The same with bit 4 from bit j of `qh`.
inline int five_bits_of_32(const std::uint8_t* qs, std::uint32_t qh, std::size_t j) {
  return nibble_of_32(qs, j) | static_cast<int>((qh >> j & 1) << 4);
}

inline void decode_block(const BlockQ4_0& b, float* out) {
  const float d = load_f16(b.d);
  for (std::size_t j = 0; j < 32; ++j) out[j] = d * static_cast<float>(nibble_of_32(b.qs, j) - 8);
}

inline void decode_block(const BlockQ4_1& b, float* out) {
  const float d = load_f16(b.d);
  const float m = load_f16(b.m);
  for (std::size_t j = 0; j < 32; ++j) out[j] = d * static_cast<float>(nibble_of_32(b.qs, j)) + m;
}

inline void decode_block(const BlockQ5_0& b, float* out) {
  const float d = load_f16(b.d);
  const std::uint32_t qh = load<std::uint32_t>(b.qh);
  for (std::size_t j = 0; j < 32; ++j)
    out[j] = d * static_cast<float>(five_bits_of_32(b.qs, qh, j) - 16);
}

inline void decode_block(const BlockQ5_1& b, float* out) {
  const float d = load_f16(b.d);
  const float m = load_f16(b.m);
  const std::uint32_t qh = load<std::uint32_t>(b.qh);
  for (std::size_t j = 0; j < 32; ++j)
    out[j] = d * static_cast<float>(five_bits_of_32(b.qs, qh, j)) + m;
}

inline void decode_block(const BlockQ8_0& b, float* out) {
  const float d = load_f16(b.d);
  for (std::size_t j = 0; j < 32; ++j) out[j] = d * static_cast<float>(b.qs[j]);
}

}  // namespace brink::quant

#endif  // BRINK_QUANT_LEGACY_H_
