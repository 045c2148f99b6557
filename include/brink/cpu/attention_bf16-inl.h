// Attention in bf16, with vdpbf16ps: twice the multiply-adds of f32 per instruction. The frame is
// that of attention-inl.h, which includes this file in passes that have the instruction: pages of
// the KV cache one after the other, with an online softmax.
//
// Whatever queries share a call, each one goes through the same arithmetic in the same order, so
// its output is the same to the bit:
// - a score is one chain over pairs of dimensions, positions in the lanes of a vector (so K is
//   transposed, pair by pair, for any number of queries);
// - scores are in units of log2: the weight of a position is 2^(score - largest), and `largest` is
//   rounded up to a whole number, so that bringing older sums to a new one is exact;
// - the sum of weights is that of the rounded weights, which therefore sum to one after division;
// - output dimension i is one chain over pairs of positions.

#include <cfloat>
#include <cstddef>
#include <cstdint>

#include "brink/cpu/kernels.h"
#include "brink/cpu/thread_scratch.h"
#include "hwy/highway.h"

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

// Two bf16 values in each of 16 lanes.
using PairVec = hn::Vec<hn::RebindToUnsigned<Lane16>>;
using PairTag = hn::RebindToUnsigned<Lane16>;
static_assert(kLanes == 16);

inline constexpr std::size_t kPairDims = 2 * kLanes;  // values of a vector of pairs
inline constexpr std::size_t kPagePairs = kKvPage / 2;
inline constexpr std::size_t kPageVectors = kKvPage / kLanes;

// The queries of a chunk on their way through the pages.
struct Bf16State {
  std::size_t count = 0;
  const std::uint32_t* visible = nullptr;  // [count]
  std::size_t k_pairs = 0;                 // k_dim in whole vectors of pairs
  std::size_t v_padded = 0;                // v_dim in whole vectors of pairs
  std::uint32_t* q = nullptr;              // [count][k_pairs] scaled, zeros at the end
  std::uint32_t* weights = nullptr;        // [count][kPagePairs] of the current page
  std::uint32_t* k_tile = nullptr;         // [k_pairs][kKvPage]
  std::uint32_t* v_tile = nullptr;         // [kPagePairs][v_padded], see InterleaveRows
  float* acc = nullptr;                    // [count][v_padded] sum of weight * v, in that order
  float* totals = nullptr;                 // [count][kLanes] sums of weights
  float* largest = nullptr;                // [count]

  std::size_t Visible(std::size_t i, std::size_t page_begin) const {
    return visible[i] <= page_begin ? 0 : HWY_MIN(visible[i] - page_begin, kKvPage);
  }
};

HWY_INLINE LaneVec DotPairs(LaneVec sum, PairVec a, PairVec b) {
  return LaneVec{_mm512_dpbf16_ps(sum.raw, reinterpret_cast<__m512bh>(a.raw),
                                  reinterpret_cast<__m512bh>(b.raw))};
}

// 32 values, rounded to nearest even.
HWY_INLINE PairVec ToPairs(LaneVec lower, LaneVec upper) {
  return PairVec{reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(upper.raw, lower.raw))};
}

// 32 values of a cached row from value `i` on, zeros past `dim`.
template <KvType kType>
HWY_INLINE PairVec LoadKvPairs(const std::uint8_t* row, std::size_t i, std::size_t dim) {
  const Lane16 d;
  LaneVec v[2];
  if (i + kPairDims <= dim) {
    BRINK_UNROLL_LOOP(2)
    for (std::size_t k = 0; k < 2; k += kKvStep<kType>) {
      LoadKvStep<kType>(d, row, i + k * kLanes, v + k);
    }
  } else if (i + kLanes <= dim) {
    v[0] = LoadKv<kType>(d, row, i);
    v[1] = LoadKvFirst<kType>(d, row, i + kLanes, dim - i - kLanes);
  } else {
    v[0] = LoadKvFirst<kType>(d, row, i, dim - i);
    v[1] = hn::Zero(d);
  }
  return ToPairs(v[0], v[1]);
}

