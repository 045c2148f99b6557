// Matrix-vector products of the k-quants with integer scales: a super-block is summed up in int32,
// scales included, and converted to float once. Included once per pass by kernels-inl.h; where
// vectors have fewer than 256 bits the general frame of matvec-inl.h is used instead.
//
// The sum of two or four products of a quant (at most 63) and an activation (at most 127) fits 16
// bits, so one 16-bit multiply-add applies the scales and sums further:
//   with vpdpbusd  q and x in quadruples to int32, whose low half times (scale, 0) by vpdpwssd
//   without        q and x in pairs to int16 by maddubs, times (scale, scale) by madd

#include <array>

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

// Weights are asked for this far ahead: to saturate memory a core has its share of the bandwidth
// times the latency under way, some 4 KiB. 2 KiB (into the first level) kept it below 18 GB/s where
// it reads 24; 4 KiB was between, 16 KiB no better.
inline constexpr std::size_t kPrefetchBytes = 8192;

template <std::size_t kBytes>
HWY_INLINE void PrefetchUnit(const std::uint8_t* HWY_RESTRICT unit) {
  for (std::size_t line = 0; line < kBytes; line += 64) {
    PrefetchToL2(unit + kPrefetchBytes + line);
  }
}

// Types that have integer scales, and vectors for them.
template <TensorType T>
constexpr bool HasIntegerScales() {
  return HWY_TARGET == HWY_AVX3 && kIsKQuant<T>;
}

#if HWY_TARGET == HWY_AVX3

inline constexpr std::size_t kVectors = kUnit / hn::MaxLanes(Bytes());  // of a super-block

// Scales of a super-block as integers. Load() gives those of all groups as 16-bit lanes (the first
// 8 where there are only 8), Factors() d and dmin in the first two lanes.
template <TensorType T>
struct IntegerScales;

HWY_INLINE __m256i WidenU8(__m128i bytes) { return _mm256_cvtepu8_epi16(bytes); }

template <>
struct IntegerScales<TensorType::kQ2_K> {
  static HWY_INLINE void Load(const std::uint8_t* HWY_RESTRICT block, __m256i& scales,
                              __m256i& mins) {
    const __m128i packed = Load16(block);
    const __m128i low = _mm_set1_epi8(15);
    scales = WidenU8(_mm_and_si128(packed, low));
    mins = WidenU8(_mm_and_si128(_mm_srli_epi16(packed, 4), low));
  }
  static HWY_INLINE __m128 Factors(const std::uint8_t* HWY_RESTRICT block) {
    return _mm_cvtph_ps(_mm_cvtsi32_si128(LoadAs<std::int32_t>(block + 80)));
  }
};

template <>
struct IntegerScales<TensorType::kQ3_K> {
  static HWY_INLINE void Load(const std::uint8_t* HWY_RESTRICT block, __m256i& scales, __m256i&) {
    std::uint64_t first, second;
    Scales6(block + 96, first, second);
    const __m128i bytes =
        _mm_set_epi64x(static_cast<long long>(second), static_cast<long long>(first));
    scales = _mm256_sub_epi16(WidenU8(bytes), _mm256_set1_epi16(32));
  }
  static HWY_INLINE __m128 Factors(const std::uint8_t* HWY_RESTRICT block) {
    return _mm_cvtph_ps(_mm_cvtsi32_si128(LoadAs<std::uint16_t>(block + 108)));
  }
};

struct IntegerScalesAndMins6 {
  static HWY_INLINE void Load(const std::uint8_t* HWY_RESTRICT block, __m256i& scales,
                              __m256i& mins) {
    std::uint64_t s, m;
    ScalesAndMins6(block + 4, s, m);
    scales =
        _mm256_castsi128_si256(_mm_cvtepu8_epi16(_mm_cvtsi64_si128(static_cast<long long>(s))));
    mins = _mm256_castsi128_si256(_mm_cvtepu8_epi16(_mm_cvtsi64_si128(static_cast<long long>(m))));
  }
  static HWY_INLINE __m128 Factors(const std::uint8_t* HWY_RESTRICT block) {
    return _mm_cvtph_ps(_mm_cvtsi32_si128(LoadAs<std::int32_t>(block)));
  }
};

template <>
struct IntegerScales<TensorType::kQ4_K> : IntegerScalesAndMins6 {};
template <>
struct IntegerScales<TensorType::kQ5_K> : IntegerScalesAndMins6 {};

