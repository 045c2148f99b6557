// Encoders of the types with two to four levels: Q1_0, Q2_0 (quant/small.h), TQ1_0 and TQ2_0
// (quant/ternary.h). Included once per pass by encode_families-inl.h.

BRINK_ENCODE_BEFORE()
namespace brink::BRINK_ENCODE_NAMESPACE {

struct FormatQ1_0 {
  using Block = quant::BlockQ1_0;

  // The signs, and the mean magnitude, which is the best scale there is.
  template <bool kWeighted, bool kHigh>
  BRINK_ENCODE_INLINE static void EncodeBlock(const float* weights, const float* importance,
                                              Block& block) {
    SearchBlock<128> b;
    Prepare<kWeighted>(weights, importance, b);
    const F32x16 zero = Set(0.0f);
    F32x16 sum = zero, sum_w = zero;
    for (std::size_t i = 0; i < 128; i += 16) {
      const F32x16 x = Load(b.x + i);
      if constexpr (kWeighted) {
        sum = sum + Abs(Load(b.wx + i));
        sum_w = sum_w + Load(b.w + i);
      } else {
        sum = sum + Abs(x);
        sum_w = sum_w + Set(1.0f);
      }
      const I32x16 bits = IfThenElse(x < zero, SetInt(0), LoadInt(kLaneBits));
      const auto mask = static_cast<std::uint32_t>(SumOfLanes(ConvertToFloat(bits)));
      block.qs[i / 8] = static_cast<std::uint8_t>(mask & 255);
      block.qs[i / 8 + 1] = static_cast<std::uint8_t>(mask >> 8);
    }
    const float d = SumOfLanes(sum) / SumOfLanes(sum_w);
    quant::store_f16(quant::finite_f16(quant::exact_product(d, b.unit)), block.d);
  }
};

struct FormatQ2_0 : WholeLevels<1, 2> {
  using Block = quant::BlockQ2_0;
  // For the largest weight, of a normal or a wider distribution.
  static constexpr float kTargets[] = {0.9f,  1.2f,  1.5f,  1.75f,  2.0f,  2.3f,  2.8f,  4.0f,
                                       -0.9f, -1.2f, -1.5f, -1.75f, -2.0f, -2.3f, -2.8f, -4.0f};
  static constexpr std::size_t kDefaultTargets = 16;
  static constexpr int kRefits = 1;

  // Where t passes from one level to the next.
  static constexpr float kBorders[3] = {-0.5f, 0.5f, 1.5f};

  // All choices of levels that some scale makes: each begins where a weight passes a border.
  template <bool kWeighted>
  BRINK_ENCODE_INLINE static std::uint16_t BestOfAll(const SearchBlock<64>& b,
                                                     std::uint16_t other) {
    const SearchPart<64> p = PartOf<64>(b, 0);
    LaneBest best = NoneYet();
    for (std::size_t i = 0; i < 64; i += 16) {
      const F32x16 inverse_x = InverseOf(Load(b.x + i));
      for (const float border : kBorders) {
        // A little farther out, so that rounding does not leave the weight on this side.
        const F32x16 inverse = inverse_x * Set(border * (1.0f + 0x1p-20f));
        KeepBetter(SumLevels<FormatQ2_0, kWeighted>(p, inverse), best);
      }
    }
    const std::uint16_t half = quant::finite_f16(quant::exact_product(BestScale(best), b.unit));
    return BestCode<FormatQ2_0, kWeighted>(b, half, 7, 1, 1, other);
  }

  template <bool kWeighted, bool kHigh>
  BRINK_ENCODE_INLINE static void EncodeBlock(const float* weights, const float* importance,
                                              Block& block) {
    SearchBlock<64> b;
    Prepare<kWeighted>(weights, importance, b);
    std::uint16_t half = SearchScale<FormatQ2_0, kWeighted, false>(b);
    if (kHigh && b.largest != 0.0f) half = BestOfAll<kWeighted>(b, half);
    quant::store_f16(half, block.d);
    const F32x16 inverse = InverseScale(b, half);
    alignas(16) std::uint8_t codes[64];
    for (std::size_t i = 0; i < 64; i += 16) StoreBytes(Code(Load(b.x + i) * inverse), codes + i);
    for (std::size_t i = 0; i < 16; ++i) {
      block.qs[i] = static_cast<std::uint8_t>(codes[4 * i] | codes[4 * i + 1] << 2 |
                                              codes[4 * i + 2] << 4 | codes[4 * i + 3] << 6);
    }
  }
};

// TQ2_0's fourth level stays unused: what is asked for with that type are ternary weights.
struct TernaryLevels : WholeLevels<1, 1> {
  static constexpr float kTargets[] = {0.55f, 0.7f, 0.85f, 1.05f, 1.3f, 1.6f, 1.9f,  2.2f,
                                       2.5f,  2.9f, 3.5f,  4.5f,  6.0f, 9.0f, 14.0f, 30.0f};
  static constexpr std::size_t kDefaultTargets = 16;
  static constexpr int kRefits = 2;

