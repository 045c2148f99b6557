#include "tools/qeval/results.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "brink/core/error.h"
#include "tools/qeval/figure.h"
#include "tools/qeval/run_config.h"
#include "tools/support/json.h"

namespace brink::tools {
namespace {

using Key = std::tuple<std::string, std::string, std::string, std::string>;

// The options of a run as a JSON object without the scales of int8-tensor activations, and these.
struct Options {
  explicit Options(const RunConfig& config) : rest(config.options) {
    Json json = parse_json_if_any(config.options);
    if (!json.is_object() || !json.contains("scales")) return;
    if (json["scales"].is_string()) scales = json["scales"].get<std::string>();
    json.erase("scales");
    rest = dumped(json);
  }
  std::string rest, scales;
};

// Scales are a part of how activations are rounded, not of what is asked.
std::string activations_of(const RunConfig& config) {
  const std::string scales = Options(config).scales;
  return scales.empty() ? config.activations : config.activations + " " + scales.substr(0, 8);
}

Key key_of(const RunConfig& config) {
  return {config.model_hash, activations_of(config), config.kv_type, config.backend};
}
Key key_of(const Setting& setting) {
  return {setting.model_hash, setting.activations, setting.kv_type, setting.backend};
}

std::vector<Setting> settings_of(const std::vector<StoredRun>& runs) {
  std::vector<Setting> settings;
  std::map<std::string, std::size_t> models, files;  // in the order they were begun
  std::map<std::string, std::string> stems;
  for (const StoredRun& run : runs) {
    if (!run.finished) continue;
    const RunConfig& c = run.config;
    models.try_emplace(c.model_name, models.size());
    files.try_emplace(c.model_hash, files.size());
    stems.try_emplace(c.model_hash, std::filesystem::path(c.model).stem().string());
    const auto same = [&](const Setting& s) { return key_of(s) == key_of(c); };
    if (std::ranges::any_of(settings, same)) continue;
    settings.push_back({.model_name = c.model_name,
                        .model_hash = c.model_hash,
                        .weights = c.weights,
                        .type = c.weights,
                        .activations = activations_of(c),
                        .kv_type = c.kv_type,
                        .backend = c.backend,
                        .bits_per_weight = c.bits_per_weight,
                        .file_bytes = c.file_bytes});
  }
  // Files that differ in nothing else are told apart by their names or hashes.
  for (Setting& s : settings) {
    const auto like = [&](const Setting& other) {
      return other.model_name == s.model_name && other.type == s.type &&
             other.model_hash != s.model_hash;
    };
    if (std::ranges::none_of(settings, like)) continue;
    const bool named = std::ranges::none_of(settings, [&](const Setting& other) {
      return like(other) && stems.at(other.model_hash) == stems.at(s.model_hash);
    });
    s.weights += " (" + (named ? stems.at(s.model_hash) : s.model_hash.substr(0, 8)) + ")";
  }
  std::ranges::stable_sort(settings, {}, [&](const Setting& s) {
    return std::tuple(models.at(s.model_name), -s.bits_per_weight, files.at(s.model_hash),
                      coarseness(s));
  });
  return settings;
}

// Options that decide which items are asked and not how: runs that differ in nothing else can be
// paired. The fingerprint of all prompts and the context that they need follow from the items.
std::string way_of_asking(const RunConfig& config) {
  Json json = parse_json_if_any(Options(config).rest);
  if (!json.is_object()) return config.options;
  for (const char* key : {"items", "subset", "prompts", "context"}) json.erase(key);
  return dumped(json);
}

std::vector<Measure> measures_of(const RunConfig& config, const std::vector<ItemFigures>& figures) {
  const Json json = parse_json_if_any(config.options);
  const std::string grader =
      json.is_object() && json.contains("grader") && json["grader"].is_string()
          ? json["grader"].get<std::string>()
          : "";
  if (grader == "json") return {Measure::kAccuracy, Measure::kScore};
  if (grader == "choice" &&
      std::ranges::any_of(figures, [](const ItemFigures& f) { return f.normalized.has_value(); }))
    return {Measure::kAccuracy, Measure::kNormalized};
  if (grader.empty() || grader == "rouge") return {Measure::kScore};
  return {Measure::kAccuracy};
}

// Tasks of the same name, told apart by the options that differ, or else by a number.
void distinguish(std::vector<Task>& tasks) {
  std::map<std::pair<std::string, Measure>, std::vector<Task*>> by_name;
  for (Task& task : tasks) by_name[{task.name, task.measure}].push_back(&task);
  for (const auto& [name, same] : by_name) {
    if (same.size() == 1) continue;
    std::vector<Json> options;
    for (const Task* task : same) options.push_back(parse_json_if_any(task->options));
    // What tells most first; no more keys than it takes.
    std::vector<std::string> keys = {"grader", "chat", "shots", "samples", "max_tokens"};
    for (const Json& option : options)
      if (option.is_object())
        for (const auto& [key, value] : option.items()) keys.push_back(key);
    std::vector<std::string> suffixes(same.size());
    const auto are_distinct = [&] {
      return std::set<std::string>(suffixes.begin(), suffixes.end()).size() == same.size();
    };
    std::set<std::string> seen;
    for (const std::string& key : keys) {
      if (are_distinct()) break;
      if (!seen.insert(key).second) continue;
      const auto value_in = [&](const Json& option) -> std::string {
        if (!option.is_object() || !option.contains(key)) return "none";
        const Json& value = option[key];
        const std::string text = value.is_string() ? value.get<std::string>() : dumped(value);
        return text.empty() ? "none" : text;
      };
      std::vector<std::string> values;
      for (const Json& option : options) values.push_back(value_in(option));
      const auto is_long = [](const std::string& value) { return value.size() > 20; };
      if (std::ranges::any_of(values, is_long)) continue;  // templates
      if (std::ranges::count(values, values[0]) == std::ssize(values)) continue;
      for (std::size_t i = 0; i < same.size(); ++i)
        suffixes[i] += (suffixes[i].empty() ? "" : ", ") + key + " " + values[i];
    }
    const bool readable = are_distinct() && std::ranges::all_of(suffixes, [](const auto& suffix) {
                            return suffix.size() <= 40;
                          });
    for (std::size_t i = 0; i < same.size(); ++i)
      same[i]->name += readable ? " (" + suffixes[i] + ")" : " #" + std::to_string(i + 1);
  }
  for (Task& task : tasks)
    if (!task.primary) task.name += std::string(" (") + name_of(task.measure) + ")";
}

// Adds a finished run of a task, or puts it in the place of one of fewer items.
class TaskRuns {
 public:
  explicit TaskRuns(Results& results) : results_(results) {}

