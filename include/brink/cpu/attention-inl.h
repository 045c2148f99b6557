// Attention over a paged KV cache with an online softmax (Milakov and Gimelshein 2018; blocked as
// in FlashAttention, Dao et al. 2022). Included once per pass, after ops-inl.h.
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

#include "brink/cpu/kernels.h"
#include "brink/cpu/thread_scratch.h"
#include "hwy/highway.h"

// Arrays of vectors stay in registers only where the loops over them are gone.
#ifdef __clang__
#define BRINK_UNROLL _Pragma("clang loop unroll(full)")
#else
#define BRINK_UNROLL _Pragma("GCC unroll 16")
#endif

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

// Queries that share the conversion of a page. With heads of 128 they, their outputs and the page
// come to 130 KiB: half a second-level cache of 256 KiB, the smallest in use.
inline constexpr std::size_t kQueryChunk = 64;
// From this many queries on it pays to transpose K (measured: at 8 to 12).
inline constexpr std::size_t kTransposeFrom = 10;
// Register tiles: kTileQueries x kTileVectors sums, and what feeds them, in 32 or 16 registers.
inline constexpr std::size_t kTileQueries = 4;
inline constexpr std::size_t kTileVectors = kLanes == 16 || HWY_ARCH_ARM_A64 ? 4 : 2;

inline constexpr std::size_t kPageVectors = kKvPage / kLanes;
static_assert(kKvPage % (kTileVectors * kLanes) == 0 && kQueryChunk % kTileQueries == 0);

