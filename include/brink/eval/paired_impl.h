// Definitions of eval/paired.h.
#ifndef BRINK_EVAL_PAIRED_IMPL_H_
#define BRINK_EVAL_PAIRED_IMPL_H_

#include <algorithm>
#include <cmath>
#include <string>
#include <unordered_map>
#include <vector>

#include "brink/core/error.h"
#include "brink/eval/paired.h"

namespace brink {
namespace paired_detail {

// Sums over the items of a cluster, as rows for resampled_figures().
enum Column : std::size_t { kItems, kBase, kOther, kChange, kChanged, kColumns };

inline void check(const PairedScores& scores) {
  const std::size_t items = scores.base.size();
  if (items == 0 || scores.other.size() != items ||
      !(scores.clusters.empty() || scores.clusters.size() == items))
    throw Error("scores must be of the same items, one at least");
  const auto within = [](double score) { return score >= 0 && score <= 1; };
  for (std::size_t i = 0; i < items; ++i)
    if (!within(scores.base[i]) || !within(scores.other[i]))
      throw Error("the scores of item " + std::to_string(i) + " are not in [0, 1]");
}

inline std::vector<double> cluster_sums(const PairedScores& scores) {
  std::vector<double> rows;
  std::unordered_map<std::uint64_t, std::size_t> places;
  for (std::size_t i = 0; i < scores.base.size(); ++i) {
    const std::size_t next = rows.size() / kColumns;
    const std::size_t unit =
        scores.clusters.empty() ? next : places.try_emplace(scores.clusters[i], next).first->second;
    if (unit == next) rows.resize(rows.size() + kColumns);
    double* const row = rows.data() + unit * kColumns;
    row[kItems] += 1;
    row[kBase] += scores.base[i];
    row[kOther] += scores.other[i];
    row[kChange] += scores.other[i] - scores.base[i];
    row[kChanged] += scores.other[i] != scores.base[i];
  }
  return rows;
}

// Of the mean change, between clusters: the linearised ("sandwich") estimate of a ratio of sums.
inline double variance_between(std::span<const double> rows, double change, double items) {
  const double units = static_cast<double>(rows.size() / kColumns);
  double squares = 0;
  for (std::size_t at = 0; at < rows.size(); at += kColumns)
    squares += std::pow(rows[at + kChange] - rows[at + kItems] * change, 2);
  return units < 2 ? 0 : units / (units - 1) * squares / (items * items);
}

// Independent items that tell as much as clusters whose items all change together.
inline double least_effective_items(std::span<const double> rows) {
  double items = 0, squares = 0;
  for (std::size_t at = 0; at < rows.size(); at += kColumns) {
    items += rows[at + kItems];
    squares += rows[at + kItems] * rows[at + kItems];
  }
  return items * items / squares;
}

// By which factor clusters tell less than independent items: `observed`, the variance of means over
// that of independent items, counts by how many clusters tell it, and one more speaks for the
// worst, that all items of a cluster change together. So the effect goes to the worst as changes go
// to none, which tell nothing about how changes cluster.
inline double design_effect(double observed, double telling, double items,
                            std::span<const double> rows) {
  const double worst = items / least_effective_items(rows);
  return (telling * std::max(1.0, observed) + worst) / (telling + 1);
}

// With fewer changed units than this a resample sees too few of them: its interval is too narrow.
inline constexpr std::size_t kFewChanges = 10;

inline Interval hull(const Interval& a, const Interval& b) {
  return {std::min(a.low, b.low), std::max(a.high, b.high)};
}

inline Interval middle(std::span<const double> sorted, double share) {
  return {quantile(sorted, (1 - share) / 2), quantile(sorted, (1 + share) / 2)};
}

// Intervals and p of resampled units; of at least two.
inline void set_bootstrap(PairedComparison& result, std::span<const double> rows,
                          const BootstrapOptions& options) {
  const auto resampled = resampled_figures(
      rows, kColumns,
      [](std::span<const double> sums) {
        return std::vector{sums[kChange] / sums[kItems], sums[kOther] / sums[kBase]};
      },
      options);
  const double change = result.difference.value;
  result.difference.ci = middle(resampled[0], 0.95);
  result.difference90 = middle(resampled[0], 0.90);
  // Sums of equal scores in another order differ in their last bits.
  const double far = std::abs(change) - 1e-12;
  const auto beyond = std::ranges::count_if(
      resampled[0], [&](double value) { return std::abs(value - change) >= far; });
  result.p = static_cast<double>(beyond + 1) / static_cast<double>(options.resamples + 1);
  // A resample without a right answer of the base has no ratio.
  if (result.retained && std::ranges::all_of(resampled[1], [](double r) { return r < 1e300; }))
    result.retained->ci = middle(resampled[1], 0.95);
}

// Widens the intervals of `result` to those of `other`.
inline void widen(PairedComparison& result, const PairedComparison& other) {
  result.difference.ci = hull(*result.difference.ci, *other.difference.ci);
  result.difference90 = hull(result.difference90, other.difference90);
  if (result.retained && result.retained->ci && other.retained->ci)
    result.retained->ci = hull(*result.retained->ci, *other.retained->ci);
}

// Intervals and detectable difference of as many independent items with the same shares.
inline void set_effective(PairedComparison& result, const PairedCounts& counts, double items) {
  const PairedCounts scaled = counts.scaled(items / counts.items());
  result.effective_items = items;
  result.difference.ci = tango_interval(scaled, 0.95);
  result.difference90 = tango_interval(scaled, 0.90);
  if (result.retained) {
    const Interval ratio = *paired_ratio(scaled).value().ci;
    if (std::isfinite(ratio.high)) result.retained->ci = ratio;
  }
  result.detectable =
      detectable_difference(static_cast<std::size_t>(items + 1e-9),
                            static_cast<std::size_t>(std::ceil(scaled.discordant() - 1e-9)));
}

}  // namespace paired_detail

PairedComparison compare_paired(const PairedScores& scores, const BootstrapOptions& options) {
  using namespace paired_detail;
  check(scores);
  const std::size_t items = scores.base.size();
  PairedComparison result;
  PairedCounts counts;
  double squares = 0;  // of changes
  for (std::size_t i = 0; i < items; ++i) {
    const double base = scores.base[i], other = scores.other[i];
    result.graded |= (base != 0 && base != 1) || (other != 0 && other != 1);
    if (other < base) ++result.lost;
    if (other > base) ++result.gained;
    counts.both_right += std::min(base, other);
    counts.both_wrong += 1 - std::max(base, other);
    counts.lost += std::max(0.0, base - other);
    counts.gained += std::max(0.0, other - base);
    squares += (other - base) * (other - base);
  }

  const std::vector<double> rows = cluster_sums(scores);
  const double n = static_cast<double>(items);
  double change = 0;
  // Of each unit, as whole numbers that say it to 1e-4.
  const double unit = result.graded ? 1e4 : 1;
  std::vector<std::int64_t> changes;
  std::size_t changed = 0;  // units
  for (std::size_t at = 0; at < rows.size(); at += kColumns) {
    result.base += rows[at + kBase] / n;
    result.other += rows[at + kOther] / n;
    change += rows[at + kChange] / n;
    changes.push_back(std::llround(unit * rows[at + kChange]));
    changed += rows[at + kChanged] > 0;
  }
  result.items = items;
  result.clusters = rows.size() / kColumns;
  const bool clustered = result.clusters < items;
  result.effective_items = n;
  result.difference.value = change;
  if (result.base > 0) result.retained = Estimate{result.other / result.base};

  const double variance = variance_between(rows, change, n);
  if (result.lost + result.gained == 0 || (result.clusters < 2 && (clustered || result.graded))) {
    result.method = PairedMethod::kWorstCase;
    set_effective(result, counts, least_effective_items(rows));
  } else if (result.graded || clustered) {
    const double independent = (squares - n * change * change) / (n * n);
    const double effect = design_effect(independent > 0 ? variance / independent : 1,
                                        static_cast<double>(changed), n, rows);
    set_bootstrap(result, rows, options);
    result.effective_items = n / effect;
    result.method = clustered ? PairedMethod::kClusterBootstrap : PairedMethod::kBootstrap;
    if (result.graded)
      result.detectable = (normal_quantile(0.975) + normal_quantile(0.8)) * std::sqrt(variance);
    if (!result.graded || changed < kFewChanges) {
      const PairedComparison resampled = result;
      result.method = result.graded ? PairedMethod::kFewChanges : PairedMethod::kClusterTango;
      set_effective(result, counts, n / effect);
      widen(result, resampled);
      const double exact = cluster_sign_flip_p(changes);
      result.p = result.graded ? std::max(resampled.p, exact) : exact;
      if (result.detectable && resampled.detectable)
        result.detectable = std::max(*result.detectable, *resampled.detectable);
    }
  } else {
    set_effective(result, counts, n);
    result.p = mcnemar_p(result.lost, result.gained);
  }
  return result;
}

Estimate mean_score(std::span<const double> scores, std::span<const std::uint64_t> clusters,
                    const BootstrapOptions& options) {
  using namespace paired_detail;
  // The change from a base that has nothing right.
  const std::vector<double> zeros(scores.size(), 0.0);
  const PairedScores pairs{zeros, scores, clusters};
  check(pairs);
  const std::vector<double> rows = cluster_sums(pairs);
  const double n = static_cast<double>(scores.size());
  const std::size_t units = rows.size() / kColumns;
  double sum = 0;
  bool graded = false;
  for (const double score : scores) {
    sum += score;
    graded |= score != 0 && score != 1;
  }
  Estimate mean{sum / n};
  const bool equal = std::ranges::all_of(scores, [&](double score) { return score == scores[0]; });
  const auto wilson = [&](double items) { return wilson_interval(mean.value * items, items); };
  const auto resampled = [&] {
    const auto figure = [](std::span<const double> sums) {
      return std::vector{sums[kOther] / sums[kItems]};
    };
    return middle(resampled_figures(rows, kColumns, figure, options)[0], 0.95);
  };
  if (units == scores.size() && !graded) {
    mean.ci = wilson(n);
  } else if (equal || units < 2) {
    mean.ci = wilson(least_effective_items(rows));
  } else {
    // What most items have; clusters that are not all of it tell how scores cluster.
    std::unordered_map<double, std::size_t> counts;
    double common = scores[0], squares = 0;
    for (const double score : scores) {
      if (++counts[score] > counts[common]) common = score;
      squares += (score - mean.value) * (score - mean.value);
    }
    std::vector<double> differing(scores.size());
    std::ranges::transform(scores, differing.begin(),
                           [&](double score) { return score == common ? 0.0 : 1.0; });
    const std::vector<double> marks = cluster_sums({zeros, differing, clusters});
    std::size_t telling = 0;
    for (std::size_t at = 0; at < marks.size(); at += kColumns) telling += marks[at + kChanged] > 0;
    mean.ci = resampled();
    if (!graded || telling < kFewChanges) {
      const double observed = variance_between(rows, mean.value, n) * n * n / squares;
      mean.ci = hull(*mean.ci,
                     wilson(n / design_effect(observed, static_cast<double>(telling), n, rows)));
    }
  }
  return mean;
}

Estimate mean_of(std::span<const Estimate> estimates) {
  double value = 0, below = 0, above = 0;
  for (const Estimate& estimate : estimates) {
    value += estimate.value;
    below = std::hypot(below, estimate.value - estimate.ci->low);
    above = std::hypot(above, estimate.ci->high - estimate.value);
  }
  const double n = static_cast<double>(estimates.size());
  return {value / n, Interval{(value - below) / n, (value + above) / n}};
}

Contrast contrast(const Estimate& a, const Estimate& b) {
  Contrast result;
  const double difference = a.value - b.value;
  const double below = std::hypot(a.value - a.ci->low, b.ci->high - b.value);
  const double above = std::hypot(a.ci->high - a.value, b.value - b.ci->low);
  result.difference = {difference, Interval{difference - below, difference + above}};
  const double towards_zero = difference > 0 ? below : above;
  if (difference != 0)
    result.p = normal_two_sided_p(normal_quantile(0.975) * difference / towards_zero);
  return result;
}

}  // namespace brink

#endif  // BRINK_EVAL_PAIRED_IMPL_H_
