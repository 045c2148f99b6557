// Attention over a paged KV cache with an online softmax (Milakov and Gimelshein 2018; blocked as
// in FlashAttention, Dao et al. 2022). Included once per pass, after ops-inl.h.
// Here in f32; attention_bf16-inl.h does the same in bf16.
//
// Whatever queries share a call, each one goes through the same arithmetic in the same order, so
// its output is the same to the bit:
// - a score is the sum of kLanes chains of FMAs, chain l over dimensions l, l + kLanes, ..., added
//   up as a tree of neighbouring chains;
// - the softmax is taken page by page, with the largest score so far;
// - output dimension i is one chain of FMAs over the positions of each page.
// The scores of one query come from rows of K, chains in the lanes of a vector, and the tree is one
// of shuffles. Many queries use K transposed, positions in the lanes, so that a chain is a vector
// for as many positions as it has lanes, and the tree costs additions only.

#include <cfloat>
#include <cstddef>
#include <cstdint>

#include "brink/cpu/attention_pages-inl.h"
#include "brink/cpu/kernels.h"
#include "brink/cpu/thread_scratch.h"
#include "hwy/highway.h"
#if BRINK_HAVE_VNNI
#include "brink/cpu/attention_bf16-inl.h"
#endif

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

// From this many queries on it pays to transpose K (measured: even at 12, on all instruction sets).
inline constexpr std::size_t kTransposeFrom = 16;
static_assert(kQueryChunk % kTileQueries == 0);

// The queries of a chunk on their way through the pages.
struct AttentionState {
  std::size_t count = 0;
  const std::uint32_t* visible = nullptr;  // [count]
  std::size_t k_padded = 0;                // k_dim and v_dim in whole vectors
  std::size_t v_padded = 0;
  float* q = nullptr;        // [count][k_padded] scaled, zeros at the end
  float* scores = nullptr;   // [count][kKvPage] of the current page; then weights
  float* acc = nullptr;      // [count][v_padded] sum of weight * v
  float* k_tile = nullptr;   // a page of K: [kKvPage][k_padded], or transposed
  float* v_tile = nullptr;   // [kKvPage][v_padded] a page of V
  float* largest = nullptr;  // [count] largest score so far
  float* total = nullptr;    // [count] sum of weights, relative to `largest`

  // Positions of a page that query i sees.
  std::size_t Visible(std::size_t i, std::size_t page_begin) const {
    return visible[i] <= page_begin ? 0 : HWY_MIN(visible[i] - page_begin, kKvPage);
  }
};

// A page of one query; `next_k` is the one after it.
template <KvType kKType, KvType kVType>
HWY_INLINE void AttendOne(const AttentionArgs& args, const AttentionState& state, std::size_t page,
                          std::size_t rows, KvRows next_k) {
  const KvRows k = KPage(args, page);
  const KvRows v = VPage(args, page);
  ScoreRows<kKType>(state.q, k.page, k.bytes_per_row, args.k_dim, rows, v, state.scores);
  WeighPage(state.scores, rows, *state.largest, *state.total, state.acc, state.v_padded);
  AccumulateRows<kVType>(state.scores, v.page, v.bytes_per_row, args.v_dim, rows, next_k,
                         state.acc);
}

template <KvType kKType>
HWY_INLINE void AttendOneOf(const AttentionArgs& args, const AttentionState& state,
                            std::size_t page, std::size_t rows, KvRows next_k) {
  switch (args.v_type) {
    case KvType::kF32:
      return AttendOne<kKType, KvType::kF32>(args, state, page, rows, next_k);
    case KvType::kF16:
      return AttendOne<kKType, KvType::kF16>(args, state, page, rows, next_k);
    case KvType::kQ8_0:
      return AttendOne<kKType, KvType::kQ8_0>(args, state, page, rows, next_k);
    case KvType::kQ4_0:
      return AttendOne<kKType, KvType::kQ4_0>(args, state, page, rows, next_k);
  }
}

