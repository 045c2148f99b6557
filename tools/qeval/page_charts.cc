// The charts of the report page, and the tables of what they show.
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <utility>

#include "tools/qeval/chart.h"
#include "tools/qeval/markup.h"
#include "tools/qeval/page.h"
#include "tools/support/table.h"

namespace brink::tools {
namespace {

double mebibytes(const Setting& setting) {
  return static_cast<double>(setting.file_bytes) / (1024.0 * 1024.0);
}

std::string figure(const Chart& chart) {
  return "<figure>\n<figcaption>" + escaped(chart.title) + "</figcaption>\n" + to_svg(chart) +
         "</figure>\n";
}

std::string legend(const SeriesNames& series, bool front) {
  std::string out = "<ul class=\"legend\">";
  for (std::size_t i = 0; i < series.names.size(); ++i)
    out += "<li>" + mark_svg(i) + escaped(series.names[i]) + "</li>";
  if (front) out += "<li>" + mark_svg(0, true) + "ringed: on the Pareto front</li>";
  return out + "</ul>\n";
}

// Points of settings, gathered into the series of their colours.
class Gathered {
 public:
  explicit Gathered(const Analysis& analysis) : results_(analysis.results), series_(results_) {}

  void add(std::size_t setting, double x, const Estimate& y) {
    const auto drawable = [](double value) { return std::abs(value) < 1e15; };
    if (!drawable(x) || !drawable(y.value) ||
        (y.ci && !(drawable(y.ci->low) && drawable(y.ci->high))))
      return;
    ChartPoint point{.x = x, .y = y, .label = results_.settings[setting].weights};
    const std::size_t style = series_.of_setting[setting];
    by_style_[style].push_back(std::move(point));
    ++count_;
  }
  std::size_t size() const { return count_; }

  // Rings the points that none beats; `sign_x` and `sign_y` are 1 where more is better.
  void ring(double sign_x, double sign_y) {
    std::vector<ParetoPoint> points;
    for (const auto& [style, of_style] : by_style_)
      for (const ChartPoint& p : of_style) points.push_back({-sign_x * p.x, sign_y * p.y.value});
    const std::vector<bool> front = pareto_front(points);
    std::size_t i = 0;
    for (auto& [style, of_style] : by_style_)
      for (ChartPoint& p : of_style) p.ringed = front[i++];
  }

  std::vector<ChartSeries> series(bool joined) const {
    std::vector<ChartSeries> out;
    for (const auto& [style, points] : by_style_) out.push_back({style, joined, points});
    return out;
  }