// Transposes 16 x 16 pairs: 4 x 4 within blocks of 128 bits, then blocks.
HWY_INLINE void TransposePairs(PairVec* HWY_RESTRICT v) {
  __m512i t[kLanes];
  BRINK_UNROLL_LOOP(16)
  for (std::size_t i = 0; i < kLanes; i += 4) {
    const __m512i a = _mm512_unpacklo_epi32(v[i].raw, v[i + 1].raw);
    const __m512i b = _mm512_unpackhi_epi32(v[i].raw, v[i + 1].raw);
    const __m512i c = _mm512_unpacklo_epi32(v[i + 2].raw, v[i + 3].raw);
    const __m512i e = _mm512_unpackhi_epi32(v[i + 2].raw, v[i + 3].raw);
    t[i] = _mm512_unpacklo_epi64(a, c);
    t[i + 1] = _mm512_unpackhi_epi64(a, c);
    t[i + 2] = _mm512_unpacklo_epi64(b, e);
    t[i + 3] = _mm512_unpackhi_epi64(b, e);
  }
  BRINK_UNROLL_LOOP(4)
  for (std::size_t c = 0; c < 4; ++c) {
    const __m512i even_low = _mm512_shuffle_i32x4(t[c], t[4 + c], 0x88);
    const __m512i even_high = _mm512_shuffle_i32x4(t[8 + c], t[12 + c], 0x88);
    const __m512i odd_low = _mm512_shuffle_i32x4(t[c], t[4 + c], 0xDD);
    const __m512i odd_high = _mm512_shuffle_i32x4(t[8 + c], t[12 + c], 0xDD);
    v[c].raw = _mm512_shuffle_i32x4(even_low, even_high, 0x88);
    v[4 + c].raw = _mm512_shuffle_i32x4(odd_low, odd_high, 0x88);
    v[8 + c].raw = _mm512_shuffle_i32x4(even_low, even_high, 0xDD);
    v[12 + c].raw = _mm512_shuffle_i32x4(odd_low, odd_high, 0xDD);
  }
}

// tile[i][j] = dimensions 2 i and 2 i + 1 of row j, for j < rows up to whole vectors: the rest
// comes from rows that are not in use, whatever they hold. Lanes do not touch each other, and
// WeighPairs leaves them out.
template <KvType kType>
HWY_NOINLINE void TransposeRows(KvRows page, std::size_t dim, std::size_t rows, KvRows next,
                                std::uint32_t* HWY_RESTRICT tile) {
  const PairTag d;
  for (std::size_t first = 0; first < rows; first += kLanes) {
    next.Prefetch(first, kLanes);
    for (std::size_t i = 0; i < dim; i += kPairDims) {
      const std::uint8_t* row = page.page + first * page.bytes_per_row;
      PairVec v[kLanes];
      BRINK_UNROLL_LOOP(16)
      for (std::size_t r = 0; r < kLanes; ++r, row += page.bytes_per_row) {
        v[r] = LoadKvPairs<kType>(row, i, dim);
      }
      TransposePairs(v);
      BRINK_UNROLL_LOOP(16)
      for (std::size_t r = 0; r < kLanes; ++r) {
        hn::Store(v[r], d, tile + (i / 2 + r) * kKvPage + first);
      }
    }
  }
}

// Pairs of values of two rows, in an order of their own: the first vector has dimensions 0-3, 8-11,
// 16-19, 24-27, the second those between. InOrder() undoes it.
HWY_INLINE void InterleaveRows(PairVec even, PairVec odd, PairVec& first, PairVec& second) {
  first.raw = _mm512_unpacklo_epi16(even.raw, odd.raw);
  second.raw = _mm512_unpackhi_epi16(even.raw, odd.raw);
}

HWY_INLINE void InOrder(LaneVec& first, LaneVec& second) {
  const __m512i low = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
  const __m512 a = first.raw;
  first.raw = _mm512_permutex2var_ps(a, low, second.raw);
  second.raw = _mm512_permutex2var_ps(a, high, second.raw);
}