// A page as f32 rows of whole vectors: where it lies, or converted into `tile`.
HWY_INLINE const float* PageRows(KvType type, KvRows page, std::size_t dim, std::size_t rows,
                                 KvRows next, float* tile) {
  switch (type) {
    case KvType::kF32:
      if (dim % kLanes == 0) {
        next.Prefetch(0, kKvPage);
        return reinterpret_cast<const float*>(page.page);
      }
      ConvertPage<KvType::kF32>(page.page, page.bytes_per_row, dim, rows, next, tile);
      break;
    case KvType::kF16:
      ConvertPage<KvType::kF16>(page.page, page.bytes_per_row, dim, rows, next, tile);
      break;
    case KvType::kQ8_0:
      ConvertPage<KvType::kQ8_0>(page.page, page.bytes_per_row, dim, rows, next, tile);
      break;
    case KvType::kQ4_0:
      ConvertPage<KvType::kQ4_0>(page.page, page.bytes_per_row, dim, rows, next, tile);
      break;
  }
  return tile;
}

HWY_INLINE void TransposedPage(KvType type, KvRows page, std::size_t dim, std::size_t rows,
                               float* tile) {
  switch (type) {
    case KvType::kF32:
      return TransposePage<KvType::kF32>(page.page, page.bytes_per_row, dim, rows, tile);
    case KvType::kF16:
      return TransposePage<KvType::kF16>(page.page, page.bytes_per_row, dim, rows, tile);
    case KvType::kQ8_0:
      return TransposePage<KvType::kQ8_0>(page.page, page.bytes_per_row, dim, rows, tile);
    case KvType::kQ4_0:
      return TransposePage<KvType::kQ4_0>(page.page, page.bytes_per_row, dim, rows, tile);
  }
}

// Queries i..i + kQueries of a page: weights from the scores, then the weighted sum of V. Together
// as far as all of them see; positions that only some see must not touch the others, not even with
// weight zero (the value there may be infinite).
template <std::size_t kQueries>
HWY_INLINE void AttendTile(const AttentionState& state, const float* v_rows, std::size_t i,
                           std::size_t page_begin) {
  std::size_t common = kKvPage;
  for (std::size_t k = i; k < i + kQueries; ++k) {
    const std::size_t n = state.Visible(k, page_begin);
    common = HWY_MIN(common, n);
    if (n > 0) {
      WeighPage(state.scores + k * kKvPage, n, state.largest[k], state.total[k],
                state.acc + k * state.v_padded, state.v_padded);
    }
  }
  AccumulateTile<kQueries>(state.scores + i * kKvPage, v_rows, state.v_padded, 0, common,
                           state.acc + i * state.v_padded);
  for (std::size_t k = i; k < i + kQueries; ++k) {
    const std::size_t n = state.Visible(k, page_begin);
    if (n > common) {
      AccumulateTile<1>(state.scores + k * kKvPage, v_rows, state.v_padded, common, n,
                        state.acc + k * state.v_padded);
    }
  }
}

// A page of several queries, converted once for all.
HWY_NOINLINE void AttendMany(const AttentionArgs& args, const AttentionState& state,
                             std::size_t page, std::size_t rows, KvRows next_k) {
  const std::size_t begin = page * kKvPage;
  const KvRows k = KPage(args, page);
  const KvRows v = VPage(args, page);
  const std::size_t tiled = state.count / kTileQueries * kTileQueries;
  if (state.count >= kTransposeFrom) {
    TransposedPage(args.k_type, k, args.k_dim, rows, state.k_tile);
    for (std::size_t i = 0; i < state.count; i += i < tiled ? kTileQueries : 1) {
      const float* q = state.q + i * state.k_padded;
      float* scores = state.scores + i * kKvPage;
      if (i < tiled) {
        ScoreTile<kTileQueries>(q, state.k_padded, state.k_tile, rows, scores);
      } else {
        ScoreTile<1>(q, state.k_padded, state.k_tile, rows, scores);
      }
    }
  } else {
    const float* k_rows = PageRows(args.k_type, k, args.k_dim, rows, v, state.k_tile);
    for (std::size_t i = 0; i < state.count; ++i) {
      ScoreRows<KvType::kF32>(state.q + i * state.k_padded,
                              reinterpret_cast<const std::uint8_t*>(k_rows),
                              state.k_padded * sizeof(float), state.k_padded, rows, KvRows(),
                              state.scores + i * kKvPage);
    }
  }
  const float* v_rows = PageRows(args.v_type, v, args.v_dim, rows, next_k, state.v_tile);
  for (std::size_t i = 0; i < tiled; i += kTileQueries) {
    AttendTile<kTileQueries>(state, v_rows, i, begin);
  }
  for (std::size_t i = tiled; i < state.count; ++i) AttendTile<1>(state, v_rows, i, begin);
}