 private:
  const Results& results_;
  SeriesNames series_;
  std::map<std::size_t, std::vector<ChartPoint>> by_style_;
  std::size_t count_ = 0;
};

// The mean accuracies of settings with another figure of them; empty with fewer than two.
std::string quality_chart(const Analysis& analysis, const std::string& id, const std::string& title,
                          const std::string& x_title, double sign_x,
                          const std::function<double(const Overall&)>& x) {
  Gathered points(analysis);
  for (const Overall& overall : analysis.overall)
    if (overall.accuracy && x(overall) > 0)
      points.add(overall.setting, x(overall), percents(*overall.accuracy));
  if (points.size() < 2) return "";
  points.ring(sign_x, 1);
  return figure({.id = id,
                 .title = title,
                 .description = "Mean accuracy over all tasks in percent with 95 % intervals; the "
                                "numbers are in the table below.",
                 .x_title = x_title,
                 .y_title = "mean accuracy, %",
                 .log_x = sign_x < 0,
                 .reference = {},
                 .series = points.series(false)});
}

}  // namespace

std::string chart_section(const Analysis& analysis) {
  const Results& results = analysis.results;
  const SeriesNames series(results);
  std::string out = "<section id=\"accuracy\">\n<h2>Accuracy against bits per weight</h2>\n";
  std::string charts;
  for (std::size_t task = 0; task < results.tasks.size(); ++task) {
    Gathered points(analysis);
    for (const TaskScore& score : analysis.scores)
      if (score.task == task && results.settings[score.setting].bits_per_weight > 0)
        points.add(score.setting, results.settings[score.setting].bits_per_weight,
                   percents(score.accuracy));
    if (points.size() == 0) continue;
    Chart chart{
        .id = "accuracy-" + std::to_string(task + 1),
        .title = results.tasks[task].name,
        .description =
            std::string(results.tasks[task].measure == Measure::kScore ? "Score" : "Accuracy") +
            " in percent against bits per weight (logarithmic), with 95 % intervals. "
            "The numbers are in the table of differences.",
        .x_title = "bits per weight",
        .y_title = results.tasks[task].measure == Measure::kScore ? "score, %" : "accuracy, %",
        .log_x = true,
        .reference = {},
        .series = points.series(true)};
    if (!series.several_models) {
      for (const Comparison& comparison : analysis.comparisons)
        if (comparison.task == task)
          chart.reference = percents(analysis.score(comparison.baseline, task)->accuracy);
    }
    charts += figure(chart);
  }
  if (charts.empty()) return out + "<p>The store has no finished task.</p>\n</section>\n";
  return out +
         "<p>Bars and bands are 95 % intervals of each figure by itself. Because both models "
         "answered the same questions, bands that overlap do not mean that there is no difference: "
         "that is what the next section tells." +
         (series.several_models ? "" : " Dashed: the baseline.") + "</p>\n" +
         legend(series, false) + "<div class=\"charts\">\n" + charts + "</div>\n</section>\n";
}

std::string text_section(const Analysis& analysis) {
  const Results& results = analysis.results;
  const SeriesNames series(results);
  std::string out = "<section id=\"text\">\n<h2>Divergence and perplexity</h2>\n";
  // One chart and one table for each text, read in one way.
  std::map<std::pair<std::string, std::string>, std::vector<const TextFigures*>> texts;
  for (const TextFigures& text : results.texts)
    texts[{text.text, (text.base_hash.empty() ? "Perplexity: " : "Divergence: ") + text.options}]
        .push_back(&text);
  std::string charts, tables;
  std::size_t number = 0;
  for (auto& [key, rows] : texts) {
    std::ranges::stable_sort(rows, {}, [](const TextFigures* t) { return t->setting; });
    Gathered points(analysis);
    HtmlTable table(escaped(key.first) + "<small>" + escaped(key.second) + "</small>",
                    {"Weights", "Activations", "KV", ">Bits", ">Size", ">KL, nats [95 %]",
                     ">Perplexity [95 %]", ">Bits per byte [95 %]"});
    for (const TextFigures* text : rows) {
      const Setting& setting = results.settings[text->setting];
      // The base beside itself, at 0 or below, has no place on a logarithmic axis.
      if (text->kl_mean && text->kl_mean->value > 1e-15 && setting.file_bytes > 0)
        points.add(text->setting, mebibytes(setting), *text->kl_mean);
      const auto cell = [](const std::optional<Estimate>& estimate) {
        return estimate ? scientific(*estimate) : std::string("n/a");
      };
      table.add({(series.several_models ? escaped(setting.model_name) + ": " : "") +
                     escaped(setting.weights),
                 escaped(setting.activations), escaped(setting.kv_type),
                 fixed(setting.bits_per_weight, 2), human_bytes(setting.file_bytes),
                 cell(text->kl_mean), cell(text->perplexity), cell(text->bits_per_byte)});
    }
    tables += table.html();
    if (points.size() > 0)
      charts += figure({.id = "kl-" + std::to_string(++number),
                        .title = "KL divergence against size: " + key.first,
                        .description = "Mean KL divergence from the base against the size of the "
                                       "file in MiB, both logarithmic, with 95 % intervals. The "
                                       "numbers are in the table below.",
                        .x_title = "file, MiB",
                        .y_title = "mean KL, nats",
                        .log_x = true,
                        .log_y = true,
                        .reference = {},
                        .series = points.series(true)});
  }
  if (tables.empty())
    return out + "<p>The store has no finished run over a text.</p>\n</section>\n";
  if (!charts.empty())
    out += legend(series, false) + "<div class=\"charts\">\n" + charts + "</div>\n";
  return out + tables + "</section>\n";
}

std::string speed_section(const Analysis& analysis) {
  const Results& results = analysis.results;
  const SeriesNames series(results);
  std::string charts = quality_chart(
      analysis, "quality-speed", "Quality against speed", "tokens generated a second", 1,
      [](const Overall& o) { return o.speed ? o.speed->generation_tokens_per_second : 0; });
  charts += quality_chart(analysis, "quality-size", "Quality against size", "file, MiB", -1,
                          [&](const Overall& o) { return mebibytes(results.settings[o.setting]); });
  std::string out = "<section id=\"speed\">\n<h2>Quality against speed and size</h2>\n";
  if (!charts.empty())
    out += "<p>Quality is the mean accuracy over all tasks, each counting the same.</p>\n" +
           legend(series, true) + "<div class=\"charts\">\n" + charts + "</div>\n";
  HtmlTable table(
      "Speed and memory<small>Each measured in a process of its own.</small>",
      {"Weights", "Activations", "KV", ">Bits", ">Size", ">Mean accuracy % [95 %]",
       ">Prompt, tokens/s", ">Generation, tokens/s", ">Load, s", "File in cache", ">Peak memory"});
  for (const Overall& overall : analysis.overall) {
    const Setting& setting = results.settings[overall.setting];
    const Speed* const speed = overall.speed;
    const auto cell = [&](auto text) { return speed ? text(*speed) : std::string("n/a"); };
    table.add({(series.several_models ? escaped(setting.model_name) + ": " : "") +
                   escaped(setting.weights),
               escaped(setting.activations), escaped(setting.kv_type),
               fixed(setting.bits_per_weight, 2), human_bytes(setting.file_bytes),
               overall.accuracy ? percent(*overall.accuracy) : "n/a",
               cell([](const Speed& s) { return fixed(s.prompt_tokens_per_second, 1); }),
               cell([](const Speed& s) { return fixed(s.generation_tokens_per_second, 1); }),
               cell([](const Speed& s) { return fixed(s.load_seconds, 3); }),
               cell([](const Speed& s) { return std::string(s.warm ? "yes" : "no"); }),
               cell([](const Speed& s) { return human_bytes(s.peak_bytes); })});
  }
  return out + table.html() + "</section>\n";
}

}  // namespace brink::tools
