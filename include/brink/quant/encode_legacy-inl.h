// Encoders of the first generation of block types (quant/legacy.h). Included once per pass by
// encode_families-inl.h.

BRINK_ENCODE_BEFORE()
namespace brink::BRINK_ENCODE_NAMESPACE {

// The whole numbers from -kBelow to kAbove.
template <int kBelow, int kAbove>
struct WholeLevels {
  BRINK_ENCODE_INLINE static F32x16 Nearest(F32x16 t) {
    return Max(Min(Round(t), Set(static_cast<float>(kAbove))), Set(-static_cast<float>(kBelow)));
  }
  BRINK_ENCODE_INLINE static I32x16 Code(F32x16 t) {
    return RoundToInt(Nearest(t)) + SetInt(kBelow);
  }
};

// Low nibbles of 32 codes to 16 bytes.
BRINK_ENCODE_INLINE void StoreNibbles(I32x16 low, I32x16 high, std::uint8_t* qs) {
  StoreBytes((low & SetInt(15)) | ShiftLeft<4>(high & SetInt(15)), qs);
}

inline constexpr std::int32_t kLaneBits[16] = {1 << 0,  1 << 1,  1 << 2,  1 << 3, 1 << 4,  1 << 5,
                                               1 << 6,  1 << 7,  1 << 8,  1 << 9, 1 << 10, 1 << 11,
                                               1 << 12, 1 << 13, 1 << 14, 1 << 15};

// Bit i of the result is bit 4 of code i. A sum of floats is exact that far.
BRINK_ENCODE_INLINE std::uint32_t FifthBits(I32x16 codes) {
  const I32x16 bits = (ShiftRight<4>(codes) & SetInt(1)) * LoadInt(kLaneBits);
  return static_cast<std::uint32_t>(SumOfLanes(ConvertToFloat(bits)));
}
BRINK_ENCODE_INLINE void StoreFifthBits(I32x16 low, I32x16 high, std::uint8_t* qh) {
  const std::uint32_t bits = FifthBits(low) | FifthBits(high) << 16;
  std::memcpy(qh, &bits, sizeof(bits));
}

struct FormatQ4_0 : WholeLevels<8, 7> {
  using Block = quant::BlockQ4_0;
  static constexpr float kTargets[] = {-8.9f, -8.6f, -8.35f, -8.1f, -7.85f, -7.6f, -7.35f, -7.1f,
                                       -6.8f, -6.4f, 7.6f, 7.3f, 7.05f, 6.8f, 6.5f, 6.1f,
                                       // Whole ones find the scale of weights that have one.
                                       -1.0f, -2.0f, -3.0f, -4.0f, -5.0f, -6.0f, 1.0f, 2.0f, 3.0f,
                                       4.0f, 5.0f, 6.0f, -9.4f, -10.0f, -11.0f, -12.5f, -8.72f,
                                       -8.48f, -8.22f, -7.98f, -7.72f, -7.48f, -6.95f, -6.6f, 7.9f,
                                       8.4f, 9.2f, 10.2f, 11.5f, 7.15f, 6.9f, 6.3f};
  static constexpr std::size_t kDefaultTargets = 16;
  static constexpr int kRefits = 0;

