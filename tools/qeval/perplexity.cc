// qeval perplexity.
#include "brink/eval/perplexity.h"

#include <cstdio>
#include <filesystem>
#include <string>

#include "tools/qeval/options.h"
#include "tools/qeval/report.h"
#include "tools/support/table.h"
#include "tools/support/text_file.h"

namespace brink::tools {
namespace {

std::string file_name(const std::string& path) {
  return printable(std::filesystem::path(path).filename().string(), 40);
}

}  // namespace

int perplexity(const PerplexityOptions& options) {
  const std::string text = read_text(options.text.text);
  Json report = Json::array();
  Table table({"model", "weights", "activations", "kv", ">windows", ">tokens", ">perplexity [95 %]",
               ">+-", ">bits/byte [95 %]", ">tokens/s"});
  for (const std::string& path : options.models) {
    const Model model = Model::open(path);
    const TokenWindows windows = windows_of(model, text, options.text);
    Session session(model, window_options(options.text.session(), windows));
    Json row = row_of(model, session);
    Run run(file_name(path), windows);
    const Perplexity result = measure_perplexity(session, windows, run.on_window());
    run.finish();
    row["text"] = options.text.text;
    row["context"] = windows.context();
    row["windows"] = result.windows;
    row["tokens"] = result.tokens;
    set(row, "perplexity", result.perplexity);
    row["perplexity.stderr"] = result.standard_error;
    set(row, "nll", result.nll);
    if (result.bits_per_byte) set(row, "bits_per_byte", *result.bits_per_byte);
    row["tokens_per_second"] = run.tokens_per_second();
    table.add({file_name(path), row["weights"], row["activations"], row["kv"],
               std::to_string(result.windows), std::to_string(result.tokens),
               text_of(result.perplexity, 4), fixed(result.standard_error, 4),
               result.bits_per_byte ? text_of(*result.bits_per_byte, 4) : "n/a",
               fixed(run.tokens_per_second(), 1)});
    report.push_back(std::move(row));
  }
  std::fputs((options.text.json ? to_text(report, 1) : table.text()).c_str(), stdout);
  return 0;
}

}  // namespace brink::tools
