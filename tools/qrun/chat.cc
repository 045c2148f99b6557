// qrun --chat: a conversation, in a terminal or line by line from a pipe; with -p one question.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "tools/qrun/options.h"
#include "tools/qrun/stream.h"
#include "tools/support/json.h"

namespace brink::tools {
namespace {

constexpr const char* kHelp =
    "Type a message and press Enter; a line that ends in \\ goes on in the next one.\n"
    "Ctrl-C stops an answer. /clear starts anew, /exit (or Ctrl-D) ends.\n";

class Conversation {
 public:
  explicit Conversation(const RunOptions& options)
      : options_(options),
        model_(Model::open(options.model)),
        template_(options.chat_template.empty()
                      ? ChatTemplate::from_gguf(model_.gguf())
                      : ChatTemplate::by_name(options.chat_template, model_.gguf())),
        session_(model_, session_options(options, kDefaultContext)) {
    for (const std::string& warning : model_.tokenizer_warnings())
      std::fprintf(stderr, "qrun: warning: %s\n", warning.c_str());
    clear();
  }

  void clear() {
    messages_.clear();
    if (!options_.system.empty()) messages_.push_back({"system", options_.system});
  }

  /// Throws Error, with the conversation as it was, when it no longer fits the context.
  Generated ask(std::string message, bool print) {
    messages_.push_back({"user", std::move(message)});
    try {
      Generated answer = answer_last(print);
      messages_.push_back({"assistant", answer.text});
      return answer;
    } catch (...) {
      messages_.pop_back();
      throw;
    }
  }

 private:
  // The text of the whole conversation is rendered anew, since templates may change earlier turns
  // (Qwen 3 drops what was thought); what the session already holds of it is kept.
  Generated answer_last(bool print) {
    ChatOptions chat;
    chat.thinking = options_.thinking;
    std::vector<std::int32_t> tokens = model_.tokenizer().encode(template_.apply(messages_, chat));
    if (tokens.size() >= session_.options().context)
      throw Error("the conversation of " + std::to_string(tokens.size()) +
                  " tokens does not fit the context of " +
                  std::to_string(session_.options().context) + "; use -c or /clear");
    const auto common = static_cast<std::size_t>(
        std::mismatch(tokens.begin(), tokens.end(), prompt_.begin(), prompt_.end()).first -
        tokens.begin());
    // At least one token must be fed to have something to continue.
    const std::size_t kept = std::min({common, tokens.size() - 1, session_.position()});
    session_.truncate(0, kept);
    prompt_ = std::move(tokens);
    return run_generation(
        session_.generate(std::span<const std::int32_t>(prompt_).subspan(kept), options_.generate),
        print);
  }

  const RunOptions& options_;
  Model model_;
  ChatTemplate template_;
  Session session_;
  std::vector<ChatMessage> messages_;
  std::vector<std::int32_t> prompt_;  // of the last turn: the session begins with it
};

// One message; false at the end of the input.
bool read_message(bool terminal, std::string& message) {
  message.clear();
  std::string line;
  if (terminal) std::fputs("> ", stderr);
  while (std::getline(std::cin, line)) {
    if (!line.ends_with('\\')) {
      message += line;
      return true;
    }
    message += line.substr(0, line.size() - 1) + '\n';
    if (terminal) std::fputs("  ", stderr);
  }
  return !message.empty();
}

}  // namespace

int chat(const RunOptions& options) {
  Conversation conversation(options);
  const auto show = [&](const Generated& answer) {
    if (options.json) {
      std::fputs(to_text(answer.json()).c_str(), stdout);
    } else {
      std::fputc('\n', stdout);
      std::fflush(stdout);
      std::fprintf(stderr, "[%s]\n", answer.summary().c_str());
    }
    std::fflush(stdout);
  };
  if (options.prompt) {
    show(conversation.ask(*options.prompt, !options.json));
    return 0;
  }
  const bool terminal = ::isatty(STDIN_FILENO) == 1;
  if (terminal) std::fputs(kHelp, stderr);
  std::string message;
  while (read_message(terminal, message)) {
    if (message == "/exit") break;
    if (message == "/clear") {
      conversation.clear();
      continue;
    }
    if (message == "/help") {
      std::fputs(kHelp, stderr);
      continue;
    }
    if (message.find_first_not_of(" \t\n") == std::string::npos) continue;
    try {
      show(conversation.ask(message, !options.json));
    } catch (const Error& error) {
      if (!terminal) throw;
      std::fprintf(stderr, "qrun: %s\n", error.what());
    }
  }
  return 0;
}

}  // namespace brink::tools
