// The table of CPU kernels: one instance per instruction set, chosen at run time. All kernels work
// on one thread; the backend hands out rows, heads and tokens. Unless said otherwise pointers need
// no alignment and counts may be any number, zero included.
#ifndef BRINK_CPU_KERNELS_H_
#define BRINK_CPU_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "brink/cpu/activations.h"
#include "brink/gguf/tensor_types.h"
#include "brink/quant/encode.h"
#include "brink/quant/format.h"
#include "brink/quant/weight_matrix.h"

namespace brink {

/// Element type of a KV cache: numbers, or blocks of 32 as the weight types of that name.
enum class KvType : std::uint8_t { kF32, kF16, kQ8_0, kQ4_0 };

/// Positions per page of the KV cache; also the block of the online softmax.
inline constexpr std::size_t kKvPage = 64;

/// Values that share a scale: cached vectors must be a multiple of it.
constexpr std::size_t kv_block(KvType type) {
  return type == KvType::kQ8_0 || type == KvType::kQ4_0 ? 32 : 1;
}

/// Bytes of kv_block() values.
constexpr std::size_t kv_block_bytes(KvType type) {
  switch (type) {
    case KvType::kF32:
      return 4;
    case KvType::kF16:
      return 2;
    case KvType::kQ8_0:
      return 34;
    case KvType::kQ4_0:
      return 18;
  }
  return 0;
}

/// Bytes of one cached vector of `dim` values.
constexpr std::size_t kv_row_bytes(KvType type, std::size_t dim) {
  return dim / kv_block(type) * kv_block_bytes(type);
}

/// What attention computes with. kBf16 rounds queries, keys, weights and values to bf16 (a relative
/// error of 2^-9 each) and adds up in f32; instruction sets without bf16 ignore it.
enum class AttentionPrecision : std::uint8_t { kF32, kBf16 };

/// Attention of some queries of one sequence over one KV head (grouped query heads of several
/// tokens come as several queries, so that they share the loads of K and V).
struct AttentionArgs {
  const float* queries = nullptr;  ///< query i at queries + i * query_stride, k_dim values
  std::size_t query_stride = 0;
  std::size_t count = 0;                   ///< number of queries
  const std::uint32_t* visible = nullptr;  ///< [count] positions 0..visible[i]-1 are attended, >= 1
  const void* const* k_pages = nullptr;    ///< page p: kKvPage rows of k_dim values of type k_type
  const void* const* v_pages = nullptr;    ///< page p: kKvPage rows of v_dim values of type v_type
  KvType k_type = KvType::kF32;
  KvType v_type = KvType::kF32;
  std::size_t k_dim = 0;
  std::size_t v_dim = 0;
  float scale = 1.0f;  ///< multiplies q . k
  AttentionPrecision precision = AttentionPrecision::kF32;
  float* out = nullptr;  ///< output i at out + i * out_stride, v_dim values
  std::size_t out_stride = 0;
};

/// y[t * y_stride + r] = scale * sum_k W[r][k] x[t][k] for rows [row_begin, row_end).
struct MatvecArgs {
  WeightMatrix weights;
  ActivationRows x;  ///< at most kMatvecTokens tokens, or Kernels::matvec_q8_tokens
  std::size_t row_begin = 0;
  std::size_t row_end = 0;
  float* y = nullptr;
  std::size_t y_stride = 0;
};

/// The same for many tokens.
struct MatmulArgs {
  WeightMatrix weights;
  ActivationPanels x;
  std::size_t row_begin = 0;  ///< a multiple of Kernels::panel_rows
  std::size_t row_end = 0;
  std::size_t next_row = 0;  ///< where the same thread will probably go on; weights.rows if nowhere
  float* y = nullptr;
  std::size_t y_stride = 0;
  /// At least Kernels::matmul_scratch_bytes(tokens), 64-byte aligned, one per thread.
  std::uint8_t* scratch = nullptr;
};

/// Of one row of logits.
struct LogitSums {
  float largest = 0.0f;
  std::uint32_t top = 0;  ///< the first index that has the largest
  double sum = 0.0;       ///< of exp(x - largest); NaN when a logit is not finite
};

/// Of a row of logits beside stored gaps g (cpu/logit_gaps.h) of another one: with d how far the
/// row's own logits lie below their largest, D(stored || row) = cross / mass + ln(sum of e^-d) -
/// ln(mass).
struct DivergenceSums {
  double mass = 0.0;   ///< sum of e^-g
  double cross = 0.0;  ///< sum of e^-g (d - g)
};

struct Kernels {
  const char* name;  ///< "sse4", "avx2", "avx512", "avx512_vnni", "neon", "emu128"

