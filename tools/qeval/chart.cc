#include "tools/qeval/chart.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>
#include <utility>

#include "tools/qeval/markup.h"

namespace brink::tools {
namespace {

constexpr double kWidth = 360, kHeight = 264;
constexpr double kLeft = 46, kRight = 12, kTop = 12, kBottom = 42;
constexpr double kLabelHeight = 12, kLabelCharacter = 5.9;  // of 10 pixels
constexpr std::size_t kLongestLabel = 14;

std::string text_of(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", value);
  return text;
}

std::string tick_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

struct Axis {
  double low = 0, high = 1;
  bool logarithmic = false;
  double from = 0, to = 1;  // in pixels

  double scale(double value) const { return logarithmic ? std::log10(value) : value; }
  double place(double value) const {
    const double share = (scale(value) - scale(low)) / (scale(high) - scale(low));
    return from + std::clamp(share, 0.0, 1.0) * (to - from);
  }
};

// Around all values, with a margin.
Axis axis_of(const std::vector<double>& values, bool logarithmic, double from, double to) {
  Axis axis{.logarithmic = logarithmic, .from = from, .to = to};
  const auto [least, most] = std::ranges::minmax(values);
  const double low = axis.scale(least), high = axis.scale(most);
  const double smallest = logarithmic ? 0.1 : std::max(1e-3, 1e-3 * std::abs(high));
  const double margin = std::max(high - low, smallest) * 0.08;
  axis.low = logarithmic ? std::pow(10, low - margin) : low - margin;
  axis.high = logarithmic ? std::pow(10, high + margin) : high + margin;
  return axis;
}

struct Box {
  double left, top, right, bottom;
  bool meets(const Box& other) const {
    return left < other.right && other.left < right && top < other.bottom && other.top < bottom;
  }
};

std::string shape(std::size_t style, double x, double y) {
  const auto points = [&](std::initializer_list<std::pair<double, double>> offsets) {
    std::string text;
    for (const auto& [dx, dy] : offsets) {
      if (!text.empty()) text += ' ';
      text += text_of(x + dx) + "," + text_of(y + dy);
    }
    return "<polygon points=\"" + text + "\"/>";
  };
  switch (style % 6) {
    case 0:
      return "<circle cx=\"" + text_of(x) + "\" cy=\"" + text_of(y) + "\" r=\"4\"/>";
    case 1:
      return points({{-3.6, -3.6}, {3.6, -3.6}, {3.6, 3.6}, {-3.6, 3.6}});
    case 2:
      return points({{0, -4.8}, {4.6, 3.6}, {-4.6, 3.6}});
    case 3:
      return points({{0, -5}, {5, 0}, {0, 5}, {-5, 0}});
    case 4:
      return points({{0, 4.8}, {4.6, -3.6}, {-4.6, -3.6}});
    default:
      return points({{-1.5, -5},
                     {1.5, -5},
                     {1.5, -1.5},
                     {5, -1.5},
                     {5, 1.5},
                     {1.5, 1.5},
                     {1.5, 5},
                     {-1.5, 5},
                     {-1.5, 1.5},
                     {-5, 1.5},
                     {-5, -1.5},
                     {-1.5, -1.5}});
  }
}

std::string line(const char* css_class, double x1, double y1, double x2, double y2) {
  return std::string("<line class=\"") + css_class + "\" x1=\"" + text_of(x1) + "\" y1=\"" +
         text_of(y1) + "\" x2=\"" + text_of(x2) + "\" y2=\"" + text_of(y2) + "\"/>\n";
}

std::string text_at(double x, double y, const char* anchor, const std::string& html) {
  return "<text x=\"" + text_of(x) + "\" y=\"" + text_of(y) + "\" text-anchor=\"" + anchor + "\">" +
         html + "</text>\n";
}

class Drawing {
 public:
  explicit Drawing(const Chart& chart) : chart_(chart) {
    std::vector<double> xs, ys;
    const auto add = [&](const Estimate& y) {
      ys.push_back(y.value);
      if (!y.ci) return;
      // Nothing below 0 on a logarithmic axis; it ends at its frame.
      if (!chart.log_y || y.ci->low > 0) ys.push_back(y.ci->low);
      ys.push_back(y.ci->high);
    };
    for (const ChartSeries& series : chart.series) {
      for (const ChartPoint& point : series.points) {
        xs.push_back(point.x);
        add(point.y);
      }
    }
    if (chart.reference) add(*chart.reference);
    x_ = axis_of(xs, chart.log_x, kLeft, kWidth - kRight);
    y_ = axis_of(ys, chart.log_y, kHeight - kBottom, kTop);
  }