// tile[j][...] = rows 2 j and 2 j + 1, interleaved; zeros past `rows`.
template <KvType kType>
HWY_NOINLINE void InterleavePage(KvRows page, std::size_t dim, std::size_t rows, KvRows next,
                                 std::size_t padded, std::uint32_t* HWY_RESTRICT tile) {
  const PairTag d;
  for (std::size_t j = 0; j < rows; j += 2) {
    if (j % kPrefetchRows == 0) next.Prefetch(j, kPrefetchRows);
    const std::uint8_t* row = page.page + j * page.bytes_per_row;
    std::uint32_t* out = tile + j / 2 * padded;
    for (std::size_t i = 0; i < dim; i += kPairDims) {
      const PairVec even = LoadKvPairs<kType>(row, i, dim);
      const PairVec odd =
          j + 1 < rows ? LoadKvPairs<kType>(row + page.bytes_per_row, i, dim) : hn::Zero(d);
      PairVec first, second;
      InterleaveRows(even, odd, first, second);
      hn::Store(first, d, out + i);
      hn::Store(second, d, out + i + kLanes);
    }
  }
}

// 2^x for x <= 0, to 7.5e-5 (bf16 weights are rounded by up to 2e-3): a cubic that is least wrong
// on [0, 1) for the fraction. Zero from -150 on; NaN stays NaN.
HWY_INLINE LaneVec Exp2NotPositive(Lane16 d, LaneVec x) {
  x.raw = _mm512_max_ps(_mm512_set1_ps(-1000.0f), x.raw);  // infinite - infinite; NaN: the second
  const auto whole = hn::Floor(x);
  const auto f = hn::Sub(x, whole);
  auto p = hn::Set(d, 0.0780245227f);
  p = hn::MulAdd(p, f, hn::Set(d, 0.226067155f));
  p = hn::MulAdd(p, f, hn::Set(d, 0.69583354f));
  p = hn::MulAdd(p, f, hn::Set(d, 0.999925219f));
  return LaneVec{_mm512_scalef_ps(p.raw, whole.raw)};
}

// Turns the scores of one query for the n <= kKvPage visible positions of a page into weights and
// brings sum and outputs so far to the new largest score. `largest` starts as the lowest finite
// number: scores of minus infinity then get weight 0 and not NaN.
HWY_INLINE void WeighPairs(const LaneVec* HWY_RESTRICT sums, std::size_t n, float& largest,
                           float* HWY_RESTRICT totals, float* HWY_RESTRICT acc,
                           std::size_t v_padded, std::uint32_t* HWY_RESTRICT weights) {
  const Lane16 d;
  const PairTag du;
  LaneVec scores[kPageVectors];
  BRINK_UNROLL_LOOP(4)
  for (std::size_t v = 0; v < kPageVectors; ++v) scores[v] = sums[v];
  if (n < kKvPage) {
    const auto none = hn::Set(d, -__builtin_inff());
    BRINK_UNROLL_LOOP(4)
    for (std::size_t v = 0; v < kPageVectors; ++v) {
      const std::size_t left = n > v * kLanes ? n - v * kLanes : 0;
      scores[v] = hn::IfThenElse(hn::FirstN(d, HWY_MIN(left, kLanes)), scores[v], none);
    }
  }
  auto total = hn::Load(d, totals);
  auto most = hn::Max(hn::Max(scores[0], scores[1]), hn::Max(scores[2], scores[3]));
  auto largest_v = hn::Set(d, largest);
  if (HWY_UNLIKELY(!hn::AllFalse(d, hn::Gt(most, largest_v)))) {
    const float before = largest;
    largest = hn::GetLane(hn::Ceil(hn::Max(hn::MaxOfLanes(d, most), largest_v)));
    largest_v = hn::Set(d, largest);
    const LaneVec factor{_mm512_scalef_ps(_mm512_set1_ps(1.0f), _mm512_set1_ps(before - largest))};
    total = hn::Mul(total, factor);
    for (std::size_t i = 0; i < v_padded; i += kLanes) {
      hn::Store(hn::Mul(hn::Load(d, acc + i), factor), d, acc + i);
    }
  }
  const auto ones = hn::Set(du, 0x3f803f80u);
  BRINK_UNROLL_LOOP(2)
  for (std::size_t v = 0; v < kPageVectors; v += 2) {
    const auto pairs = ToPairs(Exp2NotPositive(d, hn::Sub(scores[v], largest_v)),
                               Exp2NotPositive(d, hn::Sub(scores[v + 1], largest_v)));
    total = DotPairs(total, pairs, ones);
    hn::Store(pairs, du, weights + v * kLanes / 2);
  }
  hn::Store(total, d, totals);
}

