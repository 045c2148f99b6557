// What a change of a model costs, from its scores and the base's on the same items.
#ifndef BRINK_EVAL_PAIRED_H_
#define BRINK_EVAL_PAIRED_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "brink/eval/proportions.h"
#include "brink/eval/statistics.h"

namespace brink {

/// Scores in [0, 1] of the same items, in the same order.
struct PairedScores {
  std::span<const double> base;
  std::span<const double> other;
  /// For each item a number that items which depend on each other share (questions about one text);
  /// empty: all are independent.
  std::span<const std::uint64_t> clusters = {};
};

/// How an interval was found.
enum class PairedMethod {
  kTango,             ///< right/wrong, independent items: tango_interval(), paired_ratio()
  kBootstrap,         ///< graded, independent items: percentiles over resamples of items
  kClusterBootstrap,  ///< graded, clusters: percentiles over resamples of clusters
  kClusterTango,      ///< right/wrong, clusters: the hull of both; see compare_paired()
  kFewChanges,        ///< graded, fewer than 10 clusters changed: the hull of both
  kWorstCase,         ///< nothing to resample: Tango's, as if each cluster were one item
};

/// Differences are other - base, in shares (0.01 is a percentage point).
struct PairedComparison {
  std::size_t items = 0;
  std::size_t clusters = 0;  ///< as many as items, where they are independent
  bool graded = false;       ///< not every score is 0 or 1
  PairedMethod method = PairedMethod::kTango;

  double base = 0, other = 0;  ///< mean scores
  std::size_t lost = 0;        ///< items with a lower score than the base's
  std::size_t gained = 0;      ///< items with a higher score
  Estimate difference;         ///< with its 95 % interval, which is always there
  Interval difference90;       ///< of 90 %, for tests of equivalence
  /// Two-sided, of no difference: mcnemar_p(), cluster_sign_flip_p() or, for graded scores, the
  /// share (k + 1) / (B + 1) of resamples whose difference lies at least as far from the observed
  /// one as that lies from 0.
  double p = 1;
  /// other / base, with its 95 % interval where it is finite. Nothing where the base's mean is 0.
  std::optional<Estimate> retained;
  /// What would have been found with 80 % power (alpha 5 %): detectable_difference() of the
  /// effective counts or, from resampled graded scores, (z_0.975 + z_0.8) standard errors.
  std::optional<double> detectable;
  /// Independent items that would tell as much: `items` over the design effect.
  double effective_items = 0;
};

/// Compares scores of at least one item.
///
/// Right/wrong items in clusters: counts are divided by the design effect, the variance of the
/// difference between clusters over that of independent items (Rao and Scott, Biometrics 48, 1992,
/// pp. 577-585; at least 1), and the interval is the hull of Tango's for these and of the
/// percentile bootstrap over clusters: the latter alone holds the truth in as little as 86 % of
/// cases where few clusters have flips (tests/eval/paired_test.cc simulates it).
///
/// Where no score changed at all a bootstrap would give [0, 0], and of a single cluster it has
/// nothing to draw from. Scores cannot change by more than 1, so that a mean change varies no more
/// than the same mean of flips: Tango's interval holds for graded scores, too. And as nothing is
/// known of how changes cluster, the worst is assumed, that all items of a cluster change together,
/// which makes (sum of sizes)^2 / (sum of squared sizes) effective items. Few changes tell little
/// more: the design effect is the mean of the observed one, counted once for each cluster with a
/// change, and of the worst, counted once. Of graded scores fewer than 10 changed clusters are too
/// few for resamples alone; there, too, the interval is the hull of both, and p the larger one of
/// the resamples' and the clusters' sign-flip test.
PairedComparison compare_paired(const PairedScores& scores, const BootstrapOptions& options = {});

/// The mean of scores in [0, 1], of at least one item, with its 95 % interval: Wilson's for right
/// and wrong answers, the percentile bootstrap for graded ones. `clusters`, and graded scores of
/// which fewer than 10 clusters differ from the commonest one, as in compare_paired().
Estimate mean_score(std::span<const double> scores, std::span<const std::uint64_t> clusters = {},
                    const BootstrapOptions& options = {});

/// The mean of independent estimates with intervals of 95 %, such as one for each task, and its
/// interval (MOVER, as contrast() has it). At least one.
Estimate mean_of(std::span<const Estimate> estimates);

/// The difference a - b of two independent estimates, from their intervals (MOVER, "square and
/// add": Newcombe, Statistics in Medicine 17, 1998, pp. 873-890; Zou and Donner, 27, 2008, pp.
/// 1693-1702), which may lie askew: to know whether one skill falls further than another, a and b
/// are the differences of two tasks. Both must have intervals of 95 %.
struct Contrast {
  Estimate difference;
  /// Two-sided, of no difference, from how often the interval's half towards 0 reaches 0 on a
  /// normal scale: below 0.05 where the interval leaves 0 out.
  double p = 1;
};
Contrast contrast(const Estimate& a, const Estimate& b);

}  // namespace brink

#endif  // BRINK_EVAL_PAIRED_H_
