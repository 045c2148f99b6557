// How far the tensors of one file are from those of another.
#ifndef BRINK_QUANTIZE_VERIFY_H_
#define BRINK_QUANTIZE_VERIFY_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "brink/gguf/reader.h"
#include "brink/gguf/tensor_types.h"

namespace brink {

/// Differences of the decoded values of one tensor, the first file's being the truth. Sums are in
/// double; values that are not finite in either file are counted and left out of them.
struct TensorError {
  std::string tensor;
  TensorType type = TensorType::kF32;        ///< in the first file
  TensorType other_type = TensorType::kF32;  ///< in the second
  std::uint64_t weights = 0;
  std::uint64_t nonfinite = 0;
  double relative_rms = 0;  ///< |b - a| / |a|, 2-norms; infinite where a is all zero and b is not
  double max = 0;           ///< largest |b - a|
  double cosine = 1;        ///< a . b / (|a| |b|); 1 where both are zero
};

/// One entry a tensor, the worst first (not finite, then by relative RMS). Throws Error when the
/// files have different tensors or one has another shape, naming it. `on_progress` is called with
/// the weights that are done.
std::vector<TensorError> compare_tensors(
    const Gguf& a, const Gguf& b, unsigned threads = 0,
    const std::function<void(std::uint64_t weights)>& on_progress = {});

}  // namespace brink

#endif  // BRINK_QUANTIZE_VERIFY_H_
