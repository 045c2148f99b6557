// The tables of the report page.
#include <algorithm>
#include <set>
#include <utility>

#include "tools/qeval/markup.h"
#include "tools/qeval/page.h"
#include "tools/support/table.h"

namespace brink::tools {
namespace {

std::string html_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kSafe:
      return "<span class=\"safe\">✓ safe</span>";
    case Verdict::kUnsafe:
      return "<span class=\"unsafe\">✗ unsafe</span>";
    case Verdict::kCannotTell:
      break;
  }
  return "<span class=\"open\">? cannot tell</span>";
}

std::string equivalence(bool shown) { return shown ? "yes" : "not shown"; }

// Weights, activations, KV cache, bits: the columns that every row begins with.
std::vector<std::string> setting_cells(const Setting& setting) {
  std::string kv = escaped(setting.kv_type);
  if (setting.backend != "cpu" && !setting.backend.empty())
    kv += " (" + escaped(setting.backend) + ")";
  return {escaped(setting.weights), escaped(setting.activations), kv,
          fixed(setting.bits_per_weight, 2)};
}

std::vector<std::string> operator+(std::vector<std::string> cells, std::vector<std::string> more) {
  for (std::string& cell : more) cells.push_back(std::move(cell));
  return cells;
}

std::string model_note(const Setting& setting, const SeriesNames& series) {
  return series.several_models ? escaped(setting.model_name) + ": " : "";
}

std::string method_note(const PairedComparison& paired) {
  switch (paired.method) {
    case PairedMethod::kTango:
      return "Tango's score interval, exact McNemar test";
    case PairedMethod::kBootstrap:
      return "graded: bootstrap over items";
    case PairedMethod::kClusterBootstrap:
      return "graded: bootstrap over clusters";
    case PairedMethod::kClusterTango:
      return "hull of the bootstrap over clusters and Tango's interval of the effective items; "
             "sign-flip test of clusters";
    case PairedMethod::kFewChanges:
      return "graded, few changes: hull of the bootstrap and Tango's interval of the effective "
             "items";
    case PairedMethod::kWorstCase:
      break;
  }
  return "no change: Tango's interval, each cluster as one item";
}

}  // namespace

std::string verdict_section(const Analysis& analysis) {
  const Results& results = analysis.results;
  const SeriesNames series(results);
  std::string out = "<section id=\"verdicts\">\n<h2>Verdicts</h2>\n";
  if (analysis.ladders.empty())
    return out + "<p>No task has a baseline and a quant.</p>\n</section>\n";
  out += "<p>Is a quant at most " + percent(analysis.options.tolerance) +
         " percentage points worse than the baseline? From high bits down; behind the first that "
         "is not safe none is called safe. Equivalent: neither worse nor better by " +
         percent(analysis.options.equivalence) + " points, on every task.</p>\n";
  for (const Ladder& ladder : analysis.ladders) {
    const Setting& first = results.settings[ladder.rungs[0].setting];
    HtmlTable table(
        model_note(first, series) + "Activations " + escaped(first.activations) + ", KV cache " +
            escaped(first.kv_type) + "<small>Lowest safe: " +
            (ladder.lowest_safe
                 ? escaped(results.settings[ladder.rungs[*ladder.lowest_safe].setting].weights)
                 : "none shown") +
            "</small>",
        {"Weights", "Verdict", "Equivalent", "Activations", "KV", ">Bits", ">Size", "By task"});
    for (const Ladder::Rung& rung : ladder.rungs) {
      const Setting& setting = results.settings[rung.setting];
      const std::string verdict = html_of(rung.verdict);
      std::string by_task;
      for (const Comparison* comparison : rung.comparisons)
        by_task += (by_task.empty() ? "" : "; ") + escaped(results.tasks[comparison->task].name) +
                   " " + html_of(comparison->verdict);
      for (const std::size_t task : rung.missing)
        by_task += "; " + escaped(results.tasks[task].name) + " not measured";
      if (rung.alone != rung.verdict)
        by_task += " <span class=\"soft\">(safe by itself, behind one that is not)</span>";
      std::vector<std::string> cells = setting_cells(setting);
      // In sight on a telephone.
      cells.insert(cells.begin() + 1, {verdict, equivalence(rung.equivalent)});
      table.add(cells + std::vector<std::string>{human_bytes(setting.file_bytes), by_task});
    }
    out += table.html();
  }
  return out + "</section>\n";
}

