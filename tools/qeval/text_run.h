// Measurements of a text that can be kept in a store: windows that are there are not run again, and
// the figures come out the same to the last bit.
#ifndef BRINK_TOOLS_QEVAL_TEXT_RUN_H_
#define BRINK_TOOLS_QEVAL_TEXT_RUN_H_

#include <cstddef>
#include <functional>
#include <string>

#include "brink/eval/base_logits.h"
#include "brink/eval/divergence.h"
#include "brink/eval/perplexity.h"
#include "brink/eval/windows.h"
#include "brink/model/model.h"
#include "tools/qeval/options.h"
#include "tools/qeval/store.h"
#include "tools/support/json.h"

namespace brink::tools {

/// One model over one text. `store` may be nullptr.
struct TextRun {
  const Model& model;
  const TokenWindows& windows;
  SessionOptions session;  ///< context and sequences are chosen by the run
  std::string dial_key;    ///< Dial::key
  std::string text;        ///< path
  std::string text_hash;   ///< fingerprint of its bytes
  std::string model_hash;  ///< its fingerprint; needed with a store
  Store* store = nullptr;
  /// Told how many windows are done, at first, before any is run, those of the store.
  std::function<void(std::size_t)> on_window = {};
};

/// The dial of a measurement of a text: its calibration reads control tokens as that does. Throws
/// UsageError where both texts are standard input.
DialOptions dial_of(DialOptions dial, const TextOptions& text);

/// What SIGINT says depends on whether there is a store to go on from.
void say_on_interrupt(const TextOptions& text);

/// What a run over windows is in the store, but for its kind and the base.
RunConfig text_config(const std::string& kind, const TextRun& run);

/// Figures with how fast they were measured; `row` is that of --json.
struct PerplexityRun {
  Perplexity figures;
  Json row;
};
PerplexityRun run_perplexity(const TextRun& run);

struct DivergenceRun {
  Divergence figures;
  Json row;
};

/// The base a divergence is from. Its logits are asked for only when a window is missing.
struct DivergenceBase {
  std::string path;
  std::string hash;
  std::function<const BaseLogits&()> logits;
};
DivergenceRun run_divergence(const TextRun& run, const DivergenceBase& base);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_TEXT_RUN_H_
