// Vector decoders to f32, exact: the frame over the unpack steps. Included once per pass.
//
// Scale times quant is exact in f32 (quant/load.h says why), so it does not matter whether the
// compiler contracts it with the subtraction of the minimum into an FMA: there is one rounding
// either way.

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

template <TensorType T>
void Decode(const std::uint8_t* HWY_RESTRICT blocks, float* HWY_RESTRICT out, std::size_t count) {
  using Format = Unpack<T>;
  constexpr std::size_t kBytes = size_of(T).block_bytes;
  const hn::CappedTag<float, 16> df;
  const hn::RebindToSigned<decltype(df)> di;
  const hn::FixedTag<std::uint8_t, 16> d8;
  float scales[Format::kBlock / Format::kGroup];
  float mins[Format::kBlock / Format::kGroup];
  alignas(16) std::uint8_t quants[16];
  for (std::size_t i = 0; i < count; i += Format::kBlock, blocks += kBytes) {
    Format::Scales(blocks, scales, mins);
    BRINK_UNROLL_LOOP(16)
    for (std::size_t k = 0; k < Format::kBlock; k += 16) {
      hn::Store(Format::Quants(d8, blocks, k), d8, quants);
      const auto scale = hn::Set(df, scales[k / Format::kGroup]);
      for (std::size_t j = 0; j < 16; j += hn::Lanes(df)) {
        hn::Vec<decltype(di)> q;
        if constexpr (Format::kSigned) {
          const hn::Rebind<std::int8_t, decltype(df)> db;
          q = hn::PromoteTo(di, hn::LoadU(db, reinterpret_cast<const std::int8_t*>(quants) + j));
        } else {
          const hn::Rebind<std::uint8_t, decltype(df)> db;
          q = hn::PromoteTo(di, hn::LoadU(db, quants + j));
        }
        q = hn::Sub(q, hn::Set(di, Format::kOffset));
        auto w = hn::Mul(scale, hn::ConvertTo(df, q));
        if constexpr (Format::kHasMin) w = hn::Sub(w, hn::Set(df, mins[k / Format::kGroup]));
        hn::StoreU(w, df, out + i + k + j);
      }
    }
  }
}

template <class D>
HWY_INLINE hn::Vec<D> LoadPlain(D d, const float* HWY_RESTRICT p) {
  return hn::LoadU(d, p);
}
template <class D>
HWY_INLINE hn::Vec<D> LoadPlain(D d, const hwy::float16_t* HWY_RESTRICT p) {
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<hwy::float16_t, D>(), p));
}
template <class D>
HWY_INLINE hn::Vec<D> LoadPlain(D d, const hwy::bfloat16_t* HWY_RESTRICT p) {
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<hwy::bfloat16_t, D>(), p));
}

// F32, F16 and BF16; the tail goes through a zero-padded copy.
template <class T>
void DecodePlain(const std::uint8_t* HWY_RESTRICT bytes, float* HWY_RESTRICT out,
                 std::size_t count) {
  const hn::ScalableTag<float> d;
  const std::size_t n = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + n <= count; i += n) {
    hn::StoreU(LoadPlain(d, reinterpret_cast<const T*>(bytes) + i), d, out + i);
  }
  if (i < count) {
    T tail[hn::MaxLanes(hn::ScalableTag<float>())] = {};
    float wide[hn::MaxLanes(hn::ScalableTag<float>())];
    std::memcpy(tail, bytes + i * sizeof(T), (count - i) * sizeof(T));
    hn::StoreU(LoadPlain(d, tail), d, wide);
    std::memcpy(out + i, wide, (count - i) * sizeof(float));
  }
}

// Integers and F64, which no product is asked to be fast on.
template <class T>
void DecodeNumber(const std::uint8_t* HWY_RESTRICT bytes, float* HWY_RESTRICT out,
                  std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    out[i] = static_cast<float>(LoadAs<T>(bytes + i * sizeof(T)));
  }
}

constexpr DecodeFn DecoderOf(TensorType type) {
  switch (type) {
    case TensorType::kF32:
      return &DecodePlain<float>;
    case TensorType::kF16:
      return &DecodePlain<hwy::float16_t>;
    case TensorType::kBF16:
      return &DecodePlain<hwy::bfloat16_t>;
    case TensorType::kF64:
      return &DecodeNumber<double>;
    case TensorType::kI8:
      return &DecodeNumber<std::int8_t>;
    case TensorType::kI16:
      return &DecodeNumber<std::int16_t>;
    case TensorType::kI32:
      return &DecodeNumber<std::int32_t>;
    case TensorType::kI64:
      return &DecodeNumber<std::int64_t>;
#define X(name)             \
  case TensorType::k##name: \
    return &Decode<TensorType::k##name>;
      BRINK_QUANTIZED_TYPES(X)
#undef X
  }
  return nullptr;
}

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
