// qeval regrade: other grades for answers that a store has, without inference.
#include <cstdio>
#include <filesystem>
#include <memory>
#include <vector>

#include "brink/core/error.h"
#include "tools/qeval/options.h"
#include "tools/qeval/tasks.h"

namespace brink::tools {
namespace {

const TaskItem& item_of(const TaskFile& file, const Item& item, const std::string& path) {
  if (item.index < 0 || static_cast<std::size_t>(item.index) >= file.items.size())
    throw Error("has no item " + std::to_string(item.index), {.file = path});
  return file.items[static_cast<std::size_t>(item.index)];
}

// The task file of a run, which must be the one that was answered.
TaskFile task_of(const StoredRun& run, const std::string& path) {
  TaskFile file = read_task_file(path);
  if (file.hash != run.config.data_hash)
    throw Error("is not the file that was answered: it has changed", {.file = path});
  return file;
}

}  // namespace

void regrade_item(Item& item, const TaskGrader& grader, Grader kind, TaskForm form,
                  const TaskItem& task_item, const PythonSandbox* sandbox) {
  const Json details = item.details.empty() ? Json::object() : Json::parse(item.details);
  const bool scored = details.contains("log_probabilities");
  if (kind == Grader::kChoice) {
    if (!scored && item.truncated) return;  // its choices did not fit the context
    if (!scored) throw Error("only texts were kept: --grader choice needs probabilities");
    std::vector<ChoiceScore> choices;
    for (std::size_t i = 0; i < details["bytes"].size(); ++i)
      choices.push_back({details["log_probabilities"][i], details["bytes"][i]});
    TaskItem with_right = task_item;
    with_right.right = details["right"];
    const Grade grade = TaskGrader::choice(with_right, choices);
    item.correct = grade.correct;
    item.score = grade.score;
    item.details = to_text(grade.details);
    return;
  }
  if (scored) throw Error("only probabilities of choices were kept: use --grader choice");
  std::vector<GradedSample> samples;
  const auto add = [&](const std::string& output, bool truncated) {
    samples.push_back(
        {output, truncated, grade_output(grader, kind, form, task_item, output, sandbox)});
  };
  if (details.contains("samples"))
    for (const Json& sample : details["samples"]) add(sample["output"], sample["truncated"]);
  else
    add(item.output, item.truncated);
  set_grades(item, samples);
}

int regrade(const RegradeOptions& options) {
  if (!std::filesystem::exists(options.store))
    throw Error("there is no such store", {.file = options.store});
  Store store(options.store);
  Json report = Json::array();
  TaskTable table;
  std::unique_ptr<PythonSandbox> sandbox;
  std::size_t found = 0;
  for (const StoredRun& run : store.runs()) {
    if (run.config.kind != "tasks") continue;
    const std::string path = options.task.empty() ? run.config.data : options.task;
    if (!options.task.empty() && read_task_file(path).hash != run.config.data_hash) continue;
    ++found;
    const TaskFile file = task_of(run, path);
    nlohmann::json run_options = nlohmann::json::parse(run.config.options);
    const Grader before = grader_named(run_options["grader"]);
    const Grader kind = options.grader.empty() ? before : grader_named(options.grader);
    if (kind == Grader::kCode && !options.allow_code)
      throw UsageError("--grader code runs programs that the model wrote: it needs --allow-code");
    if (kind == Grader::kCode && sandbox == nullptr)
      sandbox = std::make_unique<PythonSandbox>(SandboxOptions{.seconds = options.code_seconds});
    std::vector<Item> items = store.items(run.id);
    if (items.empty()) continue;
    // Every item first: a grader that does not fit changes nothing.
    try {
      const TaskGrader grader(kind, file);
      for (Item& item : items)
        regrade_item(item, grader, kind, file.form, item_of(file, item, path), sandbox.get());
    } catch (const Error& error) {
      if (!error.place().file.empty()) throw;
      throw Error(error.what(), {.file = path});
    }
    std::int64_t target = run.id;
    if (kind != before) {  // a run of its own, so that none is graded in two ways
      RunConfig config = run.config;
      run_options["grader"] = name_of(kind);
      config.options = run_options.dump();
      target = store.open(config);
    }
    std::vector<bool> there(file.items.size(), false);
    for (const Item& item : store.items(target))
      there.at(static_cast<std::size_t>(item.index)) = true;
    for (const Item& item : items) {
      if (there[static_cast<std::size_t>(item.index)])
        store.replace(target, item);
      else
        store.add(target, item);
    }
    Json row = run.summary.empty() ? Json::object() : Json::parse(run.summary);
    row["model"] = run.config.model;
    row["weights"] = run.config.weights;
    row["activations"] = run.config.activations;
    row["kv"] = run.config.kv_type;
    row["task"] = path;
    row["grader"] = name_of(kind);
    for (const char* key : {"accuracy", "accuracy.ci", "accuracy_normalized",
                            "accuracy_normalized.ci", "score", "score.ci"})
      row.erase(key);
    row.update(summarize(kind, items));
    if (run.finished) store.finish(target, to_text(row));
    row["finished"] = run.finished.has_value();
    table.add(row);
    report.push_back(std::move(row));
  }
  if (found == 0) throw Error("has no answers to tasks", {.file = options.store});
  std::fputs((options.json ? to_text(report, 1) : table.text()).c_str(), stdout);
  return 0;
}

CLI::App* add_regrade(CLI::App& app, RegradeOptions& options) {
  CLI::App* command = app.add_subcommand(
      "regrade",
      "Grades the answers in a store again, without the models: after a change of a\n"
      "grader, or by another one, whose grades are kept beside the first");
  add_results(*command, options.store);
  command->add_option("--grader", options.grader, "Grade by this one (default: that of each run)")
      ->option_text(grader_words());
  command
      ->add_option("--task", options.task,
                   "Only runs of this task file, which may lie elsewhere now (default: all runs)")
      ->option_text("FILE");
  add_code_options(*command, options.allow_code, options.code_seconds);
  command->add_flag("--json", options.json, "Print JSON");
  return command;
}

}  // namespace brink::tools
