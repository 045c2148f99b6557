#include "tools/qeval/item_figures.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "brink/core/error.h"
#include "tools/support/json.h"

namespace brink::tools {
namespace {

// details[key] as a number, or nothing.
std::optional<double> number_in(const Json& details, const char* key) {
  if (!details.contains(key)) return std::nullopt;
  const Json& value = details[key];
  if (value.is_boolean()) return value.get<bool>() ? 1.0 : 0.0;
  return value.is_number() ? std::optional(value.get<double>()) : std::nullopt;
}

// Stores may hold means whose terms were divided one by one: 1 missed by a last bit is still 1.
double without_rounding(double score) {
  const double near = std::round(score);
  return std::abs(score - near) < 1e-9 ? near : std::clamp(score, 0.0, 1.0);
}

}  // namespace

ItemFigures figures_of(const Item& item) {
  Json details = Json::object();
  if (!item.details.empty()) details = parse_json_if_any(item.details);
  if (!details.is_object())
    throw Error("the details of item " + std::to_string(item.index) + " are damaged");
  ItemFigures figures;
  figures.accuracy =
      without_rounding(number_in(details, "accuracy").value_or(item.correct ? 1 : 0));
  figures.score = without_rounding(item.score);
  figures.normalized = number_in(details, "normalized");
  figures.truncated = number_in(details, "truncated").value_or(item.truncated ? 1 : 0);
  figures.parsed = number_in(details, "parsed").value_or(item.parsed ? 1 : 0);
  figures.invented = number_in(details, "invented");
  if (!figures.invented && item.invented) figures.invented = *item.invented ? 1 : 0;
  return figures;
}

}  // namespace brink::tools
