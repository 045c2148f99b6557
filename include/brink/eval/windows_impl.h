// Definitions of eval/windows.h.
#ifndef BRINK_EVAL_WINDOWS_IMPL_H_
#define BRINK_EVAL_WINDOWS_IMPL_H_

#include <algorithm>
#include <numeric>
#include <utility>

#include "brink/core/error.h"
#include "brink/eval/windows.h"

namespace brink {

TokenWindows::TokenWindows(std::span<const std::int32_t> ids, std::size_t context,
                           std::optional<std::int32_t> bos, std::size_t most,
                           std::span<const std::uint32_t> bytes)
    : context_(context) {
  if (context < 3)
    throw Error("windows of " + std::to_string(context) +
                " tokens have nothing to score: they need at least 3");
  windows_ = ids.size() / context;
  if (windows_ == 0)
    throw Error("the text has " + std::to_string(ids.size()) + " tokens, less than one window of " +
                std::to_string(context));
  if (most > 0) windows_ = std::min(windows_, most);
  const auto used = ids.first(windows_ * context);
  ids_.assign(used.begin(), used.end());
  if (bos)
    for (std::size_t w = 0; w < windows_; ++w) ids_[w * context] = *bos;
  if (bytes.empty()) return;
  for (std::size_t w = 0; w < windows_; ++w) {
    const auto scored = bytes.subspan(w * context + first_scored() + 1, scored_per_window());
    scored_bytes_.push_back(std::accumulate(scored.begin(), scored.end(), std::size_t{0}));
  }
}

TokenWindows TokenWindows::of_text(const Tokenizer& tokenizer, std::string_view text,
                                   std::size_t context, std::size_t most, bool parse_special) {
  std::optional<std::int32_t> bos;
  if (tokenizer.adds_bos()) bos = tokenizer.bos();
  std::vector<std::int32_t> ids =
      tokenizer.encode(text, {.add_special = false, .parse_special = parse_special});
  if (bos) ids.insert(ids.begin(), *bos);
  std::vector<std::uint32_t> bytes;
  std::string piece;
  for (const std::int32_t id : ids) {
    piece.clear();
    tokenizer.append_piece(id, piece, true);
    bytes.push_back(static_cast<std::uint32_t>(piece.size()));
  }
  return TokenWindows(ids, context, bos, most, bytes);
}

SessionOptions window_options(SessionOptions options, const TokenWindows& windows) {
  options.context = windows.context();
  options.sequences = std::clamp<std::size_t>(options.batch / windows.context(), 1, windows.size());
  return options;
}

void run_windows(Session& session, const TokenWindows& windows, std::size_t begin, std::size_t end,
                 const LogitsSink& sink, const std::function<void(std::size_t)>& on_window) {
  std::vector<std::uint32_t> scored(windows.scored_per_window());
  std::iota(scored.begin(), scored.end(), static_cast<std::uint32_t>(windows.first_scored()));
  const std::size_t together = session.options().sequences;
  const auto clear = [&] {
    for (std::size_t s = 0; s < together; ++s) session.clear(s);
  };
  clear();
  std::vector<SequenceInput> inputs;
  for (std::size_t w = begin; w < end; w += inputs.size()) {
    inputs.clear();
    // The last token of a window is only predicted.
    for (std::size_t s = 0; s < together && w + s < end; ++s)
      inputs.push_back({s, windows[w + s].first(windows.context() - 1), Logits::kChosen, scored});
    const std::size_t before = w * windows.scored_per_window();
    session.step_to(inputs, [&](std::size_t first, std::span<const float> logits) {
      sink(before + first, logits);
    });
    clear();
    if (on_window) on_window(w + inputs.size() - begin);
  }
}

void run_observed(const Model& model, const TokenWindows& windows, SessionOptions options,
                  const ProductObserver& observer,
                  const std::function<void(std::size_t)>& on_window) {
  options = window_options(std::move(options), windows);
  options.activations = Activations::kF32;
  options.kv_type = KvType::kF32;
  options.observer = observer;
  Session session(model, options);
  // With the logits of all tokens, so that all go through the last layer and the output.
  std::vector<SequenceInput> inputs;
  for (std::size_t w = 0; w < windows.size(); w += inputs.size()) {
    inputs.clear();
    for (std::size_t s = 0; s < options.sequences && w + s < windows.size(); ++s)
      inputs.push_back({s, windows[w + s], Logits::kAll});
    session.step_to(inputs, [](std::size_t, std::span<const float>) {});
    for (std::size_t s = 0; s < inputs.size(); ++s) session.clear(s);
    if (on_window) on_window(w + inputs.size());
  }
}

}  // namespace brink

#endif  // BRINK_EVAL_WINDOWS_IMPL_H_
