// Definitions of block_scales.h.
#ifndef BRINK_QUANT_BLOCK_SCALES_IMPL_H_
#define BRINK_QUANT_BLOCK_SCALES_IMPL_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "brink/core/half.h"
#include "brink/quant/block_scales.h"
#include "brink/quant/i_quants.h"
#include "brink/quant/k_quants.h"
#include "brink/quant/legacy.h"
#include "brink/quant/small.h"
#include "brink/quant/ternary.h"

namespace brink {
namespace block_scales_detail {

inline std::uint16_t scaled_f16(std::uint16_t bits, float factor) {
  constexpr float kLargest = 65504.0f;
  return f32_to_f16(std::clamp(f16_to_f32(bits) * factor, -kLargest, kLargest));
}

inline void scale_f16(std::uint8_t (&f16)[2], float factor) {
  std::uint16_t bits;
  std::memcpy(&bits, f16, sizeof bits);
  bits = scaled_f16(bits, factor);
  std::memcpy(f16, &bits, sizeof bits);
}

template <class Block>
void scale_block(Block& block, float factor) {
  scale_f16(block.d, factor);
  if constexpr (requires { block.dmin; }) scale_f16(block.dmin, factor);
  if constexpr (requires { block.m; }) scale_f16(block.m, factor);
}

/// The scale lies in the highest nibble of each of four u16.
template <>
inline void scale_block(quant::BlockIQ1_M& block, float factor) {
  const std::uint16_t bits = scaled_f16(quant::iq1_m_scale_bits(block.scales), factor);
  for (unsigned i = 0; i < 4; ++i) {
    std::uint8_t& high = block.scales[2 * i + 1];
    high = static_cast<std::uint8_t>((high & 0x0f) | (bits >> (4 * i) & 0xf) << 4);
  }
}

template <class... Blocks>
struct BlockTypes {
  /// Calls `f` with an empty block of the type; false where it is none of these.
  template <class F>
  static bool visit(TensorType type, F&& f) {
    return ((type == Blocks::kType && (f(Blocks{}), true)) || ...);
  }
};

using WithF16Scales =
    BlockTypes<quant::BlockQ4_0, quant::BlockQ4_1, quant::BlockQ5_0, quant::BlockQ5_1,
               quant::BlockQ8_0, quant::BlockQ2_K, quant::BlockQ3_K, quant::BlockQ4_K,
               quant::BlockQ5_K, quant::BlockQ6_K, quant::BlockIQ1_S, quant::BlockIQ1_M,
               quant::BlockIQ2_XXS, quant::BlockIQ2_XS, quant::BlockIQ2_S, quant::BlockIQ3_XXS,
               quant::BlockIQ3_S, quant::BlockIQ4_NL, quant::BlockIQ4_XS, quant::BlockTQ1_0,
               quant::BlockTQ2_0, quant::BlockQ1_0, quant::BlockQ2_0>;

}  // namespace block_scales_detail

bool has_f16_scales(TensorType type) {
  return block_scales_detail::WithF16Scales::visit(type, [](const auto&) {});
}

void scale_blocks(TensorType type, float factor, std::uint8_t* blocks, std::size_t bytes) {
  block_scales_detail::WithF16Scales::visit(type, [&](auto block) {
    for (std::size_t at = 0; at + sizeof block <= bytes; at += sizeof block) {
      std::memcpy(&block, blocks + at, sizeof block);
      block_scales_detail::scale_block(block, factor);
      std::memcpy(blocks + at, &block, sizeof block);
    }
  });
}

}  // namespace brink

#endif  // BRINK_QUANT_BLOCK_SCALES_IMPL_H_
