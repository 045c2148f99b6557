// How encoders look for the scale of a block whose levels are fixed numbers: sixteen candidates at
// a time, one a lane. Included once per pass, before the families that use it.
//
// Given levels q, the best scale is the sum of w x q over that of w q q (w: importance), and what
// it takes off the error is the square of the first over the second: the gain, by which candidates
// are compared. The scale is then rounded to f16, and the levels are chosen anew for the rounded
// one.

BRINK_ENCODE_BEFORE()
namespace brink::BRINK_ENCODE_NAMESPACE {

// A block of weights for a search. Weights are divided by a power of two that brings the largest to
// [1, 4), so that no sum overflows and all but the tiniest keep their bits.
template <std::size_t kCount>
struct SearchBlock {
  alignas(64) float x[kCount];   // weight / unit
  alignas(64) float w[kCount];   // importance, at most 1
  alignas(64) float wx[kCount];  // their product
  float unit;
  float per_unit;  // 1 / unit
  // The x of largest magnitude among those with an importance, the least and the greatest of them
  // (and of 0).
  float largest, least, greatest;
};

// Without importance `w` and `wx` stay unused.
template <bool kWeighted, std::size_t kCount>
BRINK_ENCODE_INLINE void Prepare(const float* weights, const float* importance,
                                 SearchBlock<kCount>& b) {
  const F32x16 zero = Set(0.0f);
  F32x16 least = zero, greatest = zero;
  if constexpr (kWeighted) {
    F32x16 most = zero;
    for (std::size_t i = 0; i < kCount; i += 16) most = Max(most, Load(importance + i));
    const F32x16 highest = Set(MaxOfLanes(most));
    const Mask16 none = highest == zero;  // then all weights count the same
    for (std::size_t i = 0; i < kCount; i += 16) {
      const F32x16 w = IfThenElse(none, Set(1.0f), Load(importance + i) / highest);
      const F32x16 counted = IfThenElse(zero < w, Load(weights + i), zero);
      Store(w, b.w + i);
      least = Min(least, counted);
      greatest = Max(greatest, counted);
    }
  } else {
    for (std::size_t i = 0; i < kCount; i += 16) {
      const F32x16 x = Load(weights + i);
      least = Min(least, x);
      greatest = Max(greatest, x);
    }
  }
  b.least = MinOfLanes(least);
  b.greatest = MaxOfLanes(greatest);
  b.largest = b.greatest < -b.least ? b.least : b.greatest;
  const std::uint32_t exponent =
      std::clamp(std::bit_cast<std::uint32_t>(b.largest) >> 23 & 255u, 1u, 253u);
  b.unit = std::bit_cast<float>(exponent << 23);
  b.per_unit = std::bit_cast<float>((254 - exponent) << 23);
  b.least = quant::exact_product(b.least, b.per_unit);
  b.greatest = quant::exact_product(b.greatest, b.per_unit);
  b.largest = quant::exact_product(b.largest, b.per_unit);
  const F32x16 factor = Set(b.per_unit), limit = Set(0x1p30f);
  for (std::size_t i = 0; i < kCount; i += 16) {
    F32x16 x = Load(weights + i) * factor;
    if constexpr (kWeighted) {  // those that do not count may be of any size
      x = Max(Min(x, limit), Neg(limit));
      Store(x * Load(b.w + i), b.wx + i);
    }
    Store(x, b.x + i);
  }
}

// `kCount` weights of a block, the arrays of SearchBlock.
template <std::size_t kCount>
struct SearchPart {
  const float *x, *w, *wx;
};

template <std::size_t kPart, std::size_t kCount>
BRINK_ENCODE_INLINE SearchPart<kPart> PartOf(const SearchBlock<kCount>& b, std::size_t at) {
  return {b.x + at, b.w + at, b.wx + at};
}

// What SearchBlock::largest is for the whole block.
template <bool kWeighted, std::size_t kCount>
BRINK_ENCODE_INLINE float LargestOf(SearchPart<kCount> p) {
  const F32x16 zero = Set(0.0f);
  F32x16 least = zero, greatest = zero;
  for (std::size_t i = 0; i < kCount; i += 16) {
    F32x16 x = Load(p.x + i);
    if constexpr (kWeighted) x = IfThenElse(zero < Load(p.w + i), x, zero);
    least = Min(least, x);
    greatest = Max(greatest, x);
  }
  const float low = MinOfLanes(least), high = MaxOfLanes(greatest);
  return high < -low ? low : high;
}

// Sums over the weights, in every lane for the levels nearest to x * inverse.
struct LevelSums {
  F32x16 xq, qq;
};

template <class Levels, bool kWeighted, std::size_t kCount>
BRINK_ENCODE_INLINE LevelSums SumLevels(SearchPart<kCount> p, F32x16 inverse) {
  LevelSums s{Set(0.0f), Set(0.0f)};
  for (std::size_t i = 0; i < kCount; ++i) {
    const F32x16 x = Set(p.x[i]);
    const F32x16 q = Levels::Nearest(x * inverse);
    if constexpr (kWeighted) {
      s.xq = s.xq + Set(p.wx[i]) * q;
      s.qq = s.qq + Set(p.w[i]) * (q * q);
    } else {
      s.xq = s.xq + x * q;
      s.qq = s.qq + q * q;
    }
  }
  return s;
}

// The same sums for one inverse scale, weights in lanes: xq in `xq`, qq in `qq`.
template <class Levels, bool kWeighted, std::size_t kCount>
BRINK_ENCODE_INLINE void SumLevelsOnce(SearchPart<kCount> p, float inverse, float& xq, float& qq) {
  F32x16 sum_xq = Set(0.0f), sum_qq = Set(0.0f);
  for (std::size_t i = 0; i < kCount; i += 16) {
    const F32x16 x = Load(p.x + i);
    const F32x16 q = Levels::Nearest(x * Set(inverse));
    if constexpr (kWeighted) {
      sum_xq = sum_xq + Load(p.wx + i) * q;
      sum_qq = sum_qq + Load(p.w + i) * (q * q);
    } else {
      sum_xq = sum_xq + x * q;
      sum_qq = sum_qq + q * q;
    }
  }
  xq = SumOfLanes(sum_xq);
  qq = SumOfLanes(sum_qq);
}

// The best candidates met so far in each lane.
struct LaneBest {
  F32x16 gain, xq, qq;
};
BRINK_ENCODE_INLINE LaneBest NoneYet() { return {Set(0.0f), Set(0.0f), Set(1.0f)}; }

BRINK_ENCODE_INLINE void KeepBetter(const LevelSums& s, LaneBest& best) {
  const Mask16 some = Set(0.0f) < s.qq;
  const F32x16 gain = s.xq * s.xq / IfThenElse(some, s.qq, Set(1.0f));
  const Mask16 better = (best.gain < gain) & some;
  best.gain = IfThenElse(better, gain, best.gain);
  best.xq = IfThenElse(better, s.xq, best.xq);
  best.qq = IfThenElse(better, s.qq, best.qq);
}

// The first lane that holds `value`, one of the numbers at `lanes`.
BRINK_ENCODE_INLINE std::size_t LaneOf(const float* lanes, float value) {
  std::size_t lane = 0;
  while (lane < 15 && lanes[lane] != value) ++lane;
  return lane;
}

BRINK_ENCODE_INLINE float LaneAt(F32x16 v, std::size_t lane) {
  alignas(64) float lanes[16];
  Store(v, lanes);
  return lanes[lane];
}

BRINK_ENCODE_INLINE std::size_t BestLane(const LaneBest& best) {
  alignas(64) float gains[16];
  Store(best.gain, gains);
  return LaneOf(gains, MaxOfLanes(best.gain));
}

// The scale of the lane with the highest gain; 0 where no candidate gains anything.
BRINK_ENCODE_INLINE float BestScale(const LaneBest& best) {
  return LaneAt(best.xq / best.qq, BestLane(best));
}

// 1 / d; 0 of 0, for which every level is as good.
BRINK_ENCODE_INLINE F32x16 InverseOf(F32x16 d) {
  const Mask16 none = d == Set(0.0f);
  return IfThenElse(none, Set(0.0f), Set(1.0f) / IfThenElse(none, Set(1.0f), d));
}
BRINK_ENCODE_INLINE float InverseOf(float d) { return d == 0.0f ? 0.0f : 1.0f / d; }

// f16 codes without sign to their values.
BRINK_ENCODE_INLINE F32x16 F16Magnitude(I32x16 code) {
  const F32x16 subnormal = ConvertToFloat(code) * Set(0x1p-24f);
  const F32x16 normal = FloatOfBits(ShiftLeft<13>(code) + SetInt(112 << 23));
  return IfThenElse(code < SetInt(0x400), subnormal, normal);
}

// The weighted squared error with each lane's scale.
template <class Levels, bool kWeighted, std::size_t kCount>
BRINK_ENCODE_INLINE F32x16 SumErrors(SearchPart<kCount> p, F32x16 d) {
  const F32x16 inverse = InverseOf(d);
  F32x16 sum = Set(0.0f);
  for (std::size_t i = 0; i < kCount; ++i) {
    const F32x16 x = Set(p.x[i]);
    const F32x16 e = x - Levels::Nearest(x * inverse) * d;
    if constexpr (kWeighted) {
      sum = sum + Set(p.w[i]) * (e * e);
    } else {
      sum = sum + e * e;
    }
  }
  return sum;
}

inline constexpr std::int32_t kLaneNumbers[16] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                  8, 9, 10, 11, 12, 13, 14, 15};

