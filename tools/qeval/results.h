// What a report needs of a results store: finished runs, sorted by what was quantized and by what
// was measured.
#ifndef BRINK_TOOLS_QEVAL_RESULTS_H_
#define BRINK_TOOLS_QEVAL_RESULTS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "brink/eval/statistics.h"
#include "tools/qeval/store.h"

namespace brink::tools {

/// A model file and how it was run: a point of the dial.
struct Setting {
  std::string model_name, model_hash;
  std::string weights;
  std::string activations;  ///< as on the command line; "int8-tensor 1a2b3c4d": with these scales
  std::string kv_type, backend;
  double bits_per_weight = 0;
  std::uint64_t file_bytes = 0;

  /// "Q4_K_M, q8, f16": weights, activations, KV cache and, where it is not the CPU, backend.
  std::string label() const;
};

/// Items that can be paired: of one file, asked for and graded in one way.
struct Task {
  std::string name;  ///< of the file; with a number behind it where a report has it more than once
  std::string data, data_hash, options;
};

struct TaskRun {
  std::size_t setting = 0, task = 0;
  std::vector<Item> items;
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
  /// Models in the order they were begun, of each the most bits first; then from exact to coarse
  /// activations and KV cache.
  std::vector<Setting> settings;
  std::vector<Task> tasks;
  std::vector<TaskRun> task_runs;
  std::vector<TextFigures> texts;
  std::vector<SettingSpeed> speeds;
  std::vector<StoredRun> runs;  ///< all of them, unfinished ones too, which are nowhere else

  const TaskRun* find(std::size_t setting, std::size_t task) const;
};

/// Place in the order from exact to coarse; words that are not known come last.
std::size_t coarseness(const Setting& setting);

Results load_results(const Store& store);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_RESULTS_H_
