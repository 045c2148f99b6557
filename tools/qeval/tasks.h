// What qeval tasks and qeval regrade share.
#ifndef BRINK_TOOLS_QEVAL_TASKS_H_
#define BRINK_TOOLS_QEVAL_TASKS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tools/qeval/dial.h"
#include "tools/qeval/python_sandbox.h"
#include "tools/qeval/store.h"
#include "tools/qeval/task_file.h"
#include "tools/qeval/task_grading.h"
#include "tools/support/engine_options.h"
#include "tools/support/json.h"
#include "tools/support/table.h"

namespace brink::tools {

struct TasksOptions {
  std::vector<std::string> models;
  std::vector<std::string> tasks;
  std::vector<std::string> graders;  ///< one for each task, or one for all
  std::string prompt;                ///< file; empty: built-in prompts
  std::string store = "results.sqlite";
  std::size_t limit = 0;    ///< of items; 0: all
  bool random = false;      ///< `limit` items by chance instead of the first ones
  std::size_t samples = 0;  ///< 0: greedy
  float temperature = 0.8f;
  std::uint64_t seed = 42;
  std::size_t context = 0;  ///< 0: what the items need, at most what the model was trained for
  std::size_t batch = 16;   ///< items answered at once
  bool allow_code = false;
  unsigned code_seconds = 10;
  DialOptions dial;
  EngineOptions engine;
  bool json = false;
};

struct RegradeOptions {
  std::string store = "results.sqlite";
  std::string grader;  ///< empty: that of each run
  std::string task;    ///< where the task file lies now; empty: where it lay
  bool allow_code = false;
  unsigned code_seconds = 10;
  bool json = false;
};

/// The subcommands' options.
CLI::App* add_tasks(CLI::App& app, TasksOptions& options);
CLI::App* add_regrade(CLI::App& app, RegradeOptions& options);
/// The subcommands. Each returns the exit code and throws Error.
int tasks(const TasksOptions& options);
int regrade(const RegradeOptions& options);

/// The program of an answer: what is fenced, or the prompt with what was added to it.
PythonTask python_task(TaskForm form, const TaskItem& item, const std::string& output);

/// Grades one output by any grader but kChoice. `sandbox` is needed for kCode only.
Grade grade_output(const TaskGrader& grader, Grader kind, TaskForm form, const TaskItem& item,
                   const std::string& output, const PythonSandbox* sandbox);

/// One sample's output, and its grade.
struct GradedSample {
  std::string output;
  bool truncated = false;
  Grade grade;
};
/// The item for the store: several samples are averaged, so that they count as one item. Its score
/// is their mean score and details["accuracy"] their share of right ones; it is correct where more
/// than half are. truncated and invented are those of any sample and parsed that of all; the shares
/// of the answers for which they hold are details["truncated"], ["parsed"] and ["invented"] (of
/// those answers where it can be told).
void set_grades(Item& item, const std::vector<GradedSample>& samples);

/// The figures of a run, with the keys of --json: accuracy, score (where the grader has one),
/// accuracy_normalized (choices), each with .ci; truncated, unparsable, invented, log_probability.
Json summarize(Grader grader, std::span<const Item> items);

/// The grade of an item from what was kept of it, by another grader or the same one. Throws Error
/// where its choices were scored and texts are wanted, or the other way round.
void regrade_item(Item& item, const TaskGrader& grader, Grader kind, TaskForm form,
                  const TaskItem& task_item, const PythonSandbox* sandbox);

/// The table of --json rows.
class TaskTable {
 public:
  TaskTable();
  void add(const Json& row);
  std::string text() const { return table_.text(); }

 private:
  Table table_;
};

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_TASKS_H_