// What rounding may make of the sum of a block's errors: a candidate has to be that much better
// than one that must not be made worse.
inline constexpr float kErrorMargin = 1.0f - 0x1p-17f;

// Of the f16 scales from `below` codes under `half` on, every `stride`th, sixteen a vector, the one
// with the smallest error; `other` where none is better.
template <class Levels, bool kWeighted, std::size_t kCount>
BRINK_ENCODE_INLINE std::uint16_t BestCode(const SearchBlock<kCount>& b, std::uint16_t half,
                                           int below, int stride, int vectors,
                                           std::uint16_t other) {
  const F32x16 per_unit = Set(b.per_unit);
  const SearchPart<kCount> p = PartOf<kCount>(b, 0);
  F32x16 least =
      SumErrors<Levels, kWeighted>(p, Set(f16_to_f32(other)) * per_unit) * Set(kErrorMargin);
  I32x16 code = SetInt(other);
  const std::int32_t sign = half & 0x8000;
  for (int v = 0; v < vectors; ++v) {
    const I32x16 magnitude = Max(Min(SetInt((half & 0x7fff) - below + 16 * stride * v) +
                                         LoadInt(kLaneNumbers) * SetInt(stride),
                                     SetInt(0x7bff)),
                                 SetInt(1));
    const F32x16 value = F16Magnitude(magnitude) * per_unit;
    const F32x16 error = SumErrors<Levels, kWeighted>(p, sign != 0 ? Neg(value) : value);
    const Mask16 better = error < least;
    least = IfThenElse(better, error, least);
    code = IfThenElse(better, magnitude | SetInt(sign), code);
  }
  alignas(64) float errors[16];
  alignas(64) std::int32_t codes[16];
  Store(least, errors);
  StoreInt(code, codes);
  return static_cast<std::uint16_t>(codes[LaneOf(errors, MinOfLanes(least))]);
}