// Queries i..i + kQueries: scores of a page and weights from them. 4 x 4 sums hide the latency of
// vdpbf16ps, 6 cycles, and a load of K serves four queries.
template <std::size_t kQueries>
HWY_NOINLINE void ScoreAndWeigh(const Bf16State& state, std::size_t i, std::size_t page_begin) {
  const Lane16 d;
  const PairTag du;
  LaneVec sums[kQueries * kPageVectors];
  BRINK_UNROLL_LOOP(16)
  for (std::size_t s = 0; s < kQueries * kPageVectors; ++s) sums[s] = hn::Zero(d);
  const std::uint32_t* HWY_RESTRICT k = state.k_tile;
  const std::uint32_t* HWY_RESTRICT q = state.q + i * state.k_pairs;
  for (std::size_t pair = 0; pair < state.k_pairs; ++pair, k += kKvPage, ++q) {
    PairVec rows[kPageVectors];
    BRINK_UNROLL_LOOP(16)
    for (std::size_t v = 0; v < kPageVectors; ++v) rows[v] = hn::Load(du, k + v * kLanes);
    BRINK_UNROLL_LOOP(16)
    for (std::size_t s = 0; s < kQueries * kPageVectors; ++s) {
      sums[s] = DotPairs(sums[s], hn::Set(du, q[s / kPageVectors * state.k_pairs]),
                         rows[s % kPageVectors]);
    }
  }
  BRINK_UNROLL_LOOP(4)
  for (std::size_t s = 0; s < kQueries; ++s) {
    const std::size_t n = state.Visible(i + s, page_begin);
    if (n == 0) continue;
    WeighPairs(sums + s * kPageVectors, n, state.largest[i + s], state.totals + (i + s) * kLanes,
               state.acc + (i + s) * state.v_padded, state.v_padded,
               state.weights + (i + s) * kPagePairs);
  }
}

// acc += weights * values for pairs [begin, end) of positions and kVectors vectors of dimensions.
template <std::size_t kQueries, std::size_t kVectors>
HWY_INLINE void AccumulatePairs(const Bf16State& state, std::size_t query, std::size_t begin,
                                std::size_t end, std::size_t i) {
  constexpr std::size_t kSums = kQueries * kVectors;
  const Lane16 d;
  const PairTag du;
  float* HWY_RESTRICT acc = state.acc + query * state.v_padded + i;
  const std::uint32_t* HWY_RESTRICT weights = state.weights + query * kPagePairs;
  LaneVec sums[kSums];
  BRINK_UNROLL_LOOP(16)
  for (std::size_t s = 0; s < kSums; ++s) {
    sums[s] = hn::Load(d, acc + s / kVectors * state.v_padded + s % kVectors * kLanes);
  }
  for (std::size_t j = begin; j < end; ++j) {
    PairVec row[kVectors];
    BRINK_UNROLL_LOOP(16)
    for (std::size_t v = 0; v < kVectors; ++v) {
      row[v] = hn::Load(du, state.v_tile + j * state.v_padded + i + v * kLanes);
    }
    BRINK_UNROLL_LOOP(16)
    for (std::size_t s = 0; s < kSums; ++s) {
      sums[s] =
          DotPairs(sums[s], hn::Set(du, weights[s / kVectors * kPagePairs + j]), row[s % kVectors]);
    }
  }
  BRINK_UNROLL_LOOP(16)
  for (std::size_t s = 0; s < kSums; ++s) {
    hn::Store(sums[s], d, acc + s / kVectors * state.v_padded + s % kVectors * kLanes);
  }
}

template <std::size_t kQueries>
HWY_INLINE void AccumulateAll(const Bf16State& state, std::size_t query, std::size_t begin,
                              std::size_t end) {
  std::size_t i = 0;
  for (; i + 4 * kLanes <= state.v_padded; i += 4 * kLanes) {
    AccumulatePairs<kQueries, 4>(state, query, begin, end, i);
  }
  if (i < state.v_padded) AccumulatePairs<kQueries, 2>(state, query, begin, end, i);
}

