#include "tools/qeval/report.h"

#include <cstdio>

#include "tools/support/table.h"
#include "tools/support/type_name.h"

namespace brink::tools {

void set(Json& row, const std::string& key, const Estimate& estimate) {
  row[key] = estimate.value;
  if (estimate.ci) row[key + ".ci"] = {estimate.ci->low, estimate.ci->high};
}

std::string text_of(const Estimate& estimate, int decimals) {
  std::string text = fixed(estimate.value, decimals);
  if (estimate.ci)
    text +=
        " [" + fixed(estimate.ci->low, decimals) + ", " + fixed(estimate.ci->high, decimals) + "]";
  return text;
}

Json row_of(const Model& model, const Session& session) {
  return {{"model", model.gguf().path()},
          {"weights", type_name(model.gguf())},
          {"activations", name_of(session.options().activations)},
          {"kv", name_of(session.options().kv_type)},
          {"bytes", model.gguf().file_bytes()},
          {"backend", session.backend_name()}};
}

TokenWindows windows_of(const Model& model, const std::string& text, const TextOptions& options) {
  for (const std::string& warning : model.tokenizer_warnings())
    std::fprintf(stderr, "qeval: warning: %s\n", warning.c_str());
  try {
    return TokenWindows::of_text(model.tokenizer(), text, options.context, options.most_windows);
  } catch (const Error& error) {
    throw Error(error.what(), {.file = options.text});
  }
}

Run::Run(const std::string& label, const TokenWindows& windows)
    : windows_(windows.size()),
      context_(windows.context()),
      progress_(label, windows.size(), {.delay_s = 0.5}),
      start_(std::chrono::steady_clock::now()) {}

std::function<void(std::size_t)> Run::on_window() {
  return [this](std::size_t windows) { progress_.set(windows); };
}

void Run::finish() {
  seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  progress_.finish();
}

double Run::tokens_per_second() const {
  return static_cast<double>((windows_ - found_) * context_) / seconds_;
}

}  // namespace brink::tools
