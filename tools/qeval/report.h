// What the reports of all measurements have in common. Reports in JSON are arrays of flat objects,
// one for each row; the interval of figure X is under the key X.ci, as [low, high].
#ifndef BRINK_TOOLS_QEVAL_REPORT_H_
#define BRINK_TOOLS_QEVAL_REPORT_H_

#include <cstddef>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "brink/core/error.h"
#include "brink/core/progress.h"
#include "brink/eval/windows.h"
#include "tools/qeval/figure.h"
#include "tools/qeval/options.h"
#include "tools/support/json.h"

namespace brink::tools {

/// The columns that every row begins with: what was quantized.
Json row_of(const Model& model, const SessionOptions& session, const std::string& backend);

/// What a progress line says of a run: the file and its rounding.
std::string label_of(const std::string& path, const SessionOptions& session);

/// Windows of the text, as this model reads it.
TokenWindows windows_of(const Model& model, const std::string& text, const TextOptions& options);

/// What `work` returns; an Error that it throws names the file, if it names none.
template <class F>
auto naming(const std::string& file, F&& work) {
  try {
    return work();
  } catch (const Error& error) {
    if (!error.place().file.empty()) throw;
    throw Error(error.what(), {.file = file});
  }
}

/// What the tokenizer has to say, a line each on stderr.
void warn_of_tokenizer(const Model& model);
/// One line on stderr where so many positions are more than the model was trained for.
void warn_of_context(const Model& model, std::size_t context);

/// Calls `measure` for each path, which adds rows to `rows` and `table`, and prints these; after an
/// error too, where there are some. Then the error is thrown on.
template <class Table, class F>
void measure_models(const std::vector<std::string>& paths, F&& measure, const Json& rows,
                    const Table& table, bool json) {
  const auto print = [&] { std::fputs((json ? to_text(rows, 1) : table.text()).c_str(), stdout); };
  try {
    for (const std::string& path : paths) measure(path);
  } catch (...) {
    if (!rows.empty()) print();
    throw;
  }
  print();
}

/// The last part of a path, fit for a terminal.
std::string file_name(const std::string& path);

/// Progress of one run over the windows of a text.
class WindowProgress {
 public:
  WindowProgress(std::string label, const TokenWindows& windows)
      : label_(std::move(label)), windows_(windows.size()) {}

  /// To be told how many windows are done; the first time those that need not be run, and then
  /// time counts.
  std::function<void(std::size_t)> on_window();
  void finish();

 private:
  std::string label_;
  std::size_t windows_, found_ = 0;
  std::optional<Progress> progress_;
};

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_REPORT_H_
