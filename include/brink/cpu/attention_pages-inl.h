// The work of attention on one page of the KV cache: scores, softmax weights, weighted sums. What
// it is for and the order of all sums: attention-inl.h, which includes this file, once per pass.

#include <cfloat>
#include <cstddef>
#include <cstdint>

#include "brink/cpu/kernels.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

// Register tiles: kTileQueries x kTileVectors sums, and what feeds them, in 32 or 16 registers.
inline constexpr std::size_t kTileQueries = 4;
inline constexpr std::size_t kTileVectors = kLanes == 16 || HWY_ARCH_ARM_A64 ? 4 : 2;

// Queries that share the conversion of a page. With heads of 128 they, their outputs and the page
// come to 144 KiB: a little more than half of the smallest second-level caches, 256 KiB.
inline constexpr std::size_t kQueryChunk = 64;
// Scores have two chains at a time where registers allow: that halves the trips of the tree to
// memory.
inline constexpr std::size_t kScoreVectors = 2;
inline constexpr std::size_t kScoreChains = kTileVectors / 2;
static_assert(kKvPage % (kTileVectors * kLanes) == 0);

constexpr std::size_t LanesUp(std::size_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

// Sums of neighbouring lanes of v[0] and v[1], within blocks of 128 bits: two of v[0], two of v[1].
HWY_INLINE LaneVec SumLanePairs([[maybe_unused]] Lane16 d, const LaneVec* v) {
#if HWY_ARCH_X86 && HWY_TARGET == HWY_AVX3
  return hn::Add(LaneVec{_mm512_shuffle_ps(v[0].raw, v[1].raw, 0x88)},
                 LaneVec{_mm512_shuffle_ps(v[0].raw, v[1].raw, 0xDD)});
#elif HWY_ARCH_X86 && HWY_TARGET == HWY_AVX2
  return hn::Add(LaneVec{_mm256_shuffle_ps(v[0].raw, v[1].raw, 0x88)},
                 LaneVec{_mm256_shuffle_ps(v[0].raw, v[1].raw, 0xDD)});
#else
  return hn::Add(hn::ConcatEven(d, v[1], v[0]), hn::ConcatOdd(d, v[1], v[0]));
#endif
}

// Sums of neighbouring blocks of 128 bits: those of v[0], then those of v[1].
HWY_INLINE LaneVec SumBlockPairs([[maybe_unused]] Lane16 d, const LaneVec* v) {
#if HWY_ARCH_X86 && HWY_TARGET == HWY_AVX3
  return hn::Add(LaneVec{_mm512_shuffle_f32x4(v[0].raw, v[1].raw, 0x88)},
                 LaneVec{_mm512_shuffle_f32x4(v[0].raw, v[1].raw, 0xDD)});
#else
  return hn::Add(hn::ConcatLowerLower(d, v[1], v[0]), hn::ConcatUpperUpper(d, v[1], v[0]));
#endif
}

// Lane r of the result is the sum of all lanes of v[r], added up as a tree of neighbours: lanes
// within blocks, then blocks.
template <std::size_t kCount = kLanes>
HWY_INLINE LaneVec SumsOfRows(Lane16 d, LaneVec* HWY_RESTRICT v) {
  if constexpr (kCount > 1) {
    BRINK_UNROLL_LOOP(16)
    for (std::size_t i = 0; i < kCount / 2; ++i) {
      constexpr bool kInBlocks = 4 * kCount > kLanes;
      v[i] = kInBlocks ? SumLanePairs(d, v + 2 * i) : SumBlockPairs(d, v + 2 * i);
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
    BRINK_UNROLL_LOOP(16)
    for (std::size_t i = 0; i < kLanes / 2; ++i) {
      moved[i] = hn::ConcatEven(d, v[2 * i + 1], v[2 * i]);
      moved[i + kLanes / 2] = hn::ConcatOdd(d, v[2 * i + 1], v[2 * i]);
    }
    BRINK_UNROLL_LOOP(16)
    for (std::size_t i = 0; i < kLanes; ++i) v[i] = moved[i];
    TransposeLanes<2 * kStep>(d, v);
  }
}

// A page of K or V. The kernels that read a page prefetch another one: pages are too short for the
// hardware to catch on.
struct KvRows {
  const std::uint8_t* page = nullptr;
  std::size_t bytes_per_row = 0;

  HWY_INLINE void Prefetch(std::size_t first, std::size_t rows) const {
    if (page == nullptr) return;
    const std::uint8_t* begin = page + first * bytes_per_row;
    const std::uint8_t* end = begin + rows * bytes_per_row;
    for (const std::uint8_t* line = begin; line < end; line += 64) PrefetchToL2(line);
  }
};

HWY_INLINE KvRows KPage(const AttentionArgs& args, std::size_t page) {
  return {static_cast<const std::uint8_t*>(args.k_pages[page]),
          kv_row_bytes(args.k_type, args.k_dim)};
}

HWY_INLINE KvRows VPage(const AttentionArgs& args, std::size_t page) {
  return {static_cast<const std::uint8_t*>(args.v_pages[page]),
          kv_row_bytes(args.v_type, args.v_dim)};
}

// Rows prefetched at a time.
inline constexpr std::size_t kPrefetchRows = 16;

// out[j] = q . row j for j < rows, in whole vectors: the rest of the last one comes from rows that
// are not in use, whatever they hold. Lanes do not touch each other, and WeighPage leaves them out.
template <KvType kType>
HWY_NOINLINE void ScoreRows(const float* HWY_RESTRICT q, const std::uint8_t* HWY_RESTRICT page,
                            std::size_t bytes_per_row, std::size_t dim, std::size_t rows,
                            KvRows next, float* HWY_RESTRICT out) {
  constexpr std::size_t kStep = kKvStep<kType> * kLanes;
  constexpr std::size_t kStepBytes = kv_row_bytes(kType, kStep);
  const Lane16 d;
  for (std::size_t first = 0; first < rows; first += kLanes) {
    next.Prefetch(first, kLanes);
    LaneVec sums[kLanes];
    BRINK_UNROLL_LOOP(16)
    for (std::size_t r = 0; r < kLanes; ++r) sums[r] = hn::Zero(d);
    // One pointer for four rows: an address can have a multiple of bytes_per_row added, and there
    // are not enough registers for a pointer to each row.
    const std::uint8_t* fourth[kLanes / 4];
    BRINK_UNROLL_LOOP(16)
    for (std::size_t r = 0; r < kLanes; r += 4) fourth[r / 4] = page + (first + r) * bytes_per_row;
    std::size_t i = 0;
    for (; i + kStep <= dim; i += kStep) {
      BRINK_UNROLL_LOOP(16)
      for (std::size_t r = 0; r < kLanes; ++r) {
        LaneVec v[kKvStep<kType>];
        LoadKvStep<kType>(d, fourth[r / 4] + r % 4 * bytes_per_row, 0, v);
        BRINK_UNROLL_LOOP(16)
        for (std::size_t k = 0; k < kKvStep<kType>; ++k) {
          sums[r] = hn::MulAdd(hn::Load(d, q + i + k * kLanes), v[k], sums[r]);
        }
      }
      BRINK_UNROLL_LOOP(16)
      for (std::size_t r = 0; r < kLanes; r += 4) fourth[r / 4] += kStepBytes;
    }
    if (i < dim) {
      BRINK_UNROLL_LOOP(16)
      for (std::size_t r = 0; r < kLanes; ++r) {
        const auto v = LoadKvFirst<kType>(d, fourth[r / 4] + r % 4 * bytes_per_row, 0, dim - i);
        sums[r] = hn::MulAdd(hn::Load(d, q + i), v, sums[r]);
      }
    }
    hn::Store(SumsOfRows(d, sums), d, out + first);
  }
}

// tile[l][c][j] = dimension c * kLanes + l of row j, for j < rows up to whole vectors (as above):
// the links of chain l lie together.
template <KvType kType>
HWY_NOINLINE void TransposePage(const std::uint8_t* HWY_RESTRICT page, std::size_t bytes_per_row,
                                std::size_t dim, std::size_t rows, float* HWY_RESTRICT tile) {
  const Lane16 d;
  const std::size_t full = dim / kLanes * kLanes;
  const std::size_t links = LanesUp(dim) / kLanes;
  for (std::size_t first = 0; first < rows; first += kLanes) {
    for (std::size_t i = 0; i < dim; i += kLanes) {
      const std::uint8_t* row = page + first * bytes_per_row;
      LaneVec v[kLanes];
      BRINK_UNROLL_LOOP(16)
      for (std::size_t r = 0; r < kLanes; ++r, row += bytes_per_row) {
        v[r] = i < full ? LoadKv<kType>(d, row, i) : LoadKvFirst<kType>(d, row, i, dim - i);
      }
      TransposeLanes(d, v);
      BRINK_UNROLL_LOOP(16)
      for (std::size_t r = 0; r < kLanes; ++r) {
        hn::Store(v[r], d, tile + (r * links + i / kLanes) * kKvPage + first);
      }
    }
  }
}

// tile[j][i] = dimension i of row j, zeros up to whole vectors.
template <KvType kType>
HWY_NOINLINE void ConvertPage(const std::uint8_t* HWY_RESTRICT page, std::size_t bytes_per_row,
                              std::size_t dim, std::size_t rows, KvRows next,
                              float* HWY_RESTRICT tile) {
  constexpr std::size_t kStep = kKvStep<kType> * kLanes;
  const Lane16 d;
  const std::size_t padded = LanesUp(dim);
  for (std::size_t j = 0; j < rows; ++j) {
    if (j % kPrefetchRows == 0) next.Prefetch(j, kPrefetchRows);
    const std::uint8_t* row = page + j * bytes_per_row;
    float* out = tile + j * padded;
    std::size_t i = 0;
    for (; i + kStep <= dim; i += kStep) {
      LaneVec v[kKvStep<kType>];
      LoadKvStep<kType>(d, row, i, v);
      BRINK_UNROLL_LOOP(16)
      for (std::size_t k = 0; k < kKvStep<kType>; ++k) hn::Store(v[k], d, out + i + k * kLanes);
    }
    if (i < dim) hn::Store(LoadKvFirst<kType>(d, row, i, dim - i), d, out + i);
  }
}

// Scores of kQueries queries for a whole page, from transposed K.
template <std::size_t kQueries>
HWY_NOINLINE void ScoreTile(const float* HWY_RESTRICT q, std::size_t padded,
                            const float* HWY_RESTRICT tile, std::size_t rows,
                            float* HWY_RESTRICT out) {
  constexpr std::size_t kSums = kQueries * kScoreVectors;
  const Lane16 d;
  const std::size_t links = padded / kLanes;  // of a chain
  for (std::size_t first = 0; first < rows; first += kScoreVectors * kLanes) {
    // Roots of finished subtrees, the largest (leftmost) first: a binary counter of chains.
    HWY_ALIGN float pending[kLanes][kSums * kLanes];
    std::size_t height = 0;
    for (std::size_t chain = 0; chain < kLanes; chain += kScoreChains) {
      LaneVec sums[kScoreChains * kSums];
      BRINK_UNROLL_LOOP(16)
      for (std::size_t s = 0; s < kScoreChains * kSums; ++s) sums[s] = hn::Zero(d);
      const float* HWY_RESTRICT k_row = tile + chain * links * kKvPage + first;
      const float* HWY_RESTRICT q_end = q + padded;
      for (const float* qi = q + chain; qi < q_end; qi += kLanes, k_row += kKvPage) {
        BRINK_UNROLL_LOOP(16)
        for (std::size_t c = 0; c < kScoreChains; ++c) {
          LaneVec k[kScoreVectors];
          BRINK_UNROLL_LOOP(16)
          for (std::size_t v = 0; v < kScoreVectors; ++v) {
            k[v] = hn::Load(d, k_row + c * links * kKvPage + v * kLanes);
          }
          BRINK_UNROLL_LOOP(16)
          for (std::size_t s = 0; s < kSums; ++s) {
            sums[c * kSums + s] = hn::MulAdd(hn::Set(d, qi[s / kScoreVectors * padded + c]),
                                             k[s % kScoreVectors], sums[c * kSums + s]);
          }
        }
      }
      if constexpr (kScoreChains == 2) {
        BRINK_UNROLL_LOOP(16)
        for (std::size_t s = 0; s < kSums; ++s) sums[s] = hn::Add(sums[s], sums[kSums + s]);
      }
      for (std::size_t bit = kScoreChains; (chain & bit) != 0; bit <<= 1) {
        --height;
        BRINK_UNROLL_LOOP(16)
        for (std::size_t s = 0; s < kSums; ++s) {
          sums[s] = hn::Add(hn::Load(d, pending[height] + s * kLanes), sums[s]);
        }
      }
      BRINK_UNROLL_LOOP(16)
      for (std::size_t s = 0; s < kSums; ++s) {
        hn::Store(sums[s], d, pending[height] + s * kLanes);
      }
      ++height;
    }
    BRINK_UNROLL_LOOP(16)
    for (std::size_t s = 0; s < kSums; ++s) {
      hn::Store(hn::Load(d, pending[0] + s * kLanes), d,
                out + s / kScoreVectors * kKvPage + first + s % kScoreVectors * kLanes);
    }
  }
}

// Turns the first n scores of a page into weights (those after them into zeros, up to a whole
// vector) and brings sum and outputs so far to the new largest score. `largest` starts as the
// lowest finite number: scores of minus infinity then get weight 0 and not NaN. kWhole: n is known
// to be kKvPage, and the loops unroll.
template <bool kWhole>
HWY_INLINE void WeighScores(float* HWY_RESTRICT scores, std::size_t n, float& largest, float& total,
                            float* HWY_RESTRICT acc, std::size_t v_padded) {
  const Lane16 d;
  const std::size_t end = kWhole ? kKvPage : n;
  const auto lowest = hn::Set(d, -FLT_MAX);
  auto most = lowest;
  for (std::size_t j = 0; j < end; j += kLanes) {
    auto score = hn::Load(d, scores + j);
    if (!kWhole) score = hn::IfThenElse(hn::FirstN(d, HWY_MIN(n - j, kLanes)), score, lowest);
    most = hn::Max(most, score);
  }
  const float before = largest;
  largest = HWY_MAX(before, MaxLane(d, most));
  const auto largest_v = hn::Set(d, largest);
  auto sum = hn::Zero(d);
  for (std::size_t j = 0; j < end; j += kLanes) {
    auto weight = ExpNotPositive(d, hn::Sub(hn::Load(d, scores + j), largest_v));
    if (!kWhole) weight = hn::IfThenElseZero(hn::FirstN(d, HWY_MIN(n - j, kLanes)), weight);
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

HWY_NOINLINE void WeighPage(float* HWY_RESTRICT scores, std::size_t n, float& largest, float& total,
                            float* HWY_RESTRICT acc, std::size_t v_padded) {
  if (n == kKvPage) {
    WeighScores<true>(scores, n, largest, total, acc, v_padded);
  } else {
    WeighScores<false>(scores, n, largest, total, acc, v_padded);
  }
}

// acc[i..] += sum over j < n of weights[j] * row j, for kVectors vectors of dimensions; with more
// than one, i is a multiple of all of them.
template <KvType kType, std::size_t kVectors>
HWY_INLINE void AccumulateVectors(const float* HWY_RESTRICT weights,
                                  const std::uint8_t* HWY_RESTRICT page, std::size_t bytes_per_row,
                                  std::size_t n, std::size_t i, float* HWY_RESTRICT acc) {
  const Lane16 d;
  LaneVec sums[kVectors];
  BRINK_UNROLL_LOOP(16)
  for (std::size_t v = 0; v < kVectors; ++v) sums[v] = hn::Load(d, acc + i + v * kLanes);
  for (std::size_t j = 0; j < n; ++j) {
    const auto weight = hn::Set(d, weights[j]);
    const std::uint8_t* row = page + j * bytes_per_row;
    LaneVec values[kVectors];
    BRINK_UNROLL_LOOP(16)
    for (std::size_t v = 0; v < kVectors; ++v) {
      if constexpr (kVectors % kKvStep<kType> == 0) {
        if (v % kKvStep<kType> == 0) LoadKvStep<kType>(d, row, i + v * kLanes, values + v);
      } else {
        values[v] = LoadKv<kType>(d, row, i + v * kLanes);
      }
      sums[v] = hn::MulAdd(weight, values[v], sums[v]);
    }
  }
  BRINK_UNROLL_LOOP(16)
  for (std::size_t v = 0; v < kVectors; ++v) hn::Store(sums[v], d, acc + i + v * kLanes);
}

// One query, straight from the page.
template <KvType kType>
HWY_NOINLINE void AccumulateRows(const float* HWY_RESTRICT weights,
                                 const std::uint8_t* HWY_RESTRICT page, std::size_t bytes_per_row,
                                 std::size_t dim, std::size_t rows, KvRows next,
                                 float* HWY_RESTRICT acc) {
  const Lane16 d;
  for (std::size_t first = 0; first < rows; first += kPrefetchRows) {
    next.Prefetch(first, kPrefetchRows);
    const std::size_t n = HWY_MIN(rows - first, kPrefetchRows);
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
    if (i < dim) {
      auto sum = hn::Load(d, acc + i);
      for (std::size_t j = 0; j < n; ++j) {
        const auto row = LoadKvFirst<kType>(d, page + j * bytes_per_row, i, dim - i);
        sum = hn::MulAdd(hn::Set(d, weights[j]), row, sum);
      }
      hn::Store(sum, d, acc + i);
    }
    weights += kPrefetchRows;
    page += kPrefetchRows * bytes_per_row;
  }
}

// The same for kQueries queries and positions [begin, end) of a page in f32, `padded` a row.
template <std::size_t kQueries, std::size_t kVectors>
HWY_INLINE void AccumulateBlock(const float* HWY_RESTRICT weights, const float* HWY_RESTRICT page,
                                std::size_t padded, std::size_t begin, std::size_t end,
                                std::size_t i, float* HWY_RESTRICT acc) {
  constexpr std::size_t kSums = kQueries * kVectors;
  const Lane16 d;
  LaneVec sums[kSums];
  BRINK_UNROLL_LOOP(16)
  for (std::size_t s = 0; s < kSums; ++s) {
    sums[s] = hn::Load(d, acc + s / kVectors * padded + i + s % kVectors * kLanes);
  }
  for (std::size_t j = begin; j < end; ++j) {
    LaneVec row[kVectors];
    BRINK_UNROLL_LOOP(16)
    for (std::size_t v = 0; v < kVectors; ++v) {
      row[v] = hn::LoadU(d, page + j * padded + i + v * kLanes);
    }
    BRINK_UNROLL_LOOP(16)
    for (std::size_t s = 0; s < kSums; ++s) {
      const auto weight = hn::Set(d, weights[s / kVectors * kKvPage + j]);
      sums[s] = hn::MulAdd(weight, row[s % kVectors], sums[s]);
    }
  }
  BRINK_UNROLL_LOOP(16)
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

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