// Tries the targets from `first` to `last`: levels, of any size, that `largest` is put to.
template <class Levels, bool kWeighted, std::size_t kCount>
BRINK_ENCODE_INLINE void TryTargets(SearchPart<kCount> p, float largest, std::size_t first,
                                    std::size_t last, LaneBest& best) {
  for (std::size_t t = first; t < last; t += 16) {
    KeepBetter(SumLevels<Levels, kWeighted>(p, Load(Levels::kTargets + t) / Set(largest)), best);
  }
}

// The wider search: all other targets, then in every lane the levels that its best scale chooses,
// which are no worse than those that led to the scale.
template <class Levels, bool kWeighted, std::size_t kCount>
BRINK_ENCODE_INLINE void TryTheRest(SearchPart<kCount> p, float largest, LaneBest& best) {
  TryTargets<Levels, kWeighted>(p, largest, Levels::kDefaultTargets, std::size(Levels::kTargets),
                                best);
  for (int i = 0; i < 2; ++i) {
    KeepBetter(SumLevels<Levels, kWeighted>(p, InverseOf(best.xq / best.qq)), best);
  }
}

// The f16 scale of a block. `Levels` has
//   Nearest(t)          the level nearest to t
//   kTargets            for TryTargets, a multiple of 16 numbers
//   kDefaultTargets     how many of them are tried by default
//   kRefits             how often the best scale of these is replaced by the one it leads to
template <class Levels, bool kWeighted, bool kHigh, std::size_t kCount>
BRINK_ENCODE_INLINE std::uint16_t SearchScale(const SearchBlock<kCount>& b) {
  if (b.largest == 0.0f) return 0;
  const SearchPart<kCount> p = PartOf<kCount>(b, 0);
  LaneBest best = NoneYet();
  TryTargets<Levels, kWeighted>(p, b.largest, 0, Levels::kDefaultTargets, best);
  float d = BestScale(best);
  for (int i = 0; i < Levels::kRefits && d != 0.0f; ++i) {
    float xq, qq;
    SumLevelsOnce<Levels, kWeighted>(p, 1.0f / d, xq, qq);
    if (qq > 0.0f) d = xq / qq;
  }
  std::uint16_t half = quant::finite_f16(quant::exact_product(d, b.unit));
  // Subnormal scales are far apart: the nearest need not be the best.
  if ((half & 0x7fff) < 0x400) half = BestCode<Levels, kWeighted>(b, half, 7, 1, 1, half);
  if constexpr (kHigh) {
    TryTheRest<Levels, kWeighted>(p, b.largest, best);
    const std::uint16_t high = quant::finite_f16(quant::exact_product(BestScale(best), b.unit));
    half = BestCode<Levels, kWeighted>(b, high, 7, 1, 1, half);
  }
  return half;
}