template <>
struct IntegerScales<TensorType::kQ6_K> {
  static HWY_INLINE void Load(const std::uint8_t* HWY_RESTRICT block, __m256i& scales, __m256i&) {
    scales = _mm256_cvtepi8_epi16(Load16(block + 192));
  }
  static HWY_INLINE __m128 Factors(const std::uint8_t* HWY_RESTRICT block) {
    return _mm_cvtph_ps(_mm_cvtsi32_si128(LoadAs<std::uint16_t>(block + 208)));
  }
};

// How a super-block comes cheapest: the order of the activations that go with it, how many
// consecutive vectors have the same groups in the same 128-bit lanes (so that their sums share a
// scale), and the quants of vector v.
using ByteVec = hn::Vec<Bytes>;

HWY_INLINE __m512i Load64(const std::uint8_t* p) { return _mm512_loadu_si512(p); }
HWY_INLINE __m512i Repeat32(const std::uint8_t* p) { return _mm512_broadcast_i64x4(Load32(p)); }
HWY_INLINE __m512i Repeat16(const std::uint8_t* p) { return _mm512_broadcast_i32x4(Load16(p)); }

// The matrix that moves bit i + shift of a byte to bit i, for the bits of `mask`.
constexpr long long BitMatrix(int shift, int mask) {
  std::uint64_t matrix = 0;
  for (int i = 0; i < 8; ++i) {
    const int from = i + shift;
    if ((mask >> i & 1) != 0 && from >= 0 && from < 8) {
      matrix |= std::uint64_t{1} << (from + 8 * (7 - i));
    }
  }
  return static_cast<long long>(matrix);
}

// Every byte of 128-bit lane l shifted right by the l-th number (left if negative) and masked.
template <int kShift0, int kShift1, int kShift2, int kShift3, int kMask>
HWY_INLINE __m512i MoveBits(__m512i v) {
  constexpr bool kNone = kShift0 == 0 && kShift1 == 0 && kShift2 == 0 && kShift3 == 0;
  if constexpr (!kNone) {
#if BRINK_HAVE_VNNI
    constexpr long long a = BitMatrix(kShift0, kMask), b = BitMatrix(kShift1, kMask);
    constexpr long long c = BitMatrix(kShift2, kMask), e = BitMatrix(kShift3, kMask);
    return _mm512_gf2p8affine_epi64_epi8(v, _mm512_set_epi64(e, e, c, c, b, b, a, a), 0);
#else
    constexpr long long a = kShift0 & 63, b = kShift1 & 63, c = kShift2 & 63, e = kShift3 & 63;
    v = _mm512_rorv_epi64(v, _mm512_set_epi64(e, e, c, c, b, b, a, a));
#endif
  }
  return _mm512_and_si512(v, _mm512_set1_epi8(kMask));
}

template <int kShift, int kMask>
HWY_INLINE __m512i MoveBits(__m512i v) {
  return MoveBits<kShift, kShift, kShift, kShift, kMask>(v);
}

template <TensorType T>
struct Arranged;

// Q2_K and Q3_K: the two low bits of vector v at 2v of 64 bytes. Vectors 0 to 2 are taken where
// they lie, vector 3 at bits 4 and 5, to save shifts: quants come 1, 4, 16 and 16 times as large,
// and the scales, 16, 4, 1 and 1 times as large, make that 16 for all.
struct InPlaceQuarters {
  static constexpr Q8Order kOrder = Q8Order::kQuarters;
  static constexpr std::size_t kPerDot = 1;
  static constexpr int kTimes = 16;

  static HWY_INLINE __m256i Scales(__m256i scales) {
    return _mm256_mullo_epi16(
        scales, _mm256_setr_epi16(16, 16, 4, 4, 1, 1, 1, 1, 16, 16, 4, 4, 1, 1, 1, 1));
  }
  template <std::size_t kVector>
  static HWY_INLINE __m512i LowBits(__m512i bits) {
    return MoveBits < kVector == 3 ? 2 : 0, kVector == 3 ? 48 : 3 << (2 * kVector) > (bits);
  }
};

template <>
struct Arranged<TensorType::kQ2_K> : InPlaceQuarters {
  template <std::size_t kVector>
  static HWY_INLINE __m512i Quants(const std::uint8_t* HWY_RESTRICT block) {
    return LowBits<kVector>(Load64(block + 16));
  }
};

