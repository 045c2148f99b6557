// What a sweep says at its end.
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <utility>

#include "brink/eval/paired.h"
#include "tools/qeval/report.h"
#include "tools/qeval/sweep.h"
#include "tools/support/json.h"
#include "tools/support/table.h"

namespace brink::tools {
namespace {

std::string task_name(const std::string& path) {
  return std::filesystem::path(path).stem().string();
}

// A figure and its interval under other names.
void copy(const Json& from, const std::string& key, Json& to, const std::string& new_key) {
  if (!from.is_object()) return;
  for (const char* suffix : {"", ".ci"})
    if (const auto found = from.find(key + suffix); found != from.end() && !found->is_null())
      to[new_key + suffix] = *found;
}

// The mean accuracy of all tasks; nothing where one of them has none.
std::optional<Estimate> mean_accuracy(const std::vector<Json>& tasks) {
  std::vector<Estimate> all;
  for (const Json& task : tasks)
    if (const auto accuracy = figure(task, "accuracy"); accuracy && accuracy->ci)
      all.push_back(*accuracy);
  if (all.empty() || all.size() < tasks.size()) return std::nullopt;
  return all.size() == 1 ? all[0] : mean_of(all);
}

std::string cell(const Json& row, const std::string& key, int decimals) {
  const auto estimate = figure(row, key);
  return estimate ? text_of(*estimate, decimals) : "n/a";
}

std::string percent_cell(const Json& row, const std::string& key) {
  const auto estimate = figure(row, key);
  return estimate ? percent(*estimate) : "n/a";
}

std::string bytes_cell(const Json& row, const std::string& key) {
  const auto value = row.find(key);
  return value == row.end() ? "n/a" : human_bytes(value->get<std::uint64_t>());
}

// "62 %" of what the base takes is saved; negative where it takes less.
std::string saved_cell(const Json& row, const std::string& key) {
  const auto saved = row.find(key + ".saved");
  if (saved == row.end()) return "n/a";
  const double bytes = row.at(key).get<double>();
  const double all = bytes + saved->get<double>();
  return all > 0 ? fixed(100 * saved->get<double>() / all, 1) : "n/a";
}

Json row_json(const SweepRow& row, const SweepOptions& options) {
  const SweepModel& model = *row.model;
  // A quant's own file is gone.
  Json json = {{"model", model.source},
               {"name", model.name},
               {"source", model.source},
               {"hash", model.hash},
               {"weights", model.weights},
               {"activations", row.activations},
               {"kv", row.kv_type},
               {"bytes", model.bytes},
               {"bits_per_weight", model.bits_per_weight}};
  const Json& text = row.divergence.is_object() ? row.divergence : row.perplexity;
  for (const char* key : {"perplexity", "bits_per_byte", "kl.mean", "kl.median", "kl.p99", "kl.max",
                          "ln_ratio", "same_top"})
    copy(text, key, json, key);
  if (const auto accuracy = mean_accuracy(row.tasks)) set(json, "accuracy", *accuracy);
  for (std::size_t t = 0; t < row.tasks.size(); ++t) {
    const std::string name = task_name(options.tasks[t]);
    for (const char* key : {"accuracy", "score", "truncated", "unparsable"})
      copy(row.tasks[t], key, json, key + ("." + name));
  }
  for (const char* key : {"load_seconds", "prompt_tokens_per_second",
                          "generation_tokens_per_second", "peak_bytes", "page_cache"})
    copy(row.speed, key, json, key);
  return json;
}

}  // namespace

Json sweep_json(const std::vector<SweepRow>& rows, const SweepOptions& options) {
  std::vector<std::pair<const SweepRow*, Json>> all;
  for (const SweepRow& row : rows) all.emplace_back(&row, row_json(row, options));
  // What is saved, against the source under the same setting.
  std::map<std::pair<std::string, std::string>, Json> sources;
  const auto setting = [](const SweepRow& row) {
    return std::pair(row.model->base_hash, row.activations + " " + row.kv_type);
  };
  for (const auto& [row, json] : all)
    if (!row->model->base_hash.empty() && row->model->hash == row->model->base_hash)
      sources[setting(*row)] = json;
  for (auto& [row, json] : all) {
    const auto source = sources.find(setting(*row));
    if (source == sources.end()) continue;
    for (const char* key : {"bytes", "peak_bytes"})
      if (json.contains(key) && source->second.contains(key))
        json[std::string(key) + ".saved"] =
            source->second.at(key).get<std::int64_t>() - json.at(key).get<std::int64_t>();
  }
  // The largest first, models beside each other: a large one at fewer bits beside a small one.
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return a.first->model->bytes > b.first->model->bytes;
  });
  Json report = Json::array();
  for (auto& [row, json] : all) report.push_back(std::move(json));
  return report;
}