std::string comparison_section(const Analysis& analysis) {
  const Results& results = analysis.results;
  const SeriesNames series(results);
  std::string out =
      "<section id=\"pairs\">\n<h2>Differences from the baseline</h2>\n<p>Item by item, on the "
      "same questions. Differences in percentage points; p corrected (Holm) over all " +
      std::to_string(analysis.comparisons.size()) + " comparisons of this report.</p>\n";
  std::set<std::pair<std::size_t, std::size_t>> groups;  // task, baseline
  for (const Comparison& c : analysis.comparisons) groups.emplace(c.task, c.baseline);
  for (const auto& [task, baseline] : groups) {
    const Setting& base = results.settings[baseline];
    const TaskScore* const base_score = analysis.score(baseline, task);
    std::set<std::string> methods;
    for (const Comparison& c : analysis.comparisons)
      if (c.task == task && c.baseline == baseline) methods.insert(method_note(c.paired));
    std::string notes;
    for (const std::string& method : methods) notes += (notes.empty() ? "" : "; ") + method;
    HtmlTable table(
        escaped(results.tasks[task].name) + "<small>" + model_note(base, series) +
            std::to_string(base_score->items) + " items in " +
            std::to_string(base_score->clusters) + " clusters; baseline " + escaped(base.label()) +
            ". " + notes + ".</small>",
        {"Weights", "Activations", "KV", ">Bits", ">Items",
         results.tasks[task].measure == Measure::kScore ? ">Score % [95 %]" : ">Accuracy % [95 %]",
         ">Difference [95 %]", ">Lost", ">Gained", ">p", ">p Holm", ">Detectable",
         ">Retained % [95 %]", "Verdict", "Equivalent", ">Truncated %", ">Unparsed %",
         ">Invented %", ">ln p(right)"});
    const auto share = [](const TaskScore& score) {
      return std::vector<std::string>{
          percent(score.truncated), percent(score.unparsed),
          score.invented ? percent(*score.invented) : "n/a",
          score.log_probability ? fixed(*score.log_probability, 3) : "n/a"};
    };
    table.add(setting_cells(base) +
                  std::vector<std::string>{std::to_string(base_score->items),
                                           percent(base_score->accuracy), "baseline", "", "", "",
                                           "", "", "", "", ""} +
                  share(*base_score),
              "base");
    for (const Comparison& c : analysis.comparisons) {
      if (c.task != task || c.baseline != baseline) continue;
      const PairedComparison& paired = c.paired;
      const TaskScore& score = *analysis.score(c.setting, task);
      table.add(setting_cells(results.settings[c.setting]) +
                std::vector<std::string>{std::to_string(paired.items), percent(score.accuracy),
                                         signed_percent(paired.difference),
                                         std::to_string(paired.lost), std::to_string(paired.gained),
                                         p_text(paired.p), p_text(c.corrected_p),
                                         paired.detectable ? percent(*paired.detectable) : "none",
                                         paired.retained ? percent(*paired.retained) : "n/a",
                                         html_of(c.verdict), equivalence(c.equivalent)} +
                share(score));
    }
    out += table.html();
  }
  if (groups.empty()) out += "<p>Nothing to compare.</p>\n";
  return out + "</section>\n";
}

std::string contrast_section(const Analysis& analysis) {
  const Results& results = analysis.results;
  const SeriesNames series(results);
  std::string out = "<section id=\"skills\">\n<h2>Do some skills fall first?</h2>\n";
  if (analysis.contrasts.empty())
    return out + "<p>That takes two tasks at least with a baseline and a quant.</p>\n</section>\n";
  out +=
      "<p>How much further a quant falls on one task than on another: the difference of its two "
      "differences from the baseline, in percentage points.</p>\n";
  HtmlTable table("Differences of drops<small>Interval by MOVER; p corrected (Holm) over all " +
                      std::to_string(analysis.contrasts.size()) + " rows. The most certain first." +
                      "</small>",
                  {"Weights", "Activations", "KV", ">Bits", "Falls further on", "than on",
                   ">by [95 %]", ">p", ">p Holm"});
  std::vector<const TaskContrast*> rows;
  for (const TaskContrast& c : analysis.contrasts) rows.push_back(&c);
  std::ranges::stable_sort(rows, {}, [](const TaskContrast* c) { return c->contrast.p; });
  for (const TaskContrast* c : rows) {
    // The larger drop first, as a positive number.
    const Estimate& d = c->contrast.difference;
    const bool turned = d.value > 0;
    const Estimate by = turned ? d : Estimate{-d.value, Interval{-d.ci->high, -d.ci->low}};
    const std::string& first = results.tasks[turned ? c->second : c->first].name;
    const std::string& second = results.tasks[turned ? c->first : c->second].name;
    std::vector<std::string> cells = setting_cells(results.settings[c->setting]);
    cells[0] = model_note(results.settings[c->setting], series) + cells[0];
    table.add(cells + std::vector<std::string>{escaped(first), escaped(second), signed_percent(by),
                                               p_text(c->contrast.p), p_text(c->corrected_p)});
  }
  return out + table.html() + "</section>\n";
}

}  // namespace brink::tools
