#include "tools/support/importance_option.h"

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>

#include "brink/core/error.h"

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

std::vector<std::string> Importance::missing(const std::vector<PlannedTensor>& plan) const {
  std::vector<std::string> names;
  const bool has_output = std::ranges::any_of(
      plan, [](const PlannedTensor& planned) { return planned.source->name == "output.weight"; });
  for (const PlannedTensor& planned : plan) {
    const GgufTensor& source = *planned.source;
    if (!planned.quantizable || planned.type == source.type) continue;
    const std::span<const float> values =
        matrix ? matrix->of(source.name) : std::span<const float>();
    if (values.empty()) {
      if (!has_output || source.name != "token_embd.weight") names.emplace_back(source.name);
    } else if (values.size() != importance_values(source)) {
      throw Error("has " + std::to_string(values.size()) + " values instead of " +
                      std::to_string(importance_values(source)) +
                      ": the importance matrix is of another model",
                  {path, std::string(source.name), {}});
    }
  }
  return names;
}

}  // namespace brink::tools
