// Encoders: weights to the blocks of every weight type. The kernels of each instruction set
// (cpu/kernels.h) have the same encoders and write the same bytes.
#ifndef BRINK_QUANT_ENCODE_H_
#define BRINK_QUANT_ENCODE_H_

#include <cstddef>
#include <cstdint>

#include "brink/gguf/tensor_types.h"

namespace brink {

/// How long an encoder searches for the scales (and minima) that give the smallest error.
enum class Effort : std::uint8_t {
  kDefault,
  kHigh,  ///< a wider search, never a larger error in any block
};

/// Encodes one row of `count` weights (a multiple of the block size, finite) into
/// row_bytes(type, count) bytes at `blocks`, which need no alignment. What is made small is the sum
/// of importance[i] * (weight - decoded weight)^2 over each block; `importance` has `count` finite
/// numbers >= 0 (mean squared activations of the columns), or is nullptr for all equal. The blocks
/// of quantized types decode to finite numbers whatever the weights; F16 and BF16 round as
/// core/half.h does, to infinity what is beyond them.
using EncodeFn = void (*)(const float* weights, const float* importance, std::size_t count,
                          Effort effort, std::uint8_t* blocks);

/// The scalar encoder, which the kernels' are tested against; nullptr for F64 and integers.
EncodeFn reference_encoder(TensorType type);

}  // namespace brink

#endif  // BRINK_QUANT_ENCODE_H_
