#include "tools/qeval/options.h"

#include "tools/qeval/task_grading.h"
#include "tools/support/cli.h"

namespace brink::tools {

void add_models(CLI::App& app, std::vector<std::string>& models) {
  app.add_option("-m,--model", models, "GGUF file to measure; may be repeated")
      ->required()
      ->option_text("FILE")
      ->allow_extra_args(false);
}

void add_model_and_output(CLI::App& app, std::string& model, std::string& output,
                          const std::string& what) {
  app.add_option("-m,--model", model, "GGUF file to run")->required()->option_text("FILE");
  app.add_option("-o,--output", output, "File to write")->required()->option_text(what);
}

void add_window_options(CLI::App& app, std::size_t& context, std::size_t& most_windows,
                        bool& parse_special) {
  app.add_option("-c,--context", context, "Tokens of a window; its second half is scored")
      ->check(CLI::Range(std::size_t{3}, std::size_t{1} << 20))
      ->option_text("N (default: 512)");
  app.add_option("--windows", most_windows, "Use at most the first N windows of the text")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 40))
      ->option_text("N (default: all)");
  app.add_flag("--parse-special", parse_special,
               "Read control tokens in the text (<|im_start|>) as such, not as plain text");
}

void add_results(CLI::App& app, std::string& store) {
  app.add_option("--store", store, "Results (default: results.sqlite)")->option_text("FILE");
}

CLI::Option* add_graders(CLI::App& app, std::vector<std::string>& graders) {
  return app
      .add_option("--grader", graders, "How answers are graded; for all tasks, or once for each")
      ->option_text(grader_words())
      ->allow_extra_args(false);
}

void add_prompt_and_limit(CLI::App& app, std::string& prompt, std::size_t& limit) {
  app.add_option("--prompt", prompt,
                 "File of template, preamble, system, chat, separator, shots, shots_file,\n"
                 "max_tokens, thinking, stop (JSON or 'key: value' lines; default: what goes with\n"
                 "grader, task and model)")
      ->option_text("FILE");
  app.add_option("--limit", limit, "Only the first N items of each task")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 40))
      ->option_text("N (default: all)");
}

void add_allow_code(CLI::App& app, bool& allow) {
  app.add_flag("--allow-code", allow,
               "Run what the model writes, contained, in python3 (--grader code)");
}

void add_code_options(CLI::App& app, bool& allow, unsigned& seconds) {
  add_allow_code(app, allow);
  app.add_option("--code-seconds", seconds,
                 "Processor time of a program and its tests (default: 10)")
      ->check(CLI::Range(1u, 3600u))
      ->option_text("N");
}

}  // namespace brink::tools
