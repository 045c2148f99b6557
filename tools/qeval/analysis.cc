#include "tools/qeval/analysis.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "brink/core/error.h"
#include "tools/qeval/cluster_numbers.h"

namespace brink::tools {
namespace {

// Scores of the items that all of some runs have, and their clusters as numbers.
struct Scores {
  std::vector<double> base, other;
  std::vector<std::uint64_t> clusters;

  void add_cluster(const std::string& name) { clusters.push_back(numbers_.of(name)); }
  std::size_t cluster_count() const { return numbers_.count(); }

 private:
  ClusterNumbers numbers_;
};

Scores scores_of(const TaskRun& run, Measure measure) {
  Scores scores;
  for (std::size_t i = 0; i < run.items->size(); ++i) {
    scores.other.push_back(value_of((*run.figures)[i], measure));
    scores.add_cluster((*run.items)[i].cluster);
  }
  return scores;
}

// By index and id; both runs are in the order of indices.
Scores pair(const TaskRun& base, const TaskRun& other, Measure measure) {
  Scores scores;
  std::size_t b = 0;
  for (std::size_t i = 0; i < other.items->size(); ++i) {
    const Item& item = (*other.items)[i];
    while (b < base.items->size() && (*base.items)[b].index < item.index) ++b;
    if (b == base.items->size()) break;
    if ((*base.items)[b].index != item.index || (*base.items)[b].id != item.id) continue;
    scores.base.push_back(value_of((*base.figures)[b], measure));
    scores.other.push_back(value_of((*other.figures)[i], measure));
    scores.add_cluster(item.cluster);
  }
  return scores;
}

TaskScore score_of(const TaskRun& run, Measure measure) {
  const Scores scores = scores_of(run, measure);
  TaskScore result{.setting = run.setting, .task = run.task, .items = run.items->size()};
  result.accuracy = mean_score(scores.other, scores.clusters);
  result.clusters = scores.cluster_count();
  const double n = static_cast<double>(result.items);
  double known = 0, invented = 0, with_log = 0, log = 0;
  for (const ItemFigures& figures : *run.figures) {
    result.truncated += figures.truncated / n;
    result.unparsed += (1 - figures.parsed) / n;
    if (figures.invented) {
      known += 1;
      invented += *figures.invented;
    }
  }
  for (const Item& item : *run.items) {
    if (item.log_probability) {
      with_log += 1;
      log += *item.log_probability;
    }
  }
  if (known > 0) result.invented = invented / known;
  if (with_log > 0) result.log_probability = log / with_log;
  return result;
}

// The file that the settings of a model are compared with: its hash, or "".
std::string baseline_file(const Results& results, const std::string& model,
                          const std::string& wanted) {
  for (const Setting& setting : results.settings)  // most bits first
    if (setting.model_name == model &&
        (wanted.empty() || setting.weights == wanted || setting.type == wanted))
      return setting.model_hash;
  return "";
}

// Of the settings with the baseline's weights that have the task, the most exact one.
const TaskRun* baseline_of(const Results& results, const TaskRun& run, const std::string& file) {
  const TaskRun* best = nullptr;
  for (const TaskRun& candidate : results.task_runs) {
    const Setting& setting = results.settings[candidate.setting];
    if (candidate.task != run.task || setting.model_hash != file) continue;
    if (!best || candidate.setting < best->setting) best = &candidate;  // settings are sorted
  }
  return best;
}

void compare_all(Analysis& analysis) {
  const Results& results = analysis.results;
  for (const TaskRun& run : results.task_runs) {
    const std::string& model = results.settings[run.setting].model_name;
    const TaskRun* base =
        baseline_of(results, run, baseline_file(results, model, analysis.options.baseline));
    if (!base || base == &run) continue;
    const Scores scores = pair(*base, run, results.tasks[run.task].measure);
    if (scores.base.empty()) continue;
    Comparison comparison{.setting = run.setting, .baseline = base->setting, .task = run.task};
    comparison.paired = compare_paired({scores.base, scores.other, scores.clusters});
    const double tolerance = analysis.options.tolerance;
    comparison.equivalent =
        equivalent(comparison.paired.difference90, analysis.options.equivalence);
    comparison.verdict = non_inferiority(*comparison.paired.difference.ci, tolerance);
    analysis.comparisons.push_back(std::move(comparison));
  }
  std::ranges::stable_sort(analysis.comparisons, {},
                           [](const Comparison& c) { return std::pair(c.task, c.setting); });
  std::vector<double> p;
  for (const Comparison& comparison : analysis.comparisons) p.push_back(comparison.paired.p);
  const std::vector<double> corrected = holm(p);
  for (std::size_t i = 0; i < p.size(); ++i) analysis.comparisons[i].corrected_p = corrected[i];
}

void contrast_all(Analysis& analysis) {
  const std::vector<Comparison>& all = analysis.comparisons;
  for (std::size_t setting = 0; setting < analysis.results.settings.size(); ++setting) {
    for (std::size_t a = 0; a < all.size(); ++a) {
      for (std::size_t b = a + 1; b < all.size(); ++b) {
        if (all[a].setting != setting || all[b].setting != setting) continue;
        // Two gradings of one file are not independent.
        const Task &first = analysis.results.tasks[all[a].task],
                   &second = analysis.results.tasks[all[b].task];
        if (first.data_hash == second.data_hash || !first.primary || !second.primary) continue;
        analysis.contrasts.push_back(
            {setting, all[a].task, all[b].task,
             contrast(all[a].paired.difference, all[b].paired.difference)});
      }
    }
  }
  std::vector<double> p;
  for (const TaskContrast& c : analysis.contrasts) p.push_back(c.contrast.p);
  const std::vector<double> corrected = holm(p);
  for (std::size_t i = 0; i < p.size(); ++i) analysis.contrasts[i].corrected_p = corrected[i];
}

// Tasks that decide about a model: those that any setting of it was asked.
std::vector<std::size_t> deciding_tasks(const Analysis& analysis, const std::string& model) {
  std::vector<std::size_t> tasks;
  for (std::size_t task = 0; task < analysis.results.tasks.size(); ++task)
    if (analysis.results.tasks[task].primary &&
        std::ranges::any_of(analysis.scores, [&](const TaskScore& score) {
          return score.task == task && analysis.results.settings[score.setting].model_name == model;
        }))
      tasks.push_back(task);
  return tasks;
}

void climb_down(Analysis& analysis) {
  const Results& results = analysis.results;
  using Family = std::tuple<std::string, std::string, std::string, std::string>;
  std::vector<Family> families;
  for (std::size_t i = 0; i < results.settings.size(); ++i) {
    const Setting& s = results.settings[i];
    Ladder::Rung rung{.setting = i};
    std::vector<Verdict> verdicts;
    for (const Comparison& comparison : analysis.comparisons) {
      if (comparison.setting != i || !results.tasks[comparison.task].primary) continue;
      rung.comparisons.push_back(&comparison);
      verdicts.push_back(comparison.verdict);
    }
    if (verdicts.empty()) continue;
    // What was not measured can be anything.
    for (const std::size_t task : deciding_tasks(analysis, s.model_name))
      if (std::ranges::none_of(rung.comparisons,
                               [&](const Comparison* c) { return c->task == task; })) {
        rung.missing.push_back(task);
        verdicts.push_back(Verdict::kCannotTell);
      }
    rung.alone = over_tasks(verdicts);
    rung.equivalent =
        rung.missing.empty() && std::ranges::all_of(rung.comparisons, &Comparison::equivalent);
    const Family family{s.model_name, s.activations, s.kv_type, s.backend};
    const auto at = std::ranges::find(families, family);
    const auto place = static_cast<std::size_t>(at - families.begin());
    if (at == families.end()) {
      families.push_back(family);
      analysis.ladders.emplace_back();
    }
    analysis.ladders[place].rungs.push_back(std::move(rung));
  }
  // Models in their order, of each the most exact activations and KV cache first.
  const std::vector<std::string> models = results.model_names();
  std::ranges::stable_sort(analysis.ladders, {}, [&](const Ladder& ladder) {
    const Setting& s = results.settings[ladder.rungs[0].setting];
    return std::pair(std::ranges::find(models, s.model_name) - models.begin(), coarseness(s));
  });
  for (Ladder& ladder : analysis.ladders) {
    std::vector<Verdict> alone;
    for (const Ladder::Rung& rung : ladder.rungs) alone.push_back(rung.alone);
    const FixedSequence sequence = fixed_sequence(alone);
    for (std::size_t i = 0; i < alone.size(); ++i) ladder.rungs[i].verdict = sequence.verdicts[i];
    ladder.lowest_safe = sequence.lowest_safe;
  }
}

void sum_up(Analysis& analysis) {
  const Results& results = analysis.results;
  for (std::size_t i = 0; i < results.settings.size(); ++i) {
    Overall overall{.setting = i};
    std::vector<Estimate> accuracies;
    bool all = true;
    for (const std::size_t task : deciding_tasks(analysis, results.settings[i].model_name)) {
      const TaskScore* score = analysis.score(i, task);
      if (score) accuracies.push_back(score->accuracy);
      all &= score != nullptr;
    }
    if (all && !accuracies.empty()) overall.accuracy = mean_of(accuracies);
    for (const SettingSpeed& speed : results.speeds)
      if (speed.setting == i) overall.speed = &speed.speed;
    analysis.overall.push_back(std::move(overall));
  }
}

}  // namespace

const TaskScore* Analysis::score(std::size_t setting, std::size_t task) const {
  const auto found = std::ranges::find_if(
      scores, [&](const TaskScore& s) { return s.setting == setting && s.task == task; });
  return found == scores.end() ? nullptr : &*found;
}

Analysis analyse(Results results, const AnalysisOptions& options) {
  if (!options.baseline.empty() && std::ranges::none_of(results.settings, [&](const Setting& s) {
        return s.weights == options.baseline || s.type == options.baseline;
      }))
    throw Error("no finished run has the weights '" + options.baseline + "' of the baseline");
  Analysis analysis;
  analysis.options = options;
  analysis.results = std::move(results);
  for (const TaskRun& run : analysis.results.task_runs)
    if (!run.items->empty())
      analysis.scores.push_back(score_of(run, analysis.results.tasks[run.task].measure));
  std::ranges::stable_sort(analysis.scores, {},
                           [](const TaskScore& s) { return std::pair(s.task, s.setting); });
  compare_all(analysis);
  contrast_all(analysis);
  climb_down(analysis);
  sum_up(analysis);
  return analysis;
}

std::vector<bool> pareto_front(const std::vector<ParetoPoint>& points) {
  std::vector<bool> front;
  for (const ParetoPoint& p : points)
    front.push_back(std::ranges::none_of(points, [&](const ParetoPoint& q) {
      return q.cost <= p.cost && q.quality >= p.quality &&
             (q.cost < p.cost || q.quality > p.quality);
    }));
  return front;
}

}  // namespace brink::tools
