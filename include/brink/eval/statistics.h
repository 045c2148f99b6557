// Estimates with intervals, for figures that are sums over the windows of a text.
#ifndef BRINK_EVAL_STATISTICS_H_
#define BRINK_EVAL_STATISTICS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace brink {

/// Of 95 % confidence, unless said otherwise.
struct Interval {
  double low = 0;
  double high = 0;
};

/// A figure and, where there is enough to resample, its interval.
struct Estimate {
  double value = 0;
  std::optional<Interval> ci = {};
};

/// The value below which a share `p` of `sorted` (ascending, not empty) lies, by linear
/// interpolation between neighbours: place p * (n - 1), Hyndman and Fan's type 7.
double quantile(std::span<const double> sorted, double p);
double quantile(std::span<const float> sorted, double p);

/// Spearman's rank correlation of two lists of equal length, with the mean rank for equal values
/// (Pearson's correlation of the ranks). NaN for fewer than two pairs or a list of equal values.
double rank_correlation(std::span<const double> a, std::span<const double> b);

struct BootstrapOptions {
  std::size_t resamples = 10000;
  std::uint64_t seed = 42;
};

/// For each figure its values over resamples of units with replacement, ascending: what bootstrap()
/// takes its intervals from.
std::vector<std::vector<double>> resampled_figures(
    std::span<const double> rows, std::size_t columns,
    const std::function<std::vector<double>(std::span<const double> sums)>& figures,
    const BootstrapOptions& options = {});

/// Figures of all units, and their percentile intervals over resamples of units with replacement:
/// `rows` holds `columns` values for each unit, and `figures` computes any number of figures from
/// the columns' sums over the chosen units (as many as there are in all). The tokens of a text
/// depend on each other, its windows hardly: so a unit is a window. No intervals of a single unit.
std::vector<Estimate> bootstrap(
    std::span<const double> rows, std::size_t columns,
    const std::function<std::vector<double>(std::span<const double> sums)>& figures,
    const BootstrapOptions& options = {});

}  // namespace brink

#endif  // BRINK_EVAL_STATISTICS_H_