  template <bool kWeighted, bool kHigh>
  BRINK_ENCODE_INLINE static void EncodeBlock(const float* weights, const float* importance,
                                              Block& block) {
    SearchBlock<32> b;
    Prepare<kWeighted>(weights, importance, b);
    const std::uint16_t half = SearchScale<FormatQ4_0, kWeighted, kHigh>(b);
    quant::store_f16(half, block.d);
    const F32x16 inverse = InverseScale(b, half);
    StoreNibbles(Code(Load(b.x) * inverse), Code(Load(b.x + 16) * inverse), block.qs);
  }
};

struct FormatQ5_0 : WholeLevels<16, 15> {
  using Block = quant::BlockQ5_0;
  static constexpr float kTargets[] = {
      -16.6f, -16.3f, -16.0f, -15.7f, -15.4f, -15.1f, -14.8f, -14.5f, -14.2f, -13.8f, 15.6f, 15.3f,
      15.0f,  14.7f,  14.3f,  13.9f,  -1.0f,  -2.0f,  -3.0f,  -4.0f,  -5.0f,  -6.0f,  -7.0f, -8.0f,
      -9.0f,  -10.0f, -11.0f, -12.0f, -13.0f, 1.0f,   2.0f,   3.0f,   4.0f,   5.0f,   6.0f,  7.0f,
      8.0f,   9.0f,   10.0f,  11.0f,  12.0f,  13.0f,  -17.1f, -18.0f, -19.5f, 16.2f,  17.0f, 18.5f};
  static constexpr std::size_t kDefaultTargets = 16;
  static constexpr int kRefits = 0;

  template <bool kWeighted, bool kHigh>
  BRINK_ENCODE_INLINE static void EncodeBlock(const float* weights, const float* importance,
                                              Block& block) {
    SearchBlock<32> b;
    Prepare<kWeighted>(weights, importance, b);
    const std::uint16_t half = SearchScale<FormatQ5_0, kWeighted, kHigh>(b);
    quant::store_f16(half, block.d);
    const F32x16 inverse = InverseScale(b, half);
    const I32x16 low = Code(Load(b.x) * inverse), high = Code(Load(b.x + 16) * inverse);
    StoreFifthBits(low, high, block.qh);
    StoreNibbles(low, high, block.qs);
  }
};

struct FormatQ8_0 : WholeLevels<127, 127> {
  using Block = quant::BlockQ8_0;

  template <bool kWeighted, bool kHigh>
  BRINK_ENCODE_INLINE static void EncodeBlock(const float* weights, const float* importance,
                                              Block& block) {
    SearchBlock<32> b;
    Prepare<kWeighted>(weights, importance, b);
    // By default the smallest scale that cuts nothing off. With so many levels the error of a block
    // goes up and down with the scale by chance; the luckiest one lies between some 3 % less and
    // some 10 % more, of which every second code is tried.
    std::uint16_t half =
        quant::finite_f16(quant::exact_product(std::fabs(b.largest) / 127.0f, b.unit));
    if (kHigh && half != 0) half = BestCode<FormatQ8_0, kWeighted>(b, half, 60, 2, 5, half);
    quant::store_f16(half, block.d);
    const F32x16 inverse = InverseScale(b, half);
    auto* qs = reinterpret_cast<std::uint8_t*>(block.qs);
    StoreBytes(RoundToInt(Nearest(Load(b.x) * inverse)), qs);
    StoreBytes(RoundToInt(Nearest(Load(b.x + 16) * inverse)), qs + 16);
  }
};

// Types with a minimum: w = d q + m, q from 0 to kTop. The search goes over x less its weighted
// mean, so that for given levels the best scale is the covariance of x and q over the variance of
// q, and the gain is the square of the first over the second.
template <class BlockType, int kTop>
struct AffineFormat {
  using Block = BlockType;

  struct Affine {
    std::uint16_t d, m;
  };

  // The block, with x - mean for x.
  struct Centred {
    SearchBlock<32> b;
    float mean;
    float sum_w;
  };

  BRINK_ENCODE_INLINE static F32x16 Nearest(F32x16 t) {
    return Max(Min(Round(t), Set(static_cast<float>(kTop))), Set(0.0f));
  }

