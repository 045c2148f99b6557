// The report as one HTML page that needs nothing beside itself: no network, no scripts.
#ifndef BRINK_TOOLS_QEVAL_PAGE_H_
#define BRINK_TOOLS_QEVAL_PAGE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "tools/qeval/analysis.h"
#include "tools/qeval/figure.h"

namespace brink::tools {

/// HTML that is well-formed XML too. `command` is what made it, for the reproduction block.
std::string report_page(const Analysis& analysis, const std::string& command);

/// Its parts, in page_tables.cc and page_charts.cc.
std::string verdict_section(const Analysis& analysis);
std::string chart_section(const Analysis& analysis);
std::string comparison_section(const Analysis& analysis);
std::string contrast_section(const Analysis& analysis);
std::string text_section(const Analysis& analysis);
/// "" where activations and KV cache are the same everywhere.
std::string dial_section(const Analysis& analysis);
std::string speed_section(const Analysis& analysis);

/// "+1.2 [-0.3, 2.5]": a difference of shares in percentage points; one that is none has no sign.
std::string signed_percent(const Estimate& estimate);

/// "0.0312", "2.1e-05", "< 1e-300".
std::string p_text(double p);

/// Series are the settings that differ only in their weights: these share a colour in all charts.
struct SeriesNames {
  explicit SeriesNames(const Results& results);
  std::vector<std::string> names;       ///< "q8, f16", with the model where there are several
  std::vector<std::size_t> of_setting;  ///< place in `names`
  bool several_models = false;
};

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_PAGE_H_
