// The CPU backend: executes the operations of the forward pass with the kernels of one instruction
// set on a thread pool.
#ifndef BRINK_CPU_BACKEND_H_
#define BRINK_CPU_BACKEND_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "brink/core/aligned.h"
#include "brink/cpu/kernels.h"
#include "brink/cpu/product.h"
#include "brink/cpu/thread_pool.h"
#include "brink/model/backend.h"
#include "brink/model/config.h"
#include "brink/model/layout.h"
#include "brink/model/rope.h"
#include "brink/model/weights.h"

namespace brink {

struct CpuBackendOptions {
  std::size_t context = 4096;  ///< positions of the longest sequence
  std::size_t pages = 64;      ///< KV pages
  std::size_t batch = 512;     ///< largest number of tokens in a Batch
  Activations activations = Activations::kQ8;
  KvType kv_type = KvType::kF16;
  unsigned threads = 0;              ///< 0: ThreadPool::default_threads()
  const Kernels* kernels = nullptr;  ///< nullptr: best_kernels()
  bool same_kernels = false;         ///< one kind of kernel for any number of rows
  ProductObserver observer = {};     ///< called before every product, if there is one
  /// For Activations::kInt8Tensor: of every matrix by its first byte (scales_by_matrix()).
  std::unordered_map<const std::uint8_t*, float> activation_scales = {};
};

class CpuBackend final : public Backend {
 public:
  /// `config` and `weights` must outlive the backend. Throws Error when the KV type does not fit
  /// the head size, a weight type has no kernel or there is not enough memory.
  CpuBackend(const Config& config, const Weights& weights, const CpuBackendOptions& options);

  const char* name() const override { return kernels_.name; }
  void begin(const Batch& batch) override;
  void embed() override;
  void take_rows(std::span<const float> rows) override;
  void project_heads(std::size_t layer) override;
  void attend(std::size_t layer) override;
  void keep_outputs() override;
  void project_attention(std::size_t layer) override;
  void gate_up(std::size_t layer) override;
  void down(std::size_t layer) override;
  void experts(std::size_t layer) override;
  void head() override;
  Outputs end() override;
  std::span<const float> give_rows() override;
  void copy_page(std::uint32_t from, std::uint32_t to) override;

  /// Bytes of the KV cache, all pages.
  static std::uint64_t kv_bytes(const Config& config, const CpuBackendOptions& options);
  /// Bytes of everything else, with logits for `rows` tokens.
  static std::uint64_t working_bytes(const Config& config, const CpuBackendOptions& options,
                                     std::size_t rows);
  /// What working_bytes() foretells: bytes of all buffers but the KV cache, as they are now.
  std::uint64_t allocated_bytes() const;

 private:
  /// A row of the batch: where its token stands.
  struct Row {
    std::uint32_t sequence;  // index into the batch's sequences
    std::uint32_t position;
  };

  // fn(row, thread) for all rows; on the calling thread when there is less to do than it costs to
  // wake the others. `work` is about the number of values touched per row.
  template <class F>
  void for_rows(std::size_t rows, std::size_t work, F&& fn);

  void multiply_all(std::span<const Product> products);
  void multiply_simulated(std::span<const Product> products);
  // Replaces the input by what simulated activations make of it before it meets `matrix`.
  void round_input(const WeightMatrix& matrix);
  void observe(std::span<const Product> products);
  void multiply_one(const WeightMatrix& matrix, float* y);
  void assign(const float* x, std::size_t rows, std::size_t columns, std::size_t alike = 0);
  void add_bias(float* y, const WeightVector& bias);
  // x += the waiting product, then norm_ = norm(x); all rows.
  void norm(const WeightVector& weight);
  void add_residual(float* x, std::size_t row);
  void head_rows(std::size_t first, std::size_t count);
  void finish_heads(std::size_t layer, std::size_t row);
  std::uint8_t* page(const BatchSequence& sequence, std::size_t index) {
    return kv_.data() + sequence.pages[index] * layout_.page;
  }