// Queries [begin, begin + count), at most kQueryChunk.
HWY_NOINLINE void AttendChunk(const AttentionArgs& args, std::size_t begin, std::size_t count) {
  const Lane16 d;
  AttentionState state;
  state.count = count;
  state.visible = args.visible + begin;
  state.k_padded = LanesUp(args.k_dim);
  state.v_padded = LanesUp(args.v_dim);
  float* scratch = thread_scratch((kQueryChunk + kKvPage) * (state.k_padded + state.v_padded) +
                                  kQueryChunk * (kKvPage + 2));
  state.k_tile = scratch;
  state.v_tile = state.k_tile + kKvPage * state.k_padded;
  state.q = state.v_tile + kKvPage * state.v_padded;
  state.acc = state.q + kQueryChunk * state.k_padded;
  state.scores = state.acc + kQueryChunk * state.v_padded;
  state.largest = state.scores + kQueryChunk * kKvPage;
  state.total = state.largest + kQueryChunk;

  const auto scale = hn::Set(d, args.scale);
  std::size_t seen = 0;
  for (std::size_t k = 0; k < count; ++k) {
    const float* query = args.queries + (begin + k) * args.query_stride;
    float* q = state.q + k * state.k_padded;
    std::size_t i = 0;
    for (; i + kLanes <= args.k_dim; i += kLanes) {
      hn::Store(hn::Mul(hn::LoadU(d, query + i), scale), d, q + i);
    }
    if (i < args.k_dim) {
      hn::Store(hn::Mul(LoadFirst(d, query + i, args.k_dim - i), scale), d, q + i);
    }
    float* acc = state.acc + k * state.v_padded;
    for (i = 0; i < state.v_padded; i += kLanes) hn::Store(hn::Zero(d), d, acc + i);
    state.largest[k] = -FLT_MAX;
    state.total[k] = 0.0f;
    seen = HWY_MAX(seen, state.visible[k]);
  }

  for (std::size_t page = 0; page * kKvPage < seen; ++page) {
    const std::size_t rows = HWY_MIN(seen - page * kKvPage, kKvPage);
    const KvRows next_k = (page + 1) * kKvPage < seen ? KPage(args, page + 1) : KvRows();
    if (count > 1) {
      AttendMany(args, state, page, rows, next_k);
    } else if (args.k_type == KvType::kF32) {
      AttendOneOf<KvType::kF32>(args, state, page, rows, next_k);
    } else if (args.k_type == KvType::kF16) {
      AttendOneOf<KvType::kF16>(args, state, page, rows, next_k);
    } else if (args.k_type == KvType::kQ8_0) {
      AttendOneOf<KvType::kQ8_0>(args, state, page, rows, next_k);
    } else {
      AttendOneOf<KvType::kQ4_0>(args, state, page, rows, next_k);
    }
  }

  for (std::size_t k = 0; k < count; ++k) {
    const float total = state.total[k];
    const auto factor = hn::Set(d, total == 0.0f ? 0.0f : 1.0f / total);
    const float* acc = state.acc + k * state.v_padded;
    float* out = args.out + (begin + k) * args.out_stride;
    std::size_t i = 0;
    for (; i + kLanes <= args.v_dim; i += kLanes) {
      hn::StoreU(hn::Mul(hn::Load(d, acc + i), factor), d, out + i);
    }
    if (i < args.v_dim) {
      StoreFirst(hn::Mul(hn::Load(d, acc + i), factor), d, out + i, args.v_dim - i);
    }
  }
}

// An output is zero where all scores are minus infinity.
void Attention(const AttentionArgs& args) {
  for (std::size_t begin = 0; begin < args.count; begin += kQueryChunk) {
    const std::size_t count = HWY_MIN(args.count - begin, kQueryChunk);
#if BRINK_HAVE_VNNI
    if (args.precision == AttentionPrecision::kBf16) {
      AttendChunkBf16(args, begin, count);
      continue;
    }
#endif
    AttendChunk(args, begin, count);
  }
}

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