  template <bool kWeighted>
  BRINK_ENCODE_INLINE static void Centre(Centred& c) {
    SearchBlock<32>& b = c.b;
    if constexpr (kWeighted) {
      c.sum_w = SumOfLanes(Load(b.w) + Load(b.w + 16));
      c.mean = SumOfLanes(Load(b.wx) + Load(b.wx + 16)) / c.sum_w;
    } else {
      c.sum_w = 32.0f;
      c.mean = SumOfLanes(Load(b.x) + Load(b.x + 16)) / 32.0f;
    }
    const F32x16 mean = Set(c.mean), zero = Set(0.0f);
    F32x16 least = zero, greatest = zero;
    for (std::size_t i = 0; i < 32; i += 16) {
      const F32x16 x = Load(b.x + i) - mean;
      Store(x, b.x + i);
      F32x16 counted = x;
      if constexpr (kWeighted) {
        const F32x16 w = Load(b.w + i);
        Store(x * w, b.wx + i);
        counted = IfThenElse(zero < w, x, zero);
      }
      least = Min(least, counted);
      greatest = Max(greatest, counted);
    }
    b.least = MinOfLanes(least);
    b.greatest = MaxOfLanes(greatest);
  }

  // Gains in each lane for the levels nearest to x * inverse + shift; leaves the scales and minima
  // that these lead to.
  template <bool kWeighted>
  BRINK_ENCODE_INLINE static F32x16 Gain(const Centred& c, F32x16 inverse, F32x16 shift, F32x16& d,
                                         F32x16& m) {
    F32x16 sum_q = Set(0.0f), sum_qq = sum_q, sum_xq = sum_q;
    for (std::size_t i = 0; i < 32; ++i) {
      const F32x16 x = Set(c.b.x[i]);
      const F32x16 q = Nearest(x * inverse + shift);
      if constexpr (kWeighted) {
        const F32x16 wq = Set(c.b.w[i]) * q;
        sum_q = sum_q + wq;
        sum_qq = sum_qq + wq * q;
        sum_xq = sum_xq + Set(c.b.wx[i]) * q;
      } else {
        sum_q = sum_q + q;
        sum_qq = sum_qq + q * q;
        sum_xq = sum_xq + x * q;
      }
    }
    const F32x16 mean_q = sum_q / Set(c.sum_w);
    const F32x16 variance = sum_qq - mean_q * sum_q;
    const Mask16 some = Set(0.0f) < variance;
    d = IfThenElse(some, sum_xq / IfThenElse(some, variance, Set(1.0f)), Set(0.0f));
    m = Neg(d * mean_q);
    return d * sum_xq;
  }

  template <bool kWeighted>
  BRINK_ENCODE_INLINE static void TryCuts(const Centred& c, const float* low, const float* width,
                                          F32x16& gain, F32x16& d, F32x16& m) {
    const F32x16 range = Set(c.b.greatest - c.b.least);
    const F32x16 inverse = Set(static_cast<float>(kTop)) / (range * Load(width));
    const F32x16 bottom = Set(c.b.least) + range * Load(low);
    F32x16 new_d, new_m;
    const F32x16 new_gain = Gain<kWeighted>(c, inverse, Neg(bottom * inverse), new_d, new_m);
    Keep(new_gain, new_d, new_m, gain, d, m);
  }
  BRINK_ENCODE_INLINE static void Keep(F32x16 new_gain, F32x16 new_d, F32x16 new_m, F32x16& gain,
                                       F32x16& d, F32x16& m) {
    const Mask16 better = gain < new_gain;
    gain = IfThenElse(better, new_gain, gain);
    d = IfThenElse(better, new_d, d);
    m = IfThenElse(better, new_m, m);
  }

