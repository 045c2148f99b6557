#include "tools/qeval/report_rows.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "tools/qeval/report.h"

namespace brink::tools {
namespace {

Json setting_row(const Analysis& analysis, std::size_t place) {
  const Setting& setting = analysis.results.settings[place];
  Json row = {{"model", setting.model_name},
              {"weights", setting.weights},
              {"activations", setting.activations},
              {"kv", setting.kv_type},
              {"backend", setting.backend},
              {"model_hash", setting.model_hash},
              {"bits_per_weight", setting.bits_per_weight},
              {"bytes", setting.file_bytes}};
  if (const Speed* const speed = analysis.overall[place].speed) {
    row["prompt_tokens_per_second"] = speed->prompt_tokens_per_second;
    row["generation_tokens_per_second"] = speed->generation_tokens_per_second;
    row["load_seconds"] = speed->load_seconds;
    row["peak_bytes"] = speed->peak_bytes;
    row["warm"] = speed->warm;
  }
  return row;
}

// What is said of all tasks together.
const Ladder::Rung* rung_of(const Analysis& analysis, std::size_t setting) {
  for (const Ladder& ladder : analysis.ladders)
    for (const Ladder::Rung& rung : ladder.rungs)
      if (rung.setting == setting) return &rung;
  return nullptr;
}

void fill(Json& row, const Analysis& analysis, const Comparison& c) {
  row["baseline"] = analysis.results.settings[c.baseline].label();
  row["pairs"] = c.paired.items;
  set(row, "difference", c.paired.difference);
  row["lost"] = c.paired.lost;
  row["gained"] = c.paired.gained;
  row["p"] = c.paired.p;
  row["p.holm"] = c.corrected_p;
  if (c.paired.detectable) row["detectable"] = *c.paired.detectable;
  if (c.paired.retained) set(row, "retained", *c.paired.retained);
  row["effective_items"] = c.paired.effective_items;
  row["tolerance"] = analysis.options.tolerance;
  row["equivalence"] = analysis.options.equivalence;
  row["equivalent"] = c.equivalent;
  row["difference90.ci"] = {c.paired.difference90.low, c.paired.difference90.high};
  row["verdict"] = std::string(name_of(c.verdict));
  if (const Ladder::Rung* const rung = rung_of(analysis, c.setting)) {
    row["verdict.all_tasks"] = std::string(name_of(rung->verdict));
    row["equivalent.all_tasks"] = rung->equivalent;
    if (!rung->missing.empty()) {
      row["missing"] = Json::array();
      for (const std::size_t task : rung->missing)
        row["missing"].push_back(analysis.results.tasks[task].name);
    }
  }
}

// How much further the setting falls on this task than on each other one.
void fill_contrasts(Json& row, const Analysis& analysis, const TaskScore& score) {
  for (const TaskContrast& c : analysis.contrasts) {
    if (c.setting != score.setting || (c.first != score.task && c.second != score.task)) continue;
    const bool first = c.first == score.task;
    const Estimate& d = c.contrast.difference;
    const std::string key = "versus." + analysis.results.tasks[first ? c.second : c.first].name;
    set(row, key.c_str(), first ? d : Estimate{-d.value, Interval{-d.ci->high, -d.ci->low}});
    row[key + ".p"] = c.contrast.p;
    row[key + ".p.holm"] = c.corrected_p;
  }
}

std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

std::string cell(const Json& value) {
  return quoted(value.is_string() ? value.get<std::string>() : dumped(value));
}

}  // namespace

Json report_rows(const Analysis& analysis) {
  const Results& results = analysis.results;
  Json rows = Json::array();
  for (const TaskScore& score : analysis.scores) {
    Json row = setting_row(analysis, score.setting);
    const Task& task = results.tasks[score.task];
    row["task"] = task.name;
    row["measure"] = name_of(task.measure);
    row["items"] = score.items;
    row["clusters"] = score.clusters;
    set(row, name_of(task.measure), score.accuracy);
    row["truncated"] = score.truncated;
    row["unparsable"] = score.unparsed;
    if (score.invented) row["invented"] = *score.invented;
    if (score.log_probability) row["log_probability"] = *score.log_probability;
    for (const Comparison& comparison : analysis.comparisons)
      if (comparison.setting == score.setting && comparison.task == score.task)
        fill(row, analysis, comparison);
    fill_contrasts(row, analysis, score);
    rows.push_back(std::move(row));
  }
  for (const TextFigures& text : results.texts) {
    Json row = setting_row(analysis, text.setting);
    row["text"] = text.text;
    if (text.kl_mean) set(row, "kl.mean", *text.kl_mean);
    if (text.perplexity) set(row, "perplexity", *text.perplexity);
    if (text.bits_per_byte) set(row, "bits_per_byte", *text.bits_per_byte);
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string to_csv(const Json& rows) {
  std::vector<std::string> keys;
  for (const Json& row : rows)
    for (const auto& [key, value] : row.items())
      if (std::ranges::find(keys, key) == keys.end()) keys.push_back(key);
  std::string out;
  const auto end_line = [&] { out.replace(out.size() - 1, 1, "\r\n"); };  // the last comma
  for (const std::string& key : keys) {
    const bool interval = key.ends_with(".ci");
    const std::string name = interval ? key.substr(0, key.size() - 3) : key;
    out +=
        interval ? quoted(name + ".low") + "," + quoted(name + ".high") + "," : quoted(name) + ",";
  }
  if (!keys.empty()) end_line();
  for (const Json& row : rows) {
    for (const std::string& key : keys) {
      const auto value = row.find(key);
      const bool there = value != row.end();
      if (key.ends_with(".ci"))
        out += there ? cell((*value)[0]) + "," + cell((*value)[1]) + "," : ",,";
      else
        out += there ? cell(*value) + "," : ",";
    }
    end_line();
  }
  return out;
}

}  // namespace brink::tools
