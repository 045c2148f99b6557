// Products of weight matrices with a batch of activations, on all threads.
#ifndef BRINK_CPU_PRODUCT_H_
#define BRINK_CPU_PRODUCT_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "brink/core/aligned.h"
#include "brink/cpu/activations.h"
#include "brink/cpu/kernels.h"
#include "brink/cpu/row_split.h"
#include "brink/cpu/thread_pool.h"
#include "brink/quant/weight_matrix.h"

namespace brink {

/// A batch of activations and its rounded forms, each made when a product first asks for it and
/// kept until the next assign(). Memory is kept between batches.
class ActivationBuffer {
 public:
  /// `x`: [tokens][stride], `columns` values used of each; must stay valid and unchanged while the
  /// buffer is used. Nothing is computed yet. Products choose their kind of kernel as if there were
  /// `alike` tokens, if that is more than there are.
  void assign(const float* x, std::size_t stride, std::size_t tokens, std::size_t columns,
              Activations activations, std::size_t alike = 0);

  /// As assigned; rows are `columns` apart where the stride was.
  const float* values() const { return x_; }
  std::size_t tokens() const { return tokens_; }
  std::size_t alike() const { return alike_; }
  std::size_t columns() const { return columns_; }
  Activations activations() const { return activations_; }

  /// The forms, made on first use. `block` is 32 or 256.
  const ActivationRows& rows_f32(const Kernels& kernels);
  const ActivationRows& rows_q8(const Kernels& kernels, std::uint32_t block,
                                Q8Order order = Q8Order::kNatural);
  const ActivationPanels& panels_f32(ThreadPool& pool);
  const ActivationPanels& panels_bf16(ThreadPool& pool, const Kernels& kernels);
  const ActivationPanels& panels_q8(ThreadPool& pool, const Kernels& kernels, std::uint32_t block);

  /// Bytes held.
  std::size_t bytes() const;

 private:
  struct Q8Storage {
    AlignedBuffer<std::int8_t> q;
    AlignedBuffer<float> scales, sums16, sums32;
    AlignedBuffer<std::int32_t> sums4;
    AlignedBuffer<std::int16_t> integer_sums16, integer_sums32;
    AlignedBuffer<std::int8_t> ordered[kQ8Orders];
    Q8Row reserve(std::size_t values, std::uint32_t block);
  };
  struct PanelStorage {
    AlignedBuffer<std::int8_t> q;
    AlignedBuffer<float> scales;
    AlignedBuffer<std::int32_t> starts16, starts32;
    AlignedBuffer<std::int16_t> sums16, sums32;
  };
  static constexpr std::size_t which(std::uint32_t block) { return block == 256 ? 1 : 0; }

  const float* x_ = nullptr;
  std::size_t stride_ = 0, tokens_ = 0, alike_ = 0, columns_ = 0;
  Activations activations_ = Activations::kF32;

  bool have_rows_f32_ = false, have_panels_f32_ = false, have_panels_bf16_ = false;
  bool have_rows_q8_[2][kQ8Orders] = {}, have_panels_q8_[2] = {};
  ActivationRows rows_f32_, rows_q8_[2][kQ8Orders];
  ActivationPanels panels_f32_, panels_bf16_, panels_q8_[2];

  AlignedBuffer<float> rounded_rows_, f32_units_;
  AlignedBuffer<std::uint16_t> bf16_units_;
  Q8Storage q8_rows_[2];
  PanelStorage q8_units_[2];
};

/// y[t * y_stride + r] = weights.scale * sum_k weights[r][k] x[t][k].
struct Product {
  WeightMatrix weights;
  float* y = nullptr;
  std::size_t y_stride = 0;
};

/// Most products that multiply() takes at once.
inline constexpr std::size_t kMaxProducts = 8;

/// Working memory of multiply(), kept between calls.
struct ProductScratch {
  AlignedBuffer<std::uint8_t> bytes;
};

/// One matrix-vector product of a parallel region: y and x in `args`, rows shared out by `split`.
struct MatvecPart {
  MatvecArgs args;
  void (*kernel)(const MatvecArgs&) = nullptr;
  RowSplit split;
  std::size_t first_item = 0;
};

/// The part that multiplies `product` with all rows of `x`, by the kernel that goes with the type
/// and the activations. `items` counts the work items of the region so far.
MatvecPart matvec_part(const ThreadPool& pool, const Kernels& kernels, const Product& product,
                       ActivationBuffer& x, std::size_t& items);

/// Runs one work item of a region that has `part` in it.
void run_matvec_item(const MatvecPart& part, std::size_t item);

/// Runs the `items` work items of all parts, which were made in this order.
void run_matvec_parts(ThreadPool& pool, std::span<const MatvecPart> parts, std::size_t items);

/// Computes all products, which share the activations, in one parallel region. Few tokens go
/// through the matrix-vector kernels, more through the matrix-matrix kernels: up to kMatvecTokens
/// are few, with int8 activations up to Kernels::matvec_q8_tokens. Types with Format::q8_block 0
/// multiply f32 activations also under Activations::kQ8. Results do not depend on the number of
/// threads, nor on the other tokens of the batch as long as the same kind of kernel is used.
void multiply(ThreadPool& pool, const Kernels& kernels, std::span<const Product> products,
              ActivationBuffer& x, ProductScratch& scratch);

}  // namespace brink

#endif  // BRINK_CPU_PRODUCT_H_
