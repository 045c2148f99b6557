// Rounding of activations to int8. Included once per pass by kernels-inl.h.

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

// Lanes rounded to the nearest integer, ties to even, as int8.
template <class D>
HWY_INLINE void StoreRounded([[maybe_unused]] D df, hn::Vec<D> v, std::int8_t* HWY_RESTRICT out) {
#if HWY_TARGET == HWY_AVX3
  const __m128i q = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v.raw));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), q);
#else
  const hn::Rebind<std::int8_t, D> d8;
  hn::StoreU(hn::DemoteTo(d8, hn::NearestInt(v)), d8, out);
#endif
}

// Rounds kBlock values; returns their scale.
template <std::size_t kBlock>
HWY_INLINE float RoundQ8Block(const float* HWY_RESTRICT x, std::int8_t* HWY_RESTRICT out) {
  const hn::CappedTag<float, 16> df;
  // Two maxima: one would wait for itself.
  auto max0 = hn::Zero(df), max1 = hn::Zero(df);
  BRINK_UNROLL_LOOP(8)
  for (std::size_t i = 0; i < kBlock; i += 2 * hn::Lanes(df)) {
    max0 = hn::Max(max0, hn::Abs(hn::LoadU(df, x + i)));
    max1 = hn::Max(max1, hn::Abs(hn::LoadU(df, x + i + hn::Lanes(df))));
  }
  const float max = hn::GetLane(hn::MaxOfLanes(df, hn::Max(max0, max1)));
  // A subnormal maximum would make the reciprocal infinite; it is as good as zero.
  const float inverse = max > 1e-35f ? 127.0f / max : 0.0f;
  const auto factor = hn::Set(df, inverse);
  BRINK_UNROLL_LOOP(8)
  for (std::size_t i = 0; i < kBlock; i += hn::Lanes(df)) {
    StoreRounded(df, hn::Mul(hn::LoadU(df, x + i), factor), out + i);
  }
  return inverse > 0.0f ? max / 127.0f : 0.0f;
}

// Rounds blocks of 256 or 32 values until there are `count`.
HWY_INLINE void RoundQ8(const float* HWY_RESTRICT x, std::size_t count, std::uint32_t block,
                        std::int8_t* HWY_RESTRICT out, float* HWY_RESTRICT scales) {
  for (std::size_t b = 0; b < count; b += block) {
    scales[b / block] =
        block == 256 ? RoundQ8Block<256>(x + b, out + b) : RoundQ8Block<32>(x + b, out + b);
  }
}

// Lane i: the sum of the 4 bytes from q + 4i on.
HWY_INLINE hn::Vec<hn::FixedTag<std::int32_t, 4>> SumsOf4(const std::int8_t* HWY_RESTRICT q) {
  const hn::FixedTag<std::int32_t, 4> d4;
  const hn::FixedTag<std::uint8_t, 16> du8;
  const hn::FixedTag<std::int8_t, 16> ds8;
  return DotU8S8(d4, hn::Zero(d4), hn::Set(du8, 1), hn::LoadU(ds8, q));
}

void QuantizeQ8(const float* HWY_RESTRICT x, std::size_t count, std::uint32_t block,
                const Q8Row& out) {
  RoundQ8(x, count, block, out.q, out.scales);
  const hn::FixedTag<std::int32_t, 4> d4;
  float previous = 0.0f;
  for (std::size_t i = 0; i < count; i += 16) {
    const auto fours = SumsOf4(out.q + i);
    hn::StoreU(hn::Neg(hn::ShiftLeft<7>(fours)), d4, out.sums4 + i / 4);
    const float sum = static_cast<float>(hn::GetLane(hn::SumOfLanes(d4, fours)));
    out.sums16[i / 16] = sum;
    if (i % 32 != 0) out.sums32[i / 32] = previous + sum;
    previous = sum;
  }
}

void PackQ8(const float* HWY_RESTRICT x, std::size_t count, std::uint32_t block,
            const Q8Unit& out) {
  RoundQ8(x, count, block, out.q, out.scales);
  if (count < kUnit) {
    for (std::size_t b = count / block; b < kUnit / block; ++b) out.scales[b] = 0.0f;
    std::memset(out.q + count, 0, kUnit - count);
  }
  // Four sums of 16 at a time: two rounds of adding neighbours.
  const hn::FixedTag<std::int32_t, 4> d4;
  const hn::FixedTag<std::int16_t, 4> d16;
  for (std::size_t i = 0; i < kUnit; i += 64) {
    const auto add_pairs = [&](auto a, auto b) HWY_ATTR {
      return hn::Add(hn::ConcatEven(d4, b, a), hn::ConcatOdd(d4, b, a));
    };
    const auto low = add_pairs(SumsOf4(out.q + i), SumsOf4(out.q + i + 16));
    const auto high = add_pairs(SumsOf4(out.q + i + 32), SumsOf4(out.q + i + 48));
    const auto sums16 = add_pairs(low, high);
    const auto sums32 = add_pairs(sums16, sums16);
    const hn::Half<decltype(d4)> d2;
    const hn::Half<decltype(d16)> d16x2;
    hn::StoreU(hn::Neg(hn::ShiftLeft<7>(sums16)), d4, out.starts16 + i / 16);
    hn::StoreU(hn::DemoteTo(d16, sums16), d16, out.sums16 + i / 16);
    hn::StoreU(hn::Neg(hn::ShiftLeft<7>(hn::LowerHalf(d2, sums32))), d2, out.starts32 + i / 32);
    hn::StoreU(hn::DemoteTo(d16x2, hn::LowerHalf(d2, sums32)), d16x2, out.sums32 + i / 32);
  }
}

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