  /// Attention of one sequence of the batch, cut into chunks x parts items; see attend().
  struct AttentionPlan {
    std::size_t first_item = 0;
    std::size_t chunks = 0;
    std::size_t parts = 0;
    std::size_t tokens = 0;  // per chunk
    std::size_t heads = 0;   // per part
  };
  AttentionPrecision attention_precision(std::size_t layer) const;
  void attend_item(std::size_t layer, AttentionPrecision precision, const BatchSequence& sequence,
                   const AttentionPlan& plan, std::size_t item, unsigned thread);

  /// y = W x for one row of input_.
  struct RowProduct {
    const WeightMatrix* weights;
    std::size_t row;
    float* y;
  };
  void multiply_rows();
  void observe_rows();

  void choose_experts(std::size_t row);
  void group_by_expert();
  void run_experts_alone(const LayerWeights& layer);
  void run_experts_grouped(const LayerWeights& layer);
  void run_shared_expert(const LayerWeights& layer);
  void combine_experts();

  const Config& config_;
  const Weights& weights_;
  const CpuBackendOptions options_;
  const Kernels& kernels_;
  const ActivationWidths widths_;
  const KvLayout layout_;
  const RopeTable rope_;
  ThreadPool pool_;
  ActivationBuffer input_;                             // of the product at hand
  AlignedBuffer<float> rounded_;                       // of simulated activations
  std::unordered_set<const std::uint8_t*> simulated_;  // matrices whose input is rounded so
  ProductScratch scratch_;

  Batch batch_;
  std::size_t rows_ = 0;  // rows still in work
  std::vector<Row> places_;

  AlignedBuffer<float> x_;          // [batch][embedding] residual stream
  AlignedBuffer<float> norm_;       // [batch][embedding]
  AlignedBuffer<float> q_;          // [batch][heads * key_length]
  AlignedBuffer<float> k_;          // [batch][kv_heads * key_length]
  AlignedBuffer<float> v_;          // [batch][kv_heads * value_length]
  AlignedBuffer<float> attention_;  // [batch][heads * value_length]
  AlignedBuffer<float> gate_;       // [rows][hidden]; up_ the same
  AlignedBuffer<float> up_;
  AlignedBuffer<float> out_;        // [batch][embedding] product that waits to be added to x
  AlignedBuffer<float> rotations_;  // [batch][2 * pairs]
  AlignedBuffer<float> logits_;     // [outputs][vocabulary]
  AlignedBuffer<std::uint8_t> kv_;  // [pages][layout_.page]

  bool residual_waits_ = false;
  const WeightVector* residual_bias_ = nullptr;

  std::vector<AttentionPlan> plans_;
  std::vector<const void*> page_pointers_;  // [threads][2][pages of the longest sequence]
  std::vector<std::uint32_t> visible_;      // [threads][visible_stride_]
  std::size_t visible_stride_ = 0;

  // Experts: a slot is one choice of one token, and slots are sorted by expert.
  struct Choice {
    std::uint32_t expert;
    std::uint32_t slot;
    float weight;
  };
  std::vector<Choice> choices_;         // [batch][experts_used], by rank
  std::vector<std::uint32_t> begins_;   // [experts + 1] first slot
  std::vector<std::uint32_t> rows_of_;  // [slots] token row
  AlignedBuffer<float> routes_;         // [batch][experts]
  AlignedBuffer<float> shared_routes_;  // [batch]
  AlignedBuffer<float> shared_gate_;    // [batch][shared_width]; shared_up_ the same
  AlignedBuffer<float> shared_up_;
  AlignedBuffer<float> gathered_;    // [batch][embedding]
  AlignedBuffer<float> expert_out_;  // [slots][embedding]
  std::vector<RowProduct> row_products_;
  std::vector<MatvecPart> row_parts_;
};

}  // namespace brink

#endif  // BRINK_CPU_BACKEND_H_
