// Definitions of eval/divergence.h.
#ifndef BRINK_EVAL_DIVERGENCE_IMPL_H_
#define BRINK_EVAL_DIVERGENCE_IMPL_H_

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <numbers>
#include <span>
#include <string>
#include <utility>

#include "brink/core/error.h"
#include "brink/eval/divergence.h"
#include "brink/eval/scoring.h"

namespace brink {
namespace divergence_detail {

inline double shift_of(double base_nll, double nll) { return std::exp(-nll) - std::exp(-base_nll); }

// Sorts `values`.
inline std::vector<Quantile> quantiles(std::vector<float>& values,
                                       std::initializer_list<double> shares) {
  std::sort(values.begin(), values.end());
  std::vector<Quantile> result;
  for (const double share : shares)
    result.push_back({share, quantile(std::span<const float>(values), share)});
  return result;
}

}  // namespace divergence_detail

void TokenDivergences::reserve(std::size_t tokens) {
  nll.reserve(tokens);
  base_nll.reserve(tokens);
  kl.reserve(tokens);
  same_top.reserve(tokens);
}

void TokenDivergences::resize(std::size_t tokens) {
  nll.resize(tokens);
  base_nll.resize(tokens);
  kl.resize(tokens);
  same_top.resize(tokens);
}

void TokenDivergences::append(const TokenDivergences& more) {
  nll.insert(nll.end(), more.nll.begin(), more.nll.end());
  base_nll.insert(base_nll.end(), more.base_nll.begin(), more.base_nll.end());
  kl.insert(kl.end(), more.kl.begin(), more.kl.end());
  same_top.insert(same_top.end(), more.same_top.begin(), more.same_top.end());
}

Divergence summarize_divergence(const TokenWindows& windows, TokenDivergences tokens) {
  using divergence_detail::shift_of;
  const std::size_t each = windows.scored_per_window();
  enum Column { kTokens, kBytes, kKl, kNll, kBaseNll, kSame, kShift, kSquare, kColumns };
  std::vector<double> rows(windows.size() * kColumns);
  for (std::size_t w = 0; w < windows.size(); ++w) {
    double* row = rows.data() + w * kColumns;
    row[kTokens] = static_cast<double>(each);
    row[kBytes] = static_cast<double>(windows.scored_bytes(w));
    for (std::size_t i = w * each; i < (w + 1) * each; ++i) {
      const double shift = shift_of(tokens.base_nll[i], tokens.nll[i]);
      row[kKl] += static_cast<double>(tokens.kl[i]);
      row[kNll] += tokens.nll[i];
      row[kBaseNll] += tokens.base_nll[i];
      row[kSame] += tokens.same_top[i];
      row[kShift] += shift;
      row[kSquare] += shift * shift;
    }
  }
  const std::vector<Estimate> figures = bootstrap(rows, kColumns, [](std::span<const double> sums) {
    const double n = sums[kTokens];
    return std::vector{sums[kKl] / n,
                       std::exp(sums[kNll] / n),
                       std::exp(sums[kBaseNll] / n),
                       (sums[kNll] - sums[kBaseNll]) / n,
                       sums[kSame] / n,
                       sums[kShift] / n,
                       std::sqrt(sums[kSquare] / n),
                       sums[kNll] / std::numbers::ln2 / std::max(sums[kBytes], 1.0)};
  });
  Divergence result;
  result.windows = windows.size();
  result.tokens = windows.scored();
  result.kl_mean = figures[0];
  for (std::size_t w = 0; w < windows.size(); ++w)
    result.kl_windows.push_back(rows[w * kColumns + kKl]);
  result.perplexity = figures[1];
  result.base_perplexity = figures[2];
  result.ln_ratio = figures[3];
  result.same_top = figures[4];
  result.shift_mean = figures[5];
  result.shift_rms = figures[6];
  double bytes = 0;
  for (std::size_t w = 0; w < windows.size(); ++w) bytes += rows[w * kColumns + kBytes];
  if (bytes > 0) result.bits_per_byte = figures[7];
  if (windows.size() > 1) {
    double squares = 0;
    for (std::size_t w = 0; w < windows.size(); ++w) {
      const double* row = rows.data() + w * kColumns;
      const double distance = (row[kNll] - row[kBaseNll]) / row[kTokens] - result.ln_ratio.value;
      squares += distance * distance;
    }
    const double n = static_cast<double>(windows.size());
    result.ln_ratio_standard_error = std::sqrt(squares / (n - 1) / n);
  }
  std::vector<float>& values = tokens.kl;  // its order is not needed any more
  result.kl_quantiles = divergence_detail::quantiles(values, {0.5, 0.9, 0.95, 0.99, 0.999});
  result.kl_max = static_cast<double>(values.back());
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(shift_of(tokens.base_nll[i], tokens.nll[i]));
  result.shift_quantiles = divergence_detail::quantiles(
      values, {0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999});
  return result;
}

void compare_windows(const BaseLogits& base, Session& session, std::size_t begin,
                     const OnComparedWindows& on_windows) {
  const TokenWindows& windows = base.windows();
  RowScorer scorer(session, windows);
  if (scorer.vocabulary() != base.vocabulary())
    throw Error("the vocabulary has " + std::to_string(scorer.vocabulary()) +
                    " tokens and the base model's " + std::to_string(base.vocabulary()) +
                    ": their distributions cannot be compared",
                {.file = session.model().gguf().path()});
  const std::size_t each = windows.scored_per_window();
  TokenDivergences tokens;
  std::size_t told = begin;
  std::vector<std::uint64_t> buffer;
  const auto compare = [&](std::size_t first, std::span<const float> logits) {
    const std::vector<BaseLogits::Row> rows =
        base.read(first, logits.size() / scorer.vocabulary(), buffer);
    tokens.resize(first + rows.size() - told * each);
    scorer.run(first, logits,
               [&](std::size_t index, std::span<const float> row, const TokenScore& score) {
                 const BaseLogits::Row& expected = rows[index - first];
                 DivergenceSums sums;
                 scorer.kernels().sum_divergence(row.data(), row.size(), score.largest,
                                                 expected.gaps.data(), &sums);
                 const double kl = sums.cross / sums.mass + score.log_sum - std::log(sums.mass);
                 const std::size_t i = index - told * each;
                 tokens.kl[i] = static_cast<float>(std::max(kl, 0.0));
                 tokens.nll[i] = score.nll;
                 tokens.base_nll[i] = expected.nll;
                 tokens.same_top[i] = expected.top == score.top;
               });
  };
  run_windows(session, windows, begin, windows.size(), compare, [&](std::size_t done) {
    on_windows(told, tokens);
    told = begin + done;
    tokens.resize(0);
  });
}

Divergence measure_divergence(const BaseLogits& base, Session& session,
                              const std::function<void(std::size_t)>& on_window) {
  TokenDivergences all;
  all.reserve(base.windows().scored());
  compare_windows(base, session, 0, [&](std::size_t first, const TokenDivergences& tokens) {
    all.append(tokens);
    if (on_window) on_window(first + tokens.size() / base.windows().scored_per_window());
  });
  return summarize_divergence(base.windows(), std::move(all));
}

Divergence measure_divergence(const BaseLogits& base, const Model& model,
                              const SessionOptions& options,
                              const std::function<void(std::size_t)>& on_window) {
  Session session(model, window_options(options, base.windows()));
  return measure_divergence(base, session, on_window);
}

}  // namespace brink

#endif  // BRINK_EVAL_DIVERGENCE_IMPL_H_