// The last position of a query that sees an odd number: the one after it must not touch the sums,
// not even with weight zero (the value there may be infinite).
HWY_INLINE void AccumulateLast(const Bf16State& state, std::size_t query, std::size_t pair) {
  const Lane16 d;
  const PairTag du;
  float* acc = state.acc + query * state.v_padded;
  const auto weight = hn::Set(du, state.weights[query * kPagePairs + pair]);
  for (std::size_t i = 0; i < state.v_padded; i += kLanes) {
    const auto row =
        hn::And(hn::Load(du, state.v_tile + pair * state.v_padded + i), hn::Set(du, 0xffffu));
    hn::Store(DotPairs(hn::Load(d, acc + i), weight, row), d, acc + i);
  }
}

// Queries i..i + kQueries: the weighted sum of V, together as far as all of them see.
template <std::size_t kQueries>
HWY_NOINLINE void AccumulateQueries(const Bf16State& state, std::size_t i, std::size_t page_begin) {
  std::size_t common = kKvPage;
  for (std::size_t k = i; k < i + kQueries; ++k) {
    common = HWY_MIN(common, state.Visible(k, page_begin));
  }
  AccumulateAll<kQueries>(state, i, 0, common / 2);
  for (std::size_t k = i; k < i + kQueries; ++k) {
    const std::size_t n = state.Visible(k, page_begin);
    if (n / 2 > common / 2) AccumulateAll<1>(state, k, common / 2, n / 2);
    if (n % 2 != 0) AccumulateLast(state, k, n / 2);
  }
}

template <std::size_t kQueries>
HWY_INLINE void AttendPairs(const Bf16State& state, std::size_t i, std::size_t page_begin,
                            bool weigh) {
  if (weigh) {
    ScoreAndWeigh<kQueries>(state, i, page_begin);
  } else {
    AccumulateQueries<kQueries>(state, i, page_begin);
  }
}

// All queries, four at a time: their weights, or what follows from them.
HWY_INLINE void AttendFours(const Bf16State& state, std::size_t page_begin, bool weigh) {
  std::size_t i = 0;
  for (; i + 4 <= state.count; i += 4) AttendPairs<4>(state, i, page_begin, weigh);
  switch (state.count - i) {
    case 3:
      return AttendPairs<3>(state, i, page_begin, weigh);
    case 2:
      return AttendPairs<2>(state, i, page_begin, weigh);
    case 1:
      return AttendPairs<1>(state, i, page_begin, weigh);
    default:
      return;
  }
}

HWY_INLINE void TransposedRows(KvType type, KvRows page, std::size_t dim, std::size_t rows,
                               KvRows next, std::uint32_t* tile) {
  switch (type) {
    case KvType::kF32:
      return TransposeRows<KvType::kF32>(page, dim, rows, next, tile);
    case KvType::kF16:
      return TransposeRows<KvType::kF16>(page, dim, rows, next, tile);
    case KvType::kQ8_0:
      return TransposeRows<KvType::kQ8_0>(page, dim, rows, next, tile);
    case KvType::kQ4_0:
      return TransposeRows<KvType::kQ4_0>(page, dim, rows, next, tile);
  }
}

HWY_INLINE void InterleavedPage(KvType type, KvRows page, std::size_t dim, std::size_t rows,
                                KvRows next, std::size_t padded, std::uint32_t* tile) {
  switch (type) {
    case KvType::kF32:
      return InterleavePage<KvType::kF32>(page, dim, rows, next, padded, tile);
    case KvType::kF16:
      return InterleavePage<KvType::kF16>(page, dim, rows, next, padded, tile);
    case KvType::kQ8_0:
      return InterleavePage<KvType::kQ8_0>(page, dim, rows, next, padded, tile);
    case KvType::kQ4_0:
      return InterleavePage<KvType::kQ4_0>(page, dim, rows, next, padded, tile);
  }
}

