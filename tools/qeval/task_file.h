// Task files as their authors publish them.
#ifndef BRINK_TOOLS_QEVAL_TASK_FILE_H_
#define BRINK_TOOLS_QEVAL_TASK_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace brink::tools {

/// What the fields of a file's items say that it is.
enum class TaskForm : std::uint8_t {
  kQuestions,   ///< question, answer: GSM8K, the tasks of brink's own model
  kTrivia,      ///< TriviaQA: Question/Answer.Aliases, or question/answer.aliases
  kHellaSwag,   ///< ctx (or ctx_a, ctx_b), endings, label
  kArc,         ///< question.stem, question.choices, answerKey, or choices.text, choices.label
  kWinogrande,  ///< sentence with _, option1, option2, answer
  kMmlu,        ///< question, choices, answer as an index or a letter; or CSV without a header
  kBbh,         ///< {"examples": [{"input", "target"}]}
  kGpqa,        ///< Question, Correct Answer, Incorrect Answer 1 to 3
  kHumanEval,   ///< task_id, prompt, entry_point, test
  kMbpp,        ///< text (or prompt), code, test_list
  kSummaries,   ///< document, article or dialogue with summary or highlights
};
std::string name_of(TaskForm form);

/// One item. What does not apply to its form is empty.
struct TaskItem {
  std::int64_t index = 0;  ///< place in the file, from 0
  std::string id;
  std::string cluster;  ///< "cluster", where the file has it
  std::string subject;  ///< MMLU: "abstract algebra"; of CSV without a header by the file's name
  std::string question;
  std::string answer;                ///< the right one as published: of GSM8K with its reasoning
  std::vector<std::string> aliases;  ///< all that count as right; the first is `answer`
  std::vector<std::string> choices;
  std::size_t right = 0;  ///< of choices
  /// Winogrande: of each choice the beginning that it makes; all go on with `answer`.
  std::vector<std::string> beginnings;
  std::string entry_point;         ///< HumanEval
  std::vector<std::string> tests;  ///< Python; HumanEval: one, that defines check(candidate)
  std::string imports;             ///< MBPP: Python that program and tests want to be run before
  std::string setup;               ///< MBPP: Python that the tests want, with the program there
};

struct TaskFile {
  TaskForm form = TaskForm::kQuestions;
  std::vector<TaskItem> items;
  std::string hash;  ///< fingerprint of the file's bytes
};

/// Reads JSON lines, JSON (an array, or an object that has the array under "examples", "Data",
/// "data", "questions" or "rows") or CSV. Throws Error, naming file and item, where an item lacks
/// what its form needs. Choices of GPQA are put in an order that depends on the item alone.
TaskFile read_task_file(const std::string& path);
/// The same from a file's bytes; `path` is for messages, and ends in .csv for CSV.
TaskFile parse_task_file(const std::string& path, std::string_view bytes);

/// Rows of a CSV file (RFC 4180: quoted fields may hold commas, quotes doubled, and line ends).
/// Throws Error where a quote is not closed.
std::vector<std::vector<std::string>> parse_csv(const std::string& path, std::string_view bytes);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_TASK_FILE_H_
