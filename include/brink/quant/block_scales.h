// Multiplies whole rows of blocks by a number, through their f16 scales.
#ifndef BRINK_QUANT_BLOCK_SCALES_H_
#define BRINK_QUANT_BLOCK_SCALES_H_

#include <cstddef>
#include <cstdint>

#include "brink/gguf/tensor_types.h"

namespace brink {

/// Whether blocks of the type have f16 scales that can be multiplied.
bool has_f16_scales(TensorType type);

/// Multiplies the weights that `blocks` (`bytes` of whole blocks) stand for by `factor`, which is
/// finite, but for the rounding of their f16 scales and minima to nearest; these stay finite.
/// Nothing happens to blocks without f16 scales.
void scale_blocks(TensorType type, float factor, std::uint8_t* blocks, std::size_t bytes);

}  // namespace brink

#endif  // BRINK_QUANT_BLOCK_SCALES_H_
