// Encoders of MXFP4 and NVFP4 (quant/fp4.h). Included once per pass by encode_families-inl.h.

BRINK_ENCODE_BEFORE()
namespace brink::BRINK_ENCODE_NAMESPACE {

// The doubled E2M1 values: 0 to 4 in steps of 1, to 8 in steps of 2, 12.
struct E2m1Levels {
  // Of a magnitude. Steps are the spacing of floats at 2^23, 2^24 and 2^25.
  BRINK_ENCODE_INLINE static F32x16 NearestMagnitude(F32x16 t) {
    const F32x16 far = Set(0x1p25f);
    const F32x16 shift =
        IfThenElse(t < Set(4.0f), Set(0x1p23f), IfThenElse(t < Set(8.0f), Set(0x1p24f), far));
    return Min((Min(t, Set(16.0f)) + shift) - shift, Set(12.0f));
  }
  BRINK_ENCODE_INLINE static F32x16 Nearest(F32x16 t) {
    const F32x16 q = NearestMagnitude(Abs(t));
    return IfThenElse(t < Set(0.0f), Neg(q), q);
  }
  // The code of the value nearest to t: 4, 5, 6, 7 are the magnitudes 4, 6, 8, 12.
  BRINK_ENCODE_INLINE static I32x16 Code(F32x16 t) {
    const I32x16 q = RoundToInt(NearestMagnitude(Abs(t)));
    const I32x16 large = SetInt(4) + ShiftRight<1>(q - SetInt(4));
    const I32x16 code = IfThenElse(q < SetInt(5), q, Min(large, SetInt(7)));
    return IfThenElse((t < Set(0.0f)) & Not(q == SetInt(0)), code + SetInt(8), code);
  }
};

struct FormatMXFP4 {
  using Block = quant::BlockMXFP4;

  // Half of the scale for x, as a power of two, by default one of those at which the largest weight
  // is 0.75 to 6 times the greatest level's share; with more effort any that could be the best: a
  // larger one gives zeros, a smaller one cuts off nearly everything.
  static constexpr float kScales[16] = {0x1p-3f,  0x1p-2f,  0x1p-4f,  0x1p-5f, 0x1p-1f, 0x1p0f,
                                        0x1p1f,   0x1p-6f,  0x1p-7f,  0x1p-8f, 0x1p-9f, 0x1p-10f,
                                        0x1p-11f, 0x1p-12f, 0x1p-13f, 0x1p-14f};
  static constexpr int kDefaultScales = 3;

  template <bool kWeighted>
  BRINK_ENCODE_INLINE static float Error(const SearchBlock<32>& b, float d) {
    const F32x16 inverse = Set(1.0f / d), scale = Set(d);
    F32x16 sum = Set(0.0f);
    for (std::size_t i = 0; i < 32; i += 16) {
      const F32x16 x = Load(b.x + i);
      const F32x16 e = x - E2m1Levels::Nearest(x * inverse) * scale;
      sum = kWeighted ? sum + Load(b.w + i) * (e * e) : sum + e * e;
    }
    return SumOfLanes(sum);
  }

  template <bool kWeighted, bool kHigh>
  BRINK_ENCODE_INLINE static void EncodeBlock(const float* weights, const float* importance,
                                              Block& block) {
    SearchBlock<32> b;
    Prepare<kWeighted>(weights, importance, b);
    // No more than what keeps the greatest level finite.
    const float limit = quant::exact_product(0x1p124f, b.per_unit);
    float d = 0.0f;
    if (b.largest != 0.0f) {
      if constexpr (kHigh) {
        alignas(64) float errors[16];
        const F32x16 scales = Min(Load(kScales), Set(limit));
        const F32x16 error = SumErrors<E2m1Levels, kWeighted>(PartOf<32>(b, 0), scales);
        Store(error, errors);
        d = LaneAt(scales, LaneOf(errors, MinOfLanes(error)));
      } else {
        float least = std::numeric_limits<float>::max();
        for (int i = 0; i < kDefaultScales; ++i) {
          const float scale = std::min(kScales[i], limit);
          const float error = Error<kWeighted>(b, scale);
          if (error < least) {
            least = error;
            d = scale;
          }
        }
      }
    }
    // d * unit is 2^(e - 128).
    const int exponent = static_cast<int>(std::bit_cast<std::uint32_t>(d) >> 23) +
                         static_cast<int>(std::bit_cast<std::uint32_t>(b.unit) >> 23) - 126;
    block.e = static_cast<std::uint8_t>(d == 0.0f ? 0 : exponent);
    const F32x16 inverse =
        Set(d == 0.0f ? 0.0f : 1.0f / quant::exact_product(quant::e8m0_half(block.e), b.per_unit));
    StoreNibbles(E2m1Levels::Code(Load(b.x) * inverse), E2m1Levels::Code(Load(b.x + 16) * inverse),
                 block.qs);
  }
};

struct FormatNVFP4 {
  using Block = quant::BlockNVFP4;

  // The greatest code whose E4M3 number is at most x (> 0).
  BRINK_ENCODE_INLINE static int FloorCode(float x) {
    x = std::min(x, 448.0f);
    if (x < 0x1p-6f) return static_cast<int>(x * 0x1p9f);
    return static_cast<int>((std::bit_cast<std::uint32_t>(x) >> 20) - ((127 - 7) << 3));
  }

  template <bool kWeighted, bool kHigh>
  BRINK_ENCODE_INLINE static void EncodeBlock(const float* weights, const float* importance,
                                              Block& block) {
    SearchBlock<64> b;
    Prepare<kWeighted>(weights, importance, b);
    const F32x16 per_unit = Set(b.per_unit);
    for (std::size_t g = 0; g < 4; ++g) {
      const SearchPart<16> p = PartOf<16>(b, 16 * g);
      const float largest = LargestOf<kWeighted>(p);
      int code = 0;
      if (largest != 0.0f) {
        // Codes around the one that puts the largest weight at the greatest level.
        const float top = quant::exact_product(std::fabs(largest), b.unit) / 6.0f;
        constexpr int kBelow = kHigh ? 22 : 9;
        float least = std::numeric_limits<float>::max();
        int first = std::clamp(FloorCode(top) - kBelow, 1, 111);
        for (int v = 0; v < (kHigh ? 2 : 1); ++v) {
          const F32x16 error = SumErrors<E2m1Levels, kWeighted>(
              p, Load(quant::kUe4m3Half.data() + first) * per_unit);
          const float best = MinOfLanes(error);
          if (best < least) {
            alignas(64) float errors[16];
            Store(error, errors);
            least = best;
            code = first + static_cast<int>(LaneOf(errors, best));
          }
          first = std::min(first + 16, 111);
        }
      }
      block.d[g] = static_cast<std::uint8_t>(code);
      const F32x16 inverse = Set(InverseOf(
          quant::exact_product(quant::kUe4m3Half[static_cast<std::size_t>(code)], b.per_unit)));
      alignas(16) std::uint8_t codes[16];
      StoreBytes(E2m1Levels::Code(Load(p.x) * inverse), codes);
      for (std::size_t i = 0; i < 8; ++i) {
        block.qs[8 * g + i] = static_cast<std::uint8_t>(codes[i] | codes[i + 8] << 4);
      }
    }
  }
};

template <>
inline constexpr EncodeFn kEncoder<TensorType::kMXFP4> = &EncodeRow<FormatMXFP4>;
template <>
inline constexpr EncodeFn kEncoder<TensorType::kNVFP4> = &EncodeRow<FormatNVFP4>;

}  // namespace brink::BRINK_ENCODE_NAMESPACE
BRINK_ENCODE_AFTER()
