// qeval sweep: every quant of a model, measured in everything, as one work that can be interrupted.
#ifndef BRINK_TOOLS_QEVAL_SWEEP_H_
#define BRINK_TOOLS_QEVAL_SWEEP_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "brink/quant/mixes.h"
#include "tools/qeval/dial.h"
#include "tools/qeval/store.h"
#include "tools/support/engine_options.h"
#include "tools/support/importance_option.h"
#include "tools/support/json.h"

namespace brink::tools {

struct SweepOptions {
  std::vector<std::string> models;
  std::vector<std::string> quants;   ///< mixes, or "all"; empty: the files as they are
  std::string base;                  ///< without quants: what divergence is from
  std::string importance;            ///< matrix to quantize with
  std::string text;                  ///< empty: no perplexity and divergence
  std::vector<std::string> tasks;    ///< files
  std::vector<std::string> graders;  ///< one for each task, or one for all
  std::string prompt;                ///< file for all tasks; empty: built-in prompts
  std::size_t limit = 0;             ///< of the items of each task; 0: all
  bool allow_code = false;
  DialOptions dial;
  std::size_t context = 512;
  std::size_t most_windows = 0;
  bool parse_special = false;
  bool speed = true;
  bool cold = false;
  unsigned threads = 0;
  std::string store = "results.sqlite";
  std::string folder;  ///< of quants and base logits; empty: STORE.files
  bool keep = false;
  std::string csv;  ///< file
  bool json = false;
};

/// The subcommand, its options and what it does; returns the exit code and throws Error.
CLI::App* add_sweep(CLI::App& app, SweepOptions& options);
int sweep(const SweepOptions& options);

/// A file to measure, or how to make it.
struct SweepModel {
  std::string source;       ///< path of the -m it comes from
  std::string source_hash;  ///< its fingerprint
  std::optional<Mix> mix;   ///< not there: the source itself
  std::string path;         ///< where the file is, or will be
  /// Known of files that are there, and of those that an earlier sweep made.
  std::string hash;
  std::string name;  ///< general.name, or the file's
  std::string weights;
  double bits_per_weight = 0;
  std::uint64_t bytes = 0;
  std::string base;  ///< path of the model that divergence is from; empty: of none
  std::string base_hash;
};

/// What is left out, and why.
struct SkippedQuant {
  std::string source, quant, reason;
};

struct SweepModels {
  std::vector<SweepModel> models;
  std::vector<SkippedQuant> skipped;
};

/// The quants of a sweep; their importance matrix is read once.
class QuantMaker {
 public:
  /// Throws Error for a matrix that cannot be used. `options` must outlive it.
  explicit QuantMaker(const SweepOptions& options);

  /// The sources, each followed by its quants from the most bits on. What would only come out when
  /// a quant is made or measured is found here: throws Error for a file that cannot be read, a
  /// source that is quantized already, a matrix of another model's widths, a text shorter than a
  /// window; UsageError for a quant that is none. Warns of tensors without importance.
  SweepModels plan(const std::string& folder, const Store& store) const;

  /// Makes the file of a quant unless it is there, and notes in the store what became known of it.
  void make(SweepModel& model, Store& store) const;

 private:
  std::string reason_to_skip(const Gguf& gguf, const std::vector<PlannedTensor>& plan) const;
  /// How many tensors are made without importance.
  std::size_t check_source(const Gguf& gguf, const std::vector<PlannedTensor>& plan) const;

  const SweepOptions& options_;
  Importance importance_;
  std::string importance_hash_;  // of the bytes of its file; empty: there is none
};

/// A row of the report: a model under one setting of the dial.
struct SweepRow {
  const SweepModel* model = nullptr;
  std::string activations, kv_type;
  Json divergence, perplexity, speed;  ///< rows of these subcommands; null where not measured
  std::vector<Json> tasks;             ///< in the order of the options
};

/// Flat objects sorted by size; see docs/measuring.md.
Json sweep_json(const std::vector<SweepRow>& rows, const SweepOptions& options);
std::string sweep_table(const Json& rows, const SweepOptions& options);

/// All finished runs of a store: what was measured and every figure, a run a line.
std::string runs_csv(const Store& store);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_SWEEP_H_
