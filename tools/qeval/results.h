// What a report needs of a results store: finished runs, sorted by what was quantized and by what
// was measured.
#ifndef BRINK_TOOLS_QEVAL_RESULTS_H_
#define BRINK_TOOLS_QEVAL_RESULTS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "brink/eval/statistics.h"
#include "tools/qeval/item_figures.h"
#include "tools/qeval/store.h"

namespace brink::tools {

/// A model file and how it was run: a point of the dial.
struct Setting {
  std::string model_name, model_hash;
  /// Type of the weights, with the file's name where a model has several files of that type.
  std::string weights;
  std::string type;
  std::string activations;  ///< as on the command line; "int8-tensor 1a2b3c4d": with these scales
  std::string kv_type, backend;
  double bits_per_weight = 0;
  std::uint64_t file_bytes = 0;

  /// "Q4_K_M, q8, f16": weights, activations, KV cache and, where it is not the CPU, backend.
  std::string label() const;
  /// The same without weights: "q8, KV f16".
  std::string rounding() const;
};

/// What of an answer is compared. Where a grader gives several, the first one decides verdicts and
/// means, and the others stand beside it as tasks of their own.
enum class Measure {
  kAccuracy,    ///< right or wrong; of several samples the share of right ones
  kNormalized,  ///< right or wrong by the length-normalised choice
  kScore,       ///< a grade between 0 and 1
};
/// Key of --json: "accuracy", "accuracy_normalized", "score".
const char* name_of(Measure measure);
/// In [0, 1].
double value_of(const ItemFigures& figures, Measure measure);

/// Items that can be paired: of one file, asked for, graded and measured in one way. How many of
/// them were asked makes no difference: those that two runs have in common are paired.
struct Task {
  /// Of the file; where a report has it more than once with what differs behind it.
  std::string name;
  std::string data, data_hash, options;
  Measure measure = Measure::kAccuracy;
  bool primary = true;
};

struct TaskRun {
  std::size_t setting = 0, task = 0;
  // Shared by the measures of a run; `figures` are those of the items, in their order.
  std::shared_ptr<const std::vector<Item>> items = {};
  std::shared_ptr<const std::vector<ItemFigures>> figures = {};
};

/// Perplexity of a text, or divergence from a base on it, as finish() was told.
struct TextFigures {
  std::size_t setting = 0;
  std::string text;
  std::string options;
  std::string base_hash;
  std::optional<Estimate> perplexity = {}, bits_per_byte = {}, kl_mean = {};
};

struct SettingSpeed {
  std::size_t setting = 0;
  Speed speed;
};

struct Results {
  /// Models in the order they were begun, of each the most bits first, of equal bits the file begun
  /// first; then from exact to coarse activations and KV cache.
  std::vector<Setting> settings;
  std::vector<Task> tasks;
  std::vector<TaskRun> task_runs;  ///< one at most for a setting and a task: that of most items
  std::vector<TextFigures> texts;
  std::vector<SettingSpeed> speeds;
  std::vector<StoredRun> runs;  ///< all of them, unfinished ones too, which are nowhere else

  /// In the order of settings.
  std::vector<std::string> model_names() const;
};

/// Place in the order from exact to coarse; words that are not known come last.
std::size_t coarseness(const Setting& setting);

Results load_results(const Store& store);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_RESULTS_H_
