// qeval calibrate.
#include <cstdio>

#include "brink/eval/calibration.h"
#include "tools/qeval/dial.h"
#include "tools/qeval/options.h"
#include "tools/qeval/report.h"
#include "tools/support/json.h"
#include "tools/support/output_file.h"
#include "tools/support/text_file.h"

namespace brink::tools {

int calibrate(const CalibrateOptions& options) {
  check_output(options.output, {options.model, options.text.text});
  const std::string text = read_text(options.text.text);
  const Model model = Model::open(options.model);
  const TokenWindows windows = windows_of(model, text, options.text);
  check_writable(options.output);
  WindowProgress progress("calibration", windows);
  progress.on_window()(0);
  const ActivationScales scales = naming(options.model, [&] {
    return calibrate_activations(model, windows, options.text.evaluation(), options.percentile,
                                 progress.on_window());
  });
  progress.finish();
  const Json about = {{"model", options.model},
                      {"text", options.text.text},
                      {"percentile", options.percentile},
                      {"context", windows.context()},
                      {"windows", windows.size()}};
  write_scales(options.output, scales, about);
  if (options.text.json) {
    Json report = about;
    report["output"] = options.output;
    report["tensors"] = scales.size();
    std::fputs(to_text(report, 1).c_str(), stdout);
  } else {
    std::printf("%s: scales of %zu tensors, %zu windows of %zu tokens\n", options.output.c_str(),
                scales.size(), windows.size(), windows.context());
  }
  return 0;
}

}  // namespace brink::tools