  std::string svg() {
    const std::string id = chart_.id;
    std::string out = "<svg class=\"chart\" id=\"" + id + "\" role=\"img\" aria-labelledby=\"" +
                      id + "-t " + id + "-d\" viewBox=\"0 0 " + tick_text(kWidth) + " " +
                      tick_text(kHeight) +
                      "\" xmlns=\"http://www.w3.org/2000/svg\">\n<title id=\"" + id + "-t\">" +
                      escaped(chart_.title) + "</title>\n<desc id=\"" + id + "-d\">" +
                      escaped(chart_.description) + "</desc>\n";
    axes(out);
    if (chart_.reference) reference(out);
    for (const ChartSeries& series : chart_.series)
      if (series.joined) band(out, series);
    front(out);
    for (const ChartSeries& series : chart_.series) marks(out, series);
    labels(out);
    return out + "</svg>\n";
  }

 private:
  double low_place(const Estimate& y) const {
    return chart_.log_y && y.ci->low <= 0 ? y_.from : y_.place(y.ci->low);
  }

  void axes(std::string& out) const {
    for (const double tick : axis_ticks(y_.low, y_.high, 5, y_.logarithmic)) {
      const double y = y_.place(tick);
      out += line("grid", kLeft, y, kWidth - kRight, y);
      out += text_at(kLeft - 5, y + 3.5, "end", tick_text(tick));
    }
    for (const double tick : axis_ticks(x_.low, x_.high, 6, x_.logarithmic)) {
      const double x = x_.place(tick);
      out += line("tick", x, kHeight - kBottom, x, kHeight - kBottom + 4);
      out += text_at(x, kHeight - kBottom + 15, "middle", tick_text(tick));
    }
    out += line("axis", kLeft, kHeight - kBottom, kWidth - kRight, kHeight - kBottom);
    out += text_at((kLeft + kWidth - kRight) / 2, kHeight - 8, "middle", escaped(chart_.x_title));
    const double middle = (kTop + kHeight - kBottom) / 2;
    out += "<text x=\"12\" y=\"" + text_of(middle) +
           "\" text-anchor=\"middle\" transform=\"rotate(-90 12 " + text_of(middle) + ")\">" +
           escaped(chart_.y_title) + "</text>\n";
  }

  void reference(std::string& out) const {
    const Estimate& y = *chart_.reference;
    if (y.ci) {
      const double top = y_.place(y.ci->high);
      out += "<rect class=\"base-band\" x=\"" + text_of(kLeft) + "\" y=\"" + text_of(top) +
             "\" width=\"" + text_of(kWidth - kRight - kLeft) + "\" height=\"" +
             text_of(low_place(y) - top) + "\"/>\n";
    }
    out += line("base", kLeft, y_.place(y.value), kWidth - kRight, y_.place(y.value));
  }

  std::string style(const ChartSeries& series) const {
    return "s" + std::to_string(series.style % 6);
  }

  // From left to right.
  static std::vector<const ChartPoint*> ordered(const ChartSeries& series) {
    std::vector<const ChartPoint*> points;
    for (const ChartPoint& point : series.points) points.push_back(&point);
    std::ranges::stable_sort(points, {}, [](const ChartPoint* p) { return p->x; });
    return points;
  }

  void band(std::string& out, const ChartSeries& series) const {
    std::string middle, over, under;
    for (const ChartPoint* point : ordered(series)) {
      const std::string x = text_of(x_.place(point->x)) + ",";
      middle += (middle.empty() ? "" : " ") + x + text_of(y_.place(point->y.value));
      if (!point->y.ci) continue;
      over += (over.empty() ? "" : " ") + x + text_of(y_.place(point->y.ci->high));
      under = " " + x + text_of(low_place(point->y)) + under;
    }
    out += "<g class=\"" + style(series) + "\">";
    if (!over.empty()) out += "<polygon class=\"band\" points=\"" + over + under + "\"/>";
    out += "<polyline points=\"" + middle + "\"/></g>\n";
  }

  // A line through the ringed points of all series.
  void front(std::string& out) const {
    std::vector<const ChartPoint*> points;
    for (const ChartSeries& series : chart_.series)
      for (const ChartPoint& point : series.points)
        if (point.ringed) points.push_back(&point);
    if (points.size() < 2) return;
    std::ranges::stable_sort(points, {}, [](const ChartPoint* p) { return p->x; });
    std::string places;
    for (const ChartPoint* point : points)
      places += (places.empty() ? "" : " ") + text_of(x_.place(point->x)) + "," +
                text_of(y_.place(point->y.value));
    out += "<polyline class=\"front\" points=\"" + places + "\"/>\n";
  }