template <>
struct Arranged<TensorType::kQ3_K> : InPlaceQuarters {
  template <std::size_t kVector>
  static HWY_INLINE __m512i Quants(const std::uint8_t* HWY_RESTRICT block) {
    // Bit v (of the second 32 bytes' worth: v + 4) goes above the two low bits.
    constexpr int to = kVector == 3 ? 6 : 2 * kVector + 2;
    const __m512i high = Repeat32(block);
#if BRINK_HAVE_VNNI
    if constexpr (kVector < 3) {
      // All three at once.
      constexpr long long a = BitMatrix(-2, 4) | BitMatrix(-3, 16) | BitMatrix(-4, 64);
      constexpr long long b = BitMatrix(2, 4) | BitMatrix(1, 16) | BitMatrix(0, 64);
      constexpr int low_mask = 3 << (2 * kVector);
      const __m512i all =
          _mm512_gf2p8affine_epi64_epi8(high, _mm512_set_epi64(b, b, b, b, a, a, a, a), 0);
      const __m512i both =
          _mm512_ternarylogic_epi64(_mm512_set1_epi8(low_mask), Load64(block + 32), all, 0xCA);
      return _mm512_and_si512(both, _mm512_set1_epi8(low_mask | 1 << to));
    }
#endif
    constexpr int a = static_cast<int>(kVector) - to, b = a + 4;
    return _mm512_or_si512(LowBits<kVector>(Load64(block + 32)),
                           MoveBits<a, a, b, b, 1 << to>(high));
  }
};

// Even 128-bit lanes of 128 bytes (kPart 0) or odd ones.
template <std::size_t kPart>
HWY_INLINE __m512i EveryOther16(const std::uint8_t* HWY_RESTRICT p) {
  return _mm512_shuffle_i64x2(Load64(p), Load64(p + 64), kPart == 0 ? 0x88 : 0xDD);
}

// Q4_K and Q5_K.
struct SplitNibbles {
  static constexpr Q8Order kOrder = Q8Order::kNibbles;
  static constexpr int kTimes = 1;
  static constexpr std::size_t kPerDot = 2;
};

template <>
struct Arranged<TensorType::kQ4_K> : SplitNibbles {
  template <std::size_t kVector>
  static HWY_INLINE __m512i Quants(const std::uint8_t* HWY_RESTRICT block) {
    return MoveBits<kVector / 2 * 4, 15>(EveryOther16<kVector % 2>(block + 16));
  }
};

template <>
struct Arranged<TensorType::kQ5_K> : SplitNibbles {
  template <std::size_t kVector>
  static HWY_INLINE __m512i Quants(const std::uint8_t* HWY_RESTRICT block) {
    constexpr int odd = kVector / 2;  // groups of the high nibbles
    const __m512i low = MoveBits<odd * 4, 15>(EveryOther16<kVector % 2>(block + 48));
    const __m512i bits = Repeat16(block + 16 + kVector % 2 * 16);
    return _mm512_or_si512(low, MoveBits<odd - 4, odd - 2, odd, odd + 2, 16>(bits));
  }
};

template <>
struct Arranged<TensorType::kQ6_K> {
  static constexpr Q8Order kOrder = Q8Order::kNatural;
  static constexpr int kTimes = 1;
  static constexpr std::size_t kPerDot = 1;
  template <std::size_t kVector>
  static HWY_INLINE __m512i Quants(const std::uint8_t* HWY_RESTRICT block) {
    constexpr std::size_t half = kVector / 2;
    constexpr int s = kVector % 2 * 4;
    const __m512i low = MoveBits<s, 15>(Load64(block + half * 64));
    const __m512i bits = Repeat32(block + 128 + half * 32);
    return _mm512_or_si512(low, MoveBits<s - 4, s - 4, s - 2, s - 2, 48>(bits));
  }
};

// Whether products are summed up in quadruples (see above). Pairs may be twice as large and go with
// one vector a dot: two would take an addition more.
template <TensorType T>
constexpr bool SumsQuadruples() {
  return BRINK_HAVE_VNNI && Arranged<T>::kPerDot == 2;
}

// For every 16-bit lane of a dot product the group whose scale it takes.
template <TensorType T, std::size_t kDot>
constexpr std::array<std::uint16_t, 32> ScaleLanes() {
  std::array<std::uint16_t, 32> lanes{};
  for (std::size_t i = 0; i < 32; ++i) {
    const std::size_t position = kDot * Arranged<T>::kPerDot * 4 + i / 8;
    lanes[i] = static_cast<std::uint16_t>(q8_chunk(Arranged<T>::kOrder, position) * 16 /
                                          Unpack<T>::kGroup);
  }
  return lanes;
}

template <TensorType T, std::size_t kDot>
HWY_INLINE __m512i ScalesOfDot(__m256i scales) {
  alignas(64) static constexpr std::array<std::uint16_t, 32> kLanes = ScaleLanes<T, kDot>();
  const __m512i lanes = _mm512_load_si512(kLanes.data());
  const __m512i from = _mm512_castsi256_si512(scales);
  return SumsQuadruples<T>() ? _mm512_maskz_permutexvar_epi16(0x55555555, lanes, from)
                             : _mm512_permutexvar_epi16(lanes, from);
}

