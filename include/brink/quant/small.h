// One and two bits a weight with one f16 scale, weights in order from the lowest bits of each byte.
#ifndef BRINK_QUANT_SMALL_H_
#define BRINK_QUANT_SMALL_H_

#include <cstddef>
#include <cstdint>

#include "brink/gguf/tensor_types.h"
#include "brink/quant/load.h"

namespace brink::quant {

/// 128 weights, w = d where the bit is set, -d where not.
struct BlockQ1_0 {
  static constexpr TensorType kType = TensorType::kQ1_0;
  std::uint8_t d[2];  // f16
  std::uint8_t qs[16];
};

/// 64 weights, w = d (q - 1).
struct BlockQ2_0 {
  static constexpr TensorType kType = TensorType::kQ2_0;
  std::uint8_t d[2];  // f16
  std::uint8_t qs[16];
};

static_assert(kIsBlock<BlockQ1_0> && kIsBlock<BlockQ2_0>);

inline void decode_block(const BlockQ1_0& b, float* out) {
  const float d = load_f16(b.d);
  for (std::size_t j = 0; j < 128; ++j) out[j] = b.qs[j / 8] >> (j % 8) & 1 ? d : -d;
}

inline void decode_block(const BlockQ2_0& b, float* out) {
  const float d = load_f16(b.d);
  for (std::size_t j = 0; j < 64; ++j)
    out[j] = d * static_cast<float>((b.qs[j / 4] >> (j % 4 * 2) & 3) - 1);
}

}  // namespace brink::quant

#endif  // BRINK_QUANT_SMALL_H_
