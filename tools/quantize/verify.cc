// quantize --verify: how far the tensors of one file are from those of another.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "brink/brink.h"
#include "brink/core/progress.h"
#include "tools/quantize/options.h"
#include "tools/support/json.h"
#include "tools/support/table.h"

namespace brink::tools {
namespace {

std::string scientific(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3e", value);
  return text;
}

// JSON has no infinity.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

}  // namespace

void run_verify(const QuantizeRequest& request) {
  const Gguf a = Gguf::open(request.arguments[0]);
  const Gguf b = Gguf::open(request.arguments[1]);
  std::uint64_t weights = 0;
  for (const GgufTensor& tensor : a.tensors()) weights += tensor.elements();
  Progress progress("compare", weights, {.silent = request.json, .delay_s = 1});
  const std::vector<TensorError> errors =
      compare_tensors(a, b, request.threads, [&](std::uint64_t done) { progress.add(done); });
  progress.finish();
  if (request.json) {
    Json tensors = Json::array();
    for (const TensorError& e : errors)
      tensors.push_back({{"name", e.tensor},
                         {"type", size_of(e.type).name},
                         {"other_type", size_of(e.other_type).name},
                         {"weights", e.weights},
                         {"relative_rms", number(e.relative_rms)},
                         {"max", e.max},
                         {"cosine", e.cosine},
                         {"nonfinite", e.nonfinite}});
    std::fputs(
        to_text({{"a", request.arguments[0]}, {"b", request.arguments[1]}, {"tensors", tensors}}, 1)
            .c_str(),
        stdout);
    return;
  }
  Table table({"tensor", "type", "other", ">relative RMS", ">largest", ">1 - cosine", "note"});
  for (const TensorError& e : errors)
    table.add({printable(e.tensor), size_of(e.type).name, size_of(e.other_type).name,
               scientific(e.relative_rms), scientific(e.max), scientific(1 - e.cosine),
               e.nonfinite > 0 ? std::to_string(e.nonfinite) + " not finite" : ""});
  std::fputs(table.text().c_str(), stdout);
}

}  // namespace brink::tools
