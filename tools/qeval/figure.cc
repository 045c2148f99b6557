#include "tools/qeval/figure.h"

#include <cstdio>

#include "tools/support/table.h"

namespace brink::tools {
namespace {

// A value and its interval, each put into words by `word`.
std::string with_interval(const Estimate& estimate, auto&& word) {
  std::string text = word(estimate.value);
  if (estimate.ci) text += " [" + word(estimate.ci->low) + ", " + word(estimate.ci->high) + "]";
  return text;
}

}  // namespace

void set(Json& row, const std::string& key, const Estimate& estimate) {
  row[key] = estimate.value;
  if (estimate.ci) row[key + ".ci"] = {estimate.ci->low, estimate.ci->high};
}

std::optional<Estimate> figure(const Json& row, const std::string& key) {
  const auto value = row.find(key);
  if (value == row.end() || !value->is_number()) return std::nullopt;
  Estimate estimate{value->get<double>()};
  const auto ci = row.find(key + ".ci");
  if (ci != row.end() && ci->is_array() && ci->size() == 2 && (*ci)[0].is_number() &&
      (*ci)[1].is_number())
    estimate.ci = Interval{(*ci)[0].get<double>(), (*ci)[1].get<double>()};
  return estimate;
}

Estimate percents(const Estimate& share) {
  Estimate out{100 * share.value};
  if (share.ci) out.ci = Interval{100 * share.ci->low, 100 * share.ci->high};
  return out;
}

std::string text_of(const Estimate& estimate, int decimals) {
  return with_interval(estimate, [&](double value) { return fixed(value, decimals); });
}

std::string percent(double share, int decimals) { return fixed(100 * share, decimals); }

std::string percent(const Estimate& share, int decimals) {
  return text_of(percents(share), decimals);
}

std::string scientific(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

std::string scientific(const Estimate& estimate) {
  return with_interval(estimate, [](double value) { return scientific(value); });
}

}  // namespace brink::tools
