// Runs a model: completes prompts, chats, and gives token ids and logits to other programs.
#include "tools/qrun/options.h"
#include "tools/support/cli.h"
#include "tools/support/engine_options.h"
#include "tools/support/usage_error.h"

namespace brink::tools {
namespace {

// One of the modes, and nothing that belongs to another.
int run(const RunOptions& options) {
  const bool tokenizes = !options.tokenize.empty();
  const bool feeds = !options.tokens.empty();
  if (feeds != !options.logits.empty()) throw UsageError("--tokens and --logits go together");
  if (!options.npy.empty() && !tokenizes) throw UsageError("--npy goes with --tokenize");
  if (options.plain && !tokenizes) throw UsageError("--plain goes with --tokenize");
  if (!options.chat &&
      (!options.system.empty() || !options.chat_template.empty() || options.thinking))
    throw UsageError("--system, --template and --thinking go with --chat");
  const int modes = int{tokenizes} + int{feeds} + int{options.chat || options.prompt};
  if (modes == 0) throw UsageError("nothing to do: give -p, --chat, --tokenize or --tokens");
  if (modes > 1) throw UsageError("-p/--chat, --tokenize and --tokens exclude one another");
  if (tokenizes) return tokenize(options);
  if (feeds) return write_logits(options);
  return options.chat ? chat(options) : complete(options);
}

// Several to a line, as help texts do not wrap by themselves.
std::string template_names() {
  constexpr std::size_t kWidth = 70;
  std::string names;
  std::size_t line = kWidth;
  for (const std::string_view name : ChatTemplate::names()) {
    if (!names.empty()) names += ',';
    const bool wrap = line + name.size() + 2 > kWidth;
    names += (wrap ? '\n' : ' ') + std::string(name);
    line = (wrap ? 0 : line + 2) + name.size();
  }
  return names;
}

void add_sampling_options(CLI::App& app, GenerateOptions& generate) {
  SamplingOptions& sampling = generate.sampling;
  app.add_option("-n,--max-tokens", generate.max_tokens, "Generate at most this many tokens")
      ->option_text("N (default: 256)");
  app.add_option("--temp", sampling.temperature,
                 "Temperature: 0 always takes the most probable token, 1 samples from the model's\n"
                 "own probabilities")
      ->option_text("X (default: 0.8)");
  app.add_option("--top-k", sampling.top_k, "Choose among the K most probable tokens; 0: all")
      ->option_text("K (default: 40)");
  app.add_option("--top-p", sampling.top_p,
                 "Choose among the fewest tokens that together have this probability; 1: all")
      ->option_text("X (default: 0.95)");
  app.add_option("--min-p", sampling.min_p,
                 "Choose among tokens at least X times as probable as the best; 0: all")
      ->option_text("X (default: 0.05)");
  app.add_option("--repeat-penalty", sampling.repetition_penalty,
                 "Make recently used tokens less likely; 1: no penalty")
      ->option_text("X (default: 1)");
  app.add_option("--repeat-window", sampling.repetition_window,
                 "How many recent tokens the penalty looks at")
      ->option_text("N (default: 64)");
  app.add_option("--seed", sampling.seed, "The same seed gives the same text")
      ->option_text("N (default: 42)");
  app.add_option("--stop", generate.stop, "End at this text, which is not shown; may be repeated")
      ->option_text("TEXT")
      ->allow_extra_args(false);
}

}  // namespace
}  // namespace brink::tools

int main(int argc, char** argv) {
  using namespace brink::tools;
  RunOptions options;
  CLI::App app(
      "Runs a language model in a GGUF file.\n\n"
      "  qrun -m model.gguf -p \"Once upon a time\"      complete a text\n"
      "  qrun -m model.gguf --chat                     talk to it in the terminal\n"
      "  qrun -m model.gguf --chat -p \"Why is it so?\"  ask one question\n"
      "  qrun -m model.gguf --tokenize book.txt        print the token ids of a text\n"
      "  qrun -m model.gguf --tokens ids.npy --logits out.npy\n\n"
      "Text goes to standard output, everything else to standard error.",
      "qrun");
  app.add_option("-m,--model", options.model, "GGUF file (of a split model the first part)")
      ->required()
      ->option_text("FILE");
  app.add_option("-p,--prompt", options.prompt, "Text to complete; with --chat a question")
      ->option_text("TEXT");
  app.add_flag("--chat", options.chat, "Have a conversation, in the form the model was trained on");
  app.add_option("--system", options.system, "System message of the conversation")
      ->option_text("TEXT");
  app.add_option("--template", options.chat_template,
                 "Form of the conversation, if the file names none:" + template_names())
      ->option_text("NAME");
  app.add_flag_callback(
      "--thinking", [&] { options.thinking = true; },
      "Have a model that can (Qwen 3) think before it answers");
  app.add_flag_callback(
      "--no-thinking", [&] { options.thinking = false; }, "Have it answer at once");
  app.add_option(
         "--tokenize", options.tokenize,
         "Print the token ids of this text file (- for standard input); the model file may\n"
         "be a vocabulary without weights")
      ->option_text("FILE");
  app.add_flag("--plain", options.plain,
               "With --tokenize: no BOS or EOS, and no special tokens in the text");
  app.add_option("--npy", options.npy, "With --tokenize: write the ids as an int32 array")
      ->option_text("FILE");
  app.add_option("--tokens", options.tokens, "Feed the token ids of this .npy file (int32)")
      ->option_text("FILE");
  app.add_option("--logits", options.logits,
                 "With --tokens: write the logits of each token, f32 [tokens][vocabulary]")
      ->option_text("FILE");
  app.add_option("-c,--context", options.context, "Tokens that prompt and answer may have together")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 28))
      ->option_text("N (default: 4096)");
  app.add_flag("--json", options.json, "Print JSON: text with rates, or ids");
  add_sampling_options(app, options.generate);
  add_engine_options(app, options.engine);
  return run_tool(app, argc, argv, [&] { return run(options); });
}
