// Definitions of eval/verdict.h.
#ifndef BRINK_EVAL_VERDICT_IMPL_H_
#define BRINK_EVAL_VERDICT_IMPL_H_

#include <algorithm>
#include <numeric>

#include "brink/eval/verdict.h"

namespace brink {

std::vector<double> holm(std::span<const double> p) {
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return p[i]; });
  std::vector<double> corrected(p.size());
  double largest = 0;
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    const double scaled = p[order[rank]] * static_cast<double>(order.size() - rank);
    largest = std::max(largest, std::min(1.0, scaled));
    corrected[order[rank]] = largest;
  }
  return corrected;
}

std::string_view name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kSafe:
      return "safe";
    case Verdict::kUnsafe:
      return "unsafe";
    case Verdict::kCannotTell:
      break;
  }
  return "cannot tell";
}

Verdict non_inferiority(const Interval& difference, double tolerance) {
  if (difference.low > -tolerance) return Verdict::kSafe;
  if (difference.high < -tolerance) return Verdict::kUnsafe;
  return Verdict::kCannotTell;
}

bool equivalent(const Interval& difference90, double margin) {
  return difference90.low > -margin && difference90.high < margin;
}

Verdict over_tasks(std::span<const Verdict> verdicts) {
  const auto is = [](Verdict wanted) { return [=](Verdict v) { return v == wanted; }; };
  if (std::ranges::any_of(verdicts, is(Verdict::kUnsafe))) return Verdict::kUnsafe;
  if (!verdicts.empty() && std::ranges::all_of(verdicts, is(Verdict::kSafe))) return Verdict::kSafe;
  return Verdict::kCannotTell;
}

FixedSequence fixed_sequence(std::span<const Verdict> alone) {
  FixedSequence sequence{{alone.begin(), alone.end()}, std::nullopt};
  bool reached = true;
  for (std::size_t i = 0; i < alone.size(); ++i) {
    if (alone[i] != Verdict::kSafe)
      reached = false;
    else if (reached)
      sequence.lowest_safe = i;
    else
      sequence.verdicts[i] = Verdict::kCannotTell;
  }
  return sequence;
}

}  // namespace brink

#endif  // BRINK_EVAL_VERDICT_IMPL_H_
