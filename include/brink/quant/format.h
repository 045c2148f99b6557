// The one table of all weight types: sizes, bits per weight, the activation block that goes with
// each in `q8` products, and the scalar reference decoder.
#ifndef BRINK_QUANT_FORMAT_H_
#define BRINK_QUANT_FORMAT_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "brink/gguf/tensor_types.h"

namespace brink {

/// Decodes `count` weights (a multiple of the block size) from `blocks` into `out`. The exact
/// floats of the format: each multiplication and addition rounds separately (no FMA), subnormals
/// and negative zeros are kept. `blocks` needs no alignment.
using DecodeFn = void (*)(const std::uint8_t* blocks, float* out, std::size_t count);

struct Format {
  TensorType type;
  const char* name;           ///< "Q4_K"
  std::uint32_t block_size;   ///< weights per block
  std::uint32_t block_bytes;  ///< bytes per block
  /// Values per int8 activation scale in `q8` products: 256 for super-block types, 32 for the
  /// other quantized types, 0 for types that multiply f32 activations (F16, BF16, F32, ...).
  std::uint32_t q8_block;
  bool quantized;
  DecodeFn decode;  ///< scalar reference

  double bits_per_weight() const { return 8.0 * block_bytes / block_size; }
};

/// All types, in the order of BRINK_TENSOR_TYPES.
std::span<const Format> formats();

const Format& format_of(TensorType type);

/// Bytes of a row of `columns` weights; `columns` must be a multiple of the block size.
constexpr std::size_t row_bytes(TensorType type, std::size_t columns) {
  const TensorTypeSize& s = size_of(type);
  return columns / s.block_size * s.block_bytes;
}

}  // namespace brink

#endif  // BRINK_QUANT_FORMAT_H_
