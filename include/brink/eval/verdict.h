// Decisions over many comparisons: corrected p values, and which quants are good enough.
#ifndef BRINK_EVAL_VERDICT_H_
#define BRINK_EVAL_VERDICT_H_

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "brink/eval/statistics.h"

namespace brink {

/// Holm's corrected p values (Scandinavian Journal of Statistics 6, 1979, pp. 65-70), in the order
/// given: calling those <= alpha differences is wrong anywhere with probability alpha at most,
/// however the tests depend on each other.
std::vector<double> holm(std::span<const double> p);

/// Of non-inferiority: is a model at most `tolerance` worse than the base?
enum class Verdict { kSafe, kUnsafe, kCannotTell };
std::string_view name_of(Verdict verdict);  ///< "safe", "unsafe", "cannot tell"

/// From the interval of the difference (other - base): safe where it lies above -tolerance, unsafe
/// where it lies below. An interval of 95 % makes either wrong with probability 2.5 % at most.
Verdict non_inferiority(const Interval& difference, double tolerance);

/// Two one-sided tests of 5 % each (Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics
/// 15, 1987, pp. 657-680): the interval of 90 % lies within +-margin.
bool equivalent(const Interval& difference90, double margin);

/// Of one quant over several tasks: unsafe where it is on any, safe where it is on all. The second
/// needs no correction (all tests must succeed: an intersection-union test); the first does not
/// have one, so that it errs on the side of caution. Cannot tell without tasks.
Verdict over_tasks(std::span<const Verdict> verdicts);

/// Quants tested one after the other, from high bits down, until one is not safe. Because the order
/// is fixed before the results are seen, each is tested at the full level, and still the
/// probability that any is wrongly called safe stays that of one test (Maurer, Hothorn and
/// Lehmacher, 1995). For this, nothing is called safe behind the first that is not.
struct FixedSequence {
  std::vector<Verdict> verdicts;           ///< a "safe" behind the end becomes "cannot tell"
  std::optional<std::size_t> lowest_safe;  ///< the last one called safe
};
FixedSequence fixed_sequence(std::span<const Verdict> alone);

}  // namespace brink

#endif  // BRINK_EVAL_VERDICT_H_
