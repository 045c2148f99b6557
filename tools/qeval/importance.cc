// qeval importance.
#include "brink/eval/importance.h"

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>

#include "tools/qeval/options.h"
#include "tools/qeval/report.h"
#include "tools/support/json.h"
#include "tools/support/output_file.h"
#include "tools/support/text_file.h"

namespace brink::tools {
namespace {

// Tensors of experts some of which no token was sent to.
std::size_t partial(const ImportanceMatrix& matrix) {
  std::size_t count = 0;
  for (const std::string& name : matrix.names())
    for (const float rows : matrix.counts(name))
      if (rows == 0) {
        ++count;
        break;
      }
  return count;
}

}  // namespace

int importance(const ImportanceOptions& options) {
  check_output(options.output, {options.model, options.text.text});
  const std::string text = read_text(options.text.text);
  const Model model = Model::open(options.model);
  const TokenWindows windows = windows_of(model, text, options.text);
  check_writable(options.output);
  WindowProgress progress("importance", windows);
  progress.on_window()(0);
  const auto start = std::chrono::steady_clock::now();
  ImportanceMatrix matrix = naming(options.model, [&] {
    return measure_importance(model, windows, options.text.evaluation(), progress.on_window());
  });
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const double rate = static_cast<double>(windows.size() * windows.context()) / seconds.count();
  progress.finish();
  matrix.datasets = {options.text.text};
  matrix.write(options.output);
  const std::size_t tensors = matrix.names().size(), unseen = partial(matrix);
  if (options.text.json) {
    const Json report = {{"model", options.model},
                         {"text", options.text.text},
                         {"output", options.output},
                         {"context", windows.context()},
                         {"windows", windows.size()},
                         {"tensors", tensors},
                         {"tensors_with_unseen_experts", unseen},
                         {"tokens_per_second", rate}};
    std::fputs(to_text(report, 1).c_str(), stdout);
    return 0;
  }
  std::printf("%s: %zu tensors, %zu windows of %zu tokens, %.1f tokens/s\n", options.output.c_str(),
              tensors, windows.size(), windows.context(), rate);
  if (unseen > 0)
    std::printf("%zu tensors have experts that no token was sent to: use a longer text\n", unseen);
  return 0;
}

}  // namespace brink::tools
