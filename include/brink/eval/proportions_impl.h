// Definitions of eval/proportions.h.
#ifndef BRINK_EVAL_PROPORTIONS_IMPL_H_
#define BRINK_EVAL_PROPORTIONS_IMPL_H_

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <utility>
#include <vector>

#include "brink/eval/proportions.h"

namespace brink {
namespace proportions_detail {

// Where `f`, which is positive at `low` and does not rise, falls below 0: up to the last bit.
template <class F>
double last_positive(double low, double high, const F& f) {
  for (int i = 0; i < 200; ++i) {
    const double middle = low + (high - low) / 2;
    if (middle == low || middle == high) break;
    (f(middle) > 0 ? low : high) = middle;
  }
  return low + (high - low) / 2;
}

// The positive root of a x^2 + b x - c for a > 0, c >= 0, without cancellation.
inline double positive_root(double a, double b, double c) {
  const double root = std::sqrt(b * b + 4 * a * c);
  if (b <= 0) return (root - b) / (2 * a);
  return c == 0 ? 0 : 2 * c / (b + root);
}

inline double z_of(double confidence) { return normal_quantile(0.5 + confidence / 2); }

// Tango's statistic for the difference `d` (gained - lost) is above `z`.
inline bool above(const PairedCounts& counts, double d, double z) {
  // By symmetry for the rarer flip under the hypothesis, so that the last coefficient of its
  // quadratic has one sign and no discriminant is negative.
  const double n = counts.items();
  double common = counts.gained, rare = counts.lost, size = d;
  if (d < 0) {
    std::swap(common, rare);
    size = -d;
  }
  const double q = positive_root(2 * n, (2 * n - common + rare) * size - common - rare,
                                 rare * size * (1 - size));
  const double deviation = counts.gained - counts.lost - n * d;
  return deviation > z * std::sqrt(n * (2 * q + size * (1 - size)));
}

// Statistic of the ratio `r` of `other` (gained + both) to `base` (lost + both) is above `z`.
inline bool ratio_above(const PairedCounts& counts, double r, double z) {
  const double n = counts.items(), any = counts.both_right + counts.discordant();
  const double base = counts.both_right + counts.lost, other = counts.both_right + counts.gained;
  // Of the probability of the flip that is rarer under the hypothesis, in units of items: a loss
  // for r > 1, a gain for r < 1 (then of the ratio base / other).
  const bool rising = r >= 1;
  const double s = rising ? r : 1 / r;
  const double to = rising ? other : base, from = rising ? base : other;
  const double rare = rising ? counts.lost : counts.gained;
  const double q =
      positive_root(n * (1 + s), from * s * s - (to + 2 * rare), rare * (s - 1) * any / n);
  const double spread = std::sqrt(n * (1 + s) * q + any * (s - 1));
  return (rising ? to - s * from : s * from - to) > z * spread;
}

// P(K >= `least`) of binomial (count, p), from the term of `log_factorials`.
inline double upper_tail(std::size_t count, std::size_t least, double p,
                         std::span<const double> log_factorials) {
  if (least > count) return 0;
  if (p >= 1) return 1;
  const double odds = p / (1 - p);
  double term = std::exp(log_factorials[count] - log_factorials[least] -
                         log_factorials[count - least] + static_cast<double>(least) * std::log(p) +
                         static_cast<double>(count - least) * std::log1p(-p));
  double sum = 0;
  for (std::size_t k = least; k <= count; ++k) {
    sum += term;
    term *= odds * static_cast<double>(count - k) / static_cast<double>(k + 1);
    if (term < sum * 1e-17 && static_cast<double>(k) > p * static_cast<double>(count)) break;
  }
  return std::min(sum, 1.0);
}

// Of the exact McNemar test, for a difference `d` where a share `flips` >= d of items flips.
class ExactPower {
 public:
  ExactPower(std::size_t items, double alpha) : items_(items), log_factorials_(items + 1, 0.0) {
    for (std::size_t k = 1; k <= items; ++k)
      log_factorials_[k] = log_factorials_[k - 1] + std::log(static_cast<double>(k));
    // The least k of `count` that is significant rises by 0 or 1 with `count`.
    std::size_t least = 0;
    for (std::size_t count = 0; count <= items; ++count) {
      least = std::max(least, count / 2 + 1);
      while (least <= count && 2 * upper_tail(count, least, 0.5, log_factorials_) > alpha) ++least;
      least_.push_back(least);
    }
  }

  double operator()(double d, double flips) const {
    const double n = static_cast<double>(items_), mean = n * flips;
    const double reach = 10 * std::sqrt(mean * (1 - flips)) + 20;
    const auto first = static_cast<std::size_t>(std::max(0.0, mean - reach));
    const auto last = static_cast<std::size_t>(std::min(n, mean + reach));
    double power = 0;
    for (std::size_t count = first; count <= last; ++count) {
      const std::size_t least = least_[count];
      if (least > count) continue;
      double weight = count == items_ ? 1.0 : 0.0;
      if (flips < 1)
        weight = std::exp(log_factorials_[items_] - log_factorials_[count] -
                          log_factorials_[items_ - count] +
                          static_cast<double>(count) * std::log(flips) +
                          static_cast<double>(items_ - count) * std::log1p(-flips));
      power += weight * upper_tail(count, least, (flips + d) / (2 * flips), log_factorials_);
    }
    return power;
  }