// 1 / scale for x.
template <std::size_t kCount>
BRINK_ENCODE_INLINE F32x16 InverseScale(const SearchBlock<kCount>& b, std::uint16_t half) {
  return Set(InverseOf(quant::exact_product(f16_to_f32(half), b.per_unit)));
}

// Runs EncodeBlock<kWeighted, kHigh>(weights, importance, block) of `Format` over a row.
template <class Format, bool kWeighted, bool kHigh>
inline void EncodeBlocks(const float* weights, const float* importance, std::size_t count,
                         std::uint8_t* blocks) {
  using Block = typename Format::Block;
  constexpr std::size_t kCount = size_of(Block::kType).block_size;
  for (std::size_t at = 0; at < count; at += kCount, blocks += sizeof(Block)) {
    Format::template EncodeBlock<kWeighted, kHigh>(
        weights + at, kWeighted ? importance + at : nullptr, *reinterpret_cast<Block*>(blocks));
  }
}

template <class Format>
inline void EncodeRow(const float* weights, const float* importance, std::size_t count,
                      Effort effort, std::uint8_t* blocks) {
  const bool high = effort == Effort::kHigh;
  if (importance != nullptr) {
    if (high) {
      EncodeBlocks<Format, true, true>(weights, importance, count, blocks);
    } else {
      EncodeBlocks<Format, true, false>(weights, importance, count, blocks);
    }
  } else if (high) {
    EncodeBlocks<Format, false, true>(weights, importance, count, blocks);
  } else {
    EncodeBlocks<Format, false, false>(weights, importance, count, blocks);
  }
}

}  // namespace brink::BRINK_ENCODE_NAMESPACE
BRINK_ENCODE_AFTER()