// dot + products of q (unsigned) and x, in int32 quadruples or int16 pairs.
template <TensorType T>
HWY_INLINE __m512i AddDot(__m512i dot, __m512i q, const std::int8_t* HWY_RESTRICT x) {
#if BRINK_HAVE_VNNI
  if constexpr (SumsQuadruples<T>()) return _mm512_dpbusd_epi32(dot, q, _mm512_loadu_si512(x));
#endif
  return _mm512_add_epi16(dot, _mm512_maddubs_epi16(q, _mm512_loadu_si512(x)));
}

HWY_INLINE __m512i AddScaled(__m512i sum, __m512i dot, __m512i scales) {
#if BRINK_HAVE_VNNI
  return _mm512_dpwssd_epi32(sum, dot, scales);
#else
  return _mm512_add_epi32(sum, _mm512_madd_epi16(dot, scales));
#endif
}

// Sums of a row's super-blocks with one token: products, and what the minima take away.
struct SuperBlockSums {
  __m512 products;
  __m256 mins;
};

template <TensorType T, std::size_t kTokens, std::size_t kDot>
HWY_INLINE void DotOfTokens(const std::uint8_t* HWY_RESTRICT block, __m256i scales,
                            const std::int8_t* HWY_RESTRICT x, std::size_t columns,
                            __m512i (&sums)[kTokens]) {
  using Format = Arranged<T>;
  const __m512i s = ScalesOfDot<T, kDot>(scales);
  constexpr std::size_t v = kDot * Format::kPerDot;
  const __m512i q0 = Format::template Quants<v>(block);
  __m512i q1 = q0;
  if constexpr (Format::kPerDot == 2) q1 = Format::template Quants<v + 1>(block);
  BRINK_UNROLL_LOOP(8)
  for (std::size_t t = 0; t < kTokens; ++t) {
    const std::int8_t* HWY_RESTRICT xt = x + t * columns + v * 64;
    __m512i dot = AddDot<T>(_mm512_setzero_si512(), q0, xt);
    if constexpr (Format::kPerDot == 2) dot = AddDot<T>(dot, q1, xt + 64);
    sums[t] = AddScaled(sums[t], dot, s);
  }
}

struct MatvecScales {
  __m256i scales, mins;
  __m128 factors;
};

template <TensorType T>
HWY_INLINE MatvecScales ScalesOf(const std::uint8_t* HWY_RESTRICT block) {
  MatvecScales s;
  s.mins = _mm256_setzero_si256();
  IntegerScales<T>::Load(block, s.scales, s.mins);
  s.factors = IntegerScales<T>::Factors(block);
  if constexpr (Arranged<T>::kTimes != 1) {
    s.factors = _mm_mul_ps(s.factors, _mm_setr_ps(1.0f / Arranged<T>::kTimes, 1, 1, 1));
  }
  return s;
}

