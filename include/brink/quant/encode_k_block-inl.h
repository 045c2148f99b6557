// The super-block as the encoders of k-quants see it, and what their searches share. Included once
// per pass by encode_families-inl.h.
//
// A super-block lies transposed, so that a lane is a sub-block: 16 vectors of 16 sub-blocks, or for
// sub-blocks of 32 weights of 8 first and 8 second halves, whose sums Total() puts together. A
// search then tries one candidate in every sub-block at a time, without any reduction over lanes.

BRINK_ENCODE_BEFORE()
namespace brink::BRINK_ENCODE_NAMESPACE {

inline constexpr float kNoError = std::numeric_limits<float>::infinity();

template <std::size_t kGroup>
struct SuperBlock {
  // [16 weights][16 lanes], scaled by a power of two such that the largest magnitude is in [1, 2)
  // (less where even f16's smallest number is far larger).
  alignas(64) float x[256];
  alignas(64) float w[256];   // importance
  alignas(64) float wx[256];  // importance * x
  F32x16 sum_w, sum_wx, sum_wxx;
  F32x16 low, high;  // the smallest and the largest weight
  float up, down;    // x * up is the weight
};

// How wide a search is. "Levels" are steps between quants.
struct SearchWidth {
  // Sub-blocks by themselves: scales such that the weights take first + i * step levels more than
  // there are, i < scales; for minima each at 2 * shifts + 1 places a fifth of a level apart, for
  // signed scales with shifts both signs. Then so many descents to a least squares fit.
  float first, step;
  int scales, shifts, descents;
  // Super-block scales: those that the largest sub-block needs, times low_factor + i * factor_step,
  // i < factors; s and m up to `reach` from the nearest.
  float low_factor, factor_step;
  int factors, reach;
  // How often super-block scales are fitted to what was chosen for them, and the reach then.
  int fits, fit_reach;

  float Factor(int i) const {
    return low_factor + quant::exact_product(factor_step, static_cast<float>(i));
  }
};

// The sum over a whole sub-block, in all its lanes.
template <std::size_t kGroup>
BRINK_ENCODE_INLINE F32x16 Total(F32x16 sum) {
  if constexpr (kGroup == 32) return sum + SwapHalves(sum);
  return sum;
}

// The sum over all sub-blocks of a number that all lanes of a sub-block have.
template <std::size_t kGroup>
BRINK_ENCODE_INLINE float SumOfGroups(F32x16 a) {
  return SumOfLanes(a) * (kGroup == 32 ? 0.5f : 1.0f);
}

// Position in the super-block of weight `l` of lane `lane`.
template <std::size_t kGroup>
constexpr std::size_t PositionOf(std::size_t l, std::size_t lane) {
  return kGroup == 32 ? lane % 8 * 32 + lane / 8 * 16 + l : lane * 16 + l;
}

// 2^-e for the exponent e of a positive number, e kept in [lowest, highest].
BRINK_ENCODE_INLINE float InversePower(float x, int lowest, int highest) {
  const int bits = std::bit_cast<std::int32_t>(x);
  const int e = std::clamp((bits >> 23) - 127, lowest, highest);
  return e < 127 ? std::bit_cast<float>((127 - e) << 23) : 0x1p-127f;
}

BRINK_ENCODE_INLINE float LargestOf256(const float* x) {
  F32x16 largest = Abs(Load(x));
  for (std::size_t i = 16; i < 256; i += 16) largest = Max(largest, Abs(Load(x + i)));
  return MaxOfLanes(largest);
}

template <std::size_t kGroup>
void LoadSuperBlock(const float* weights, const float* importance, bool negate,
                    SuperBlock<kGroup>* b) {
  // Below 2^-40 every weight is zero in f16's units; larger factors would only risk overflow.
  b->down = InversePower(LargestOf256(weights), -40, 127);
  b->up = 1.0f / b->down;
  const float factor = negate ? -b->down : b->down;
  const float largest = importance != nullptr ? LargestOf256(importance) : 0.0f;
  const float portion = largest > 0.0f ? InversePower(largest, -126, 126) : 0.0f;
  for (std::size_t lane = 0; lane < 16; ++lane) {
    const std::size_t first = PositionOf<kGroup>(0, lane);
    for (std::size_t l = 0; l < 16; ++l) {
      b->x[16 * l + lane] = quant::exact_product(weights[first + l], factor);
    }
    for (std::size_t l = 0; l < 16; ++l) {
      b->w[16 * l + lane] =
          largest > 0.0f ? quant::exact_product(importance[first + l], portion) : 1.0f;
    }
  }
  // A sub-block without importance is as good as one with equal weights.
  const F32x16 zero = Set(0.0f);
  F32x16 sum_w = zero;
  for (std::size_t i = 0; i < 256; i += 16) sum_w = sum_w + Load(b->w + i);
  sum_w = Total<kGroup>(sum_w);
  const F32x16 fill = IfThenElse(zero < sum_w, zero, Set(1.0f));
  F32x16 sum_wx = zero, sum_wxx = zero, low = Load(b->x), high = low;
  sum_w = zero;
  for (std::size_t i = 0; i < 256; i += 16) {
    const F32x16 x = Load(b->x + i);
    const F32x16 w = Load(b->w + i) + fill;
    const F32x16 wx = w * x;
    Store(w, b->w + i);
    Store(wx, b->wx + i);
    sum_w = sum_w + w;
    sum_wx = sum_wx + wx;
    sum_wxx = sum_wxx + wx * x;
    low = Min(low, x);
    high = Max(high, x);
  }
  b->sum_w = Total<kGroup>(sum_w);
  b->sum_wx = Total<kGroup>(sum_wx);
  b->sum_wxx = Total<kGroup>(sum_wxx);
  if constexpr (kGroup == 32) {
    low = Min(low, SwapHalves(low));
    high = Max(high, SwapHalves(high));
  }
  b->low = low;
  b->high = high;
}

// A super-block scale as it will be stored, in the units of SuperBlock::x.
struct HalfScale {
  std::uint16_t half;
  float value;
};
template <std::size_t kGroup>
BRINK_ENCODE_INLINE HalfScale RoundScale(const SuperBlock<kGroup>& b, float d) {
  const std::uint16_t half = quant::finite_f16(d * b.up);
  return {half, f16_to_f32(half) * b.down};
}

// 1 / a, or 0 where a is 0 (or so small that the inverse would be none).
BRINK_ENCODE_INLINE F32x16 InverseOrZero(F32x16 a) {
  const Mask16 some = Set(0x1p-120f) < Abs(a);
  return IfThenElse(some, Set(1.0f) / IfThenElse(some, a, Set(1.0f)), Set(0.0f));
}
BRINK_ENCODE_INLINE float InverseOrZero(float a) {
  return std::fabs(a) > 0x1p-120f ? 1.0f / a : 0.0f;
}

BRINK_ENCODE_INLINE F32x16 Clamp(F32x16 a, float low, float high) {
  return Min(Max(a, Set(low)), Set(high));
}

// Levels [16 weights][16 lanes] in the order of the weights.
template <std::size_t kGroup>
BRINK_ENCODE_INLINE void OrderLevels(const std::uint8_t* lanes, std::uint8_t* levels) {
  for (std::size_t lane = 0; lane < 16; ++lane) {
    for (std::size_t l = 0; l < 16; ++l) {
      levels[PositionOf<kGroup>(l, lane)] = lanes[16 * l + lane];
    }
  }
}

}  // namespace brink::BRINK_ENCODE_NAMESPACE
BRINK_ENCODE_AFTER()
