// Figures with their intervals, in rows of JSON and as text.
#ifndef BRINK_TOOLS_QEVAL_FIGURE_H_
#define BRINK_TOOLS_QEVAL_FIGURE_H_

#include <optional>
#include <string>

#include "brink/eval/statistics.h"
#include "tools/support/json.h"

namespace brink::tools {

/// Sets `key` and, where there is an interval, `key`.ci, as [low, high].
void set(Json& row, const std::string& key, const Estimate& estimate);
/// What set() has set; nothing where there is no number.
std::optional<Estimate> figure(const Json& row, const std::string& key);

/// A share in percent.
Estimate percents(const Estimate& share);

/// "1.2345 [1.2000, 1.2700]".
std::string text_of(const Estimate& estimate, int decimals);
/// "45.3" and "45.3 [40.1, 50.4]": a share in percent, or in percentage points.
std::string percent(double share, int decimals = 1);
std::string percent(const Estimate& share, int decimals = 1);
/// Three digits: "0.00123", "1.23e-05" and with the interval behind it.
std::string scientific(double value);
std::string scientific(const Estimate& estimate);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_FIGURE_H_