  void add(std::size_t setting, const RunConfig& config, std::vector<Item> items) {
    const std::string asked = way_of_asking(config);
    std::vector<ItemFigures> of_items;
    for (const Item& item : items) of_items.push_back(figures_of(item));
    const auto measures = measures_of(config, of_items);
    TaskRun run{.setting = setting};
    run.items = std::make_shared<const std::vector<Item>>(std::move(items));
    run.figures = std::make_shared<const std::vector<ItemFigures>>(std::move(of_items));
    for (const Measure measure : measures) {
      const auto [at, is_new] =
          tasks_.try_emplace({config.data_hash, asked, measure}, results_.tasks.size());
      if (is_new)
        results_.tasks.push_back({.name = std::filesystem::path(config.data).stem().string(),
                                  .data = config.data,
                                  .data_hash = config.data_hash,
                                  .options = asked,
                                  .measure = measure,
                                  .primary = measure == measures[0]});
      run.task = at->second;
      const auto before = std::ranges::find_if(results_.task_runs, [&](const TaskRun& other) {
        return other.setting == setting && other.task == run.task;
      });
      if (before == results_.task_runs.end())
        results_.task_runs.push_back(run);
      else if (before->items->size() <= run.items->size())
        *before = run;
    }
  }

 private:
  Results& results_;
  std::map<std::tuple<std::string, std::string, Measure>, std::size_t> tasks_;
};

}  // namespace

const char* name_of(Measure measure) {
  switch (measure) {
    case Measure::kAccuracy:
      return "accuracy";
    case Measure::kNormalized:
      return "accuracy_normalized";
    case Measure::kScore:
      break;
  }
  return "score";
}

double value_of(const ItemFigures& figures, Measure measure) {
  switch (measure) {
    case Measure::kAccuracy:
      return figures.accuracy;
    case Measure::kNormalized:
      return figures.normalized.value_or(0);  // cut off by the context: no choice at all
    case Measure::kScore:
      break;
  }
  return figures.score;
}

std::string Setting::label() const {
  std::string text = weights + ", " + activations + ", " + kv_type;
  if (backend != "cpu" && !backend.empty()) text += ", " + backend;
  return text;
}

std::string Setting::rounding() const {
  std::string text = activations + ", KV " + kv_type;
  if (backend != "cpu" && !backend.empty()) text += ", " + backend;
  return text;
}

std::vector<std::string> Results::model_names() const {
  std::vector<std::string> names;  // settings of a model stand together
  for (const Setting& setting : settings)
    if (names.empty() || names.back() != setting.model_name) names.push_back(setting.model_name);
  return names;
}

std::size_t coarseness(const Setting& setting) {
  static constexpr std::array<std::string_view, 6> kActivations = {
      "f32", "bf16", "q8", "fp8", "int8-token", "int8-tensor"};
  static constexpr std::array<std::string_view, 4> kKvTypes = {"f32", "f16", "q8_0", "q4_0"};
  const auto place = [](const auto& words, const std::string& word) {
    return static_cast<std::size_t>(std::ranges::find(words, word) - words.begin());
  };
  const std::string kind = setting.activations.substr(0, setting.activations.find(' '));
  return place(kActivations, kind) * (kKvTypes.size() + 1) + place(kKvTypes, setting.kv_type);
}

Results load_results(const Store& store) {
  Results results;
  results.runs = store.runs();
  results.settings = settings_of(results.runs);
  TaskRuns task_runs(results);
  for (const StoredRun& run : results.runs) {
    if (!run.finished) continue;
    const RunConfig& c = run.config;
    const auto found = std::ranges::find_if(
        results.settings, [&](const Setting& s) { return key_of(s) == key_of(c); });
    const auto setting = static_cast<std::size_t>(found - results.settings.begin());
    if (c.kind == "tasks") {
      task_runs.add(setting, c, store.items(run.id));
    } else if (c.kind == "perplexity" || c.kind == "divergence") {
      const Json summary = stored_object(store, run.id, "summary", run.summary);
      results.texts.push_back({.setting = setting,
                               .text = std::filesystem::path(c.data).stem().string(),
                               .options = Options(c).rest,
                               .base_hash = c.base_hash,
                               .perplexity = figure(summary, "perplexity"),
                               .bits_per_byte = figure(summary, "bits_per_byte"),
                               .kl_mean = figure(summary, "kl.mean")});
    }
    if (const auto speed = store.speed(run.id)) results.speeds.push_back({setting, *speed});
  }
  distinguish(results.tasks);
  return results;
}

}  // namespace brink::tools
