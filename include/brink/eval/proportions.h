// Shares of right answers: of one model, and of two models that answered the same items.
#ifndef BRINK_EVAL_PROPORTIONS_H_
#define BRINK_EVAL_PROPORTIONS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "brink/eval/statistics.h"

namespace brink {

/// The z for which a standard normal variable lies below it with probability `p`, 0 < p < 1.
double normal_quantile(double p);

/// The probability that a standard normal variable is at least |z| away from 0.
double normal_two_sided_p(double z);

/// Wilson's score interval of a proportion `successes` / `trials` (Wilson, JASA 22, 1927, p. 209):
/// all proportions that a normal test with their own variance does not reject. Within [0, 1], and
/// of positive width even for 0 of n. Everything, [0, 1], for no trials. Counts may be fractions,
/// for effective numbers of trials.
Interval wilson_interval(double successes, double trials, double confidence = 0.95);

/// Items that a base model and another one answered, by who was right. Counts may be fractions, for
/// effective numbers of items.
struct PairedCounts {
  double both_right = 0;
  double lost = 0;    ///< right by the base only
  double gained = 0;  ///< right by the other only
  double both_wrong = 0;

  double items() const { return both_right + lost + gained + both_wrong; }
  double discordant() const { return lost + gained; }
  /// Share of right answers, other - base: (gained - lost) / items.
  double difference() const { return (gained - lost) / items(); }
  PairedCounts scaled(double factor) const;
};

/// Tango's score interval of difference() (Tango, Statistics in Medicine 17, 1998, pp. 891-908):
/// all differences d which the score test does not reject, whose variance, (2 q + |d| (1 - |d|)) /
/// items, takes for q the maximum-likelihood estimate of the rarer flip's probability given d. Of
/// positive width with no flips: +-z^2 / (items + z^2) then. For independent items; [-1, 1] without
/// any.
Interval tango_interval(const PairedCounts& counts, double confidence = 0.95);

/// The ratio of the shares of right answers, other / base, and its score interval (Tang, Tang and
/// Chan, Statistics in Medicine 22, 2003, pp. 1217-1233): Tango's construction for the ratio. The
/// upper limit may be infinite. Nothing where the base has no right answer.
std::optional<Estimate> paired_ratio(const PairedCounts& counts, double confidence = 0.95);

/// McNemar's test, exact and two-sided: how probable flips at least as unequal are if either
/// direction is equally likely, 2 P(X <= min(lost, gained)), X binomial (lost + gained, 1/2), at
/// most 1.
double mcnemar_p(std::size_t lost, std::size_t gained);

/// The same for clusters of items, of which all may flip together: exact and two-sided, over all
/// ways to exchange the two models within whole clusters. `differences` has gained - lost of each
/// cluster. With clusters of one item this is mcnemar_p().
double cluster_sign_flip_p(std::span<const std::int64_t> differences);

/// The smallest true difference of proportions that mcnemar_p() <= `alpha` finds with probability
/// `power` at least, among as many items, of which the observed share flips (at least as many as
/// the difference takes). The power is exact: the number of flips is binomial, and so is that of
/// losses among them. Where no item flipped, the upper Wilson limit stands for the share. Nothing
/// where even certain flips would not be found: fewer than 6 items at alpha 0.05.
std::optional<double> detectable_difference(std::size_t items, std::size_t flips,
                                            double power = 0.8, double alpha = 0.05);

}  // namespace brink

#endif  // BRINK_EVAL_PROPORTIONS_H_
