// qeval report.
#include <charconv>
#include <cstdio>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "brink/core/error.h"
#include "tools/qeval/analysis.h"
#include "tools/qeval/options.h"
#include "tools/qeval/page.h"
#include "tools/qeval/report.h"
#include "tools/qeval/report_rows.h"
#include "tools/qeval/results.h"
#include "tools/qeval/store.h"
#include "tools/support/json.h"
#include "tools/support/output_file.h"
#include "tools/support/shell_word.h"
#include "tools/support/table.h"
#include "tools/support/usage_error.h"

namespace brink::tools {
namespace {

// "2pp", "0.5pp": percentage points, as a share.
double parse_points(const std::string& option, const std::string& text) {
  double points = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, points);
  if (error != std::errc() || std::string_view(rest, end) != "pp" || !(points > 0 && points < 100))
    throw UsageError(option + ": '" + printable(text, 40) +
                     "' is no number of percentage points, like 2pp");
  return points / 100;
}

void write(const std::string& path, const std::string& text) {
  OutputFile file(path);
  file.write(std::as_bytes(std::span(text)));
  file.close();
}

std::string command_of(const ReportOptions& options) {
  std::string command = "qeval report --store " + shell_word(options.store);
  if (!options.baseline.empty()) command += " --baseline " + shell_word(options.baseline);
  command += " --tolerance " + shell_word(options.tolerance);
  if (!options.equivalence.empty()) command += " --equivalence " + shell_word(options.equivalence);
  return command + " -o " + shell_word(options.page);
}

std::string tasks_of(const Analysis& analysis, const Ladder::Rung& rung) {
  std::string text;
  for (const Comparison* c : rung.comparisons)
    text += (text.empty() ? "" : "; ") + analysis.results.tasks[c->task].name + " " +
            std::string(name_of(c->verdict));
  for (const std::size_t task : rung.missing)
    text += "; " + analysis.results.tasks[task].name + " not measured";
  return text;
}

std::string verdict_table(const Analysis& analysis) {
  Table table({"model", "weights", "activations", "kv", ">bits", ">size", ">mean accuracy % [95 %]",
               "verdict", "equivalent", "by task"});
  const Results& results = analysis.results;
  std::vector<bool> shown(results.settings.size(), false);
  const auto add = [&](std::size_t setting, const std::string& verdict, const std::string& equal,
                       const std::string& tasks) {
    shown[setting] = true;
    const Setting& s = results.settings[setting];
    const auto& accuracy = analysis.overall[setting].accuracy;
    table.add({printable(s.model_name, 24), printable(s.weights, 40), s.activations, s.kv_type,
               fixed(s.bits_per_weight, 2), human_bytes(s.file_bytes),
               accuracy ? percent(*accuracy) : "n/a", verdict, equal, printable(tasks, 200)});
  };
  for (const Comparison& c : analysis.comparisons)
    if (!shown[c.baseline]) add(c.baseline, "baseline", "", "");
  for (const Ladder& ladder : analysis.ladders)
    for (std::size_t i = 0; i < ladder.rungs.size(); ++i) {
      const Ladder::Rung& rung = ladder.rungs[i];
      if (shown[rung.setting]) continue;  // the baseline of other tasks
      add(rung.setting,
          std::string(name_of(rung.verdict)) + (ladder.lowest_safe == i ? ", the lowest safe" : ""),
          rung.equivalent ? "yes" : "not shown", tasks_of(analysis, rung));
    }
  for (const TaskScore& score : analysis.scores)
    if (!shown[score.setting]) add(score.setting, "not compared", "", "no baseline has its tasks");
  return table.text();
}

// Says which file is the baseline where that is not plain, and what there is not.
void explain(const Analysis& analysis, const ReportOptions& options) {
  const Results& results = analysis.results;
  std::set<std::string> told;
  for (const Setting& first : results.settings) {
    if (!options.baseline.empty() || !told.insert(first.model_name).second) continue;
    for (const Setting& s : results.settings)
      if (s.model_name == first.model_name && s.model_hash != first.model_hash &&
          s.bits_per_weight == first.bits_per_weight &&
          told.insert(s.model_name + '\n' + s.weights).second)
        std::fprintf(stderr,
                     "qeval: %s: %s and %s have as many bits: the first, begun before, is the "
                     "baseline (--baseline names another)\n",
                     printable(first.model_name, 40).c_str(), printable(first.weights, 60).c_str(),
                     printable(s.weights, 60).c_str());
  }
  if (results.settings.empty())
    std::fprintf(stderr, "qeval: %s has no finished run\n", options.store.c_str());
  else if (results.tasks.empty())
    std::fprintf(stderr, "qeval: %s has no answers to tasks: nothing to give verdicts about\n",
                 options.store.c_str());
}

}  // namespace

int report(const ReportOptions& options) {
  if (options.page.empty() && options.csv.empty() && !options.json)
    throw UsageError("nothing to make: give -o, --csv or --json");
  AnalysisOptions analysis_options{options.baseline,
                                   parse_points("--tolerance", options.tolerance)};
  analysis_options.equivalence = options.equivalence.empty()
                                     ? analysis_options.tolerance
                                     : parse_points("--equivalence", options.equivalence);
  for (const std::string& output : {options.page, options.csv})
    check_output(output, {options.store});
  if (!options.csv.empty() && options.csv == options.page)
    throw UsageError("-o and --csv name the same file");
  const Store store(options.store, Store::Access::kRead);
  const Analysis analysis =
      naming(options.store, [&] { return analyse(load_results(store), analysis_options); });
  explain(analysis, options);
  if (!options.page.empty()) write(options.page, report_page(analysis, command_of(options)));
  if (!options.csv.empty() || options.json) {
    const Json rows = report_rows(analysis);
    if (!options.csv.empty()) write(options.csv, to_csv(rows));
    if (options.json) std::fputs(to_text(rows, 1).c_str(), stdout);
  }
  if (!options.json) std::fputs(verdict_table(analysis).c_str(), stdout);
  return 0;
}

}  // namespace brink::tools
