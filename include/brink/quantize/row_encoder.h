// Encodes the rows of a tensor by the importance of its columns.
//
// An encoder makes the sum of importance x error^2 small, as if the inputs of a product were
// independent of each other. They are not: a trained row points along what its inputs have in
// common, so that its large weights matter together, and an error along the row itself (all levels
// a little too small, which is what least squares gives: a level is the mean of what it stands for)
// adds up over all columns where errors of random sign cancel. So, where there is importance,
//
// - weights of large magnitude count more: importance x sqrt(mean square of 256 weights + w^2),
//   which is llama-quantize's choice;
// - a row is multiplied by the number that makes its error orthogonal to it, weighed by importance:
//   sum of importance w^2 over sum of importance w q, for weights w and decoded q.
//
// docs/quantizing.md has what each does to the divergence of models.
#ifndef BRINK_QUANTIZE_ROW_ENCODER_H_
#define BRINK_QUANTIZE_ROW_ENCODER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "brink/cpu/kernels.h"
#include "brink/gguf/reader.h"
#include "brink/quant/encode.h"

namespace brink {

/// For one thread: it has buffers.
class RowEncoder {
 public:
  RowEncoder(const Kernels& kernels, TensorType type, Effort effort)
      : kernels_(&kernels), type_(type), effort_(effort) {}

  /// `importance`: of `count` columns, or nullptr: plain least squares.
  void encode(const float* weights, const float* importance, std::size_t count,
              std::uint8_t* blocks);

 private:
  const Kernels* kernels_;
  TensorType type_;
  Effort effort_;
  std::vector<float> weighted_, decoded_;
};

/// What the columns of a tensor count, from the mean squared inputs of its product: these, or for
/// an embedding that is the output too the mean of two uses, as their share of the mean and, looked
/// up without a product, 1. Empty for empty.
std::vector<float> column_importance(const Gguf& gguf, const GgufTensor& tensor,
                                     std::span<const float> mean_squares);

}  // namespace brink

#endif  // BRINK_QUANTIZE_ROW_ENCODER_H_
