#include "tools/qeval/report.h"

#include <cstdio>
#include <filesystem>

#include "tools/support/json.h"
#include "tools/support/table.h"
#include "tools/support/type_name.h"

namespace brink::tools {

Json row_of(const Model& model, const SessionOptions& session, const std::string& backend) {
  return {{"model", model.gguf().path()},
          {"weights", type_name(model.gguf())},
          {"activations", name_of(session.activations)},
          {"kv", name_of(session.kv_type)},
          {"bytes", model.gguf().file_bytes()},
          {"backend", backend}};
}

std::string label_of(const std::string& path, const SessionOptions& session) {
  return file_name(path) + " " + name_of(session.activations) + " " + name_of(session.kv_type);
}

TokenWindows windows_of(const Model& model, const std::string& text, const TextOptions& options) {
  warn_of_tokenizer(model);
  TokenWindows windows = naming(options.text, [&] {
    return TokenWindows::of_text(model.tokenizer(), text, options.context, options.most_windows,
                                 options.parse_special);
  });
  warn_of_context(model, options.context);
  return windows;
}

void warn_of_tokenizer(const Model& model) {
  for (const std::string& warning : model.tokenizer_warnings())
    std::fprintf(stderr, "qeval: warning: %s: %s\n", printable(model.gguf().path()).c_str(),
                 warning.c_str());
}

void warn_of_context(const Model& model, std::size_t context) {
  const std::size_t trained = model.config().context_length;
  if (trained > 0 && context > trained)
    std::fprintf(
        stderr, "qeval: warning: %s: %zu positions are more than the %zu that it was trained for\n",
        printable(model.gguf().path()).c_str(), context, trained);
}

std::string file_name(const std::string& path) {
  return printable(std::filesystem::path(path).filename().string(), 40);
}

std::function<void(std::size_t)> WindowProgress::on_window() {
  return [this](std::size_t windows) {
    if (!progress_) {
      found_ = windows;
      if (found_ > 0) label_ += " (" + std::to_string(found_) + " windows there)";
      progress_.emplace(label_, windows_ - found_, ProgressOptions{.delay_s = 0.5});
    }
    progress_->set(windows - found_);
  };
}

void WindowProgress::finish() {
  if (progress_) progress_->finish();
}

}  // namespace brink::tools
