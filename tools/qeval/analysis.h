// The statistics of a report: every setting against the baseline of its model, task by task.
#ifndef BRINK_TOOLS_QEVAL_ANALYSIS_H_
#define BRINK_TOOLS_QEVAL_ANALYSIS_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "brink/eval/paired.h"
#include "brink/eval/verdict.h"
#include "tools/qeval/results.h"

namespace brink::tools {

struct AnalysisOptions {
  std::string baseline;       ///< weights or type; empty: those of the most bits
  double tolerance = 0.02;    ///< as a share
  double equivalence = 0.02;  ///< margin, as a share
};

/// One setting's answers to one task.
struct TaskScore {
  std::size_t setting = 0, task = 0;
  std::size_t items = 0;
  std::size_t clusters = 0;
  Estimate accuracy = {};  ///< mean of the task's measure
  double truncated = 0, unparsed = 0;
  std::optional<double> invented = {};         ///< share, of the items where it can be told
  std::optional<double> log_probability = {};  ///< mean, of the right answer, nats
};

/// One setting against the baseline, over the items that both have.
struct Comparison {
  std::size_t setting = 0, baseline = 0, task = 0;
  PairedComparison paired = {};
  double corrected_p = 1;  ///< Holm, over all comparisons of the report
  bool equivalent = false;
  Verdict verdict = Verdict::kCannotTell;
};

/// How much further a setting falls on one task than on another.
struct TaskContrast {
  std::size_t setting = 0;
  std::size_t first = 0, second = 0;  ///< tasks; the difference is first - second
  Contrast contrast;
  double corrected_p = 1;  ///< Holm, over all contrasts of the report
};

/// The quants of one model with the same activations and KV cache, from high bits down.
struct Ladder {
  struct Rung {
    std::size_t setting = 0;
    Verdict alone = Verdict::kCannotTell;    ///< over its tasks, by itself
    Verdict verdict = Verdict::kCannotTell;  ///< in sequence
    /// On each of its tasks: both tests of all tasks must succeed (an intersection-union test), so
    /// that none needs a correction.
    bool equivalent = false;
    std::vector<const Comparison*> comparisons = {};
    std::vector<std::size_t> missing = {};  ///< tasks of its model that it was not asked
  };
  std::vector<Rung> rungs;
  std::optional<std::size_t> lowest_safe;  ///< of rungs
};

/// What the charts of size and speed show of a setting.
struct Overall {
  std::size_t setting = 0;
  std::optional<Estimate> accuracy =
      {};  ///< mean over the deciding tasks of its model; only if it has them all
  const Speed* speed = nullptr;  ///< the latest
};

struct Analysis {
  AnalysisOptions options;
  Results results;
  std::vector<TaskScore> scores;  ///< by task, then in the order of settings
  std::vector<Comparison> comparisons;
  std::vector<TaskContrast> contrasts;
  std::vector<Ladder> ladders;
  std::vector<Overall> overall;  ///< one for each setting

  const TaskScore* score(std::size_t setting, std::size_t task) const;

  Analysis() = default;
  Analysis(Analysis&&) = default;  // Rungs point to comparisons
  Analysis& operator=(Analysis&&) = default;
};

/// Throws Error where no setting has the baseline's weights.
Analysis analyse(Results results, const AnalysisOptions& options);

struct ParetoPoint {
  double cost = 0;     ///< lower is better
  double quality = 0;  ///< higher is better
};
/// Those that no other one beats in one without losing in the other.
std::vector<bool> pareto_front(const std::vector<ParetoPoint>& points);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_ANALYSIS_H_
