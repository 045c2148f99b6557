// Matrix-vector products of the types whose groups of 32 weights are 16 bytes, weights i and i + 16
// in the low and high nibble of byte i. Four groups are taken at once, one in each 128-bit lane, so
// that low and high nibbles share a scale. Included once per pass by kernels-inl.h; of use only
// with vpdpbusd.

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

// A specialisation has
//   kBytes        from one group's 16 bytes to the next
//   kFirst        offset of the first group's
//   kOffset       what is to be subtracted from quants
//   kHasMin
//   Scales()      the scales of the 8 groups of a unit, and minima, which are subtracted
//   Low(), High() quants of the first and second half of groups g..g + 3, given bytes that hold
//                 them in their low nibbles, and anything in the high ones
template <TensorType T>
struct NibbleGroups;

template <TensorType T, int kOffsetOfType>
struct PlainNibbles {
  static constexpr std::size_t kBytes = size_of(T).block_bytes;
  static constexpr std::size_t kFirst = kBytes - 16;
  static constexpr int kOffset = kOffsetOfType;
  static constexpr bool kHasMin = Unpack<T>::kHasMin;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT unit, __m256& scales,
                                __m256& mins) {
    scales = EightF16<kBytes>(unit);
    if constexpr (kHasMin) {
      mins = _mm256_xor_ps(EightF16<kBytes>(unit + 2), _mm256_set1_ps(-0.0f));
    }
  }
  static HWY_INLINE __m512i Low(const std::uint8_t*, std::size_t, __m512i nibbles) {
    return _mm512_and_si512(nibbles, _mm512_set1_epi8(15));
  }
  static HWY_INLINE __m512i High(const std::uint8_t*, std::size_t, __m512i nibbles) {
    return _mm512_and_si512(nibbles, _mm512_set1_epi8(15));
  }
};

template <>
struct NibbleGroups<TensorType::kQ4_0> : PlainNibbles<TensorType::kQ4_0, 8> {};
template <>
struct NibbleGroups<TensorType::kQ4_1> : PlainNibbles<TensorType::kQ4_1, 0> {};

// 32 bits before the nibbles go on top of them.
template <TensorType T, int kOffsetOfType>
struct FifthBits : PlainNibbles<T, kOffsetOfType> {
  using Base = PlainNibbles<T, kOffsetOfType>;

  // kShuffle of the bits: those of the first halves in the first 8 bytes, then the others.
  template <int kHalf>
  static HWY_INLINE __m512i WithBits(const std::uint8_t* HWY_RESTRICT unit, std::size_t g,
                                     __m512i nibbles) {
    const __m128i halves =
        _mm_shuffle_epi8(FourWords<Base::kBytes>(unit + g * Base::kBytes + Base::kFirst - 4),
                         _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
    const auto bits = static_cast<std::uint64_t>(_mm_extract_epi64(halves, kHalf));
    const __m512i low = _mm512_and_si512(nibbles, _mm512_set1_epi8(15));
    return _mm512_mask_add_epi8(low, bits, low, _mm512_set1_epi8(16));
  }
  static HWY_INLINE __m512i Low(const std::uint8_t* HWY_RESTRICT unit, std::size_t g,
                                __m512i nibbles) {
    return WithBits<0>(unit, g, nibbles);
  }
  static HWY_INLINE __m512i High(const std::uint8_t* HWY_RESTRICT unit, std::size_t g,
                                 __m512i nibbles) {
    return WithBits<1>(unit, g, nibbles);
  }
};

template <>
struct NibbleGroups<TensorType::kQ5_0> : FifthBits<TensorType::kQ5_0, 16> {};
template <>
struct NibbleGroups<TensorType::kQ5_1> : FifthBits<TensorType::kQ5_1, 0> {};

// Nibbles that choose one of 16 levels, 128 more than their value to make them unsigned.
struct Iq4Nibbles {
  static constexpr int kOffset = 128;
  static constexpr bool kHasMin = false;

  static HWY_INLINE __m512i Low(const std::uint8_t*, std::size_t, __m512i nibbles) {
    const hn::FixedTag<std::uint8_t, 64> d;
    const auto levels = hn::Xor(Iq4Table(d), hn::Set(d, 0x80));
    return hn::TableLookupBytes(levels, hn::And(hn::Vec<decltype(d)>{nibbles}, hn::Set(d, 15))).raw;
  }
  static HWY_INLINE __m512i High(const std::uint8_t* unit, std::size_t g, __m512i nibbles) {
    return Low(unit, g, nibbles);
  }
};

template <>
struct NibbleGroups<TensorType::kIQ4_NL> : Iq4Nibbles {
  static constexpr std::size_t kBytes = 18, kFirst = 2;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT unit, __m256& scales, __m256&) {
    scales = EightF16<kBytes>(unit);
  }
};

