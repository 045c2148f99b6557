// qeval regrade: other grades for answers that a store has, without inference.
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "brink/core/error.h"
#include "brink/core/progress.h"
#include "tools/qeval/options.h"
#include "tools/qeval/report.h"
#include "tools/qeval/run_config.h"
#include "tools/qeval/tasks.h"
#include "tools/support/cli.h"
#include "tools/support/json.h"
#include "tools/support/usage_error.h"

namespace brink::tools {
namespace {

const TaskItem& item_of(const TaskFile& file, const Item& item, const std::string& path) {
  if (item.index < 0 || static_cast<std::size_t>(item.index) >= file.items.size())
    throw Error("has no item " + std::to_string(item.index), {.file = path});
  return file.items[static_cast<std::size_t>(item.index)];
}

// The task file of a run, which must be the one that was answered. `stored`: where it lay then.
TaskFile task_of(const StoredRun& run, const std::string& path, bool stored) {
  if (stored && !std::filesystem::exists(path))
    throw Error("is not there any more: --task FILE says where it lies now", {.file = path});
  TaskFile file = read_task_file(path);
  if (file.hash != run.config.data_hash)
    throw Error("is not the file that was answered: it has changed", {.file = path});
  return file;
}

// All runs of a store. Each is graded before anything of it is written, and written at once: a
// process that is killed leaves none with grades of two kinds.
class Regrading {
 public:
  Regrading(const RegradeOptions& options, Store& store) : options_(options), store_(store) {}

  int run() {
    const std::string wanted = options_.task.empty() ? "" : read_task_file(options_.task).hash;
    std::vector<StoredRun> runs;
    std::uint64_t items = 0;
    for (StoredRun& run : store_.runs()) {
      if (run.config.kind != "tasks" || (!wanted.empty() && run.config.data_hash != wanted))
        continue;
      items += run.items;
      runs.push_back(std::move(run));
    }
    if (runs.empty())
      throw Error("has no answers to " +
                      (wanted.empty() ? "tasks" : "'" + options_.task + "' as that is now"),
                  {.file = store_.path()});
    progress_.emplace("regrade", items, ProgressOptions{.delay_s = 0.5});
    for (const StoredRun& run : runs) {
      try {
        regrade_run(run);
      } catch (const Json::exception& error) {
        throw Error("is damaged: answers of run " + std::to_string(run.id) + ": " + error.what(),
                    {.file = store_.path()});
      }
    }
    progress_->finish();
    std::fputs((options_.json ? to_text(report_, 1) : table_.text()).c_str(), stdout);
    return 0;
  }

 private:
  void regrade_run(const StoredRun& run);
  std::vector<Item> graded(const StoredRun& run, const TaskFile& file, const std::string& path,
                           Grader kind);

  const RegradeOptions& options_;
  Store& store_;
  std::unique_ptr<PythonSandbox> sandbox_;
  std::optional<Progress> progress_;
  Json report_ = Json::array();
  TaskTable table_;
};

std::vector<Item> Regrading::graded(const StoredRun& run, const TaskFile& file,
                                    const std::string& path, Grader kind) {
  if (kind == Grader::kCode && !options_.allow_code)
    throw UsageError("--grader code runs programs that the model wrote: it needs --allow-code");
  if (kind == Grader::kCode && sandbox_ == nullptr)
    sandbox_ = std::make_unique<PythonSandbox>(SandboxOptions{.seconds = options_.code_seconds});
  std::vector<Item> items = store_.items(run.id);
  naming(path, [&] {
    const TaskGrader grader(kind, file);
    for (Item& item : items) {
      regrade_item(item, grader, kind, file.form, item_of(file, item, path), sandbox_.get());
      progress_->add();
    }
  });
  return items;
}

void Regrading::regrade_run(const StoredRun& run) {
  const std::string path = options_.task.empty() ? run.config.data : options_.task;
  const TaskFile file = task_of(run, path, options_.task.empty());
  Json run_options = stored_object(store_, run.id, "options", run.config.options);
  const Grader before = grader_named(run_options.at("grader"));
  const Grader kind = options_.grader.empty() ? before : grader_named(options_.grader);
  const std::vector<Item> items = graded(run, file, path, kind);
  if (items.empty()) return;
  Json row =
      run.summary.empty() ? Json::object() : stored_object(store_, run.id, "summary", run.summary);
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
  store_.together([&] {
    std::int64_t target = run.id;
    if (kind != before) {  // a run of its own, so that none is graded in two ways
      RunConfig config = run.config;
      run_options["grader"] = name_of(kind);
      config.options = dumped_by_key(run_options);
      target = store_.open(config);
    }
    std::set<std::int64_t> there;
    for (const Item& item : store_.items(target)) there.insert(item.index);
    for (const Item& item : items) {
      if (there.contains(item.index))
        store_.replace(target, item);
      else
        store_.add(target, item);
    }
    if (run.finished) store_.finish(target, to_text(row));
  });
  row["finished"] = run.finished.has_value();
  table_.add(row);
  report_.push_back(std::move(row));
}

}  // namespace

void regrade_item(Item& item, const TaskGrader& grader, Grader kind, TaskForm form,
                  const TaskItem& task_item, const PythonSandbox* sandbox) {
  const Json details = item.details.empty() ? Json::object() : parse_json(item.details);
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
  return Regrading(options, store).run();
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