 private:
  std::size_t items_;
  std::vector<double> log_factorials_;
  std::vector<std::size_t> least_;
};

}  // namespace proportions_detail

double normal_two_sided_p(double z) { return std::erfc(std::abs(z) / std::sqrt(2.0)); }

double normal_quantile(double p) {
  if (p > 0.5) return -normal_quantile(1 - p);
  // The lower tail has full relative precision; beyond 39 it is 0.
  return -proportions_detail::last_positive(
      0, 39, [&](double z) { return std::erfc(z / std::sqrt(2.0)) / 2 - p; });
}

Interval wilson_interval(double successes, double trials, double confidence) {
  if (trials <= 0) return {0, 1};
  const double z2 = std::pow(proportions_detail::z_of(confidence), 2);
  const double failures = trials - successes;
  const double root = std::sqrt(z2 * (successes * failures / trials + z2 / 4));
  // Either limit as a quotient of sums: 0 of n gives exactly 0.
  const double centre = successes + z2 / 2, scale = trials + z2;
  return {successes <= 0 ? 0.0 : std::max(0.0, (centre - root) / scale),
          failures <= 0 ? 1.0 : std::min(1.0, (centre + root) / scale)};
}

PairedCounts PairedCounts::scaled(double factor) const {
  return {both_right * factor, lost * factor, gained * factor, both_wrong * factor};
}

Interval tango_interval(const PairedCounts& counts, double confidence) {
  using proportions_detail::above, proportions_detail::last_positive;
  if (counts.items() <= 0) return {-1, 1};
  const double z = proportions_detail::z_of(confidence), at = counts.difference();
  Interval interval{-1, 1};
  if (at > -1)
    interval.low = last_positive(-1, at, [&](double d) { return above(counts, d, z) ? 1 : -1; });
  if (at < 1)
    interval.high = last_positive(at, 1, [&](double d) { return above(counts, d, -z) ? 1 : -1; });
  return interval;
}

std::optional<Estimate> paired_ratio(const PairedCounts& counts, double confidence) {
  using proportions_detail::last_positive, proportions_detail::ratio_above;
  const double base = counts.both_right + counts.lost, other = counts.both_right + counts.gained;
  if (base <= 0) return std::nullopt;
  const double z = proportions_detail::z_of(confidence), at = other / base;
  Interval interval{0, std::numeric_limits<double>::infinity()};
  // Over the logarithm of the ratio above 1, where it has no upper end.
  const auto low_side = [&](double r) { return ratio_above(counts, r, z) ? 1 : -1; };
  const auto high_side = [&](double r) { return ratio_above(counts, r, -z) ? 1 : -1; };
  constexpr double kMost = 1e12;
  if (at > 0) interval.low = last_positive(0, at, low_side);
  if (high_side(kMost) < 0) interval.high = last_positive(at, kMost, high_side);
  return Estimate{at, interval};
}

double mcnemar_p(std::size_t lost, std::size_t gained) {
  const std::size_t flips = lost + gained, fewer = std::min(lost, gained);
  const double n = static_cast<double>(flips), k = static_cast<double>(fewer);
  // Terms shrink from the largest, k, downwards.
  double term = std::exp(std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1) -
                         n * std::log(2.0));
  double sum = 0;
  for (std::size_t i = fewer;; --i) {
    sum += term;
    if (i == 0) break;
    term *= static_cast<double>(i) / static_cast<double>(flips - i + 1);
  }
  return std::min(1.0, 2 * sum);
}

double cluster_sign_flip_p(std::span<const std::int64_t> differences) {
  std::size_t total = 0;
  std::int64_t observed = 0;
  for (const std::int64_t d : differences) {
    total += static_cast<std::size_t>(std::abs(d));
    observed += d;
  }
  // probability[s]: that the positive ones sum to s. Their total less the negative ones' is 2 s -
  // total.
  std::vector<double> probability(total + 1, 0.0);
  probability[0] = 1;
  std::size_t reached = 0;
  for (const std::int64_t d : differences) {
    const auto step = static_cast<std::size_t>(std::abs(d));
    if (step == 0) continue;
    reached += step;
    for (std::size_t s = reached + 1; s-- > 0;)
      probability[s] = (probability[s] + (s >= step ? probability[s - step] : 0.0)) / 2;
  }
  double p = 0;
  for (std::size_t s = 0; s <= total; ++s) {
    const auto sum = 2 * static_cast<std::int64_t>(s) - static_cast<std::int64_t>(total);
    if (std::abs(sum) >= std::abs(observed)) p += probability[s];
  }
  return std::min(1.0, p);
}

std::optional<double> detectable_difference(std::size_t items, std::size_t flips, double power,
                                            double alpha) {
  if (items == 0) return std::nullopt;
  const double n = static_cast<double>(items);
  const double share = flips > 0 ? static_cast<double>(flips) / n : wilson_interval(0, n).high;
  const proportions_detail::ExactPower power_of(items, alpha);
  const auto lacking = [&](double d) { return power - power_of(d, std::max(share, d)); };
  if (lacking(1.0) > 0) return std::nullopt;
  double low = 0, high = 1;
  while (high - low > 1e-6) {
    const double middle = (low + high) / 2;
    (lacking(middle) > 0 ? low : high) = middle;
  }
  return high;
}

}  // namespace brink

#endif  // BRINK_EVAL_PROPORTIONS_IMPL_H_
