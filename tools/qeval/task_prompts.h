// How the items of a task are put to a model.
#ifndef BRINK_TOOLS_QEVAL_TASK_PROMPTS_H_
#define BRINK_TOOLS_QEVAL_TASK_PROMPTS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "brink/eval/generation.h"
#include "brink/model/model.h"
#include "brink/text/chat_template.h"
#include "brink/text/tokenizer.h"
#include "tools/qeval/task_file.h"
#include "tools/qeval/task_grading.h"
#include "tools/support/json.h"

namespace brink::tools {

/// A prompt file, JSON (an object) or lines "key: value" with \n, \t and \\ in values, lines of #
/// being comments. What is not there is chosen by the grader, the form of the task and the model.
struct PromptFile {
  std::string path;                 ///< for messages
  std::optional<std::string> text;  ///< "template": with {question}, {choices}, {tests}, {subject}
  std::optional<std::string> system;     ///< of a chat; else text before everything
  std::optional<std::string> preamble;   ///< filled as template is; once, before shots; no chat's
  std::optional<bool> chat;              ///< by the model's chat template
  std::optional<bool> thinking;          ///< of a chat template that has such a switch
  std::optional<std::string> separator;  ///< between prompt and answer, without a chat
  std::optional<std::size_t> shots;      ///< items with their answers before the question
  std::string shots_file;                ///< empty: other items of the task
  std::optional<std::size_t> max_tokens;
  std::optional<std::vector<std::string>> stop;  ///< of key: value lines: one for each "stop:"
};
/// Both throw Error, naming the file, where it is none, or has a template that asks nothing.
PromptFile read_prompt_file(const std::string& path);
PromptFile parse_prompt_file(const std::string& path, std::string_view text);

/// What to ask a model for one item.
struct ItemRequests {
  struct Place {
    std::size_t request = 0, answer = 0;
    std::size_t bytes = 0;  ///< of the answer's text
  };
  std::vector<GenerationRequest> requests;  ///< to generate: one for each sample
  std::vector<Place> choices;               ///< Grader::kChoice: where each one is scored
  std::optional<Place> right;               ///< where the right answer is
};

struct Sampling {
  std::size_t samples = 0;  ///< 0: greedy
  float temperature = 0.8f;
  std::uint64_t seed = 42;
};

class TaskPrompts {
 public:
  /// Throws Error where the file cannot be put that way. `task` must outlive it.
  TaskPrompts(const TaskFile& task, Grader grader, const PromptFile& file);

  /// Chooses what depends on the model. A template that is not known is an error only where a chat
  /// was asked for; else `warning` says so.
  void use(const Model& model, std::string* warning);

  ItemRequests requests(const TaskItem& item, const Sampling& sampling) const;
  /// Whether the item can be put so. Where items have choices, kChoice leaves out those that have
  /// none: of some published ones they were lost.
  bool takes(const TaskItem& item) const;
  /// kChoice: which of the choices is right.
  std::size_t right_choice(const TaskItem& item) const;
  const std::vector<std::string>& stop() const { return stop_; }
  /// All that decides the prompts, for the key of a run.
  Json options() const;
  /// What the model reads before it answers, for people.
  std::string text(const TaskItem& item) const { return rendered(item); }

 private:
  std::string fill(const std::string& text, const TaskItem& item,
                   const std::string& question) const;
  std::string asked(const TaskItem& item, const std::string* beginning = nullptr) const;
  std::string preamble_of(const TaskItem& item) const;
  std::string shown_answer(const TaskItem& item) const;
  std::vector<const TaskItem*> shots_for(const TaskItem& item) const;
  /// `beginning`: with it in the question's place.
  std::string rendered(const TaskItem& item, const std::string* beginning = nullptr) const;
  std::vector<std::string> choices_of(const TaskItem& item) const;
  std::pair<std::vector<std::int32_t>, std::vector<std::int32_t>> split(
      const std::string& prompt, const std::string& answer) const;

  const TaskFile& task_;
  Grader grader_;
  PromptFile file_;
  std::optional<TaskFile> shots_task_;
  std::vector<std::string> closed_;  // kChoice without choices of its own
  std::string template_, separator_, system_, preamble_;
  std::vector<std::string> stop_;
  std::size_t shots_ = 0, max_tokens_ = 0;
  std::optional<Model> model_;
  std::optional<ChatTemplate> chat_;
};

/// Whether the choices are shown as letters, and a letter is the answer.
bool answers_with_letters(TaskForm form);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_TASK_PROMPTS_H_
