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

#if HWY_TARGET == HWY_AVX3
// Of every 128 bits, lanes 0 and 2 (or 1 and 3) of both.
template <int kFirst, class V>
HWY_INLINE V EveryOther(V a, V b) {
  constexpr int kLanes = kFirst + 2;
  return hn::BitCast(hn::DFromV<V>(), hn::Vec<hn::FixedTag<float, 16>>{_mm512_shuffle_ps(
                                          hn::BitCast(hn::FixedTag<float, 16>(), a).raw,
                                          hn::BitCast(hn::FixedTag<float, 16>(), b).raw,
                                          _MM_SHUFFLE(kLanes, kFirst, kLanes, kFirst))});
}

// Lane 4i + j: lanes 4i to 4i + 3 of x[j] combined.
template <class V, class Combine>
HWY_INLINE V CombineFours(const V* x, Combine combine) {
  const V low = combine(EveryOther<0>(x[0], x[1]), EveryOther<1>(x[0], x[1]));
  const V high = combine(EveryOther<0>(x[2], x[3]), EveryOther<1>(x[2], x[3]));
  return combine(EveryOther<0>(low, high), EveryOther<1>(low, high));
}

// Lane 4i + j: lane 4j + i.
HWY_INLINE __m512i TransposeFours(__m512i v) {
  return _mm512_permutexvar_epi32(
      _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), v);
}

// Eight blocks of 32 at once: a division and the way from lanes to a maximum cost as much for one.
HWY_INLINE void RoundUnitBy32(const float* HWY_RESTRICT x, std::int8_t* HWY_RESTRICT out,
                              float* HWY_RESTRICT scales) {
  const hn::FixedTag<float, 16> df;
  using V = hn::Vec<decltype(df)>;
  V max[8];
  BRINK_UNROLL_LOOP(8)
  for (std::size_t b = 0; b < 8; ++b) {
    max[b] = hn::Max(hn::Abs(hn::LoadU(df, x + 32 * b)), hn::Abs(hn::LoadU(df, x + 32 * b + 16)));
  }
  const auto larger = [](V a, V b) { return hn::Max(a, b); };
  // Lane 4i + j: of lanes 4i to 4i + 3 of block j. What is left are the maxima over i.
  const V low = CombineFours(max, larger);
  const V high = CombineFours(max + 4, larger);
  const V halves = hn::Max(V{_mm512_shuffle_f32x4(low.raw, high.raw, _MM_SHUFFLE(1, 0, 1, 0))},
                           V{_mm512_shuffle_f32x4(low.raw, high.raw, _MM_SHUFFLE(3, 2, 3, 2))});
  // Blocks 0..3 twice, then blocks 4..7 twice.
  const V of_blocks =
      hn::Max(halves, V{_mm512_shuffle_f32x4(halves.raw, halves.raw, _MM_SHUFFLE(2, 3, 0, 1))});
  const auto counts = hn::Gt(of_blocks, hn::Set(df, 1e-35f));
  const V inverse = hn::IfThenElseZero(counts, hn::Div(hn::Set(df, 127.0f), of_blocks));
  const V scale =
      hn::IfThenElseZero(hn::Gt(inverse, hn::Zero(df)), hn::Div(of_blocks, hn::Set(df, 127.0f)));
  _mm_storeu_ps(scales, _mm512_castps512_ps128(scale.raw));
  _mm_storeu_ps(scales + 4, _mm512_extractf32x4_ps(scale.raw, 2));
  BRINK_UNROLL_LOOP(4)
  for (int i = 0; i < 4; ++i) {
    // Two blocks: packing takes 128 bits of each vector in turn.
    const auto rounded = [&](int b, std::size_t at) {
      const __m512 factor =
          _mm512_permutexvar_ps(_mm512_set1_epi32(b % 4 + b / 4 * 8), inverse.raw);
      return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 32 * b + at), factor));
    };
    const __m512i first = _mm512_packs_epi32(rounded(2 * i, 0), rounded(2 * i, 16));
    const __m512i second = _mm512_packs_epi32(rounded(2 * i + 1, 0), rounded(2 * i + 1, 16));
    _mm512_storeu_si512(out + 64 * i, TransposeFours(_mm512_packs_epi16(first, second)));
  }
}
#endif

// Rounds blocks of 256 or 32 values until there are `count`.
HWY_INLINE void RoundQ8(const float* HWY_RESTRICT x, std::size_t count, std::uint32_t block,
                        std::int8_t* HWY_RESTRICT out, float* HWY_RESTRICT scales) {
  std::size_t b = 0;
#if HWY_TARGET == HWY_AVX3
  if (block == 32) {
    for (; b + 256 <= count; b += 256) RoundUnitBy32(x + b, out + b, scales + b / 32);
  }
#endif
  for (; b < count; b += block) {
    scales[b / block] =
        block == 256 ? RoundQ8Block<256>(x + b, out + b) : RoundQ8Block<32>(x + b, out + b);
  }
}

