// Writes a model file in other types: streamed, in parallel, with memory for a few rows.
#ifndef BRINK_QUANTIZE_QUANTIZE_H_
#define BRINK_QUANTIZE_QUANTIZE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "brink/cpu/kernels.h"
#include "brink/gguf/reader.h"
#include "brink/model/model.h"
#include "brink/quant/encode.h"
#include "brink/quantize/plan.h"

namespace brink {

struct QuantizeOptions {
  Effort effort = Effort::kDefault;
  /// Weights of the squared errors of a tensor: mean squared activations, [columns], or
  /// [experts x columns] for the stacked matrices of experts; empty where there are none. The
  /// spans must stay valid while the tensor is written.
  std::function<std::span<const float>(std::string_view tensor)> importance = {};
  /// Weights that are NaN or infinite, in the file or once rounded to F16: refused, or with this
  /// replaced by 0 and the largest finite number of the sign.
  bool allow_nonfinite = false;
  /// Sources of other types than F32, F16, BF16 and Q8_0: what was lost stays lost.
  bool allow_requantize = false;
  std::optional<std::uint32_t> file_type = {};  ///< general.file_type
  /// Further metadata, strings.
  std::vector<std::pair<std::string, std::string>> metadata = {};
  unsigned threads = 0;              ///< 0: one per core
  const Kernels* kernels = nullptr;  ///< instruction set; nullptr: best_kernels()
  /// Called with the bytes of the source that are done; what it throws ends the work.
  std::function<void(std::uint64_t bytes)> on_progress = {};
};

struct QuantizeResult {
  std::uint64_t source_bytes = 0;  ///< of all tensors
  std::uint64_t bytes = 0;
  std::uint64_t weights = 0;
  std::uint64_t replaced = 0;  ///< weights that were not finite
  /// Quantizable tensors of types that want importance (needs_importance()) but had none.
  std::vector<std::string> without_importance;
};

/// Whether files of this type are poor without an importance matrix: at about two bits and less
/// there is too little room to treat all columns alike.
bool needs_importance(TensorType type);

/// Whether files are made of tensors of this type without allow_requantize: F32, F16, BF16, Q8_0.
bool is_quantize_source(TensorType type);

/// Values that an importance matrix has of a tensor: one a column, of experts for each of them.
std::uint64_t importance_values(const GgufTensor& tensor);

/// Writes the tensors of `plan` (all of one file, in the order wanted) with the file's metadata to
/// `output`, which appears when it is complete. The same bytes come out whatever the number of
/// threads and the instruction set. Throws Error: a tensor with weights that are not finite (their
/// number is named), a source of a type that is not allowed, importance of the wrong size or not
/// finite, `output` being a part of the source, a full disk.
QuantizeResult quantize(const Gguf& gguf, const std::vector<PlannedTensor>& plan,
                        const std::string& output, const QuantizeOptions& options = {});

/// One tensor in another type, in memory; of the options effort, importance, what is allowed,
/// threads and kernels count. Throws Error as quantize() does.
TensorBlocks encode_tensor(const Gguf& gguf, const GgufTensor& tensor, TensorType type,
                           const QuantizeOptions& options = {});

}  // namespace brink

#endif  // BRINK_QUANTIZE_QUANTIZE_H_
