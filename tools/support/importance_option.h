// --imatrix: what weights are quantized with beside themselves.
#ifndef BRINK_TOOLS_SUPPORT_IMPORTANCE_OPTION_H_
#define BRINK_TOOLS_SUPPORT_IMPORTANCE_OPTION_H_

#include <optional>
#include <string>

#include "brink/quant/importance.h"
#include "brink/quantize/quantize.h"

namespace brink::tools {

/// The matrix of --imatrix and what else a file gets from it.
struct Importance {
  explicit Importance(const std::string& path);  ///< an empty path: none

  /// `options` refer to this then.
  void apply(QuantizeOptions& options) const;

  std::string path;
  std::optional<ImportanceMatrix> matrix;
};

}  // namespace brink::tools

#endif  // BRINK_TOOLS_SUPPORT_IMPORTANCE_OPTION_H_
