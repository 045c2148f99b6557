// Charts as inline SVG, drawn for a width of 360 CSS pixels, that of a telephone; colours, and with
// them light and dark, are the page's (classes s0 to s5).
#ifndef BRINK_TOOLS_QEVAL_CHART_H_
#define BRINK_TOOLS_QEVAL_CHART_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "brink/eval/statistics.h"

namespace brink::tools {

struct ChartPoint {
  double x = 0;
  Estimate y;
  std::string label;    ///< beside the point where there is room
  bool ringed = false;  ///< on the Pareto front
};

struct ChartSeries {
  std::size_t style = 0;  ///< colour and shape, modulo 6
  bool joined = true;     ///< by a line, with a band over the intervals
  std::vector<ChartPoint> points;
};

struct Chart {
  std::string id;  ///< of the element: letters, digits and hyphens
  std::string title;
  std::string description;  ///< for those who do not see it
  std::string x_title, y_title;
  bool log_x = false, log_y = false;  ///< points must be positive then
  /// A horizontal line with its interval: the baseline.
  std::optional<Estimate> reference;
  std::vector<ChartSeries> series;
};

/// Numbers of points and axes are as they were given; the SVG scales to the width it gets.
std::string to_svg(const Chart& chart);

/// The mark of a style, for legends.
std::string mark_svg(std::size_t style, bool ringed = false);

/// Round places for about `count` marks on an axis from `low` to `high`: steps of 1, 2 or 5 times a
/// power of ten; on a logarithmic axis powers of ten, and as many of their multiples as have room.
std::vector<double> axis_ticks(double low, double high, std::size_t count, bool logarithmic);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_CHART_H_
