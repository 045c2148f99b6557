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

// Once only: the compiler would load a vector again for each use.
HWY_INLINE __m512i LoadOnce(const std::uint8_t* HWY_RESTRICT p) {
  __m512i v = _mm512_loadu_si512(p);
  asm("" : "+v"(v));
  return v;
}

// Four blocks, kStride bytes apart, in two vectors that cover kSpan bytes of them and may overlap.
// A permutation of both vectors costs less than four loads and three inserts, and all fields of the
// blocks come out of them.
template <std::size_t kStride, std::size_t kSpan = 4 * kStride>
struct FourBlocks {
  static_assert(kSpan >= 64 && kSpan <= 128);
  static constexpr std::size_t kSecond = kSpan - 64;
  __m512i first, second;

  HWY_INLINE void Load(const std::uint8_t* HWY_RESTRICT p) {
    first = LoadOnce(p);
    second = LoadOnce(p + kSecond);
  }
  HWY_INLINE __m512i Choose(const ByteTable& table) const {
    return _mm512_permutex2var_epi8(first, _mm512_load_si512(table.at), second);
  }
  // The index of a byte of a block.
  static constexpr std::uint8_t At(std::size_t block, std::size_t byte) {
    const std::size_t at = block * kStride + byte;
    return static_cast<std::uint8_t>(at < 64 ? at : at - kSecond + 64);
  }
};

// The 16 bytes from kByte on of each block, one block in each lane.
template <class Blocks, std::size_t kByte>
inline constexpr ByteTable kSixteens = [] {
  ByteTable t{};
  for (std::size_t i = 0; i < 64; ++i) t.at[i] = Blocks::At(i / 16, kByte + i % 16);
  return t;
}();

// Small fields of four blocks. Bytes 0..7: the two bytes at 0 of each block; 8..15: the two at 2;
// 16..23 and 24..31: the two at kBits and at kBits + 2.
template <class Blocks, std::size_t kBits>
inline constexpr ByteTable kFields = [] {
  ByteTable t{};
  for (std::size_t i = 0; i < 32; ++i) {
    t.at[i] = Blocks::At(i / 2 % 4, (i < 16 ? 0 : kBits) + i / 8 % 2 * 2 + i % 2);
  }
  return t;
}();

// The f16 numbers at byte 0 (or 2, with kSecond) of 8 blocks, out of their kFields.
template <bool kSecond>
HWY_INLINE __m256 EightF16(const __m512i (&fields)[2]) {
  const __m128i a = _mm512_castsi512_si128(fields[0]), b = _mm512_castsi512_si128(fields[1]);
  return _mm256_cvtph_ps(kSecond ? _mm_unpackhi_epi64(a, b) : _mm_unpacklo_epi64(a, b));
}

HWY_INLINE __m512i LowNibbles(__m512i v) { return _mm512_and_si512(v, _mm512_set1_epi8(15)); }

// A unit, or, with kFours 1, its first four blocks. A specialisation has
//   Load()    reads it
//   kOffset   what is to be subtracted from quants, so that they are unsigned
//   Scales()  the scales of the 8 groups, and minima, which are subtracted
//   Quants()  quants of the first and second halves of groups 4i to 4i + 3
template <TensorType T>
struct Halves;

// Blocks that end on 16 bytes of nibbles.
template <TensorType T, int kOffsetOfType>
struct NibbleHalves {
  static constexpr int kOffset = kOffsetOfType;
  static constexpr std::size_t kBytes = size_of(T).block_bytes;
  static constexpr std::size_t kBits = kBytes < 20 ? 0 : kBytes - 20;  // of the types that have any
  using Blocks = FourBlocks<kBytes>;
  Blocks blocks[2];
  __m512i fields[2];

  template <std::size_t kFours>
  HWY_INLINE void Load(const std::uint8_t* HWY_RESTRICT unit) {
    fields[1] = _mm512_setzero_si512();
    for (std::size_t i = 0; i < kFours; ++i) {
      blocks[i].Load(unit + 4 * i * kBytes);
      fields[i] = blocks[i].Choose(kFields<Blocks, kBits>);
    }
  }
  HWY_INLINE void Scales(__m256& scales, __m256& mins) const {
    scales = EightF16<false>(fields);
    if constexpr (Unpack<T>::kHasMin) {
      mins = _mm256_xor_ps(EightF16<true>(fields), _mm256_set1_ps(-0.0f));
    }
  }
  HWY_INLINE __m512i Nibbles(std::size_t i) const {
    return blocks[i].Choose(kSixteens<Blocks, kBytes - 16>);
  }
  HWY_INLINE void Quants(std::size_t i, __m512i& low, __m512i& high) const {
    const __m512i bytes = Nibbles(i);
    low = LowNibbles(bytes);
    high = LowNibbles(_mm512_srli_epi16(bytes, 4));
  }
};