constexpr std::size_t LanesUp(std::size_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

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

// Lane r of the result is the sum of all lanes of v[r], added up as a tree of neighbours.
template <std::size_t kCount = kLanes>
HWY_INLINE LaneVec SumsOfRows(Lane16 d, LaneVec* HWY_RESTRICT v) {
  if constexpr (kCount > 1) {
    BRINK_UNROLL
    for (std::size_t i = 0; i < kCount / 2; ++i) {
      v[i] = hn::Add(hn::ConcatEven(d, v[2 * i + 1], v[2 * i]),
                     hn::ConcatOdd(d, v[2 * i + 1], v[2 * i]));
    }
    return SumsOfRows<kCount / 2>(d, v);
  } else {
    return v[0];
  }
}

// Each step moves the lowest bit of the lane number to the top of the vector number, and that of
// the vector number to the top of the lane number; after as many steps as they have bits the two
// have changed places.
template <std::size_t kStep = 1>
HWY_INLINE void TransposeLanes(Lane16 d, LaneVec* HWY_RESTRICT v) {
  if constexpr (kStep < kLanes) {
    LaneVec moved[kLanes];
    BRINK_UNROLL
    for (std::size_t i = 0; i < kLanes / 2; ++i) {
      moved[i] = hn::ConcatEven(d, v[2 * i + 1], v[2 * i]);
      moved[i + kLanes / 2] = hn::ConcatOdd(d, v[2 * i + 1], v[2 * i]);
    }
    BRINK_UNROLL
    for (std::size_t i = 0; i < kLanes; ++i) v[i] = moved[i];
    TransposeLanes<2 * kStep>(d, v);
  }
}

// kLanes rows from row `first` on, dimensions from i on; rows past the last are stood for by the
// last, so that nothing is read that was not stored.
template <KvType kType>
HWY_INLINE void LoadRows(Lane16 d, const std::uint8_t* page, std::size_t bytes_per_row,
                         std::size_t rows, std::size_t first, std::size_t dim, std::size_t i,
                         LaneVec* HWY_RESTRICT v) {
  BRINK_UNROLL
  for (std::size_t r = 0; r < kLanes; ++r) {
    const std::uint8_t* row = page + HWY_MIN(first + r, rows - 1) * bytes_per_row;
    v[r] = i + kLanes <= dim ? LoadKv<kType>(d, row, i) : LoadKvFirst<kType>(d, row, i, dim - i);
  }
}

// out[j] = q . row j, for positions below `rows` (those after them, up to a whole vector, get what
// comes).
template <KvType kType>
HWY_NOINLINE void ScoreRows(const float* HWY_RESTRICT q, const std::uint8_t* HWY_RESTRICT page,
                            std::size_t bytes_per_row, std::size_t dim, std::size_t rows,
                            float* HWY_RESTRICT out) {
  const Lane16 d;
  for (std::size_t first = 0; first < rows; first += kLanes) {
    LaneVec sums[kLanes];
    BRINK_UNROLL
    for (std::size_t r = 0; r < kLanes; ++r) sums[r] = hn::Zero(d);
    const std::uint8_t* row[kLanes];
    BRINK_UNROLL
    for (std::size_t r = 0; r < kLanes; ++r) {
      row[r] = page + HWY_MIN(first + r, rows - 1) * bytes_per_row;
    }
    std::size_t i = 0;
    for (; i + kLanes <= dim; i += kLanes) {
      const auto qi = hn::Load(d, q + i);
      BRINK_UNROLL
      for (std::size_t r = 0; r < kLanes; ++r) {
        sums[r] = hn::MulAdd(qi, LoadKv<kType>(d, row[r], i), sums[r]);
      }
    }
    if (i < dim) {
      const auto qi = hn::Load(d, q + i);
      BRINK_UNROLL
      for (std::size_t r = 0; r < kLanes; ++r) {
        sums[r] = hn::MulAdd(qi, LoadKvFirst<kType>(d, row[r], i, dim - i), sums[r]);
      }
    }
    hn::Store(SumsOfRows(d, sums), d, out + first);
  }
}

// tile[i][j] = dimension i of row j.
template <KvType kType>
HWY_NOINLINE void TransposePage(const std::uint8_t* HWY_RESTRICT page, std::size_t bytes_per_row,
                                std::size_t dim, std::size_t rows, float* HWY_RESTRICT tile) {
  const Lane16 d;
  for (std::size_t first = 0; first < kKvPage; first += kLanes) {
    for (std::size_t i = 0; i < dim; i += kLanes) {
      LaneVec v[kLanes];
      LoadRows<kType>(d, page, bytes_per_row, rows, first, dim, i, v);
      TransposeLanes(d, v);
      BRINK_UNROLL
      for (std::size_t r = 0; r < kLanes; ++r) {
        hn::Store(v[r], d, tile + (i + r) * kKvPage + first);
      }
    }
  }
}

// tile[j][i] = dimension i of row j, zeros up to whole vectors.
template <KvType kType>
HWY_NOINLINE void ConvertPage(const std::uint8_t* HWY_RESTRICT page, std::size_t bytes_per_row,
                              std::size_t dim, std::size_t rows, float* HWY_RESTRICT tile) {
  const Lane16 d;
  const std::size_t padded = LanesUp(dim);
  for (std::size_t j = 0; j < rows; ++j) {
    const std::uint8_t* row = page + j * bytes_per_row;
    float* out = tile + j * padded;
    std::size_t i = 0;
    for (; i + kLanes <= dim; i += kLanes) hn::Store(LoadKv<kType>(d, row, i), d, out + i);
    if (i < dim) hn::Store(LoadKvFirst<kType>(d, row, i, dim - i), d, out + i);
  }
}

// Scores of kQueries queries for a whole page, from transposed K.
template <std::size_t kQueries>
HWY_NOINLINE void ScoreTile(const float* HWY_RESTRICT q, std::size_t padded,
                            const float* HWY_RESTRICT tile, std::size_t rows,
                            float* HWY_RESTRICT out) {
  constexpr std::size_t kSums = kQueries * kTileVectors;
  const Lane16 d;
  for (std::size_t first = 0; first < rows; first += kTileVectors * kLanes) {
    // Roots of finished subtrees, the largest (leftmost) first: a binary counter of chains.
    HWY_ALIGN float pending[kLanes][kSums * kLanes];
    std::size_t height = 0;
    for (std::size_t chain = 0; chain < kLanes; ++chain) {
      LaneVec sums[kSums];
      BRINK_UNROLL
      for (std::size_t s = 0; s < kSums; ++s) sums[s] = hn::Zero(d);
      for (std::size_t i = chain; i < padded; i += kLanes) {
        LaneVec k[kTileVectors];
        BRINK_UNROLL
        for (std::size_t v = 0; v < kTileVectors; ++v) {
          k[v] = hn::Load(d, tile + i * kKvPage + first + v * kLanes);
        }
        BRINK_UNROLL
        for (std::size_t s = 0; s < kSums; ++s) {
          const auto qi = hn::Set(d, q[s / kTileVectors * padded + i]);
          sums[s] = hn::MulAdd(qi, k[s % kTileVectors], sums[s]);
        }
      }
      for (std::size_t bit = 1; (chain & bit) != 0; bit <<= 1) {
        --height;
        BRINK_UNROLL
        for (std::size_t s = 0; s < kSums; ++s) {
          sums[s] = hn::Add(hn::Load(d, pending[height] + s * kLanes), sums[s]);
        }
      }
      BRINK_UNROLL
      for (std::size_t s = 0; s < kSums; ++s) {
        hn::Store(sums[s], d, pending[height] + s * kLanes);
      }
      ++height;
    }
    BRINK_UNROLL
    for (std::size_t s = 0; s < kSums; ++s) {
      hn::Store(hn::Load(d, pending[0] + s * kLanes), d,
                out + s / kTileVectors * kKvPage + first + s % kTileVectors * kLanes);
    }
  }
}

// Turns the first n scores of a page into weights (those after them into zeros, up to a whole
// vector) and brings sum and outputs so far to the new largest score. `largest` starts as the
// lowest finite number: scores of minus infinity then get weight 0 and not NaN.
HWY_NOINLINE void WeighPage(float* HWY_RESTRICT scores, std::size_t n, float& largest, float& total,
                            float* HWY_RESTRICT acc, std::size_t v_padded) {
  const Lane16 d;
  const auto lowest = hn::Set(d, -FLT_MAX);
  auto most = lowest;
  for (std::size_t j = 0; j < n; j += kLanes) {
    const auto seen = hn::FirstN(d, HWY_MIN(n - j, kLanes));
    most = hn::Max(most, hn::IfThenElse(seen, hn::Load(d, scores + j), lowest));
  }
  const float before = largest;
  largest = HWY_MAX(before, MaxLane(d, most));
  const auto largest_v = hn::Set(d, largest);
  auto sum = hn::Zero(d);
  for (std::size_t j = 0; j < n; j += kLanes) {
    const auto seen = hn::FirstN(d, HWY_MIN(n - j, kLanes));
    const auto weight =
        hn::IfThenElseZero(seen, ExpNotPositive(d, hn::Sub(hn::Load(d, scores + j), largest_v)));
    hn::Store(weight, d, scores + j);
    sum = hn::Add(sum, weight);
  }
  if (largest == before) {
    total += SumLanes(d, sum);
    return;
  }
  const auto factor = ExpNotPositive(d, hn::Sub(hn::Set(d, before), largest_v));
  total = hn::GetLane(hn::MulAdd(hn::Set(d, total), factor, hn::Set(d, SumLanes(d, sum))));
  for (std::size_t i = 0; i < v_padded; i += kLanes) {
    hn::Store(hn::Mul(hn::Load(d, acc + i), factor), d, acc + i);
  }
}

// acc[i..] += sum over j < n of weights[j] * row j, for kVectors vectors of dimensions.
template <KvType kType, std::size_t kVectors>
HWY_INLINE void AccumulateVectors(const float* HWY_RESTRICT weights,
                                  const std::uint8_t* HWY_RESTRICT page, std::size_t bytes_per_row,
                                  std::size_t n, std::size_t i, float* HWY_RESTRICT acc) {
  const Lane16 d;
  LaneVec sums[kVectors];
  BRINK_UNROLL
  for (std::size_t v = 0; v < kVectors; ++v) sums[v] = hn::Load(d, acc + i + v * kLanes);
  for (std::size_t j = 0; j < n; ++j) {
    const auto weight = hn::Set(d, weights[j]);
    const std::uint8_t* row = page + j * bytes_per_row;
    BRINK_UNROLL
    for (std::size_t v = 0; v < kVectors; ++v) {
      sums[v] = hn::MulAdd(weight, LoadKv<kType>(d, row, i + v * kLanes), sums[v]);
    }
  }
  BRINK_UNROLL
  for (std::size_t v = 0; v < kVectors; ++v) hn::Store(sums[v], d, acc + i + v * kLanes);
}

// One query, straight from the page.
template <KvType kType>
HWY_NOINLINE void AccumulateRows(const float* HWY_RESTRICT weights,
                                 const std::uint8_t* HWY_RESTRICT page, std::size_t bytes_per_row,
                                 std::size_t dim, std::size_t n, float* HWY_RESTRICT acc) {
  const Lane16 d;
  std::size_t i = 0;
  for (; i + 8 * kLanes <= dim; i += 8 * kLanes) {
    AccumulateVectors<kType, 8>(weights, page, bytes_per_row, n, i, acc);
  }
  for (; i + 4 * kLanes <= dim; i += 4 * kLanes) {
    AccumulateVectors<kType, 4>(weights, page, bytes_per_row, n, i, acc);
  }
  for (; i + kLanes <= dim; i += kLanes) {
    AccumulateVectors<kType, 1>(weights, page, bytes_per_row, n, i, acc);
  }
  if (i == dim) return;
  auto sum = hn::Load(d, acc + i);
  for (std::size_t j = 0; j < n; ++j) {
    const auto row = LoadKvFirst<kType>(d, page + j * bytes_per_row, i, dim - i);
    sum = hn::MulAdd(hn::Set(d, weights[j]), row, sum);
  }
  hn::Store(sum, d, acc + i);
}

// The same for kQueries queries and positions [begin, end) of a page in f32, `padded` a row.
template <std::size_t kQueries, std::size_t kVectors>
HWY_INLINE void AccumulateBlock(const float* HWY_RESTRICT weights, const float* HWY_RESTRICT page,
                                std::size_t padded, std::size_t begin, std::size_t end,
                                std::size_t i, float* HWY_RESTRICT acc) {
  constexpr std::size_t kSums = kQueries * kVectors;
  const Lane16 d;
  LaneVec sums[kSums];
  BRINK_UNROLL
  for (std::size_t s = 0; s < kSums; ++s) {
    sums[s] = hn::Load(d, acc + s / kVectors * padded + i + s % kVectors * kLanes);
  }
  for (std::size_t j = begin; j < end; ++j) {
    LaneVec row[kVectors];
    BRINK_UNROLL
    for (std::size_t v = 0; v < kVectors; ++v) {
      row[v] = hn::LoadU(d, page + j * padded + i + v * kLanes);
    }
    BRINK_UNROLL
    for (std::size_t s = 0; s < kSums; ++s) {
      const auto weight = hn::Set(d, weights[s / kVectors * kKvPage + j]);
      sums[s] = hn::MulAdd(weight, row[s % kVectors], sums[s]);
    }
  }
  BRINK_UNROLL
  for (std::size_t s = 0; s < kSums; ++s) {
    hn::Store(sums[s], d, acc + s / kVectors * padded + i + s % kVectors * kLanes);
  }
}

template <std::size_t kQueries>
HWY_NOINLINE void AccumulateTile(const float* HWY_RESTRICT weights, const float* HWY_RESTRICT page,
                                 std::size_t padded, std::size_t begin, std::size_t end,
                                 float* HWY_RESTRICT acc) {
  std::size_t i = 0;
  for (; i + kTileVectors * kLanes <= padded; i += kTileVectors * kLanes) {
    AccumulateBlock<kQueries, kTileVectors>(weights, page, padded, begin, end, i, acc);
  }
  for (; i < padded; i += kLanes) {
    AccumulateBlock<kQueries, 1>(weights, page, padded, begin, end, i, acc);
  }
}

// A page of one query.
template <KvType kKType, KvType kVType>
HWY_INLINE void AttendOne(const AttentionArgs& args, const AttentionState& state, std::size_t page,
                          std::size_t rows) {
  ScoreRows<kKType>(state.q, static_cast<const std::uint8_t*>(args.k_pages[page]),
                    kv_row_bytes(kKType, args.k_dim), args.k_dim, rows, state.scores);
  WeighPage(state.scores, rows, *state.largest, *state.total, state.acc, state.v_padded);
  AccumulateRows<kVType>(state.scores, static_cast<const std::uint8_t*>(args.v_pages[page]),
                         kv_row_bytes(kVType, args.v_dim), args.v_dim, rows, state.acc);
}

template <KvType kKType>
HWY_INLINE void AttendOneOf(const AttentionArgs& args, const AttentionState& state,
                            std::size_t page, std::size_t rows) {
  switch (args.v_type) {
    case KvType::kF32:
      return AttendOne<kKType, KvType::kF32>(args, state, page, rows);
    case KvType::kF16:
      return AttendOne<kKType, KvType::kF16>(args, state, page, rows);
    case KvType::kQ8_0:
      return AttendOne<kKType, KvType::kQ8_0>(args, state, page, rows);
  }
}

// A page as f32 rows of whole vectors: where it lies, or converted into `tile`.
HWY_INLINE const float* PageRows(KvType type, const void* page, std::size_t dim, std::size_t rows,
                                 float* tile) {
  const std::uint8_t* bytes = static_cast<const std::uint8_t*>(page);
  switch (type) {
    case KvType::kF32:
      if (dim % kLanes == 0) return static_cast<const float*>(page);
      ConvertPage<KvType::kF32>(bytes, kv_row_bytes(type, dim), dim, rows, tile);
      break;
    case KvType::kF16:
      ConvertPage<KvType::kF16>(bytes, kv_row_bytes(type, dim), dim, rows, tile);
      break;
    case KvType::kQ8_0:
      ConvertPage<KvType::kQ8_0>(bytes, kv_row_bytes(type, dim), dim, rows, tile);
      break;
  }
  return tile;
}

HWY_INLINE void TransposedPage(KvType type, const void* page, std::size_t dim, std::size_t rows,
                               float* tile) {
  const std::uint8_t* bytes = static_cast<const std::uint8_t*>(page);
  switch (type) {
    case KvType::kF32:
      return TransposePage<KvType::kF32>(bytes, kv_row_bytes(type, dim), dim, rows, tile);
    case KvType::kF16:
      return TransposePage<KvType::kF16>(bytes, kv_row_bytes(type, dim), dim, rows, tile);
    case KvType::kQ8_0:
      return TransposePage<KvType::kQ8_0>(bytes, kv_row_bytes(type, dim), dim, rows, tile);
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
                             std::size_t page, std::size_t rows) {
  const std::size_t begin = page * kKvPage;
  const std::size_t tiled = state.count / kTileQueries * kTileQueries;
  if (state.count >= kTransposeFrom) {
    TransposedPage(args.k_type, args.k_pages[page], args.k_dim, rows, state.k_tile);
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
    const float* k_rows = PageRows(args.k_type, args.k_pages[page], args.k_dim, rows, state.k_tile);
    for (std::size_t i = 0; i < state.count; ++i) {
      ScoreRows<KvType::kF32>(
          state.q + i * state.k_padded, reinterpret_cast<const std::uint8_t*>(k_rows),
          state.k_padded * sizeof(float), state.k_padded, rows, state.scores + i * kKvPage);
    }
  }
  const float* v_rows = PageRows(args.v_type, args.v_pages[page], args.v_dim, rows, state.v_tile);
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
    if (count > 1) {
      AttendMany(args, state, page, rows);
    } else if (args.k_type == KvType::kF32) {
      AttendOneOf<KvType::kF32>(args, state, page, rows);
    } else if (args.k_type == KvType::kF16) {
      AttendOneOf<KvType::kF16>(args, state, page, rows);
    } else {
      AttendOneOf<KvType::kQ8_0>(args, state, page, rows);
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
    AttendChunk(args, begin, HWY_MIN(args.count - begin, kQueryChunk));
  }
}

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()

#undef BRINK_UNROLL
