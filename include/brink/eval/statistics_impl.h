// Definitions of eval/statistics.h.
#ifndef BRINK_EVAL_STATISTICS_IMPL_H_
#define BRINK_EVAL_STATISTICS_IMPL_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <random>
#include <span>
#include <vector>

#include "brink/eval/statistics.h"

namespace brink {
namespace statistics_detail {

template <class T>
double quantile(std::span<const T> sorted, double p) {
  const double place = p * static_cast<double>(sorted.size() - 1);
  const std::size_t below = std::min(static_cast<std::size_t>(place), sorted.size() - 1);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  const double share = place - static_cast<double>(below);
  const double low = static_cast<double>(sorted[below]);
  return share == 0 ? low : low + share * (static_cast<double>(sorted[above]) - low);
}

// Uniform in [0, count), the same on every platform (std::uniform_int_distribution is not). At most
// 2^32 units: the bias of taking the upper part of a product is below 2^-32.
inline std::size_t draw(std::mt19937_64& random, std::size_t count) {
  return static_cast<std::size_t>((random() >> 32) * static_cast<std::uint64_t>(count) >> 32);
}

/// Ranks from 1; equal values have the mean of theirs.
inline std::vector<double> ranks(std::span<const double> values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> result(values.size());
  for (std::size_t first = 0, end = 0; first < order.size(); first = end) {
    while (end < order.size() && values[order[end]] == values[order[first]]) ++end;
    for (std::size_t i = first; i < end; ++i)
      result[order[i]] = static_cast<double>(first + 1 + end) / 2;
  }
  return result;
}

}  // namespace statistics_detail

double rank_correlation(std::span<const double> a, std::span<const double> b) {
  const std::vector<double> x = statistics_detail::ranks(a), y = statistics_detail::ranks(b);
  const double mean = static_cast<double>(x.size() + 1) / 2;
  double xx = 0, yy = 0, xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mean) * (x[i] - mean);
    yy += (y[i] - mean) * (y[i] - mean);
    xy += (x[i] - mean) * (y[i] - mean);
  }
  return xy / std::sqrt(xx * yy);
}

double quantile(std::span<const double> sorted, double p) {
  return statistics_detail::quantile(sorted, p);
}
double quantile(std::span<const float> sorted, double p) {
  return statistics_detail::quantile(sorted, p);
}

std::vector<std::vector<double>> resampled_figures(
    std::span<const double> rows, std::size_t columns,
    const std::function<std::vector<double>(std::span<const double> sums)>& figures,
    const BootstrapOptions& options) {
  const std::size_t units = rows.size() / columns;
  std::vector<double> sums(columns);
  std::mt19937_64 random(options.seed);
  std::vector<std::vector<double>> resampled;
  for (std::size_t r = 0; r < options.resamples; ++r) {
    std::fill(sums.begin(), sums.end(), 0.0);
    for (std::size_t i = 0; i < units; ++i) {
      const std::size_t unit = statistics_detail::draw(random, units);
      for (std::size_t c = 0; c < columns; ++c) sums[c] += rows[unit * columns + c];
    }
    const std::vector<double> values = figures(sums);
    resampled.resize(values.size());
    for (std::size_t f = 0; f < values.size(); ++f) resampled[f].push_back(values[f]);
  }
  for (std::vector<double>& values : resampled) std::sort(values.begin(), values.end());
  return resampled;
}

std::vector<Estimate> bootstrap(
    std::span<const double> rows, std::size_t columns,
    const std::function<std::vector<double>(std::span<const double> sums)>& figures,
    const BootstrapOptions& options) {
  const std::size_t units = rows.size() / columns;
  std::vector<double> sums(columns);
  for (std::size_t i = 0; i < rows.size(); ++i) sums[i % columns] += rows[i];
  std::vector<Estimate> estimates;
  for (const double value : figures(sums)) estimates.push_back({value});
  if (units < 2 || options.resamples == 0) return estimates;

  const auto resampled = resampled_figures(rows, columns, figures, options);
  for (std::size_t f = 0; f < estimates.size(); ++f) {
    const std::span<const double> sorted(resampled[f]);
    estimates[f].ci = Interval{quantile(sorted, 0.025), quantile(sorted, 0.975)};
  }
  return estimates;
}

}  // namespace brink

#endif  // BRINK_EVAL_STATISTICS_IMPL_H_
