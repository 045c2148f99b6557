// Encoders of F32, F16 and BF16: one rounding to nearest, ties to even, as core/half.h does it.
// What is too large becomes infinity: whoever calls these has to look at the range first. Included
// once per pass by encode_families-inl.h.

BRINK_ENCODE_BEFORE()
namespace brink::BRINK_ENCODE_NAMESPACE {

inline void EncodeF32(const float* weights, const float* /*importance*/, std::size_t count,
                      Effort /*effort*/, std::uint8_t* blocks) {
  std::memcpy(blocks, weights, count * sizeof(float));
}

// The codes in the low halves. All integer but for one addition, so that NaN stays NaN.
BRINK_ENCODE_INLINE I32x16 F16Codes(F32x16 x) {
  const I32x16 infinity = SetInt(0x7f800000);
  const I32x16 bits = BitsOf(x);
  const I32x16 magnitude = bits & SetInt(0x7fffffff);
  const I32x16 finite = Min(magnitude, infinity);
  const I32x16 odd = ShiftRight<13>(finite) & SetInt(1);
  const I32x16 normal =
      Min(ShiftRight<13>(finite + SetInt(0xfff) + odd) - SetInt(112 << 10), SetInt(0x7c00));
  // f16's subnormals are multiples of 2^-24, the spacing of f32 at 0.5.
  const I32x16 subnormal = BitsOf(FloatOfBits(finite) + Set(0.5f)) - BitsOf(Set(0.5f));
  const I32x16 number = IfThenElse(magnitude < SetInt(0x38800000), subnormal, normal);
  const I32x16 nan = SetInt(0x7e00) | (ShiftRight<13>(magnitude) & SetInt(0x3ff));
  return IfThenElse(infinity < magnitude, nan, number) | (ShiftRight<16>(bits) & SetInt(0x8000));
}

BRINK_ENCODE_INLINE I32x16 Bf16Codes(F32x16 x) {
  const I32x16 infinity = SetInt(0x7f800000);
  const I32x16 bits = BitsOf(x);
  const I32x16 magnitude = bits & SetInt(0x7fffffff);
  const I32x16 odd = ShiftRight<16>(bits) & SetInt(1);
  const I32x16 number = ShiftRight<16>(Min(magnitude, infinity) + SetInt(0x7fff) + odd);
  const I32x16 nan = ShiftRight<16>(magnitude) | SetInt(0x40);
  return IfThenElse(infinity < magnitude, nan, number) | (ShiftRight<16>(bits) & SetInt(0x8000));
}

// Up to sixteen codes.
BRINK_ENCODE_INLINE void StoreHalves(I32x16 codes, std::size_t count, std::uint8_t* p) {
  alignas(64) std::int32_t lanes[16];
  StoreInt(codes, lanes);
  for (std::size_t i = 0; i < count; ++i) {
    const auto half = static_cast<std::uint16_t>(lanes[i]);
    std::memcpy(p + 2 * i, &half, sizeof(half));
  }
}

template <bool kBf16>
inline void EncodeHalves(const float* weights, const float* /*importance*/, std::size_t count,
                         Effort /*effort*/, std::uint8_t* blocks) {
  std::size_t at = 0;
  for (; at + 16 <= count; at += 16) {
    const F32x16 x = Load(weights + at);
    StoreHalves(kBf16 ? Bf16Codes(x) : F16Codes(x), 16, blocks + 2 * at);
  }
  if (at < count) {
    alignas(64) float rest[16] = {};
    std::copy(weights + at, weights + count, rest);
    const F32x16 x = Load(rest);
    StoreHalves(kBf16 ? Bf16Codes(x) : F16Codes(x), count - at, blocks + 2 * at);
  }
}

template <>
inline constexpr EncodeFn kEncoder<TensorType::kF32> = &EncodeF32;
template <>
inline constexpr EncodeFn kEncoder<TensorType::kF16> = &EncodeHalves<false>;
template <>
inline constexpr EncodeFn kEncoder<TensorType::kBF16> = &EncodeHalves<true>;

}  // namespace brink::BRINK_ENCODE_NAMESPACE
BRINK_ENCODE_AFTER()
