// Definitions of eval/perplexity.h.
#ifndef BRINK_EVAL_PERPLEXITY_IMPL_H_
#define BRINK_EVAL_PERPLEXITY_IMPL_H_

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "brink/eval/perplexity.h"
#include "brink/eval/scoring.h"

namespace brink {

Perplexity summarize_perplexity(const TokenWindows& windows, std::span<const double> nll) {
  Perplexity result;
  result.windows = windows.size();
  result.tokens = nll.size();
  const std::size_t each = windows.scored_per_window();
  enum Column { kNll, kTokens, kBytes, kColumns };
  std::vector<double> rows;
  for (std::size_t w = 0; w < windows.size(); ++w) {
    double sum = 0;
    for (const double value : nll.subspan(w * each, each)) sum += value;
    rows.insert(rows.end(),
                {sum, static_cast<double>(each), static_cast<double>(windows.scored_bytes(w))});
  }
  const std::vector<Estimate> figures = bootstrap(rows, kColumns, [](std::span<const double> sums) {
    const double mean = sums[kNll] / sums[kTokens];
    // Bytes may be 0 in all windows or, in a resample, in those drawn.
    const double bits = sums[kNll] / std::numbers::ln2 / std::max(sums[kBytes], 1.0);
    return std::vector{mean, std::exp(mean), bits};
  });
  result.nll = figures[0];
  result.perplexity = figures[1];
  double bytes = 0;
  for (std::size_t w = 0; w < windows.size(); ++w)
    bytes += static_cast<double>(windows.scored_bytes(w));
  if (bytes > 0) result.bits_per_byte = figures[2];
  double squares = 0;
  for (const double value : nll) squares += (value - result.nll.value) * (value - result.nll.value);
  const double n = static_cast<double>(nll.size());
  if (nll.size() > 1)
    result.standard_error = result.perplexity.value * std::sqrt(squares / n / (n - 1));
  return result;
}

void score_windows(Session& session, const TokenWindows& windows, std::size_t begin,
                   const OnScoredWindows& on_windows) {
  RowScorer scorer(session, windows);
  const std::size_t each = windows.scored_per_window();
  std::vector<double> nll;
  std::size_t told = begin;
  run_windows(
      session, windows, begin, windows.size(),
      [&](std::size_t first, std::span<const float> logits) {
        const std::size_t rows = logits.size() / scorer.vocabulary();
        nll.resize(first + rows - told * each);
        scorer.run(first, logits,
                   [&](std::size_t index, std::span<const float>, const TokenScore& score) {
                     nll[index - told * each] = score.nll;
                   });
      },
      [&](std::size_t done) {
        on_windows(told, nll);
        told = begin + done;
        nll.clear();
      });
}

Perplexity measure_perplexity(Session& session, const TokenWindows& windows,
                              const std::function<void(std::size_t)>& on_window) {
  std::vector<double> all;
  all.reserve(windows.scored());
  score_windows(session, windows, 0, [&](std::size_t, std::span<const double> nll) {
    all.insert(all.end(), nll.begin(), nll.end());
    if (on_window) on_window(all.size() / windows.scored_per_window());
  });
  return summarize_perplexity(windows, all);
}

Perplexity measure_perplexity(const Model& model, const TokenWindows& windows,
                              const SessionOptions& options,
                              const std::function<void(std::size_t)>& on_window) {
  Session session(model, window_options(options, windows));
  return measure_perplexity(session, windows, on_window);
}

}  // namespace brink

#endif  // BRINK_EVAL_PERPLEXITY_IMPL_H_