template <TensorType T, std::size_t kTokens>
HWY_INLINE void SuperBlock(const std::uint8_t* HWY_RESTRICT block, MatvecScales s, const Q8Row& x,
                           std::size_t columns, std::size_t column,
                           SuperBlockSums (&out)[kTokens]) {
  using Format = Unpack<T>;
  constexpr std::size_t kDots = kVectors / Arranged<T>::kPerDot;
  const std::int8_t* HWY_RESTRICT q = x.q + column;
  const std::int16_t* HWY_RESTRICT group_sums =
      (Format::kGroup == 16 ? x.integer_sums16 : x.integer_sums32) + column / Format::kGroup;
  const std::size_t groups = columns / Format::kGroup;

  __m512i sums[kTokens];
  __m256i away[kTokens];  // what the offset takes, where the stored quant is q + kOffset
  if constexpr (Format::kOffset != 0) {
    const __m256i offsets = _mm256_mullo_epi16(
        s.scales, _mm256_set1_epi16(static_cast<short>(Format::kOffset * Arranged<T>::kTimes)));
    BRINK_UNROLL_LOOP(8)
    for (std::size_t t = 0; t < kTokens; ++t) {
      const auto* of_token = reinterpret_cast<const __m256i*>(group_sums + t * groups);
      away[t] = _mm256_madd_epi16(offsets, _mm256_loadu_si256(of_token));
    }
  }
  for (std::size_t t = 0; t < kTokens; ++t) sums[t] = _mm512_setzero_si512();
  if constexpr (Arranged<T>::kTimes != 1) s.scales = Arranged<T>::Scales(s.scales);
  DotOfTokens<T, kTokens, 0>(block, s.scales, q, columns, sums);
  DotOfTokens<T, kTokens, 1>(block, s.scales, q, columns, sums);
  if constexpr (kDots == 4) {
    DotOfTokens<T, kTokens, 2>(block, s.scales, q, columns, sums);
    DotOfTokens<T, kTokens, 3>(block, s.scales, q, columns, sums);
  }
  BRINK_UNROLL_LOOP(8)
  for (std::size_t t = 0; t < kTokens; ++t) {
    // By way of memory, since loads can repeat a value where shuffles are what is short.
    alignas(16) float f[4];
    const float scale = x.scales[(t * columns + column) / kUnit];
    _mm_store_ps(f, _mm_mul_ps(s.factors, _mm_set1_ps(scale)));
    asm("" : "+m"(f));
    if constexpr (Format::kOffset != 0) {
      sums[t] = _mm512_sub_epi32(sums[t], _mm512_zextsi256_si512(away[t]));
    }
    out[t].products =
        _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[t]), _mm512_set1_ps(f[0]), out[t].products);
    if constexpr (Format::kHasMin) {
      const std::int16_t* of_token = group_sums + t * groups;
      __m256i products;
      if constexpr (Format::kGroup == 16) {
        products = _mm256_madd_epi16(s.mins, Load32(of_token));
      } else {
        products = _mm256_zextsi128_si256(
            _mm_madd_epi16(_mm256_castsi256_si128(s.mins), Load16(of_token)));
      }
      out[t].mins =
          _mm256_fmadd_ps(_mm256_cvtepi32_ps(products), _mm256_set1_ps(f[1]), out[t].mins);
    }
  }
}

// Sums of rows on the way to their places: four at a time, to share the shuffles.
template <std::size_t kTokens>
struct FourRows {
  __m256 sums[kTokens][4];

  // The sums of lanes of `products`, less those of `away`, for the i-th row of a run.
  HWY_INLINE void Set(std::size_t i, std::size_t t, __m512 products, __m256 away) {
    const __m256 sum =
        _mm256_add_ps(_mm512_castps512_ps256(products), _mm512_extractf32x8_ps(products, 1));
    sums[t][i % 4] = _mm256_sub_ps(sum, away);
  }

  HWY_INLINE void StoreWhenDone(const MatvecArgs& args, std::size_t first_token, std::size_t row) {
    const std::size_t i = (row - args.row_begin) % 4;
    if (i != 3 && row + 1 != args.row_end) return;
    for (std::size_t t = 0; t < kTokens; ++t) {
      for (std::size_t k = i + 1; k < 4; ++k) sums[t][k] = _mm256_setzero_ps();
      const __m256 fours = _mm256_hadd_ps(_mm256_hadd_ps(sums[t][0], sums[t][1]),
                                          _mm256_hadd_ps(sums[t][2], sums[t][3]));
      const __m128 all = _mm_add_ps(_mm256_castps256_ps128(fours), _mm256_extractf128_ps(fours, 1));
      _mm_mask_storeu_ps(args.y + (first_token + t) * args.y_stride + row - i,
                         static_cast<__mmask8>((2u << i) - 1),
                         _mm_mul_ps(all, _mm_set1_ps(args.weights.scale)));
    }
  }
};

template <TensorType T, std::size_t kTokens>
void MatvecIntegerScales(const MatvecArgs& args, std::size_t first_token) {
  constexpr std::size_t kBytes = size_of(T).block_bytes;
  if (args.row_begin == args.row_end) return;
  const std::size_t columns = args.weights.columns;
  const Q8Row x = args.x.q8.from(first_token * columns, kUnit);
  const std::size_t row_bytes = columns / kUnit * kBytes;
  const std::uint8_t* HWY_RESTRICT block = args.weights.data + args.row_begin * row_bytes;
  FourRows<kTokens> rows;
  for (std::size_t r = args.row_begin; r < args.row_end; ++r) {
    SuperBlockSums sums[kTokens];
    for (std::size_t t = 0; t < kTokens; ++t) {
      sums[t] = {_mm512_setzero_ps(), _mm256_setzero_ps()};
    }
    for (std::size_t c = 0; c < columns; c += kUnit, block += kBytes) {
      PrefetchUnit<kBytes>(block);
      SuperBlock<T, kTokens>(block, ScalesOf<T>(block), x, columns, c, sums);
    }
    for (std::size_t t = 0; t < kTokens; ++t) {
      rows.Set(r - args.row_begin, t, sums[t].products, sums[t].mins);
    }
    rows.StoreWhenDone(args, first_token, r);
  }
}

#endif  // AVX3

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
