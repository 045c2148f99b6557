// What the reports of all measurements have in common. Reports in JSON are arrays of flat objects,
// one for each model; the interval of figure X is under the key X.ci, as [low, high].
#ifndef BRINK_TOOLS_QEVAL_REPORT_H_
#define BRINK_TOOLS_QEVAL_REPORT_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>

#include "brink/core/progress.h"
#include "brink/eval/statistics.h"
#include "brink/eval/windows.h"
#include "tools/qeval/options.h"

namespace brink::tools {

/// Sets `key` and, where there is an interval, `key`.ci.
void set(Json& row, const std::string& key, const Estimate& estimate);

/// "1.2345 [1.2000, 1.2700]".
std::string text_of(const Estimate& estimate, int decimals);

/// The columns that every row begins with: what was quantized.
Json row_of(const Model& model, const Session& session);

/// Windows of the text, as this model reads it.
TokenWindows windows_of(const Model& model, const std::string& text, const TextOptions& options);

/// Progress and speed of one run over the windows of a text.
class Run {
 public:
  Run(const std::string& label, const TokenWindows& windows);

  /// To be told how many windows are done.
  std::function<void(std::size_t)> on_window();
  /// Ends the progress display.
  void finish();
  /// Of what was done between making this and finish(); the first `found` windows do not count.
  double tokens_per_second() const;
  void found(std::size_t windows) { found_ = windows; }

 private:
  const std::size_t windows_, context_;
  std::size_t found_ = 0;
  Progress progress_;
  const std::chrono::steady_clock::time_point start_;
  double seconds_ = 0;
};

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_REPORT_H_
