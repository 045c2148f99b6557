// Matrix-vector products of the types that have a scale per 32 weights in blocks of 32 (and IQ4_XS,
// which is laid out alike). Four groups are taken at once, one in each 128-bit lane, first the
// first halves of all, then the second: both share a scale, and where weights i and i + 16 are the
// low and high nibble of a byte, that is how they come. Included once per pass by kernels-inl.h; of
// use only with vpdpbusd.

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

#if BRINK_HAVE_VNNI

// One 32-bit or 16-bit number from each of four or eight blocks, kStride bytes apart.
template <std::size_t kStride>
HWY_INLINE __m128i FourWords(const std::uint8_t* HWY_RESTRICT p) {
  __m128i v = _mm_cvtsi32_si128(LoadAs<std::int32_t>(p));
  v = _mm_insert_epi32(v, LoadAs<std::int32_t>(p + kStride), 1);
  v = _mm_insert_epi32(v, LoadAs<std::int32_t>(p + 2 * kStride), 2);
  return _mm_insert_epi32(v, LoadAs<std::int32_t>(p + 3 * kStride), 3);
}

template <std::size_t kStride>
HWY_INLINE __m256 EightF16(const std::uint8_t* HWY_RESTRICT p) {
  alignas(32) float out[8];
  LoadF16x8<kStride>(p, out);
  return _mm256_load_ps(out);
}

// The 16 bytes at p, p + kStride, p + 2 kStride and p + 3 kStride, one in each lane.
template <std::size_t kStride>
HWY_INLINE __m512i FourTimes16(const std::uint8_t* HWY_RESTRICT p) {
  if constexpr (kStride == 16) {
    return _mm512_loadu_si512(p);
  } else {
    const auto* a = reinterpret_cast<const __m128i*>(p);
    const auto* b = reinterpret_cast<const __m128i*>(p + kStride);
    const auto* c = reinterpret_cast<const __m128i*>(p + 2 * kStride);
    const auto* d = reinterpret_cast<const __m128i*>(p + 3 * kStride);
    const __m256i ab =
        _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(a)), _mm_loadu_si128(b), 1);
    const __m256i cd =
        _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(c)), _mm_loadu_si128(d), 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(ab), cd, 1);
  }
}

HWY_INLINE __m512i LowNibbles(__m512i v) { return _mm512_and_si512(v, _mm512_set1_epi8(15)); }

// A specialisation has
//   kBytes    from one group to the next
//   kOffset   what is to be subtracted from quants, so that they are unsigned
//   Scales()  the scales of the 8 groups of a unit, and minima, which are subtracted
//   Quants()  quants of the first and second halves of groups g..g + 3
template <TensorType T>
struct Halves;

template <TensorType T, int kOffsetOfType>
struct NibbleHalves {
  static constexpr std::size_t kBytes = size_of(T).block_bytes;
  static constexpr int kOffset = kOffsetOfType;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT unit, __m256& scales,
                                __m256& mins) {
    scales = EightF16<kBytes>(unit);
    if constexpr (Unpack<T>::kHasMin) {
      mins = _mm256_xor_ps(EightF16<kBytes>(unit + 2), _mm256_set1_ps(-0.0f));
    }
  }
  static HWY_INLINE void Quants(const std::uint8_t* HWY_RESTRICT unit, std::size_t g,
                                __m512i& first, __m512i& second) {
    const __m512i bytes = FourTimes16<kBytes>(unit + (g + 1) * kBytes - 16);
    first = LowNibbles(bytes);
    second = LowNibbles(_mm512_srli_epi16(bytes, 4));
  }
};

template <>
struct Halves<TensorType::kQ4_0> : NibbleHalves<TensorType::kQ4_0, 8> {};
template <>
struct Halves<TensorType::kQ4_1> : NibbleHalves<TensorType::kQ4_1, 0> {};

