// Grades of samples put together, and their figures.
#include <algorithm>
#include <optional>
#include <regex>

#include "brink/eval/graders.h"
#include "brink/eval/paired.h"
#include "tools/qeval/cluster_numbers.h"
#include "tools/qeval/item_figures.h"
#include "tools/qeval/report.h"
#include "tools/qeval/tasks.h"
#include "tools/support/json.h"

namespace brink::tools {
namespace {

std::string percent_cell(const Json& row, const std::string& key) {
  const auto estimate = figure(row, key);
  return estimate ? percent(*estimate) : "n/a";
}

// Of an answer to MBPP's prompt, what stands between [BEGIN] and [DONE]. A model without a chat may
// go on with a task of its own.
std::string mbpp_answer(const std::string& output) {
  std::string answer = output;
  for (const char* end : {"[DONE]", "\nYou are an expert"})
    if (const std::size_t at = answer.find(end); at != answer.npos) answer.erase(at);
  std::size_t begin = answer.find("[BEGIN]");
  if (begin != answer.npos && !begins_with_code(answer.substr(0, begin))) {
    answer.erase(0, begin + 7);
    begin = answer.find("[BEGIN]");
  }
  if (begin != answer.npos) answer.erase(begin);
  return answer;
}

// What the published program defines and the tests name.
std::vector<std::string> names_wanted(const TaskItem& item) {
  static const std::regex kDefinition("(^|\n)(def|class)\\s+(\\w+)");
  std::vector<std::string> out;
  const auto& code = item.answer;
  for (std::sregex_iterator at(code.begin(), code.end(), kDefinition), end; at != end; ++at) {
    const std::string name = (*at)[3];
    if (std::ranges::any_of(item.tests, [&](const auto& test) { return occurs_in(name, test); }))
      out.push_back(name);
  }
  return out;
}

}  // namespace

PythonTask python_task(TaskForm form, const TaskItem& item, const std::string& output) {
  PythonTask task;
  task.entry_point = item.entry_point;
  task.tests = item.tests;
  task.prelude = item.imports + item.setup;
  if (form != TaskForm::kHumanEval) {
    task.reference = item.answer;
    task.program = item.imports + "\n" + code_in(mbpp_answer(output), names_wanted(item));
    return task;
  }
  task.prelude = item.question;  // helpers that the tests use stand in the prompt
  const std::string code = code_in(output, std::span(&item.entry_point, 1));
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
  if (verdict.parsed) grade.invented = verdict.undefined_name;
  grade.details["verdict"] = verdict.reason;
  return grade;
}

void set_grades(Item& item, const std::vector<GradedSample>& samples) {
  const double n = static_cast<double>(samples.size());
  item.output = samples[0].output;
  double score = 0, right = 0, parsed = 0, truncated = 0, invented = 0, told = 0;
  item.parsed = true;
  item.truncated = false;
  item.invented.reset();
  for (const GradedSample& sample : samples) {
    score += sample.grade.score;
    right += sample.grade.correct ? 1 : 0;
    parsed += sample.grade.parsed ? 1 : 0;
    truncated += sample.truncated ? 1 : 0;
    item.parsed = item.parsed && sample.grade.parsed;
    item.truncated = item.truncated || sample.truncated;
    if (!sample.grade.invented) continue;
    item.invented = item.invented.value_or(false) || *sample.grade.invented;
    invented += *sample.grade.invented ? 1 : 0;
    ++told;
  }
  item.score = score / n;  // divided once: a mean of ones is 1
  item.correct = right > n / 2;
  Json details = samples[0].grade.details;
  if (samples.size() > 1) {
    details = {{"accuracy", right / n}, {"truncated", truncated / n}, {"parsed", parsed / n}};
    if (told > 0) details["invented"] = invented / told;
    details["samples"] = Json::array();
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
  double log_probability = 0, truncated = 0, parsed = 0, invented = 0;
  std::size_t with_log_probability = 0, with_invented = 0;
  for (const Item& item : items) {
    const ItemFigures figures = figures_of(item);
    clusters.push_back(numbers.of(item.cluster));
    right.push_back(figures.accuracy);
    scores.push_back(figures.score);
    if (figures.normalized) normalized.push_back(*figures.normalized);
    truncated += figures.truncated;
    parsed += figures.parsed;
    if (item.log_probability) {
      log_probability += *item.log_probability;
      ++with_log_probability;
    }
    if (figures.invented) {
      ++with_invented;
      invented += *figures.invented;
    }
  }
  json["items"] = items.size();
  json["clusters"] = numbers.count();
  if (items.empty()) return json;
  if (has_accuracy(grader)) set(json, "accuracy", mean_score(right, clusters));
  if (grader == Grader::kChoice && normalized.size() == items.size())
    set(json, "accuracy_normalized", mean_score(normalized, clusters));
  if (has_score(grader)) set(json, "score", mean_score(scores, clusters));
  const double n = static_cast<double>(items.size());
  json["truncated"] = truncated / n;
  json["unparsable"] = (n - parsed) / n;
  json["invented"] = nullptr;
  if (with_invented > 0) json["invented"] = invented / static_cast<double>(with_invented);
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
