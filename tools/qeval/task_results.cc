// Grades of samples put together, and their figures.
#include <algorithm>
#include <optional>

#include "brink/eval/graders.h"
#include "brink/eval/paired.h"
#include "tools/qeval/cluster_numbers.h"
#include "tools/qeval/report.h"
#include "tools/qeval/tasks.h"

namespace brink::tools {
namespace {

double share_of(std::span<const Item> items, auto&& test) {
  const auto count = std::ranges::count_if(items, test);
  return static_cast<double>(count) / static_cast<double>(items.size());
}

// details[key] as a number, or nothing.
std::optional<double> detail(const Item& item, const char* key) {
  if (item.details.empty()) return std::nullopt;
  const Json details = Json::parse(item.details);
  if (!details.contains(key)) return std::nullopt;
  const Json& value = details[key];
  return value.is_boolean() ? (value.get<bool>() ? 1.0 : 0.0) : value.get<double>();
}

std::string percent_cell(const Json& row, const std::string& key) {
  const auto estimate = figure(row, key);
  return estimate ? percent(*estimate) : "n/a";
}

}  // namespace

PythonTask python_task(TaskForm form, const TaskItem& item, const std::string& output) {
  PythonTask task;
  task.entry_point = item.entry_point;
  task.tests = item.tests;
  task.prelude = item.setup;
  std::string code = output;
  if (const std::size_t begin = code.rfind("[BEGIN]"); begin != code.npos) code.erase(0, begin + 7);
  if (const std::size_t end = code.find("[DONE]"); end != code.npos) code.erase(end);
  const bool fenced = code.find("```") != code.npos || code.find("~~~") != code.npos;
  if (form != TaskForm::kHumanEval) {
    task.program = item.setup + "\n" + (fenced ? strip_fences(code) : code);
    return task;
  }
  task.prelude = item.question;  // helpers that the tests use stand in the prompt
  if (fenced) code = strip_fences(code);
  const std::string definition = "def " + item.entry_point + "(";
  const bool whole = code.starts_with(definition) || code.find("\n" + definition) != code.npos;
  // The prompt alone is a function with only a docstring; a whole function replaces it.
  task.program = item.question + (whole ? "\n\n" : "") + code;
  return task;
}

Grade grade_output(const TaskGrader& grader, Grader kind, TaskForm form, const TaskItem& item,
                   const std::string& output, const PythonSandbox* sandbox) {
  if (kind != Grader::kCode) return grader.text(item, output);
  const PythonVerdict verdict = sandbox->run(python_task(form, item, output));
  Grade grade;
  grade.correct = verdict.passed;
  grade.score = verdict.passed ? 1 : 0;
  grade.parsed = verdict.parsed;
  grade.invented = verdict.undefined_name;
  grade.details["verdict"] = verdict.reason;
  return grade;
}

void set_grades(Item& item, const std::vector<GradedSample>& samples) {
  const double n = static_cast<double>(samples.size());
  item.output = samples[0].output;
  item.score = 0;
  double right = 0;
  item.parsed = true;
  item.truncated = false;
  item.invented.reset();
  for (const GradedSample& sample : samples) {
    item.score += sample.grade.score / n;
    right += sample.grade.correct ? 1 : 0;
    item.parsed = item.parsed && sample.grade.parsed;
    item.truncated = item.truncated || sample.truncated;
    if (sample.grade.invented)
      item.invented = item.invented.value_or(false) || *sample.grade.invented;
  }
  item.correct = right > n / 2;
  Json details = samples[0].grade.details;
  if (samples.size() > 1) {
    details = {{"accuracy", right / n}, {"samples", Json::array()}};
    for (const GradedSample& sample : samples)
      details["samples"].push_back({{"output", sample.output},
                                    {"truncated", sample.truncated},
                                    {"score", sample.grade.score},
                                    {"correct", sample.grade.correct}});
  }
  item.details = to_text(details);
}

Json summarize(Grader grader, std::span<const Item> items) {
  Json json = Json::object();
  ClusterNumbers numbers;
  std::vector<std::uint64_t> clusters;
  std::vector<double> right, scores, normalized;
  double log_probability = 0;
  std::size_t with_log_probability = 0, with_invented = 0, invented = 0;
  for (const Item& item : items) {
    clusters.push_back(numbers.of(item.cluster));
    right.push_back(detail(item, "accuracy").value_or(item.correct ? 1 : 0));
    scores.push_back(item.score);
    if (const auto value = detail(item, "normalized")) normalized.push_back(*value);
    if (item.log_probability) {
      log_probability += *item.log_probability;
      ++with_log_probability;
    }
    if (item.invented) {
      ++with_invented;
      invented += *item.invented ? 1 : 0;
    }
  }
  json["items"] = items.size();
  json["clusters"] = numbers.count();
  if (items.empty()) return json;
  if (has_accuracy(grader)) set(json, "accuracy", mean_score(right, clusters));
  if (grader == Grader::kChoice && normalized.size() == items.size())
    set(json, "accuracy_normalized", mean_score(normalized, clusters));
  if (has_score(grader)) set(json, "score", mean_score(scores, clusters));
  json["truncated"] = share_of(items, [](const Item& i) { return i.truncated; });
  json["unparsable"] = share_of(items, [](const Item& i) { return !i.parsed; });
  json["invented"] = nullptr;
  if (with_invented > 0)
    json["invented"] = static_cast<double>(invented) / static_cast<double>(with_invented);
  json["log_probability"] = nullptr;
  if (with_log_probability > 0)
    json["log_probability"] = log_probability / static_cast<double>(with_log_probability);
  return json;
}

TaskTable::TaskTable()
    : table_({"model", "weights", "activations", "kv", "task", "grader", ">items",
              ">accuracy % [95 %]", ">score % [95 %]", ">cut %", ">unparsable %", ">invented %",
              ">ln p(right)", ">tokens/s"}) {}

void TaskTable::add(const Json& row) {
  const char* score = row.contains("accuracy_normalized") ? "accuracy_normalized" : "score";
  const auto number = [&](const char* key, int decimals) {
    return row.contains(key) && !row[key].is_null() ? fixed(row[key].get<double>(), decimals)
                                                    : std::string("n/a");
  };
  table_.add({file_name(row["model"].get<std::string>()), row["weights"], row["activations"],
              row["kv"], file_name(row["task"].get<std::string>()), row["grader"],
              std::to_string(row["items"].get<std::size_t>()), percent_cell(row, "accuracy"),
              percent_cell(row, score), percent_cell(row, "truncated"),
              percent_cell(row, "unparsable"), percent_cell(row, "invented"),
              number("log_probability", 3), number("tokens_per_second", 1)});
}

}  // namespace brink::tools
