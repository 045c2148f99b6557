// Grades for the items of a task, from what the model wrote or held probable.
#ifndef BRINK_TOOLS_QEVAL_TASK_GRADING_H_
#define BRINK_TOOLS_QEVAL_TASK_GRADING_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "tools/qeval/task_file.h"
#include "tools/support/json.h"

namespace brink::tools {

enum class Grader : std::uint8_t {
  kGsm8k,     ///< the last number against that of the answer
  kExact,     ///< equal texts, but for white space and a full stop
  kTriviaQa,  ///< TriviaQA's normalised exact match with any alias
  kJson,      ///< equal JSON; score: F1 over its fields
  kChoice,    ///< the most probable choice
  kCode,      ///< Python that passes tests
  kRouge,     ///< score: ROUGE-L's F1; nothing is right or wrong
};
std::string name_of(Grader grader);
/// Throws UsageError for no grader's name.
Grader grader_named(const std::string& name);
/// "gsm8k|exact|...": all their names.
std::string grader_words();

/// Whether answers are right or wrong (kRouge: only scored), and whether scores say more than that.
bool has_accuracy(Grader grader);
bool has_score(Grader grader);

struct Grade {
  double score = 0;
  bool correct = false;
  bool parsed = true;
  std::optional<bool> invented{};
  Json details = Json::object();
};

/// ln p of a choice, and the bytes of its text, by which it is normalised.
struct ChoiceScore {
  double log_probability = 0;
  std::size_t bytes = 0;
};

/// All graders but kCode (tools/qeval/python_sandbox.h).
class TaskGrader {
 public:
  /// What counts as invented follows from all items of the file. Throws Error, naming the item,
  /// where one has no right answer that this grader could compare with.
  TaskGrader(Grader grader, const TaskFile& file);

  /// Of a text. An answer is invented where
  /// - kJson: a field whose right values always stand in the question has a value that does not; or
  ///   a field whose right values are of a closed set has another one;
  /// - kGsm8k, where the question holds code: a name is used that it does not have;
  /// - kExact, where the right answers of the file are a closed set: it is none of them.
  /// Elsewhere that cannot be said, nor of an answer that holds none (kJson, kExact).
  Grade text(const TaskItem& item, const std::string& output) const;

  /// Of a choice: right by the raw sum, details["normalized"] by the mean over bytes. Of equals
  /// the first counts as chosen.
  static Grade choice(const TaskItem& item, std::span<const ChoiceScore> choices);

 private:
  Grade exact(const TaskItem& item, const std::string& output) const;
  Grade json(const TaskItem& item, const std::string& output) const;

  Grader grader_;
  std::set<std::string> answers_;  // normalised; empty where they are no closed set
  // kJson, by field: the values that labels have; empty for fields that are copied from the input.
  std::map<std::string, std::set<std::string>> labels_;
};

/// The closed set of answers of a file: those of all items, at most 26, each that of several
/// items. Empty where there is none.
std::vector<std::string> closed_answers(const TaskFile& file);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_TASK_GRADING_H_