// Sums of consecutive values of a unit.
struct UnitSums {
  alignas(64) std::int32_t of4[kUnit / 4];
  alignas(64) std::int32_t of16[kUnit / 16];
  alignas(64) std::int32_t of32[kUnit / 32];
};

HWY_INLINE void SumUnit(const std::int8_t* HWY_RESTRICT q, UnitSums& out) {
  const hn::CappedTag<std::int32_t, 16> d;
  const hn::Repartition<std::uint8_t, decltype(d)> du8;
  const hn::Repartition<std::int8_t, decltype(d)> ds8;
  using V = hn::Vec<decltype(d)>;
  const auto fours = [&](std::size_t i) {
    const V v = DotU8S8(d, hn::Zero(d), hn::Set(du8, 1), hn::LoadU(ds8, q + i));
    hn::Store(v, d, out.of4 + i / 4);
    return v;
  };
#if HWY_TARGET == HWY_AVX3
  const V x[4] = {fours(0), fours(64), fours(128), fours(192)};
  const V sums = CombineFours(x, [](V a, V b) { return hn::Add(a, b); });
  const V of16{TransposeFours(sums.raw)};
  hn::Store(of16, d, out.of16);
  const V of32 = hn::Add(EveryOther<0>(of16, of16), EveryOther<1>(of16, of16));
  const __m512i first = _mm512_setr_epi32(0, 1, 4, 5, 8, 9, 12, 13, 0, 0, 0, 0, 0, 0, 0, 0);
  _mm256_store_si256(reinterpret_cast<__m256i*>(out.of32),
                     _mm512_castsi512_si256(_mm512_permutexvar_epi32(first, of32.raw)));
#else
  for (std::size_t i = 0; i < kUnit; i += 4 * hn::Lanes(d)) fours(i);
  for (std::size_t i = 0; i < kUnit / 16; ++i) {
    const std::int32_t* s = out.of4 + 4 * i;
    out.of16[i] = (s[0] + s[1]) + (s[2] + s[3]);
  }
  for (std::size_t i = 0; i < kUnit / 32; ++i) out.of32[i] = out.of16[2 * i] + out.of16[2 * i + 1];
#endif
}

template <class T>
HWY_INLINE void StoreSums(const std::int32_t* HWY_RESTRICT sums, std::size_t count,
                          T* HWY_RESTRICT out) {
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<T>(sums[i]);
}

HWY_INLINE void StoreStarts(const std::int32_t* HWY_RESTRICT sums, std::size_t count,
                            std::int32_t* HWY_RESTRICT out) {
  for (std::size_t i = 0; i < count; ++i) out[i] = sums[i] * -128;
}

void QuantizeQ8(const float* HWY_RESTRICT x, std::size_t count, std::uint32_t block,
                const Q8Row& out) {
  RoundQ8(x, count, block, out.q, out.scales);
  UnitSums sums;
  for (std::size_t i = 0; i < count; i += kUnit) {
    const std::size_t n = HWY_MIN(kUnit, count - i);
    if (n == kUnit) {
      SumUnit(out.q + i, sums);
    } else {
      alignas(64) std::int8_t padded[kUnit] = {};
      std::memcpy(padded, out.q + i, n);
      SumUnit(padded, sums);
    }
    StoreStarts(sums.of4, n / 4, out.sums4 + i / 4);
    StoreSums(sums.of16, n / 16, out.sums16 + i / 16);
    StoreSums(sums.of32, n / 32, out.sums32 + i / 32);
    StoreSums(sums.of16, n / 16, out.integer_sums16 + i / 16);
    StoreSums(sums.of32, n / 32, out.integer_sums32 + i / 32);
  }
}

void PackQ8(const float* HWY_RESTRICT x, std::size_t count, std::uint32_t block,
            const Q8Unit& out) {
  RoundQ8(x, count, block, out.q, out.scales);
  if (count < kUnit) {
    for (std::size_t b = count / block; b < kUnit / block; ++b) out.scales[b] = 0.0f;
    std::memset(out.q + count, 0, kUnit - count);
  }
  UnitSums sums;
  SumUnit(out.q, sums);
  StoreStarts(sums.of16, kUnit / 16, out.starts16);
  StoreStarts(sums.of32, kUnit / 32, out.starts32);
  StoreSums(sums.of16, kUnit / 16, out.sums16);
  StoreSums(sums.of32, kUnit / 32, out.sums32);
}

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
