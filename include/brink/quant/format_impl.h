// Definitions of format.h: the table of types with their scalar decoders.
#ifndef BRINK_QUANT_FORMAT_IMPL_H_
#define BRINK_QUANT_FORMAT_IMPL_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <string>

#include "brink/core/error.h"
#include "brink/quant/format.h"
#include "brink/quant/fp4.h"
#include "brink/quant/i_quants.h"
#include "brink/quant/k_quants.h"
#include "brink/quant/legacy.h"
#include "brink/quant/plain.h"
#include "brink/quant/small.h"
#include "brink/quant/ternary.h"

namespace brink {
namespace format_detail {

template <class Block>
void decode(const std::uint8_t* blocks, float* out, std::size_t count) {
  constexpr std::size_t kWeights = size_of(Block::kType).block_size;
  for (; count >= kWeights; count -= kWeights, blocks += sizeof(Block), out += kWeights)
    decode_block(*reinterpret_cast<const Block*>(blocks), out);
}

constexpr std::uint32_t q8_block(std::uint32_t block_size) {
  return block_size == 1 ? 0 : block_size == 256 ? 256 : 32;
}

inline constexpr Format kFormats[] = {
#define X(name, id, block, bytes)                                              \
  {TensorType::k##name,       #name, block, bytes, q8_block(block), block > 1, \
   decode<quant::Block##name>},
    BRINK_TENSOR_TYPES(X)
#undef X
};

/// Position in kFormats by GGUF id; std::size(kFormats) where there is no such type.
inline constexpr auto kPositions = [] {
  std::array<std::uint8_t, kTensorTypeIds> positions{};
  positions.fill(std::size(kFormats));
  for (std::uint8_t i = 0; i < std::size(kFormats); ++i)
    positions[static_cast<std::size_t>(kFormats[i].type)] = i;
  return positions;
}();

}  // namespace format_detail

std::span<const Format> formats() { return format_detail::kFormats; }

const Format& format_of(TensorType type) {
  const auto id = static_cast<std::size_t>(type);
  if (id >= kTensorTypeIds || format_detail::kPositions[id] == std::size(format_detail::kFormats))
    throw Error("unknown tensor type " + std::to_string(id));
  return format_detail::kFormats[format_detail::kPositions[id]];
}

}  // namespace brink

#endif  // BRINK_QUANT_FORMAT_IMPL_H_
