#include "tools/qeval/text_run.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "brink/core/fingerprint.h"
#include "tools/qeval/report.h"
#include "tools/qeval/run_config.h"
#include "tools/support/interrupt.h"
#include "tools/support/json.h"
#include "tools/support/usage_error.h"

namespace brink::tools {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Numbers of a window's tokens as the store keeps them. A store stays on its machine's kind: they
// are as they lie in memory.
template <class T>
void put(std::string& bytes, std::span<const T> values) {
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
}

template <class T>
void take(std::string_view& bytes, std::size_t count, std::vector<T>& values) {
  values.resize(values.size() + count);
  std::memcpy(values.data() + values.size() - count, bytes.data(), count * sizeof(T));
  bytes.remove_prefix(count * sizeof(T));
}

double sum(std::span<const double> values) {
  double result = 0;
  for (const double value : values) result += value;
  return result;
}

// The windows of a run that are in the store: always the first ones, since a step's windows are
// added together and in order.
class KeptWindows {
 public:
  KeptWindows(const TextRun& run, const RunConfig& config, std::size_t bytes_per_window)
      : run_(run) {
    if (run.store == nullptr) return;
    id_ = run.store->open(config);
    items_ = run.store->items(id_);
    for (std::size_t w = 0; w < items_.size(); ++w)
      if (items_[w].index != static_cast<std::int64_t>(w) || w >= run.windows.size() ||
          items_[w].values.size() != bytes_per_window)
        throw Error("is damaged: window " + std::to_string(w) + " of run " + std::to_string(id_),
                    {.file = run.store->path()});
    if (run.store->finished(id_))
      summary_ = stored_object(*run.store, id_, "summary", run.store->run(id_).summary);
  }

  const std::vector<Item>& items() const { return items_; }
  std::size_t size() const { return items_.size(); }
  bool complete() const { return size() == run_.windows.size(); }
  /// A figure of a finished run that is not computed anew.
  template <class T>
  std::optional<T> stored(const char* key) const {
    const auto found = summary_.is_object() ? summary_.find(key) : summary_.end();
    if (found == summary_.end() || found->is_null()) return {};
    try {
      return found->get<T>();
    } catch (const Json::exception&) {
      throw Error(
          "is damaged: '" + std::string(key) + "' in the summary of run " + std::to_string(id_),
          {.file = run_.store->path()});
    }
  }

  void add(std::span<const Item> items) {
    if (run_.store != nullptr) run_.store->add(id_, items);
  }
  void finish(const Json& row) {
    if (run_.store != nullptr && !summary_.is_object()) run_.store->finish(id_, to_text(row));
  }

 private:
  const TextRun& run_;
  std::int64_t id_ = 0;
  std::vector<Item> items_;
  Json summary_;
};

Item window_item(const TextRun& run, std::size_t window, double score, Json details) {
  details["tokens"] = run.windows.scored_per_window();
  details["bytes"] = run.windows.scored_bytes(window);
  Item item;
  item.index = static_cast<std::int64_t>(window);
  item.id = "window " + std::to_string(window);
  item.score = score;
  item.details = dumped(details);
  return item;
}

// Runs the windows that `kept` lacks, `compute` being given a session, and starts the row with what
// was quantized and how fast it went.
template <class F>
Json run_missing(const TextRun& run, const KeptWindows& kept, F&& compute) {
  Json row;
  std::optional<double> rate = kept.stored<double>("tokens_per_second");
  const std::optional<std::string> backend = kept.stored<std::string>("backend");
  if (kept.complete() && rate && backend) {
    row = row_of(run.model, run.session, *backend);
  } else {
    Session session(run.model, window_options(run.session, run.windows));
    row = row_of(run.model, session.options(), session.backend_name());
    const Clock::time_point start = Clock::now();
    if (!kept.complete()) naming(run.model.gguf().path(), [&] { compute(session); });
    const std::size_t tokens = (run.windows.size() - kept.size()) * run.windows.context();
    rate = static_cast<double>(tokens) / seconds_since(start);
  }
  row["text"] = run.text;
  row["context"] = run.windows.context();
  row["windows"] = run.windows.size();
  row["tokens"] = run.windows.scored();
  row["tokens_per_second"] = *rate;
  return row;
}

// Moves it behind the figures, where a reader looks last.
void end_with_rate(Json& row) {
  Json rate = row["tokens_per_second"];
  row.erase("tokens_per_second");
  row["tokens_per_second"] = std::move(rate);
}

// "kl.p99.9" of the share 0.999; 0.5 is "kl.median".
std::string quantile_key(const std::string& figure, double share) {
  if (share == 0.5) return figure + ".median";
  char text[32];
  std::snprintf(text, sizeof text, ".p%g", share * 100);
  return figure + text;
}

void fill(Json& row, const Divergence& d) {
  set(row, "kl.mean", d.kl_mean);
  for (const Quantile& q : d.kl_quantiles) row[quantile_key("kl", q.share)] = q.value;
  row["kl.max"] = d.kl_max;
  set(row, "perplexity", d.perplexity);
  set(row, "perplexity.base", d.base_perplexity);
  if (d.bits_per_byte) set(row, "bits_per_byte", *d.bits_per_byte);
  set(row, "ln_ratio", d.ln_ratio);
  row["ln_ratio.stderr"] =
      d.ln_ratio_standard_error ? Json(*d.ln_ratio_standard_error) : Json(nullptr);
  set(row, "same_top", d.same_top);
  set(row, "shift.mean", d.shift_mean);
  set(row, "shift.rms", d.shift_rms);
  for (const Quantile& q : d.shift_quantiles) row[quantile_key("shift", q.share)] = q.value;
}

}  // namespace