template <>
struct Halves<TensorType::kQ4_0> : NibbleHalves<TensorType::kQ4_0, 8> {};
template <>
struct Halves<TensorType::kQ4_1> : NibbleHalves<TensorType::kQ4_1, 0> {};

// 32 bits before the nibbles go on top of them.
template <TensorType T, int kOffsetOfType>
struct NibbleHalvesWithBits : NibbleHalves<T, kOffsetOfType> {
  using Base = NibbleHalves<T, kOffsetOfType>;
  HWY_INLINE void Quants(std::size_t i, __m512i& low, __m512i& high) const {
    Base::Quants(i, low, high);
    const __m128i bits = _mm512_extracti32x4_epi32(this->fields[i], 1);
    const __m512i fifth = _mm512_set1_epi8(16);
    low = _mm512_mask_add_epi8(low, static_cast<__mmask64>(_mm_cvtsi128_si64(bits)), low, fifth);
    high =
        _mm512_mask_add_epi8(high, static_cast<__mmask64>(_mm_extract_epi64(bits, 1)), high, fifth);
  }
};

template <>
struct Halves<TensorType::kQ5_0> : NibbleHalvesWithBits<TensorType::kQ5_0, 16> {};
template <>
struct Halves<TensorType::kQ5_1> : NibbleHalvesWithBits<TensorType::kQ5_1, 0> {};

template <>
struct Halves<TensorType::kQ8_0> {
  static constexpr int kOffset = 128;
  static constexpr std::size_t kBytes = size_of(TensorType::kQ8_0).block_bytes;
  // To the middle of the fourth block: the second halves lie alike, 16 bytes on.
  using Blocks = FourBlocks<kBytes, 3 * kBytes + 18>;
  Blocks first[2], second[2];
  __m512i fields[2];

  template <std::size_t kFours>
  HWY_INLINE void Load(const std::uint8_t* HWY_RESTRICT unit) {
    fields[1] = _mm512_setzero_si512();
    for (std::size_t i = 0; i < kFours; ++i) {
      first[i].Load(unit + 4 * i * kBytes);
      second[i].Load(unit + 4 * i * kBytes + 16);
      fields[i] = first[i].Choose(kFields<Blocks, 0>);
    }
  }
  HWY_INLINE void Scales(__m256& scales, __m256&) const { scales = EightF16<false>(fields); }
  HWY_INLINE void Quants(std::size_t i, __m512i& low, __m512i& high) const {
    const __m512i sign = _mm512_set1_epi8(-128);
    low = _mm512_xor_si512(first[i].Choose(kSixteens<Blocks, 2>), sign);
    high = _mm512_xor_si512(second[i].Choose(kSixteens<Blocks, 2>), sign);
  }
};

// The levels of the IQ4 formats, 128 more than their value to make them unsigned.
HWY_INLINE __m512i UnsignedIq4Table() {
  const hn::FixedTag<std::uint8_t, 64> d;
  return hn::Xor(Iq4Table(d), hn::Set(d, 0x80)).raw;
}

HWY_INLINE void Iq4Levels(__m512i bytes, __m512i& low, __m512i& high) {
  const __m512i levels = UnsignedIq4Table();
  low = _mm512_shuffle_epi8(levels, LowNibbles(bytes));
  high = _mm512_shuffle_epi8(levels, LowNibbles(_mm512_srli_epi16(bytes, 4)));
}

template <>
struct Halves<TensorType::kIQ4_NL> : NibbleHalves<TensorType::kIQ4_NL, 128> {
  HWY_INLINE void Quants(std::size_t i, __m512i& low, __m512i& high) const {
    Iq4Levels(Nibbles(i), low, high);
  }
};

template <>
struct Halves<TensorType::kIQ4_XS> {
  static constexpr int kOffset = 128;
  const std::uint8_t* HWY_RESTRICT unit;

  template <std::size_t>
  HWY_INLINE void Load(const std::uint8_t* HWY_RESTRICT block) {
    unit = block;
  }
  HWY_INLINE void Scales(__m256& scales, __m256&) const {
    alignas(32) float out[8];
    Unpack<TensorType::kIQ4_XS>::Scales(unit, out, nullptr);
    scales = _mm256_load_ps(out);
  }
  HWY_INLINE void Quants(std::size_t i, __m512i& low, __m512i& high) const {
    Iq4Levels(_mm512_loadu_si512(unit + 8 + i * 64), low, high);
  }
};