  // Rounds the minimum, then takes the best scale for it.
  template <bool kWeighted>
  BRINK_ENCODE_INLINE static Affine Rounded(const Centred& c, float d, float m) {
    Affine result;
    result.m = quant::finite_f16(quant::exact_product(c.mean + m, c.b.unit));
    const F32x16 offset = Set(Offset(c, result.m)), inverse = Set(InverseOf(d));
    F32x16 sum_xq = Set(0.0f), sum_qq = sum_xq;
    for (std::size_t i = 0; i < 32; i += 16) {
      const F32x16 x = Load(c.b.x + i) + offset;
      const F32x16 q = Nearest(x * inverse);
      F32x16 wq = q;
      if constexpr (kWeighted) wq = Load(c.b.w + i) * q;
      sum_xq = sum_xq + x * wq;
      sum_qq = sum_qq + wq * q;
    }
    const float qq = SumOfLanes(sum_qq);
    if (qq > 0.0f) d = SumOfLanes(sum_xq) / qq;
    result.d = quant::finite_f16(quant::exact_product(d, c.b.unit));
    return result;
  }

  // What brings x - mean to x - m.
  BRINK_ENCODE_INLINE static float Offset(const Centred& c, std::uint16_t m) {
    return c.mean - quant::exact_product(f16_to_f32(m), c.b.per_unit);
  }

  // The best of the f16 neighbours of `a` and `other`; `other` where it is as good as any.
  template <bool kWeighted>
  BRINK_ENCODE_INLINE static Affine BestCodes(const Centred& c, Affine a, Affine other) {
    alignas(64) float d[16], offset[16], errors[16];
    Affine codes[16];
    for (int i = 0; i < 16; ++i) {
      Affine& code = codes[i];
      code = i == 0 ? other : Affine{Moved(a.d, (i - 1) % 5 - 2), Moved(a.m, (i - 1) / 5 - 1)};
      d[i] = quant::exact_product(f16_to_f32(code.d), c.b.per_unit);
      offset[i] = Offset(c, code.m);
    }
    const F32x16 scale = Load(d), inverse = InverseOf(scale), shift = Load(offset);
    F32x16 sum = Set(0.0f);
    for (std::size_t i = 0; i < 32; ++i) {
      const F32x16 x = Set(c.b.x[i]) + shift;
      const F32x16 e = x - Nearest(x * inverse) * scale;
      if constexpr (kWeighted) {
        sum = sum + Set(c.b.w[i]) * (e * e);
      } else {
        sum = sum + e * e;
      }
    }
    // Not a number where a code is out of all proportion to the weights.
    const F32x16 worst = Set(std::numeric_limits<float>::max());
    sum = IfThenElse(sum < worst, sum, worst);
    Store(sum, errors);
    const float least = MinOfLanes(sum);
    // Every x - m is off by up to 2^-23: what that may make of the error of `other`.
    const float noise =
        quant::exact_product(0x1p-21f, std::sqrt(quant::exact_product(errors[0], c.sum_w)));
    return quant::exact_product(errors[0], kErrorMargin) - noise <= least
               ? other
               : codes[LaneOf(errors, least)];
  }
  BRINK_ENCODE_INLINE static std::uint16_t Moved(std::uint16_t half, int by) {
    return static_cast<std::uint16_t>((half & 0x8000) |
                                      std::clamp((half & 0x7fff) + by, 0, 0x7bff));
  }

  // Weights all alike: the minimum is the nearest f16, and a scale with level 1 what it lacks.
  BRINK_ENCODE_INLINE static Affine Constant(const Centred& c) {
    Affine a;
    a.m = quant::finite_f16(quant::exact_product(c.mean, c.b.unit));
    a.d = quant::finite_f16(quant::exact_product(Offset(c, a.m), c.b.unit));
    return a;
  }