  /// Exact decoders, bit for bit those of Format::decode.
  DecodeFn decode[kTensorTypeIds];
  /// The encoders; byte for byte what reference_encoder gives. nullptr for F64 and integers.
  EncodeFn encode[kTensorTypeIds];

  // --- Activations ---------------------------------------------------------------------------
  /// Rounds one row of `count` values to int8 (count a multiple of `block`, block 32 or 256).
  void (*quantize_q8)(const float* x, std::size_t count, std::uint32_t block, const Q8Row& out);
  /// The same for one unit of `count` <= kUnit values (a multiple of `block`), zero-padded to
  /// kUnit.
  void (*pack_q8)(const float* x, std::size_t count, std::uint32_t block, const Q8Unit& out);
  /// Rounds to nearest-even bf16; NaN stays NaN.
  void (*round_bf16)(const float* x, std::size_t count, std::uint16_t* out);

  // --- Products ------------------------------------------------------------------------------
  /// Few tokens (generation): weights are read once, straight from their blocks.
  void (*matvec_f32)(const MatvecArgs&);                 ///< any type
  void (*matvec_q8[kTensorTypeIds])(const MatvecArgs&);  ///< nullptr where Format::q8_block is 0
  /// The largest number of tokens that matvec_q8 takes, and for which it is the faster kind; at
  /// least 1, at most kMatvecTokens.
  std::size_t matvec_q8_tokens[kTensorTypeIds];
  /// The order in which matvec_q8 wants q.
  Q8Order matvec_order[kTensorTypeIds];
  /// Many tokens (prompts): panels of rows are unpacked once and used for every token.
  void (*matmul_f32)(const MatmulArgs&);                 ///< any type
  void (*matmul_bf16)(const MatmulArgs&);                ///< any type
  void (*matmul_q8[kTensorTypeIds])(const MatmulArgs&);  ///< nullptr where Format::q8_block is 0
  std::size_t panel_rows;                                ///< rows per panel
  std::size_t (*matmul_scratch_bytes)(std::size_t tokens);

  // --- Element-wise --------------------------------------------------------------------------
  /// out[i] = x[i] / sqrt(mean(x^2) + eps) * weight[i]. `out` may be `x`.
  void (*rms_norm)(const float* x, const float* weight, float eps, std::size_t n, float* out);
  /// x[i] += y[i]
  void (*add)(float* x, const float* y, std::size_t n);
  /// x[i] += factor * y[i]
  void (*add_scaled)(float* x, const float* y, float factor, std::size_t n);
  /// out[i] = silu(gate[i]) * up[i], silu(v) = v / (1 + exp(-v)). `out` may be `gate`.
  void (*swiglu)(const float* gate, const float* up, std::size_t n, float* out);
  /// In place: x = exp(x - max(x)) / sum.
  void (*softmax)(float* x, std::size_t n);
  /// Rotates one head in place: pair i is (x[2i], x[2i+1]), or (x[i], x[i + rotary/2]) with `neox`;
  /// cos_sin holds rotary/2 cosines, then rotary/2 sines. Dimensions past `rotary` are untouched.
  void (*rope)(float* x, const float* cos_sin, std::size_t rotary, bool neox);

  // --- Evaluation ----------------------------------------------------------------------------
  void (*sum_logits)(const float* x, std::size_t n, LogitSums* out);
  /// The gaps of finite logits whose largest is `largest`.
  void (*store_gaps)(const float* x, std::size_t n, float largest, std::uint16_t* out);
  void (*sum_divergence)(const float* x, std::size_t n, float largest, const std::uint16_t* gaps,
                         DivergenceSums* out);

  // --- KV cache ------------------------------------------------------------------------------
  /// Stores `dim` floats as one cached row: f32 copy, f16 round to nearest even, or Q8_0 blocks.
  void (*kv_store)(const float* x, std::size_t dim, KvType type, void* row);
  void (*attention)(const AttentionArgs&);
};

/// Largest number of tokens that matvec kernels take.
inline constexpr std::size_t kMatvecTokens = 8;

/// Every instruction set compiled in that this processor can run, the fastest last.
std::span<const Kernels* const> available_kernels();

/// The fastest available, or the one named by the environment variable BRINK_ISA (which must be
/// available: Error otherwise).
const Kernels& best_kernels();

/// nullptr when no available table has that name.
const Kernels* find_kernels(std::string_view name);

}  // namespace brink

#endif  // BRINK_CPU_KERNELS_H_