// Queries [begin, begin + count), at most kQueryChunk.
HWY_NOINLINE void AttendChunkBf16(const AttentionArgs& args, std::size_t begin, std::size_t count) {
  const Lane16 d;
  const PairTag du;
  const auto padded = [](std::size_t dim) { return (dim + kPairDims - 1) / kPairDims * kPairDims; };
  Bf16State state;
  state.count = count;
  state.visible = args.visible + begin;
  state.k_pairs = padded(args.k_dim) / 2;
  state.v_padded = padded(args.v_dim);
  const std::size_t pairs =
      (kKvPage + kQueryChunk) * state.k_pairs + kPagePairs * (state.v_padded + kQueryChunk);
  const std::size_t floats = kQueryChunk * (state.v_padded + kLanes + 1);
  float* scratch = thread_scratch(pairs + floats);
  state.acc = scratch;
  state.totals = state.acc + kQueryChunk * state.v_padded;
  state.largest = state.totals + kQueryChunk * kLanes;
  state.q = reinterpret_cast<std::uint32_t*>(scratch + floats);
  state.k_tile = state.q + kQueryChunk * state.k_pairs;
  state.v_tile = state.k_tile + kKvPage * state.k_pairs;
  state.weights = state.v_tile + kPagePairs * state.v_padded;

  // Scores in units of log2.
  const auto scale = hn::Set(d, args.scale * 1.44269504f);
  std::size_t seen = 0;
  for (std::size_t k = 0; k < count; ++k) {
    const auto* query =
        reinterpret_cast<const std::uint8_t*>(args.queries + (begin + k) * args.query_stride);
    std::uint32_t* q = state.q + k * state.k_pairs;
    for (std::size_t i = 0; i < args.k_dim; i += kPairDims) {
      LaneVec v[2];
      for (std::size_t h = 0; h < 2; ++h) {
        const std::size_t at = i + h * kLanes;
        v[h] = at + kLanes <= args.k_dim ? LoadKv<KvType::kF32>(d, query, at)
               : at < args.k_dim         ? LoadKvFirst<KvType::kF32>(d, query, at, args.k_dim - at)
                                         : hn::Zero(d);
      }
      hn::Store(ToPairs(hn::Mul(v[0], scale), hn::Mul(v[1], scale)), du, q + i / 2);
    }
    float* acc = state.acc + k * state.v_padded;
    for (std::size_t i = 0; i < state.v_padded; i += kLanes) hn::Store(hn::Zero(d), d, acc + i);
    hn::Store(hn::Zero(d), d, state.totals + k * kLanes);
    state.largest[k] = -FLT_MAX;
    seen = HWY_MAX(seen, state.visible[k]);
  }

  for (std::size_t page = 0; page * kKvPage < seen; ++page) {
    const std::size_t at = page * kKvPage;
    const std::size_t rows = HWY_MIN(seen - at, kKvPage);
    const bool more = at + kKvPage < seen;
    const KvRows next_k = more ? KPage(args, page + 1) : KvRows();
    const KvRows next_v = more ? VPage(args, page + 1) : KvRows();
    TransposedRows(args.k_type, KPage(args, page), args.k_dim, rows, next_k, state.k_tile);
    AttendFours(state, at, true);
    InterleavedPage(args.v_type, VPage(args, page), args.v_dim, rows, next_v, state.v_padded,
                    state.v_tile);
    AttendFours(state, at, false);
  }

  for (std::size_t k = 0; k < count; ++k) {
    const float total = SumLanes(d, hn::Load(d, state.totals + k * kLanes));
    const auto factor = hn::Set(d, total == 0.0f ? 0.0f : 1.0f / total);
    float* acc = state.acc + k * state.v_padded;
    float* out = args.out + (begin + k) * args.out_stride;
    for (std::size_t i = 0; i < args.v_dim; i += kPairDims) {
      LaneVec v[2] = {hn::Mul(hn::Load(d, acc + i), factor),
                      hn::Mul(hn::Load(d, acc + i + kLanes), factor)};
      InOrder(v[0], v[1]);
      for (std::size_t h = 0; h < 2; ++h) {
        const std::size_t first = i + h * kLanes;
        if (first + kLanes <= args.v_dim) {
          hn::StoreU(v[h], d, out + first);
        } else if (first < args.v_dim) {
          StoreFirst(v[h], d, out + first, args.v_dim - first);
        }
      }
    }
  }
}

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
