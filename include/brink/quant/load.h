// Little-endian fields of blocks, which lie at any address.
#ifndef BRINK_QUANT_LOAD_H_
#define BRINK_QUANT_LOAD_H_

#include <bit>
#include <cstdint>
#include <cstring>

#include "brink/core/half.h"
#include "brink/gguf/tensor_types.h"

namespace brink::quant {

// The block structs are views of mapped files, and the packed grids are read as bytes.
static_assert(std::endian::native == std::endian::little, "brink needs a little-endian machine");

template <class T>
T load(const std::uint8_t* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}

inline float load_f16(const std::uint8_t* p) { return f16_to_f32(load<std::uint16_t>(p)); }

/// Every block struct consists of bytes only, so that any address will do, and has the size that
/// the type table states.
template <class Block>
inline constexpr bool kIsBlock = alignof(Block) == 1 &&
                                 sizeof(Block) == size_of(Block::kType).block_bytes;

// A note for all decoders, on why it does not matter whether the compiler contracts a
// multiplication and an addition into an FMA (as GCC does under -march=native): every product in
// these formats is exact in f32. An f16 scale has 11 significant bits; sub-block scale and quant
// together have at most 12 (Q6_K: 7 and 5), and f16's smallest number, 2^-24, is far from where f32
// loses bits. So the one rounding is that of the addition or subtraction at the end, fused or not.
// A type for which that does not hold would have to keep the two operations apart.

}  // namespace brink::quant

#endif  // BRINK_QUANT_LOAD_H_