template <>
struct Halves<TensorType::kMXFP4> : NibbleHalves<TensorType::kMXFP4, 12> {
  // 2^(e - 128): exponent field e - 1, or a subnormal number for e of 0 and 1.
  HWY_INLINE void Scales(__m256& scales, __m256&) const {
    const __m128i bytes =
        _mm_unpacklo_epi64(_mm512_castsi512_si128(fields[0]), _mm512_castsi512_si128(fields[1]));
    const __m256i e = _mm256_and_si256(_mm256_cvtepu16_epi32(bytes), _mm256_set1_epi32(255));
    const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    const __m256i small = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    scales = _mm256_castsi256_ps(
        _mm256_mask_mov_epi32(normal, _mm256_cmplt_epu32_mask(e, _mm256_set1_epi32(2)), small));
  }
  HWY_INLINE void Quants(std::size_t i, __m512i& low, __m512i& high) const {
    const hn::FixedTag<std::uint8_t, 64> d;
    NibbleHalves::Quants(i, low, high);
    low = E2m1Levels(d, hn::Vec<decltype(d)>{low}).raw;
    high = E2m1Levels(d, hn::Vec<decltype(d)>{high}).raw;
  }
};

// Sums of a row with one token: scaled products, and per group the scaled sums of activations that
// kOffset multiplies and those that the minima did.
struct HalvesSums {
  __m512 products;
  __m256 scaled, mins;
};

// Numbers of the groups of a unit, or of half of one, which may be the last there is.
template <std::size_t kFours>
HWY_INLINE __m256 OfGroups(const float* HWY_RESTRICT p) {
  return kFours == 2 ? _mm256_loadu_ps(p) : _mm256_zextps128_ps256(_mm_loadu_ps(p));
}

// A unit of a row with kTokens tokens, or, with kFours 1, half of one.
template <TensorType T, std::size_t kTokens, std::size_t kFours>
HWY_INLINE void HalvesUnit(const std::uint8_t* HWY_RESTRICT unit, const Q8Row& x,
                           std::size_t columns, std::size_t column, HalvesSums (&out)[kTokens]) {
  constexpr bool kOneScale = Unpack<T>::kBlock == 256;  // of the activations of a unit
  __m256 scales, mins = _mm256_setzero_ps();
  Halves<T> halves;
  halves.template Load<kFours>(unit);
  halves.Scales(scales, mins);
  __m512i quants[2][2];
  for (std::size_t i = 0; i < kFours; ++i) halves.Quants(i, quants[i][0], quants[i][1]);
  BRINK_UNROLL_LOOP(8)
  for (std::size_t t = 0; t < kTokens; ++t) {
    const std::size_t at = t * columns + column;
    const __m256 x_scales =
        kOneScale ? _mm256_set1_ps(x.scales[at / 256]) : OfGroups<kFours>(x.scales + at / 32);
    const __m256 x_sums = OfGroups<kFours>(x.sums32 + at / 32);
    const __m256 both = _mm256_mul_ps(scales, x_scales);
    if constexpr (Halves<T>::kOffset != 0) {
      out[t].scaled = _mm256_fmadd_ps(both, x_sums, out[t].scaled);
    }
    if constexpr (Unpack<T>::kHasMin) {
      out[t].mins = _mm256_fmadd_ps(_mm256_mul_ps(mins, x_scales), x_sums, out[t].mins);
    }
    BRINK_UNROLL_LOOP(2)
    for (std::size_t i = 0; i < kFours; ++i) {
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
      HalvesUnit<T, kTokens, 2>(row, x, columns, c, sums);
    }
    std::size_t done = whole;
    if constexpr (Unpack<T>::kBlock != 256) {
      if (columns - done >= kUnit / 2) {
        PrefetchUnit<kUnitBytes / 2>(row);
        HalvesUnit<T, kTokens, 1>(row, x, columns, done, sums);
        done += kUnit / 2;
        row += kUnitBytes / 2;
      }
    }
    hn::Vec<Floats> rest[kTokens];
    for (std::size_t t = 0; t < kTokens; ++t) rest[t].raw = sums[t].products;
    if constexpr (Unpack<T>::kBlock != 256) {
      if (done < columns) {
        PrefetchUnit<kUnitBytes / 2>(row);
        MatvecUnit<T, kTokens, false>(row, x, columns, done, columns - done, rest);
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
