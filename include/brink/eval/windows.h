// A text cut into windows of tokens, as perplexity is measured.
#ifndef BRINK_EVAL_WINDOWS_H_
#define BRINK_EVAL_WINDOWS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "brink/model/backend.h"
#include "brink/model/session.h"
#include "brink/text/tokenizer.h"

namespace brink {

/// Windows of `context` tokens, one after the other; what is left at the end is not used. Where the
/// model wants a BOS token the text begins with one, and in every window BOS stands in the place of
/// the first token. The model sees each window alone. Of its predictions those of the tokens from
/// context / 2 + 1 on are scored, so that each has at least half a window to go by: context -
/// context / 2 - 1 a window. The same as llama-perplexity does.
class TokenWindows {
 public:
  /// The windows of a text, at most `most` (0: all). Control tokens written in it ("<|im_start|>")
  /// are plain text unless `parse_special`. Throws Error when `context` is below 3 or the text has
  /// fewer tokens.
  static TokenWindows of_text(const Tokenizer& tokenizer, std::string_view text,
                              std::size_t context, std::size_t most = 0,
                              bool parse_special = false);

  /// Of token ids. `bytes` are those each token stands for; may be empty.
  TokenWindows(std::span<const std::int32_t> ids, std::size_t context,
               std::optional<std::int32_t> bos = {}, std::size_t most = 0,
               std::span<const std::uint32_t> bytes = {});

  std::size_t size() const { return windows_; }
  std::size_t context() const { return context_; }
  std::span<const std::int32_t> operator[](std::size_t window) const {
    return std::span(ids_).subspan(window * context_, context_);
  }
  /// All ids, window after window, as the model sees them.
  std::span<const std::int32_t> ids() const { return ids_; }

  /// The first position of a window whose logits are scored, and how many are.
  std::size_t first_scored() const { return context_ / 2; }
  std::size_t scored_per_window() const { return context_ - context_ / 2 - 1; }
  /// Tokens scored in all windows; they are counted through.
  std::size_t scored() const { return windows_ * scored_per_window(); }
  /// The token that scored prediction `index` is about.
  std::int32_t target(std::size_t index) const {
    const std::size_t each = scored_per_window();
    return ids_[index / each * context_ + first_scored() + 1 + index % each];
  }
  /// Bytes of text that the scored tokens of a window stand for; 0 when that is not known.
  std::size_t scored_bytes(std::size_t window) const {
    return scored_bytes_.empty() ? 0 : scored_bytes_[window];
  }

 private:
  std::size_t context_;
  std::size_t windows_ = 0;
  std::vector<std::int32_t> ids_;
  std::vector<std::size_t> scored_bytes_;  // [windows] or empty
};

/// `options` with a context and as many sequences as fill a batch with windows.
SessionOptions window_options(SessionOptions options, const TokenWindows& windows);

/// Runs windows [begin, end) through a session, as many at a time as it has sequences, and gives
/// the logits of all scored predictions in order: `first` counts through all windows of the text.
/// `on_window` is told after each step how many windows are done. The session is left empty.
void run_windows(Session& session, const TokenWindows& windows, std::size_t begin, std::size_t end,
                 const LogitsSink& sink, const std::function<void(std::size_t)>& on_window = {});

/// Runs all tokens of all windows, with f32 activations and KV cache whatever `options` says of
/// those, on the CPU, and shows the inputs of all products to `observer`.
void run_observed(const Model& model, const TokenWindows& windows, SessionOptions options,
                  const ProductObserver& observer,
                  const std::function<void(std::size_t)>& on_window = {});

}  // namespace brink

#endif  // BRINK_EVAL_WINDOWS_H_