// 32 bits before the nibbles go on top of them.
template <TensorType T, int kOffsetOfType>
struct NibbleHalvesWithBits : NibbleHalves<T, kOffsetOfType> {
  static HWY_INLINE void Quants(const std::uint8_t* HWY_RESTRICT unit, std::size_t g,
                                __m512i& first, __m512i& second) {
    using Base = NibbleHalves<T, kOffsetOfType>;
    Base::Quants(unit, g, first, second);
    // The bits of the first halves to the lower 8 bytes, those of the second to the upper ones.
    const __m128i bits =
        _mm_shuffle_epi8(FourWords<Base::kBytes>(unit + (g + 1) * Base::kBytes - 20),
                         _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
    const __m512i fifth = _mm512_set1_epi8(16);
    first =
        _mm512_mask_add_epi8(first, static_cast<__mmask64>(_mm_cvtsi128_si64(bits)), first, fifth);
    second = _mm512_mask_add_epi8(second, static_cast<__mmask64>(_mm_extract_epi64(bits, 1)),
                                  second, fifth);
  }
};

template <>
struct Halves<TensorType::kQ5_0> : NibbleHalvesWithBits<TensorType::kQ5_0, 16> {};
template <>
struct Halves<TensorType::kQ5_1> : NibbleHalvesWithBits<TensorType::kQ5_1, 0> {};

template <>
struct Halves<TensorType::kQ8_0> : NibbleHalves<TensorType::kQ8_0, 128> {
  static HWY_INLINE void Quants(const std::uint8_t* HWY_RESTRICT unit, std::size_t g,
                                __m512i& first, __m512i& second) {
    const __m512i sign = _mm512_set1_epi8(-128);
    first = _mm512_xor_si512(FourTimes16<kBytes>(unit + g * kBytes + 2), sign);
    second = _mm512_xor_si512(FourTimes16<kBytes>(unit + g * kBytes + 18), sign);
  }
};

// Nibbles that choose one of 16 levels, 128 more than their value to make them unsigned.
template <TensorType T>
struct Iq4Halves : NibbleHalves<T, 128> {
  static HWY_INLINE void Levels(__m512i bytes, __m512i& first, __m512i& second) {
    const hn::FixedTag<std::uint8_t, 64> d;
    const __m512i levels = hn::Xor(Iq4Table(d), hn::Set(d, 0x80)).raw;
    first = _mm512_shuffle_epi8(levels, LowNibbles(bytes));
    second = _mm512_shuffle_epi8(levels, LowNibbles(_mm512_srli_epi16(bytes, 4)));
  }
  static HWY_INLINE void Quants(const std::uint8_t* HWY_RESTRICT unit, std::size_t g,
                                __m512i& first, __m512i& second) {
    Levels(FourTimes16<18>(unit + g * 18 + 2), first, second);
  }
};

template <>
struct Halves<TensorType::kIQ4_NL> : Iq4Halves<TensorType::kIQ4_NL> {};

template <>
struct Halves<TensorType::kIQ4_XS> : Iq4Halves<TensorType::kIQ4_XS> {
  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT unit, __m256& scales, __m256&) {
    alignas(32) float out[8];
    Unpack<TensorType::kIQ4_XS>::Scales(unit, out, nullptr);
    scales = _mm256_load_ps(out);
  }
  static HWY_INLINE void Quants(const std::uint8_t* HWY_RESTRICT unit, std::size_t g,
                                __m512i& first, __m512i& second) {
    Levels(FourTimes16<16>(unit + g * 16 + 8), first, second);
  }
};

template <>
struct Halves<TensorType::kMXFP4> : NibbleHalves<TensorType::kMXFP4, 12> {
  // 2^(e - 128): exponent field e - 1, or a subnormal number for e of 0 and 1.
  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT unit, __m256& scales, __m256&) {
    std::uint64_t exponents = 0;
    BRINK_UNROLL_LOOP(8)
    for (std::size_t g = 0; g < 8; ++g) {
      exponents |= static_cast<std::uint64_t>(unit[g * kBytes]) << (8 * g);
    }
    const __m256i e = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<long long>(exponents)));
    const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    const __m256i small = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    scales = _mm256_castsi256_ps(
        _mm256_mask_mov_epi32(normal, _mm256_cmplt_epu32_mask(e, _mm256_set1_epi32(2)), small));
  }
  static HWY_INLINE void Quants(const std::uint8_t* HWY_RESTRICT unit, std::size_t g,
                                __m512i& first, __m512i& second) {
    const hn::FixedTag<std::uint8_t, 64> d;
    NibbleHalves::Quants(unit, g, first, second);
    first = E2m1Levels(d, hn::Vec<decltype(d)>{first}).raw;
    second = E2m1Levels(d, hn::Vec<decltype(d)>{second}).raw;
  }
};

// Sums of a row with one token: scaled products, and per group the scaled sums of activations that
// kOffset multiplies and those that the minima did.
struct HalvesSums {
  __m512 products;
  __m256 scaled, mins;
};

