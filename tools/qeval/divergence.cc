// qeval divergence.
#include "brink/eval/divergence.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>

#include "brink/core/fingerprint.h"
#include "brink/eval/base_logits.h"
#include "brink/gguf/fingerprint.h"
#include "tools/qeval/dial.h"
#include "tools/qeval/options.h"
#include "tools/qeval/report.h"
#include "tools/qeval/text_run.h"
#include "tools/support/json.h"
#include "tools/support/synthetic_model.h"
#include "tools/support/table.h"
#include "tools/support/text_file.h"

namespace brink::tools {
namespace {

namespace fs = std::filesystem;

std::string cache_path(const DivergenceOptions& options, const Model& base,
                       const TokenWindows& windows) {
  const std::string folder =
      options.cache_folder.empty() ? default_cache_folder() : options.cache_folder;
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw Error("cannot create: " + error.message(), {.file = folder});
  return (fs::path(folder) / ("base-" + BaseLogits::key(base, windows) + ".logits")).string();
}

// The base's logits: found in its cache, or computed, when they are asked for first.
class BaseRun {
 public:
  BaseRun(const DivergenceOptions& options, const Model& model, const TokenWindows& windows)
      : options_(options), model_(model), windows_(windows) {}

  const BaseLogits& logits() {
    if (logits_) return *logits_;
    path_ = cache_path(options_, model_, windows_);
    WindowProgress progress("base " + file_name(options_.base), windows_);
    naming(options_.base, [&] {
      logits_.emplace(model_, windows_, path_, options_.text.evaluation(), progress.on_window());
    });
    progress.finish();
    std::fprintf(stderr, "base logits: %s in %s%s\n", human_bytes(logits_->file_bytes()).c_str(),
                 path_.c_str(),
                 logits_->windows_found() == windows_.size() ? ", from an earlier run" : "");
    return *logits_;
  }

  void delete_cache() {
    if (path_.empty()) path_ = cache_path(options_, model_, windows_);
    logits_.reset();
    fs::remove(path_);
  }

 private:
  const DivergenceOptions& options_;
  const Model& model_;
  const TokenWindows& windows_;
  std::string path_;
  std::optional<BaseLogits> logits_;
};

}  // namespace

int divergence(const DivergenceOptions& options) {
  Dial dial(dial_of(options.dial, options.text));
  std::string text = read_text(options.text.text);
  std::optional<Store> store;
  if (!options.text.store.empty()) store.emplace(options.text.store);
  say_on_interrupt(options.text);
  const Model base_model = Model::open(options.base);
  const std::string text_hash = fingerprint(text);
  const TokenWindows windows = windows_of(base_model, text, options.text);
  // A file that cannot be compared should be known before minutes are spent on the base.
  for (const std::string& path : options.models) {
    const Model model = Model::open(path);
    const TokenWindows own = windows_of(model, text, options.text);
    if (!std::ranges::equal(own.ids(), windows.ids()))
      throw Error("reads the text as other tokens than " + options.base +
                      ": their distributions cannot be compared",
                  {.file = path});
  }
  std::string().swap(text);  // tokens stand for it from here on
  BaseRun base_run(options, base_model, windows);
  DivergenceBase base{options.base, {}, [&]() -> const BaseLogits& { return base_run.logits(); }};
  if (store) base.hash = fingerprint(base_model.gguf());
  Json report = Json::array();
  Table table({"model", "weights", "activations", "kv", ">mean KL [95 %]", ">median", ">99 %",
               ">max", ">ln(PPL/base) [95 %]", ">same top % [95 %]", ">RMS dp %"});
  const auto measure = [&](const std::string& model_path) {
    const Model model = Model::open(model_path);
    const std::string model_hash = store ? fingerprint(model.gguf()) : "";
    for (const DialSetting& setting : dial.settings()) {
      const SessionOptions session = dial.apply(setting, model, options.text.evaluation());
      WindowProgress progress(label_of(model_path, session), windows);
      const DivergenceRun run = run_divergence({.model = model,
                                                .windows = windows,
                                                .session = session,
                                                .dial_key = dial.key(setting),
                                                .text = options.text.text,
                                                .text_hash = text_hash,
                                                .model_hash = model_hash,
                                                .store = store ? &*store : nullptr,
                                                .on_window = progress.on_window()},
                                               base);
      progress.finish();
      const Divergence& d = run.figures;
      const Json& row = run.row;
      table.add({file_name(model_path), row["weights"], row["activations"], row["kv"],
                 text_of(d.kl_mean, 6), scientific(row["kl.median"].get<double>()),
                 scientific(row["kl.p99"].get<double>()), scientific(d.kl_max),
                 text_of(d.ln_ratio, 5), percent(d.same_top, 2),
                 fixed(100 * d.shift_rms.value, 3)});
      report.push_back(row);
    }
  };
  measure_models(options.models, measure, report, table, options.text.json);
  if (options.delete_cache) base_run.delete_cache();
  return 0;
}

}  // namespace brink::tools
