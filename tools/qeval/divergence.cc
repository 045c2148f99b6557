// qeval divergence.
#include "brink/eval/divergence.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>

#include "brink/eval/base_logits.h"
#include "tools/qeval/options.h"
#include "tools/qeval/report.h"
#include "tools/support/synthetic_model.h"
#include "tools/support/table.h"
#include "tools/support/text_file.h"

namespace brink::tools {
namespace {

namespace fs = std::filesystem;

std::string file_name(const std::string& path) {
  return printable(fs::path(path).filename().string(), 40);
}

// "kl.p99.9" of the share 0.999; 0.5 is "kl.median".
std::string quantile_key(const std::string& figure, double share) {
  if (share == 0.5) return figure + ".median";
  char text[32];
  std::snprintf(text, sizeof text, ".p%g", share * 100);
  return figure + text;
}

void fill(Json& row, const Divergence& d) {
  row["windows"] = d.windows;
  row["tokens"] = d.tokens;
  set(row, "kl.mean", d.kl_mean);
  for (const Quantile& q : d.kl_quantiles) row[quantile_key("kl", q.share)] = q.value;
  row["kl.max"] = d.kl_max;
  set(row, "perplexity", d.perplexity);
  set(row, "perplexity.base", d.base_perplexity);
  set(row, "ln_ratio", d.ln_ratio);
  row["ln_ratio.stderr"] = d.ln_ratio_standard_error;
  set(row, "same_top", d.same_top);
  set(row, "shift.mean", d.shift_mean);
  set(row, "shift.rms", d.shift_rms);
  for (const Quantile& q : d.shift_quantiles) row[quantile_key("shift", q.share)] = q.value;
}

std::string scientific(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

Estimate percent(Estimate estimate) {
  estimate.value *= 100;
  if (estimate.ci) estimate.ci = Interval{100 * estimate.ci->low, 100 * estimate.ci->high};
  return estimate;
}

std::string cache_path(const DivergenceOptions& options, const Model& base,
                       const TokenWindows& windows) {
  const std::string folder =
      options.cache_folder.empty() ? default_cache_folder() : options.cache_folder;
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw Error("cannot create: " + error.message(), {.file = folder});
  return (fs::path(folder) / ("base-" + BaseLogits::key(base, windows) + ".logits")).string();
}

BaseLogits run_base(const DivergenceOptions& options, const Model& model,
                    const TokenWindows& windows, const std::string& path) {
  Run run("base " + file_name(options.base), windows);
  BaseLogits base(model, windows, path, options.text.session(), run.on_window());
  run.finish();
  std::fprintf(stderr, "base logits: %s in %s%s\n", human_bytes(base.file_bytes()).c_str(),
               path.c_str(), base.windows_found() == windows.size() ? ", from an earlier run" : "");
  return base;
}

}  // namespace

int divergence(const DivergenceOptions& options) {
  const std::string text = read_text(options.text.text);
  const Model base_model = Model::open(options.base);
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
  const std::string path = cache_path(options, base_model, windows);
  {
    const BaseLogits base = run_base(options, base_model, windows, path);
    Json report = Json::array();
    Table table({"model", "weights", "activations", "kv", ">mean KL [95 %]", ">median", ">99 %",
                 ">max", ">ln(PPL/base) [95 %]", ">same top % [95 %]", ">RMS dp %"});
    for (const std::string& model_path : options.models) {
      const Model model = Model::open(model_path);
      Session session(model, window_options(options.text.session(), windows));
      Json row = row_of(model, session);
      row["base"] = options.base;
      row["text"] = options.text.text;
      row["context"] = windows.context();
      Run run(file_name(model_path), windows);
      const Divergence d = measure_divergence(base, session, run.on_window());
      run.finish();
      fill(row, d);
      row["tokens_per_second"] = run.tokens_per_second();
      table.add({file_name(model_path), row["weights"], row["activations"], row["kv"],
                 text_of(d.kl_mean, 6), scientific(row["kl.median"]), scientific(row["kl.p99"]),
                 scientific(d.kl_max), text_of(d.ln_ratio, 5), text_of(percent(d.same_top), 2),
                 fixed(100 * d.shift_rms.value, 3)});
      report.push_back(std::move(row));
    }
    std::fputs((options.text.json ? to_text(report, 1) : table.text()).c_str(), stdout);
  }
  if (options.delete_cache) fs::remove(path);
  return 0;
}

}  // namespace brink::tools