std::string sweep_table(const Json& rows, const SweepOptions& options) {
  std::vector<std::string> headers = {"model", "weights", "activations", "kv", ">size", ">bpw"};
  const bool text = !options.text.empty();
  if (text) headers.insert(headers.end(), {">perplexity [95 %]", ">mean KL [95 %]"});
  for (const std::string& task : options.tasks)
    headers.push_back(">" + printable(task_name(task), 24) + " % [95 %]");
  if (options.speed)
    headers.insert(headers.end(),
                   {">prompt t/s", ">generation t/s", ">load s", ">peak memory", ">peak saved %"});
  headers.push_back(">size saved %");
  Table table(headers);
  for (const Json& row : rows) {
    std::vector<std::string> cells = {printable(row["name"].get<std::string>(), 30),
                                      row["weights"],
                                      row["activations"],
                                      row["kv"],
                                      bytes_cell(row, "bytes"),
                                      fixed(row["bits_per_weight"], 2)};
    if (text) {
      cells.push_back(cell(row, "perplexity", 3));
      cells.push_back(cell(row, "kl.mean", 5));
    }
    for (const std::string& task : options.tasks)
      cells.push_back(percent_cell(row, "accuracy." + task_name(task)));
    if (options.speed)
      for (const std::string& text_cell :
           {cell(row, "prompt_tokens_per_second", 0), cell(row, "generation_tokens_per_second", 1),
            cell(row, "load_seconds", 3), bytes_cell(row, "peak_bytes"),
            saved_cell(row, "peak_bytes")})
        cells.push_back(text_cell);
    cells.push_back(saved_cell(row, "bytes"));
    table.add(std::move(cells));
  }
  std::string page_cache;
  if (options.speed)
    page_cache = std::string("\nspeed and memory: each in a fresh process, file ") +
                 (options.cold ? "not in the page cache" : "in the page cache") + "\n";
  return table.text() + page_cache;
}

std::string runs_csv(const Store& store) {
  const auto quoted = [](const std::string& text) {
    if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
    std::string out = "\"";
    for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
    return out + "\"";
  };
  std::vector<std::string> keys;  // of all summaries, in the order met
  std::vector<std::pair<StoredRun, Json>> runs;
  for (StoredRun& run : store.runs()) {
    if (!run.finished) continue;
    Json summary = parse_json_if_any(run.summary);
    if (!summary.is_object()) summary = Json::object();
    Json flat = Json::object();
    for (const auto& [key, value] : summary.items()) {
      if (value.is_array() && value.size() == 2) {
        flat[key + ".low"] = value[0];
        flat[key + ".high"] = value[1];
      } else if (value.is_primitive()) {
        flat[key] = value;
      }
    }
    // These are columns of their own.
    for (const char* known : {"model", "weights", "activations", "kv", "bytes", "backend", "text"})
      flat.erase(known);
    for (const auto& [key, value] : flat.items())
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
    runs.emplace_back(std::move(run), std::move(flat));
  }
  std::string text =
      "kind,model,name,model_hash,weights,bits_per_weight,bytes,activations,kv,backend,data,"
      "data_hash,base_hash,options,threads,started,finished,seconds,version,machine,items";
  for (const std::string& key : keys) text += "," + quoted(key);
  text += "\n";
  for (const auto& [run, flat] : runs) {
    const RunConfig& c = run.config;
    std::string line;
    for (const std::string& value : {c.kind,
                                     c.model,
                                     c.model_name,
                                     c.model_hash,
                                     c.weights,
                                     dumped(Json(c.bits_per_weight)),
                                     std::to_string(c.file_bytes),
                                     c.activations,
                                     c.kv_type,
                                     c.backend,
                                     c.data,
                                     c.data_hash,
                                     c.base_hash,
                                     c.options,
                                     std::to_string(c.threads),
                                     run.started,
                                     *run.finished,
                                     dumped(Json(run.seconds)),
                                     run.version,
                                     run.machine,
                                     std::to_string(run.items)})
      line += (line.empty() ? "" : ",") + quoted(value);
    for (const std::string& key : keys) {
      const auto value = flat.find(key);
      line += ",";
      if (value == flat.end() || value->is_null()) continue;
      line += value->is_string() ? quoted(value->get<std::string>()) : value->dump();
    }
    text += line + "\n";
  }
  return text;
}

}  // namespace brink::tools
