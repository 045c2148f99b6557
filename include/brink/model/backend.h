// What the forward pass needs of a device: a few coarse operations. The pass says what is computed
// and in which order; a backend owns every buffer and decides how.
#ifndef BRINK_MODEL_BACKEND_H_
#define BRINK_MODEL_BACKEND_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace brink {

struct WeightMatrix;

/// Takes rows of logits as they are computed: `first` is the place of the first of them among the
/// outputs asked for. Valid only during the call.
using LogitsSink = std::function<void(std::size_t first, std::span<const float> logits)>;

/// What goes into products of matrices, before any rounding: for statistics over activations.
struct ProductInput {
  /// The matrices that are multiplied with it, as they lie in the model's file.
  std::span<const WeightMatrix* const> matrices;
  const float* rows = nullptr;  ///< row r at rows + r * columns
  std::size_t count = 0;        ///< rows
  std::size_t columns = 0;
};
using ProductObserver = std::function<void(const ProductInput&)>;

/// Consecutive tokens of one sequence within a batch.
struct BatchSequence {
  std::size_t first = 0;     ///< index of its first token in the batch
  std::size_t count = 0;     ///< its tokens
  std::size_t position = 0;  ///< position of the first of them in the sequence
  /// KV pages of the sequence; page p holds positions [p * kKvPage, (p + 1) * kKvPage).
  std::span<const std::uint32_t> pages;
};

/// What one run of the forward pass works on. The spans outlive the run.
struct Batch {
  std::span<const std::int32_t> tokens;      ///< ids, checked to be in the vocabulary
  std::span<const BatchSequence> sequences;  ///< cover `tokens` in order
  std::span<const std::uint32_t> outputs;    ///< tokens whose logits are wanted, ascending
  /// 0: all logits of an output; else so many of the largest ones, where Backend::most_best()
  /// allows.
  std::size_t best = 0;
  /// Where logits go, if they are all wanted but need not be kept: a backend may then compute them
  /// piece by piece, give them here and none in Outputs. nullptr: they are kept.
  const LogitsSink* sink = nullptr;
};

/// What a step gives for its outputs, in their order: all logits, or only the best tokens, largest
/// logit first, the lower id first among equals.
struct Outputs {
  std::span<const float> logits = {};  ///< [outputs][vocabulary]; empty when best_ids are given
  /// [outputs][best]; a single one is -1 where no logit is a number above -infinity.
  std::span<const std::int32_t> best_ids = {};
  std::span<const float> best_logits = {};  ///< [outputs][best]; empty for a single best
};

/// Executes (or records) the operations of model/transformer.h. Between begin and end a backend
/// holds one row per token of the batch: the residual stream x, the heads' q, k and v, and what
/// attention gave. Layers are named by index; their weights were given at construction.
class Backend {
 public:
  virtual ~Backend() = default;

  /// Instruction set or device, for people.
  virtual const char* name() const = 0;

  /// Takes the batch: ids, positions (and their rotations), page tables.
  virtual void begin(const Batch& batch) = 0;

  /// x = row of the embedding matrix of each token.
  virtual void embed() = 0;

  /// Instead of embed(), for a backend whose layers follow those of another: x = `rows`, one of
  /// `embedding` values for each token. They are copied.
  virtual void take_rows(std::span<const float> rows) = 0;

  /// n = norm(x); q, k, v = W n (+ bias), head norms where the layer has them; q and k rotated;
  /// k and v written to the cache.
  virtual void project_heads(std::size_t layer) = 0;

  /// a = attention of q over the cached k and v of the token's sequence, up to its own position.
  virtual void attend(std::size_t layer) = 0;

  /// From here on only the rows of Batch::outputs.
  virtual void keep_outputs() = 0;

  /// x += W a (+ bias).
  virtual void project_attention(std::size_t layer) = 0;

  /// h = silu(W_gate n) * (W_up n), n = norm(x) (+ biases).
  virtual void gate_up(std::size_t layer) = 0;

  /// x += W_down h (+ bias).
  virtual void down(std::size_t layer) = 0;

  /// x += the chosen experts' feed-forward networks, weighted (+ the shared expert's, gated).
  virtual void experts(std::size_t layer) = 0;

  /// logits = W norm(x) (+ bias).
  virtual void head() = 0;

  /// Waits for the results, valid until the next begin.
  virtual Outputs end() = 0;

  /// The largest Batch::best: 0 for a backend that cannot choose tokens where it computes.
  virtual std::size_t most_best() const { return 0; }

  /// Instead of head() and end(), for a backend whose layers those of another follow: waits and
  /// gives x, a row for each token of the batch, valid until the next begin.
  virtual std::span<const float> give_rows() = 0;

  /// Time that the steps took, by kind of work, since profiling was switched on.
  struct Work {
    std::string name;
    std::size_t calls = 0;
    double seconds = 0;
  };
  /// Empty unless the backend can tell and was made with profiling.
  virtual std::vector<Work> profile() const { return {}; }
  /// Forgets what profile() has gathered.
  virtual void reset_profile() {}

  /// Copies a whole KV page, all layers.
  virtual void copy_page(std::uint32_t from, std::uint32_t to) = 0;
};

}  // namespace brink

#endif  // BRINK_MODEL_BACKEND_H_
