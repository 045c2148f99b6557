// One pass: every kernel for one instruction set, and its table. Included by passes.h as
// BRINK_PASS_INCLUDE. The files below have no guard: each is wanted exactly once per pass, in this
// order.

// clang-format off
#include "hwy/highway.h"
#include "brink/cpu/simd-inl.h"
#include "brink/cpu/unpack-inl.h"
#include "brink/cpu/unpack_k-inl.h"
#include "brink/cpu/unpack_i_quants-inl.h"
#include "brink/cpu/unpack_small-inl.h"
#include "brink/cpu/decode-inl.h"
#include "brink/cpu/kv-inl.h"
#include "brink/cpu/ops-inl.h"
#include "brink/cpu/logits-inl.h"
#include "brink/cpu/attention-inl.h"
#include "brink/cpu/activations-inl.h"
#include "brink/cpu/matvec_k-inl.h"
#include "brink/cpu/matvec_grids-inl.h"
#include "brink/cpu/matvec-inl.h"
#include "brink/cpu/matvec_halves-inl.h"
#include "brink/cpu/matvec_avx2-inl.h"
#include "brink/cpu/matmul_unpack-inl.h"
#include "brink/cpu/matmul_unpack_vnni-inl.h"
#include "brink/cpu/matvec_q8-inl.h"
#include "brink/cpu/matmul-inl.h"
#include "brink/cpu/matmul_float-inl.h"
#ifndef BRINK_SPLIT
#include "brink/cpu/encoders-inl.h"
#endif
// clang-format on

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {

// In encoders-inl.h.
EncodeFn EncoderOf(TensorType type);

const Kernels& Table() {
  static const Kernels table = [] {
    Kernels k{};
    k.name = BRINK_ISA_NAME;
    for (const TensorTypeSize& t : kTensorTypeSizes) {
      k.decode[static_cast<std::size_t>(t.type)] = DecoderOf(t.type);
      k.encode[static_cast<std::size_t>(t.type)] = EncoderOf(t.type);
    }
    k.quantize_q8 = &QuantizeQ8;
    k.pack_q8 = &PackQ8;
    k.round_bf16 = &RoundBf16;
    k.matvec_f32 = &MatvecF32;
    k.matmul_f32 = &MatmulFloat<false>;
    k.matmul_bf16 = &MatmulFloat<true>;
#define X(name)                                                                                \
  k.matvec_q8[static_cast<std::size_t>(TensorType::k##name)] = &MatvecQ8<TensorType::k##name>; \
  k.matvec_q8_tokens[static_cast<std::size_t>(TensorType::k##name)] =                          \
      MostMatvecTokens<TensorType::k##name>();                                                 \
  k.matvec_order[static_cast<std::size_t>(TensorType::k##name)] =                              \
      MatvecOrder<TensorType::k##name>();                                                      \
  k.matmul_q8[static_cast<std::size_t>(TensorType::k##name)] = &MatmulQ8<TensorType::k##name>;
    BRINK_QUANTIZED_TYPES(X)
#undef X
    k.panel_rows = kPanelRows;
    k.matmul_scratch_bytes = &MatmulScratchBytes;
    k.rms_norm = &RmsNorm;
    k.add = &Add;
    k.add_scaled = &AddScaled;
    k.swiglu = &SwiGlu;
    k.softmax = &Softmax;
    k.rope = &Rope;
    k.sum_logits = &SumLogits;
    k.store_gaps = &StoreGaps;
    k.sum_divergence = &SumDivergence;
    k.kv_store = &KvStore;
    k.attention = &Attention;
    return k;
  }();
  return table;
}

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
