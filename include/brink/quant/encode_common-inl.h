// What the encoders of all families share, over either lane layer. Included once per pass, before
// the families.

BRINK_ENCODE_BEFORE()
namespace brink::BRINK_ENCODE_NAMESPACE {

// The encoder of a type; each family defines its own.
template <TensorType T>
inline constexpr EncodeFn kEncoder = nullptr;

// The nearest finite f16, ties to even, as f32.
BRINK_ENCODE_INLINE F32x16 RoundToF16(F32x16 x) {
  const F32x16 magnitude = Min(Abs(x), Set(quant::kLargestF16));
  const I32x16 bits = BitsOf(magnitude);
  const I32x16 odd = ShiftRight<13>(bits) & SetInt(1);
  const F32x16 normal =
      FloatOfBits((bits + SetInt(0xfff) + odd) & SetInt(static_cast<std::int32_t>(0xffffe000u)));
  // f16's subnormals are multiples of 2^-24, what is left of f32 after 0.5 is added.
  const F32x16 subnormal = (magnitude + Set(0.5f)) - Set(0.5f);
  const F32x16 rounded = IfThenElse(magnitude < Set(0x1p-14f), subnormal, normal);
  return IfThenElse(x < Set(0.0f), Neg(rounded), rounded);
}

}  // namespace brink::BRINK_ENCODE_NAMESPACE
BRINK_ENCODE_AFTER()
