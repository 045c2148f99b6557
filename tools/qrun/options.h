// What qrun was asked to do.
#ifndef BRINK_TOOLS_QRUN_OPTIONS_H_
#define BRINK_TOOLS_QRUN_OPTIONS_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "brink/brink.h"
#include "tools/support/engine_options.h"

namespace brink::tools {

struct RunOptions {
  std::string model;
  std::optional<std::string> prompt;
  bool chat = false;
  std::string system;
  std::string chat_template;  // empty: the file's own
  std::optional<bool> thinking;
  std::string tokenize;  // file, "-" for standard input
  bool plain = false;
  std::string npy;
  std::string tokens;
  std::string logits;
  std::size_t context = 0;  // 0: what the mode needs
  GenerateOptions generate;
  EngineOptions engine;
  bool json = false;
};

/// Context of modes that are given none.
inline constexpr std::size_t kDefaultContext = 4096;

inline SessionOptions session_options(const RunOptions& options, std::size_t default_context) {
  SessionOptions session;
  session.context = options.context != 0 ? options.context : default_context;
  options.engine.apply(session);
  return session;
}

/// --tokenize, --tokens, -p and --chat. Each returns the exit code and throws Error.
int tokenize(const RunOptions& options);
int write_logits(const RunOptions& options);
int complete(const RunOptions& options);
int chat(const RunOptions& options);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QRUN_OPTIONS_H_