  // Scale and codes (level + 1) of a block.
  template <bool kWeighted, bool kHigh>
  BRINK_ENCODE_INLINE static std::uint16_t Encode(const float* weights, const float* importance,
                                                  std::uint8_t* codes) {
    SearchBlock<256> b;
    Prepare<kWeighted>(weights, importance, b);
    const std::uint16_t half = SearchScale<TernaryLevels, kWeighted, kHigh>(b);
    const F32x16 inverse = InverseScale(b, half);
    for (std::size_t i = 0; i < 256; i += 16) StoreBytes(Code(Load(b.x + i) * inverse), codes + i);
    return half;
  }
};

struct FormatTQ1_0 {
  using Block = quant::BlockTQ1_0;

  // The byte of a number of five base-3 digits: 256 / 243 of it, rounded up.
  BRINK_ENCODE_INLINE static I32x16 Fraction(I32x16 number) {
    // (256 n + 242) / 243 = n + (13 n + 242) / 243; 4316 / 2^20 divides exactly by 243 up to there.
    return number + ShiftRight<20>((number * SetInt(13) + SetInt(242)) * SetInt(4316));
  }
  // Sixteen bytes whose digits are `stride` codes apart.
  BRINK_ENCODE_INLINE static void StoreDigits(const std::uint8_t* codes, std::size_t stride,
                                              std::uint8_t* qs) {
    I32x16 number = LoadBytes(codes);
    for (std::size_t n = 1; n < 5; ++n) {
      number = number * SetInt(3) + LoadBytes(codes + n * stride);
    }
    StoreBytes(Fraction(number), qs);
  }

  template <bool kWeighted, bool kHigh>
  BRINK_ENCODE_INLINE static void EncodeBlock(const float* weights, const float* importance,
                                              Block& block) {
    alignas(16) std::uint8_t codes[256];
    quant::store_f16(TernaryLevels::Encode<kWeighted, kHigh>(weights, importance, codes), block.d);
    StoreDigits(codes, 32, block.qs);
    StoreDigits(codes + 16, 32, block.qs + 16);
    StoreDigits(codes + 160, 16, block.qs + 32);
    for (std::size_t m = 0; m < 4; ++m) {
      unsigned number = 0;
      for (std::size_t n = 0; n < 4; ++n) number = number * 3 + codes[240 + 4 * n + m];
      block.qh[m] = static_cast<std::uint8_t>((number * 3 * 256 + 242) / 243);
    }
  }
};

struct FormatTQ2_0 {
  using Block = quant::BlockTQ2_0;

  template <bool kWeighted, bool kHigh>
  BRINK_ENCODE_INLINE static void EncodeBlock(const float* weights, const float* importance,
                                              Block& block) {
    alignas(16) std::uint8_t codes[256];
    quant::store_f16(TernaryLevels::Encode<kWeighted, kHigh>(weights, importance, codes), block.d);
    for (std::size_t at = 0; at < 64; at += 16) {
      const std::uint8_t* c = codes + at / 32 * 128 + at % 32;
      const I32x16 byte = LoadBytes(c) | ShiftLeft<2>(LoadBytes(c + 32)) |
                          ShiftLeft<4>(LoadBytes(c + 64)) | ShiftLeft<6>(LoadBytes(c + 96));
      StoreBytes(byte, block.qs + at);
    }
  }
};

template <>
inline constexpr EncodeFn kEncoder<TensorType::kQ1_0> = &EncodeRow<FormatQ1_0>;
template <>
inline constexpr EncodeFn kEncoder<TensorType::kQ2_0> = &EncodeRow<FormatQ2_0>;
template <>
inline constexpr EncodeFn kEncoder<TensorType::kTQ1_0> = &EncodeRow<FormatTQ1_0>;
template <>
inline constexpr EncodeFn kEncoder<TensorType::kTQ2_0> = &EncodeRow<FormatTQ2_0>;

}  // namespace brink::BRINK_ENCODE_NAMESPACE
BRINK_ENCODE_AFTER()
