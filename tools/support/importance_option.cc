#include "tools/support/importance_option.h"

#include <string_view>

namespace brink::tools {

Importance::Importance(const std::string& file) : path(file) {
  if (!path.empty()) matrix = ImportanceMatrix::load(path);
}

void Importance::apply(QuantizeOptions& options) const {
  if (!matrix) return;
  options.importance = [this](std::string_view tensor) { return matrix->of(tensor); };
  options.metadata.emplace_back("quantize.imatrix.file", path);
  if (!matrix->datasets.empty())
    options.metadata.emplace_back("quantize.imatrix.dataset", matrix->datasets.front());
}

}  // namespace brink::tools
