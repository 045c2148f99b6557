// --imatrix: what weights are quantized with beside themselves.
#ifndef BRINK_TOOLS_SUPPORT_IMPORTANCE_OPTION_H_
#define BRINK_TOOLS_SUPPORT_IMPORTANCE_OPTION_H_

#include <optional>
#include <string>
#include <vector>

#include "brink/quant/importance.h"
#include "brink/quantize/quantize.h"

namespace brink::tools {

/// The matrix of --imatrix and what else a file gets from it.
struct Importance {
  explicit Importance(const std::string& path);  ///< an empty path: none

  /// `options` refer to this then.
  void apply(QuantizeOptions& options) const;

  /// Names of the tensors that get other weights and have no importance. An embedding that is not
  /// the output, too, is not among them: it is multiplied with nothing. Throws Error, naming file
  /// and tensor, for importance of other widths.
  std::vector<std::string> missing(const std::vector<PlannedTensor>& plan) const;

  std::string path;
  std::optional<ImportanceMatrix> matrix;
};

}  // namespace brink::tools

#endif  // BRINK_TOOLS_SUPPORT_IMPORTANCE_OPTION_H_
