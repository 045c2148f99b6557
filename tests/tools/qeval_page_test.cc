// Pieces of the report page: markup, charts that show what they were given, the Pareto front.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tools/qeval/analysis.h"
#include "tools/qeval/chart.h"
#include "tools/qeval/markup.h"

namespace brink::testing {
namespace {

TEST(MarkupTest, Escapes) {
  EXPECT_EQ(tools::escaped("a<b>&\"c'"), "a&lt;b&gt;&amp;&quot;c&#39;");
  EXPECT_EQ(tools::escaped("K\xc3\xa4se \xe4\xb8\xad \xf0\x9f\x98\x80\n"),
            "K\xc3\xa4se \xe4\xb8\xad \xf0\x9f\x98\x80\n");
  const std::string replaced = "\xef\xbf\xbd";
  for (const char* bad : {"\x01", "\x7f", "\xff", "\xe2\x80\xae", "\xc2\x85", "\xef\xbf\xbf"})
    EXPECT_EQ(tools::escaped(bad), replaced) << bad;
  EXPECT_EQ(tools::escaped("\xc0\x80"), replaced + replaced);                 // overlong
  EXPECT_EQ(tools::escaped("\xed\xa0\x80").find('\xed'), std::string::npos);  // surrogate
  EXPECT_EQ(tools::escaped("a\xe4\xb8"), "a" + replaced + replaced);          // cut off
  EXPECT_EQ(tools::shortened("K\xc3\xa4se", 4), "K\xc3\xa4se");
  EXPECT_EQ(tools::shortened("K\xc3\xa4se", 2), "K\xc3\xa4…");
}

TEST(ChartTest, TicksAreRound) {
  EXPECT_EQ(tools::axis_ticks(0, 10, 5, false), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(tools::axis_ticks(0.5, 100, 4, true), (std::vector<double>{1, 10, 100}));
  EXPECT_EQ(tools::axis_ticks(3, 30, 5, true), (std::vector<double>{5, 10, 20}));
  EXPECT_EQ(tools::axis_ticks(41, 44, 5, false), (std::vector<double>{41, 42, 43, 44}));
}

double attribute(const std::string& svg, const std::string& name, std::size_t from) {
  const std::size_t at = svg.find(" " + name + "=\"", from);
  return std::stod(svg.substr(at + name.size() + 3));
}

TEST(ChartTest, PlacesAreInProportion) {
  tools::Chart chart;
  chart.id = "c";
  chart.series.resize(1);
  for (const double x : {2.0, 5.0, 8.0})

    chart.series[0].points.push_back(
        {.x = x, .y = {10 * x, Interval{10 * x - 5, 10 * x + 5}}, .label = {}});
  const std::string svg = to_svg(chart);
  std::vector<double> x, y, top, bottom;
  for (std::size_t at = svg.find("class=\"point\""); at != std::string::npos;
       at = svg.find("class=\"point\"", at + 1)) {
    x.push_back(attribute(svg, "cx", at));
    y.push_back(attribute(svg, "cy", at));
    top.push_back(attribute(svg, "y1", at));
    bottom.push_back(attribute(svg, "y2", at));
  }
  ASSERT_EQ(x.size(), 3u);
  EXPECT_NEAR(x[1] - x[0], x[2] - x[1], 0.02);
  EXPECT_GT(x[0], 46);
  EXPECT_LT(x[2], 348);
  EXPECT_NEAR(y[0] - y[1], y[1] - y[2], 0.02);
  EXPECT_GT(y[0], y[2]);  // up is more
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(y[i] - top[i], (y[0] - y[2]) * 5 / 60, 0.02);
    EXPECT_NEAR(bottom[i] - y[i], (y[0] - y[2]) * 5 / 60, 0.02);
  }
}

TEST(ChartTest, ZeroHasNoSign) {
  tools::Chart chart;
  chart.id = "c";
  chart.series.resize(1);
  for (const double value : {0.0, 5.0})  // with their margin both axes begin below 0
    chart.series[0].points.push_back({.x = value, .y = {value}, .label = {}});
  const std::string svg = to_svg(chart);
  std::size_t zeros = 0;
  for (std::size_t at = svg.find(">0</text>"); at != std::string::npos;
       at = svg.find(">0</text>", at + 1))
    ++zeros;
  EXPECT_EQ(zeros, 2u) << svg;
  EXPECT_EQ(svg.find(">-0</text>"), std::string::npos) << svg;
}

TEST(ChartTest, OnePointAndEqualPointsHaveAPlace) {
  tools::Chart chart;
  chart.series.push_back(
      {.points = {{.x = 4, .y = {0}, .label = {}}, {.x = 4, .y = {0}, .label = {}}}});
  const std::string svg = to_svg(chart);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
}

TEST(ParetoTest, NothingBeatsTheFront) {
  const std::vector<tools::ParetoPoint> points = {{1, 1}, {2, 3}, {3, 2}, {4, 4}, {2, 3}, {1, 0}};
  EXPECT_EQ(pareto_front(points), (std::vector<bool>{true, true, false, true, true, false}));
}

}  // namespace
}  // namespace brink::testing