  void marks(std::string& out, const ChartSeries& series) const {
    out += "<g class=\"" + style(series) + "\">\n";
    for (const ChartPoint& point : series.points) {
      const double x = x_.place(point.x), y = y_.place(point.y.value);
      // The numbers as they are: for pointers that rest here, and for whoever reads the source.
      char numbers[160];
      std::snprintf(numbers, sizeof numbers, ": %.6g; %.6g", point.x, point.y.value);
      std::string title = escaped(point.label) + numbers;
      if (point.y.ci) {
        std::snprintf(numbers, sizeof numbers, " [%.6g, %.6g]", point.y.ci->low, point.y.ci->high);
        title += numbers;
      }
      out += "<g class=\"point\"><title>" + title + "</title>";
      if (point.y.ci) out += line("bar", x, y_.place(point.y.ci->high), x, low_place(point.y));
      if (point.ringed)
        out += "<circle class=\"ring\" cx=\"" + text_of(x) + "\" cy=\"" + text_of(y) +
               "\" r=\"7.5\"/>";
      out += shape(series.style, x, y) + "</g>\n";
    }
    out += "</g>\n";
  }

  // Each where it meets neither a point nor a label before it; else nowhere. One of several points
  // of the same name above each other is enough.
  void labels(std::string& out) const {
    std::vector<Box> taken;
    std::set<std::pair<double, std::string>> named;
    for (const ChartSeries& series : chart_.series) {
      for (const ChartPoint& point : series.points) {
        const double x = x_.place(point.x), y = y_.place(point.y.value);
        taken.push_back({x - 5, y - 5, x + 5, y + 5});
      }
    }
    for (const ChartSeries& series : chart_.series) {
      for (const ChartPoint& point : series.points) {
        if (point.label.empty() || !named.emplace(point.x, point.label).second) continue;
        const std::string label = shortened(point.label, kLongestLabel);
        const double width =
            kLabelCharacter * static_cast<double>(std::min(point.label.size(), kLongestLabel + 1));
        const double x = x_.place(point.x), y = y_.place(point.y.value);
        // Beside and not above, where the bar of the interval is.
        const std::pair<double, double> corners[] = {{x + 4, y - 6 - kLabelHeight},
                                                     {x - 4 - width, y - 6 - kLabelHeight},
                                                     {x + 4, y + 6},
                                                     {x - 4 - width, y + 6},
                                                     {x + 7, y - kLabelHeight / 2},
                                                     {x - 7 - width, y - kLabelHeight / 2},
                                                     {x + 4, y - 16 - kLabelHeight},
                                                     {x + 4, y + 16}};
        for (const auto& [left, top] : corners) {
          const Box box{left, top, left + width, top + kLabelHeight};
          if (box.left < kLeft || box.right > kWidth || box.top < 0 ||
              box.bottom > kHeight - kBottom ||
              std::ranges::any_of(taken, [&](const Box& other) { return box.meets(other); }))
            continue;
          taken.push_back(box);
          out += "<text class=\"label\" x=\"" + text_of(left) + "\" y=\"" +
                 text_of(top + kLabelHeight - 3) + "\">" + escaped(label) + "</text>\n";
          break;
        }
      }
    }
  }

  const Chart& chart_;
  Axis x_, y_;
};

}  // namespace

std::vector<double> axis_ticks(double low, double high, std::size_t count, bool logarithmic) {
  std::vector<double> ticks;
  if (logarithmic) {
    const double decades = std::log10(high / low);
    // Of less than a decade more than 2 and 5.
    const std::vector<double> digits =
        decades < 1 ? std::vector<double>{1, 2, 3, 4, 6, 8} : std::vector<double>{1, 2, 5};
    const int step = std::max(1, static_cast<int>(std::ceil(decades / static_cast<double>(count))));
    for (int e = static_cast<int>(std::floor(std::log10(low))); std::pow(10, e) <= high; ++e) {
      for (const double digit : digits) {
        if (digit != 1 && decades * 3 > static_cast<double>(count) + 1) continue;
        const double tick = digit * std::pow(10, e);
        if (tick >= low && tick <= high && (digit != 1 || e % step == 0)) ticks.push_back(tick);
      }
    }
    if (ticks.size() >= 2) return ticks;
    ticks.clear();
  }
  const double rough = (high - low) / static_cast<double>(count);
  const double power = std::pow(10, std::floor(std::log10(rough)));
  const double digit = rough / power;
  const double step = power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
  // ceil() gives -0 where an axis begins just below 0, and the sum 0.
  for (double k = std::ceil(low / step) + 0.0; k * step <= high; ++k) ticks.push_back(k * step);
  return ticks;
}

std::string to_svg(const Chart& chart) { return Drawing(chart).svg(); }

std::string mark_svg(std::size_t style, bool ringed) {
  return "<svg class=\"mark\" aria-hidden=\"true\" viewBox=\"0 0 16 16\" width=\"16\" "
         "height=\"16\" "
         "xmlns=\"http://www.w3.org/2000/svg\"><g class=\"s" +
         std::to_string(style % 6) + "\">" +
         (ringed ? "<circle class=\"ring\" cx=\"8\" cy=\"8\" r=\"7\"/>" : "") + shape(style, 8, 8) +
         "</g></svg>";
}

}  // namespace brink::tools