template <>
struct NibbleGroups<TensorType::kIQ4_XS> : Iq4Nibbles {
  static constexpr std::size_t kBytes = 16, kFirst = 8;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT unit, __m256& scales, __m256&) {
    alignas(32) float out[8];
    Unpack<TensorType::kIQ4_XS>::Scales(unit, out, nullptr);
    scales = _mm256_load_ps(out);
  }
};

template <>
struct NibbleGroups<TensorType::kMXFP4> {
  static constexpr std::size_t kBytes = 17, kFirst = 1;
  static constexpr int kOffset = 12;
  static constexpr bool kHasMin = false;

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
  static HWY_INLINE __m512i Low(const std::uint8_t*, std::size_t, __m512i nibbles) {
    const hn::FixedTag<std::uint8_t, 64> d;
    return E2m1Levels(d, hn::And(hn::Vec<decltype(d)>{nibbles}, hn::Set(d, 15))).raw;
  }
  static HWY_INLINE __m512i High(const std::uint8_t* unit, std::size_t g, __m512i nibbles) {
    return Low(unit, g, nibbles);
  }
};

// The bytes of groups g..g + 3, one in each lane.
template <TensorType T>
HWY_INLINE __m512i NibblesOf4(const std::uint8_t* HWY_RESTRICT unit, std::size_t g) {
  using Format = NibbleGroups<T>;
  const std::uint8_t* HWY_RESTRICT p = unit + Format::kFirst + g * Format::kBytes;
  if constexpr (Format::kBytes == 16) {
    return _mm512_loadu_si512(p);
  } else {
    const auto load = [](const std::uint8_t* from) HWY_ATTR {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    };
    const __m256i first =
        _mm256_inserti128_si256(_mm256_castsi128_si256(load(p)), load(p + Format::kBytes), 1);
    const __m256i second = _mm256_inserti128_si256(
        _mm256_castsi128_si256(load(p + 2 * Format::kBytes)), load(p + 3 * Format::kBytes), 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
  }
}

// Sums of a row with one token: scaled products, and per group the scaled sums of activations that
// kOffset multiplies and those that the minima did.
struct NibbleSums {
  __m512 products;
  __m256 scaled, mins;
};

// A whole unit of a row with kTokens tokens.
template <TensorType T, std::size_t kTokens>
HWY_INLINE void NibbleUnit(const std::uint8_t* HWY_RESTRICT unit, const Q8Row& x,
                           std::size_t columns, std::size_t column, NibbleSums (&out)[kTokens]) {
  using Format = NibbleGroups<T>;
  constexpr bool kOneScale = Unpack<T>::kBlock == 256;  // of the activations of a unit
  __m256 scales, mins = _mm256_setzero_ps();
  Format::Scales(unit, scales, mins);
  __m512i quants[2][2];
  BRINK_UNROLL_LOOP(2)
  for (std::size_t i = 0; i < 2; ++i) {
    const __m512i nibbles = NibblesOf4<T>(unit, 4 * i);
    quants[i][0] = Format::Low(unit, 4 * i, nibbles);
    quants[i][1] = Format::High(unit, 4 * i, _mm512_srli_epi16(nibbles, 4));
  }
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
    if constexpr (Format::kHasMin) {
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
void MatvecNibbles(const MatvecArgs& args, std::size_t first_token) {
  using Format = NibbleGroups<T>;
  constexpr std::size_t kUnitBytes = kUnit / Unpack<T>::kBlock * size_of(T).block_bytes;
  const std::size_t columns = args.weights.columns;
  const std::size_t whole = columns / kUnit * kUnit;
  const Q8Row x = args.x.q8.from(first_token * columns, Unpack<T>::kBlock == 256 ? 256 : 32);
  const std::size_t row_bytes = columns / Unpack<T>::kBlock * size_of(T).block_bytes;
  FourRows<kTokens> rows;
  for (std::size_t r = args.row_begin; r < args.row_end; ++r) {
    const std::uint8_t* HWY_RESTRICT row = args.weights.data + r * row_bytes;
    NibbleSums sums[kTokens];
    for (std::size_t t = 0; t < kTokens; ++t) {
      sums[t] = {_mm512_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
    }
    for (std::size_t c = 0; c < whole; c += kUnit, row += kUnitBytes) {
      PrefetchUnit<kUnitBytes>(row);
      NibbleUnit<T, kTokens>(row, x, columns, c, sums);
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
constexpr bool HasNibbleGroups() {
  return BRINK_HAVE_VNNI &&
         (T == TensorType::kQ4_0 || T == TensorType::kQ4_1 || T == TensorType::kQ5_0 ||
          T == TensorType::kQ5_1 || T == TensorType::kIQ4_NL || T == TensorType::kIQ4_XS ||
          T == TensorType::kMXFP4);
}

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
