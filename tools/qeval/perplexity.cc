// qeval perplexity.
#include <cstdio>
#include <optional>
#include <string>

#include "brink/core/fingerprint.h"
#include "brink/gguf/fingerprint.h"
#include "tools/qeval/dial.h"
#include "tools/qeval/options.h"
#include "tools/qeval/report.h"
#include "tools/qeval/text_run.h"
#include "tools/support/json.h"
#include "tools/support/table.h"
#include "tools/support/text_file.h"

namespace brink::tools {
int perplexity(const PerplexityOptions& options) {
  Dial dial(dial_of(options.dial, options.text));
  const std::string text = read_text(options.text.text);
  std::optional<Store> store;
  if (!options.text.store.empty()) store.emplace(options.text.store);
  say_on_interrupt(options.text);
  const std::string text_hash = fingerprint(text);
  Json report = Json::array();
  Table table({"model", "weights", "activations", "kv", ">windows", ">tokens", ">perplexity [95 %]",
               ">+-", ">bits/byte [95 %]", ">tokens/s"});
  const auto measure = [&](const std::string& path) {
    const Model model = Model::open(path);
    const TokenWindows windows = windows_of(model, text, options.text);
    const std::string model_hash = store ? fingerprint(model.gguf()) : "";
    for (const DialSetting& setting : dial.settings()) {
      const SessionOptions session = dial.apply(setting, model, options.text.evaluation());
      WindowProgress progress(label_of(path, session), windows);
      const PerplexityRun run = run_perplexity({.model = model,
                                                .windows = windows,
                                                .session = session,
                                                .dial_key = dial.key(setting),
                                                .text = options.text.text,
                                                .text_hash = text_hash,
                                                .model_hash = model_hash,
                                                .store = store ? &*store : nullptr,
                                                .on_window = progress.on_window()});
      progress.finish();
      const Perplexity& result = run.figures;
      table.add({file_name(path), run.row["weights"], run.row["activations"], run.row["kv"],
                 std::to_string(result.windows), std::to_string(result.tokens),
                 text_of(result.perplexity, 4), fixed(result.standard_error, 4),
                 result.bits_per_byte ? text_of(*result.bits_per_byte, 4) : "n/a",
                 fixed(run.row["tokens_per_second"], 1)});
      report.push_back(run.row);
    }
  };
  measure_models(options.models, measure, report, table, options.text.json);
  return 0;
}

}  // namespace brink::tools
