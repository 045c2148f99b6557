#include "tools/qeval/results.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>

#include "brink/core/error.h"
#include "tools/qeval/figure.h"
#include "tools/support/cli.h"

namespace brink::tools {
namespace {

using Key = std::tuple<std::string, std::string, std::string, std::string>;

// The options of a run as a JSON object without the scales of int8-tensor activations, and these.
struct Options {
  explicit Options(const RunConfig& config) : rest(config.options) {
    Json json = Json::parse(config.options, nullptr, false);
    if (!json.is_object() || !json.contains("scales")) return;
    if (json["scales"].is_string()) scales = json["scales"].get<std::string>();
    json.erase("scales");
    rest = json.dump();
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
  std::map<std::string, std::size_t> models;  // in the order they were begun
  for (const StoredRun& run : runs) {
    if (!run.finished) continue;
    const RunConfig& c = run.config;
    models.try_emplace(c.model_name, models.size());
    const auto same = [&](const Setting& s) { return key_of(s) == key_of(c); };
    if (std::ranges::any_of(settings, same)) continue;
    settings.push_back({.model_name = c.model_name,
                        .model_hash = c.model_hash,
                        .weights = c.weights,
                        .activations = activations_of(c),
                        .kv_type = c.kv_type,
                        .backend = c.backend,
                        .bits_per_weight = c.bits_per_weight,
                        .file_bytes = c.file_bytes});
  }
  std::ranges::stable_sort(settings, {}, [&](const Setting& s) {
    return std::tuple(models.at(s.model_name), -s.bits_per_weight, s.model_hash, coarseness(s));
  });
  return settings;
}

// Tasks of the same name, told apart by a number.
void number(std::vector<Task>& tasks) {
  std::map<std::string, std::vector<Task*>> by_name;
  for (Task& task : tasks) by_name[task.name].push_back(&task);
  for (const auto& [name, same] : by_name)
    if (same.size() > 1)
      for (std::size_t i = 0; i < same.size(); ++i) same[i]->name += " #" + std::to_string(i + 1);
}

}  // namespace

std::string Setting::label() const {
  std::string text = weights + ", " + activations + ", " + kv_type;
  if (backend != "cpu" && !backend.empty()) text += ", " + backend;
  return text;
}

const TaskRun* Results::find(std::size_t setting, std::size_t task) const {
  const auto found = std::ranges::find_if(
      task_runs, [&](const TaskRun& run) { return run.setting == setting && run.task == task; });
  return found == task_runs.end() ? nullptr : &*found;
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
  std::map<std::pair<std::string, std::string>, std::size_t> tasks;
  for (const StoredRun& run : results.runs) {
    if (!run.finished) continue;
    const RunConfig& c = run.config;
    const auto found = std::ranges::find_if(
        results.settings, [&](const Setting& s) { return key_of(s) == key_of(c); });
    const auto setting = static_cast<std::size_t>(found - results.settings.begin());
    if (c.kind == "tasks") {
      const std::string asked = Options(c).rest;
      const auto [at, is_new] = tasks.try_emplace({c.data_hash, asked}, results.tasks.size());
      if (is_new) {
        const std::string name = std::filesystem::path(c.data).stem().string();
        results.tasks.push_back({name, c.data, c.data_hash, asked});
      }
      results.task_runs.push_back({setting, at->second, store.items(run.id)});
    } else if (c.kind == "perplexity" || c.kind == "divergence") {
      const Json summary = Json::parse(run.summary, nullptr, false);
      if (!summary.is_object())
        throw Error("the summary of run " + std::to_string(run.id) + " is no JSON object",
                    {.file = store.path()});
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
  number(results.tasks);
  return results;
}

}  // namespace brink::tools