  template <bool kWeighted, bool kHigh>
  BRINK_ENCODE_INLINE static Affine Search(const Centred& c) {
    if (c.b.greatest == c.b.least) return Constant(c);
    F32x16 gain = Set(0.0f), d = gain, m = gain;
    TryCuts<kWeighted>(c, Cuts::kLow[0], Cuts::kWidth[0], gain, d, m);
    const Affine first = RoundedBest<kWeighted>(c, gain, d, m);
    if constexpr (kHigh) {
      for (std::size_t v = 1; v < Cuts::kVectors; ++v) {
        TryCuts<kWeighted>(c, Cuts::kLow[v], Cuts::kWidth[v], gain, d, m);
      }
      for (int i = 0; i < 3; ++i) {  // as in TryTheRest
        const F32x16 again = InverseOf(d);
        F32x16 new_d, new_m;
        const F32x16 new_gain = Gain<kWeighted>(c, again, Neg(m * again), new_d, new_m);
        Keep(new_gain, new_d, new_m, gain, d, m);
      }
      return BestCodes<kWeighted>(c, RoundedBest<kWeighted>(c, gain, d, m), first);
    }
    return first;
  }
  template <bool kWeighted>
  BRINK_ENCODE_INLINE static Affine RoundedBest(const Centred& c, F32x16 gain, F32x16 d, F32x16 m) {
    alignas(64) float gains[16];
    Store(gain, gains);
    const std::size_t lane = LaneOf(gains, MaxOfLanes(gain));
    return Rounded<kWeighted>(c, LaneAt(d, lane), LaneAt(m, lane));
  }

  // The candidates, as the place of level 0 and the distance to that of kTop. First those that are
  // tried by default.
  struct Cuts {
    static constexpr std::size_t kVectors = 4;
    static constexpr std::size_t kSteps = 8;
    // In steps of a level.
    static constexpr float kStep[kSteps] = {-0.1f, 0.3f, 0.7f, 1.1f, -0.4f, 0.1f, 0.5f, 0.9f};
    static constexpr auto kAll = [] {
      struct {
        float low[kVectors][16], width[kVectors][16];
      } all{};
      for (std::size_t v = 0; v < kVectors; ++v) {
        for (std::size_t i = 0; i < 16; ++i) {
          const float low = kStep[v / 2 * 4 + i / 4] / kTop;
          const float high = kStep[v % 2 * 4 + i % 4] / kTop;
          all.low[v][i] = low;
          all.width[v][i] = 1.0f - low - high;
        }
      }
      return all;
    }();
    static constexpr auto& kLow = kAll.low;
    static constexpr auto& kWidth = kAll.width;
  };

  template <bool kWeighted, bool kHigh>
  BRINK_ENCODE_INLINE static void EncodeBlock(const float* weights, const float* importance,
                                              Block& block) {
    Centred c;
    Prepare<kWeighted>(weights, importance, c.b);
    Centre<kWeighted>(c);
    const Affine a = Search<kWeighted, kHigh>(c);
    quant::store_f16(a.d, block.d);
    quant::store_f16(a.m, block.m);
    const F32x16 inverse = InverseScale(c.b, a.d), offset = Set(Offset(c, a.m));
    const I32x16 low = RoundToInt(Nearest((Load(c.b.x) + offset) * inverse));
    const I32x16 high = RoundToInt(Nearest((Load(c.b.x + 16) + offset) * inverse));
    if constexpr (kTop > 15) StoreFifthBits(low, high, block.qh);
    StoreNibbles(low, high, block.qs);
  }
};

using FormatQ4_1 = AffineFormat<quant::BlockQ4_1, 15>;
using FormatQ5_1 = AffineFormat<quant::BlockQ5_1, 31>;

template <>
inline constexpr EncodeFn kEncoder<TensorType::kQ4_1> = &EncodeRow<FormatQ4_1>;
template <>
inline constexpr EncodeFn kEncoder<TensorType::kQ5_1> = &EncodeRow<FormatQ5_1>;
template <>
inline constexpr EncodeFn kEncoder<TensorType::kQ4_0> = &EncodeRow<FormatQ4_0>;
template <>
inline constexpr EncodeFn kEncoder<TensorType::kQ5_0> = &EncodeRow<FormatQ5_0>;
template <>
inline constexpr EncodeFn kEncoder<TensorType::kQ8_0> = &EncodeRow<FormatQ8_0>;

}  // namespace brink::BRINK_ENCODE_NAMESPACE
BRINK_ENCODE_AFTER()
