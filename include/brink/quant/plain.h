// Types without blocks: floats and integers, one weight an element.
#ifndef BRINK_QUANT_PLAIN_H_
#define BRINK_QUANT_PLAIN_H_

#include <cstdint>

#include "brink/core/half.h"
#include "brink/gguf/tensor_types.h"
#include "brink/quant/load.h"

namespace brink::quant {

/// One element of type `Stored`, converted to f32 with one rounding to nearest even.
template <TensorType Type, class Stored>
struct PlainBlock {
  static constexpr TensorType kType = Type;
  std::uint8_t bytes[sizeof(Stored)];
};

template <TensorType Type, class Stored>
void decode_block(const PlainBlock<Type, Stored>& b, float* out) {
  *out = static_cast<float>(load<Stored>(b.bytes));
}

using BlockF64 = PlainBlock<TensorType::kF64, double>;
using BlockF32 = PlainBlock<TensorType::kF32, float>;
using BlockI8 = PlainBlock<TensorType::kI8, std::int8_t>;
using BlockI16 = PlainBlock<TensorType::kI16, std::int16_t>;
using BlockI32 = PlainBlock<TensorType::kI32, std::int32_t>;
using BlockI64 = PlainBlock<TensorType::kI64, std::int64_t>;

struct BlockF16 {
  static constexpr TensorType kType = TensorType::kF16;
  std::uint8_t bytes[2];
};

inline void decode_block(const BlockF16& b, float* out) { *out = load_f16(b.bytes); }

struct BlockBF16 {
  static constexpr TensorType kType = TensorType::kBF16;
  std::uint8_t bytes[2];
};

inline void decode_block(const BlockBF16& b, float* out) {
  *out = bf16_to_f32(load<std::uint16_t>(b.bytes));
}

static_assert(kIsBlock<BlockF64> && kIsBlock<BlockF32> && kIsBlock<BlockF16> &&
              kIsBlock<BlockBF16> && kIsBlock<BlockI8> && kIsBlock<BlockI16> &&
              kIsBlock<BlockI32> && kIsBlock<BlockI64>);

}  // namespace brink::quant

#endif  // BRINK_QUANT_PLAIN_H_