// A whole unit of a row with kTokens tokens.
template <TensorType T, std::size_t kTokens>
HWY_INLINE void HalvesUnit(const std::uint8_t* HWY_RESTRICT unit, const Q8Row& x,
                           std::size_t columns, std::size_t column, HalvesSums (&out)[kTokens]) {
  using Format = Halves<T>;
  constexpr bool kOneScale = Unpack<T>::kBlock == 256;  // of the activations of a unit
  __m256 scales, mins = _mm256_setzero_ps();
  Format::Scales(unit, scales, mins);
  __m512i quants[2][2];
  Format::Quants(unit, 0, quants[0][0], quants[0][1]);
  Format::Quants(unit, 4, quants[1][0], quants[1][1]);
  BRINK_UNROLL_LOOP(8)
  for (std::size_t t = 0; t < kTokens; ++t) {
    const std::size_t at = t * columns + column;
    const __m256 x_scales =
        kOneScale ? _mm256_set1_ps(x.scales[at / 256]) : _mm256_loadu_ps(x.scales + at / 32);
    const __m256 x_sums = _mm256_loadu_ps(x.sums32 + at / 32);
    const __m256 both = _mm256_mul_ps(scales, x_scales);
    if constexpr (Format::kOffset != 0) {
      out[t].scaled = _mm256_fmadd_ps(both, x_sums, out[t].scaled);
    }
    if constexpr (Unpack<T>::kHasMin) {
      out[t].mins = _mm256_fmadd_ps(_mm256_mul_ps(mins, x_scales), x_sums, out[t].mins);
    }
    BRINK_UNROLL_LOOP(2)
    for (std::size_t i = 0; i < 2; ++i) {
      const std::int8_t* HWY_RESTRICT q = x.q + at + i * 128;
      __m512i dot =
          _mm512_dpbusd_epi32(_mm512_setzero_si512(), quants[i][0], _mm512_loadu_si512(q));
      dot = _mm512_dpbusd_epi32(dot, quants[i][1], _mm512_loadu_si512(q + 64));
      const __m512i lanes =
          _mm512_add_epi32(_mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3),
                           _mm512_set1_epi32(static_cast<int>(4 * i)));
      out[t].products = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot),
                                        _mm512_permutexvar_ps(lanes, _mm512_castps256_ps512(both)),
                                        out[t].products);
    }
  }
}

template <TensorType T, std::size_t kTokens>
void MatvecHalves(const MatvecArgs& args, std::size_t first_token) {
  using Format = Halves<T>;
  constexpr std::size_t kUnitBytes = kUnit / Unpack<T>::kBlock * size_of(T).block_bytes;
  const std::size_t columns = args.weights.columns;
  const std::size_t whole = columns / kUnit * kUnit;
  const Q8Row x = args.x.q8.from(first_token * columns, Unpack<T>::kBlock == 256 ? 256 : 32);
  const std::size_t row_bytes = columns / Unpack<T>::kBlock * size_of(T).block_bytes;
  FourRows<kTokens> rows;
  for (std::size_t r = args.row_begin; r < args.row_end; ++r) {
    const std::uint8_t* HWY_RESTRICT row = args.weights.data + r * row_bytes;
    HalvesSums sums[kTokens];
    for (std::size_t t = 0; t < kTokens; ++t) {
      sums[t] = {_mm512_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
    }
    for (std::size_t c = 0; c < whole; c += kUnit, row += kUnitBytes) {
      PrefetchUnit<kUnitBytes>(row);
      HalvesUnit<T, kTokens>(row, x, columns, c, sums);
    }
    hn::Vec<Floats> rest[kTokens];
    for (std::size_t t = 0; t < kTokens; ++t) rest[t].raw = sums[t].products;
    if constexpr (Unpack<T>::kBlock != 256) {
      if (whole < columns) {
        MatvecUnit<T, kTokens, false>(row, x, columns, whole, columns - whole, rest);
      }
    }
    for (std::size_t t = 0; t < kTokens; ++t) {
      __m256 away = sums[t].mins;
      if constexpr (Format::kOffset != 0) {
        away = _mm256_fmadd_ps(sums[t].scaled, _mm256_set1_ps(Format::kOffset), away);
      }
      rows.Set(r - args.row_begin, t, rest[t].raw, away);
    }
    rows.StoreWhenDone(args, first_token, r);
  }
}

#endif  // VNNI

template <TensorType T>
constexpr bool HasHalves() {
  return BRINK_HAVE_VNNI &&
         (T == TensorType::kQ8_0 || T == TensorType::kQ4_0 || T == TensorType::kQ4_1 ||
          T == TensorType::kQ5_0 || T == TensorType::kQ5_1 || T == TensorType::kIQ4_NL ||
          T == TensorType::kIQ4_XS || T == TensorType::kMXFP4);
}

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
