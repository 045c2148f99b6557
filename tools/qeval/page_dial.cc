// The dial on the report page: weights down, activations and KV cache across.
#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tools/qeval/markup.h"
#include "tools/qeval/page.h"
#include "tools/support/table.h"

namespace brink::tools {
namespace {

// The settings of a model by weights and by what else is rounded, in the order of settings.
struct Grid {
  std::vector<std::string> weights, columns;
  std::map<std::pair<std::string, std::string>, std::size_t> settings;
};

Grid grid_of(const Results& results, const std::string& model) {
  Grid grid;
  std::vector<std::pair<std::size_t, std::string>> columns;
  for (std::size_t i = 0; i < results.settings.size(); ++i) {
    const Setting& s = results.settings[i];
    if (s.model_name != model) continue;
    const std::string column = s.rounding();
    if (std::ranges::find(grid.weights, s.weights) == grid.weights.end())
      grid.weights.push_back(s.weights);
    const std::pair place{coarseness(s), column};
    if (std::ranges::find(columns, place) == columns.end()) columns.push_back(place);
    grid.settings[{s.weights, column}] = i;
  }
  std::ranges::sort(columns);
  for (auto& [order, column] : columns) grid.columns.push_back(std::move(column));
  return grid;
}

// A table of the cells that `cell` gives for settings; "" where fewer than two have one, or where
// all are in one column.
std::string table_of(const Grid& grid, const std::string& caption,
                     const std::function<std::optional<std::string>(std::size_t)>& cell) {
  std::set<std::string> filled;
  std::map<std::pair<std::string, std::string>, std::string> cells;
  for (const auto& [place, setting] : grid.settings)
    if (const auto text = cell(setting)) {
      cells[place] = *text;
      filled.insert(place.second);
    }
  if (filled.size() < 2) return "";
  std::vector<std::string> headers = {"Weights"};
  for (const std::string& column : grid.columns)
    if (filled.contains(column)) headers.push_back(">" + column);
  HtmlTable table(caption, headers);
  for (const std::string& weights : grid.weights) {
    std::vector<std::string> row = {escaped(weights)};
    bool any = false;
    for (const std::string& column : grid.columns) {
      if (!filled.contains(column)) continue;
      const auto found = cells.find({weights, column});
      any |= found != cells.end();
      row.push_back(found == cells.end() ? "n/a" : found->second);
    }
    if (any) table.add(row);
  }
  return table.html();
}

}  // namespace

std::string dial_section(const Analysis& analysis) {
  const Results& results = analysis.results;
  std::string tables;
  const std::vector<std::string> models = results.model_names();
  for (const std::string& model : models) {
    const Grid grid = grid_of(results, model);
    const std::string of_model = models.size() > 1 ? escaped(model) + ": " : "";
    if (std::ranges::count_if(results.tasks, &Task::primary) > 1)
      tables += table_of(grid, of_model + "Mean accuracy, %<small>95 % intervals.</small>",
                         [&](std::size_t setting) -> std::optional<std::string> {
                           const auto& accuracy = analysis.overall[setting].accuracy;
                           if (!accuracy) return std::nullopt;
                           return percent(*accuracy);
                         });
    for (std::size_t task = 0; task < results.tasks.size(); ++task)
      tables +=
          table_of(grid,
                   of_model + escaped(results.tasks[task].name) +
                       ", %<small>Below it the difference from the baseline on the same items, in "
                       "percentage points, with its 95 % interval.</small>",
                   [&](std::size_t setting) -> std::optional<std::string> {
                     const TaskScore* const score = analysis.score(setting, task);
                     if (!score) return std::nullopt;
                     std::string text = percent(score->accuracy.value);
                     for (const Comparison& c : analysis.comparisons)
                       if (c.setting == setting && c.task == task)
                         text += "<br/><span class=\"soft\">" +
                                 signed_percent(c.paired.difference) + "</span>";
                     return text;
                   });
    std::set<std::pair<std::string, std::string>> texts;
    for (const TextFigures& text : results.texts) texts.emplace(text.text, text.options);
    for (const auto& [name, options] : texts) {
      const auto of_text = [&, &n = name, &o = options](auto figure) {
        return [&, figure](std::size_t setting) -> std::optional<std::string> {
          for (const TextFigures& text : results.texts)
            if (text.setting == setting && text.text == n && text.options == o && text.*figure)
              return scientific(*(text.*figure));
          return std::nullopt;
        };
      };
      const std::string about =
          escaped(name) + "<small>" + escaped(options) + "; 95 % intervals.</small>";
      const std::string kl = table_of(grid, of_model + "Mean KL divergence, nats: " + about,
                                      of_text(&TextFigures::kl_mean));
      tables += kl.empty() ? table_of(grid, of_model + "Perplexity: " + about,
                                      of_text(&TextFigures::perplexity))
                           : kl;
    }
  }
  if (tables.empty()) return "";
  return "<section id=\"dial\">\n<h2>Weights, activations, KV cache</h2>\n<p>What each costs, by "
         "itself and together: weights down, what else is rounded across.</p>\n" +
         tables + "</section>\n";
}

}  // namespace brink::tools
