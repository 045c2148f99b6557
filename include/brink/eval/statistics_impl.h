// Definitions of eval/statistics.h.
#ifndef BRINK_EVAL_STATISTICS_IMPL_H_
#define BRINK_EVAL_STATISTICS_IMPL_H_

#include <algorithm>
#include <cmath>
#include <random>

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

}  // namespace statistics_detail

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
