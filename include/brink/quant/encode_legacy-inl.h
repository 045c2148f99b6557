// Encoders of the first generation of block types (quant/legacy.h). Included once per pass by
// encode_families-inl.h.

BRINK_ENCODE_BEFORE()
namespace brink::BRINK_ENCODE_NAMESPACE {

inline void EncodeQ8_0(const float* weights, const float* /*importance*/, std::size_t count,
                       Effort /*effort*/, std::uint8_t* blocks) {
  for (std::size_t at = 0; at < count; at += 32, blocks += sizeof(quant::BlockQ8_0)) {
    const F32x16 low = Load(weights + at);
    const F32x16 high = Load(weights + at + 16);
    const float largest = MaxOfLanes(Max(Abs(low), Abs(high)));
    const std::uint16_t half = quant::finite_f16(largest / 127.0f);
    const float d = f16_to_f32(half);
    quant::store_f16(half, blocks);
    // Of weights too small for any f16 scale all levels are zero.
    const F32x16 scale = Set(d > 0.0f ? d : INFINITY);
    const F32x16 limit = Set(127.0f);
    StoreBytes(RoundToInt(Max(Min(low / scale, limit), Neg(limit))), blocks + 2);
    StoreBytes(RoundToInt(Max(Min(high / scale, limit), Neg(limit))), blocks + 18);
  }
}

template <>
inline constexpr EncodeFn kEncoder<TensorType::kQ8_0> = &EncodeQ8_0;

}  // namespace brink::BRINK_ENCODE_NAMESPACE
BRINK_ENCODE_AFTER()