DialOptions dial_of(DialOptions dial, const TextOptions& text) {
  if (dial.calibration == "-" && text.text == "-")
    throw UsageError("-f - and --calibrate - are one standard input: give a file to one of them");
  dial.parse_special = text.parse_special;
  return dial;
}

void say_on_interrupt(const TextOptions& text) {
  say_on_interrupt(text.store.empty()
                       ? "qeval: interrupted"
                       : "qeval: interrupted; the same command goes on after the last window");
}

RunConfig text_config(const std::string& kind, const TextRun& run) {
  RunConfig config = describe(kind, run.model, run.session, run.model_hash);
  config.data = run.text;
  config.data_hash = run.text_hash;
  // The ids stand for how the text was read: --parse-special, and what a later brink reads better.
  Json options = {{"context", run.windows.context()},
                  {"tokens", fingerprint(std::as_bytes(run.windows.ids()))},
                  {"windows", run.windows.size()}};
  if (!run.dial_key.empty()) options["scales"] = run.dial_key;
  config.options = dumped(options);
  return config;
}

PerplexityRun run_perplexity(const TextRun& run) {
  const TokenWindows& windows = run.windows;
  const std::size_t each = windows.scored_per_window();
  RunConfig config;
  if (run.store != nullptr) config = text_config("perplexity", run);
  KeptWindows kept(run, config, each * sizeof(double));
  std::vector<double> all;
  all.reserve(windows.scored());
  for (const Item& item : kept.items()) {
    std::string_view bytes = item.values;
    take(bytes, each, all);
  }
  PerplexityRun result;
  result.row = run_missing(run, kept, [&](Session& session) {
    if (run.on_window) run.on_window(kept.size());
    score_windows(session, windows, kept.size(), [&](std::size_t w, std::span<const double> nll) {
      std::vector<Item> items;
      for (; !nll.empty(); nll = nll.subspan(each), ++w) {
        const auto of_window = nll.first(each);
        all.insert(all.end(), of_window.begin(), of_window.end());
        if (run.store == nullptr) continue;
        const double nats = sum(of_window);
        items.push_back(window_item(run, w, nats / static_cast<double>(each), Json{{"nll", nats}}));
        put(items.back().values, of_window);
      }
      kept.add(items);
      if (run.on_window) run.on_window(w);
    });
  });
  result.figures = summarize_perplexity(windows, all);
  Json& row = result.row;
  set(row, "perplexity", result.figures.perplexity);
  row["perplexity.stderr"] = result.figures.standard_error;
  set(row, "nll", result.figures.nll);
  if (result.figures.bits_per_byte) set(row, "bits_per_byte", *result.figures.bits_per_byte);
  end_with_rate(row);
  kept.finish(row);
  return result;
}

DivergenceRun run_divergence(const TextRun& run, const DivergenceBase& base) {
  const TokenWindows& windows = run.windows;
  const std::size_t each = windows.scored_per_window();
  RunConfig config;
  if (run.store != nullptr) {
    config = text_config("divergence", run);
    config.base_hash = base.hash;
  }
  KeptWindows kept(run, config, each * (2 * sizeof(double) + sizeof(float) + 1));
  TokenDivergences all;
  all.reserve(windows.scored());
  for (const Item& item : kept.items()) {
    std::string_view bytes = item.values;
    take(bytes, each, all.nll);
    take(bytes, each, all.base_nll);
    take(bytes, each, all.kl);
    take(bytes, each, all.same_top);
  }
  const auto item_of = [&](std::size_t w, const TokenDivergences& tokens, std::size_t begin) {
    const auto nll = std::span(tokens.nll).subspan(begin, each);
    const auto base_nll = std::span(tokens.base_nll).subspan(begin, each);
    const auto kl = std::span(tokens.kl).subspan(begin, each);
    const auto same_top = std::span(tokens.same_top).subspan(begin, each);
    double kl_sum = 0;
    for (const float value : kl) kl_sum += static_cast<double>(value);
    const auto same = std::count(same_top.begin(), same_top.end(), 1);
    Item item = window_item(
        run, w, kl_sum / static_cast<double>(each),
        Json{{"kl", kl_sum}, {"nll", sum(nll)}, {"nll.base", sum(base_nll)}, {"same_top", same}});
    put(item.values, nll);
    put(item.values, base_nll);
    put(item.values, kl);
    put(item.values, same_top);
    return item;
  };
  DivergenceRun result;
  // Before there is a session: the rate is that of the model, and memory that of one session.
  if (!kept.complete()) base.logits();
  result.row = run_missing(run, kept, [&](Session& session) {
    const BaseLogits& logits = base.logits();
    if (run.on_window) run.on_window(kept.size());
    compare_windows(logits, session, kept.size(),
                    [&](std::size_t w, const TokenDivergences& tokens) {
                      all.append(tokens);
                      std::vector<Item> items;
                      for (std::size_t i = 0; i < tokens.size(); i += each, ++w)
                        if (run.store != nullptr) items.push_back(item_of(w, tokens, i));
                      kept.add(items);
                      if (run.on_window) run.on_window(w);
                    });
  });
  result.figures = summarize_divergence(windows, std::move(all));
  result.row["base"] = base.path;
  fill(result.row, result.figures);
  end_with_rate(result.row);
  kept.finish(result.row);
  return result;
}

}  // namespace brink::tools
