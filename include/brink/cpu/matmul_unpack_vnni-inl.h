// Unpacks whole units of sixteen rows at once into a tile. Quants are transposed while they are
// packed, 16 bytes of every row at a time, so that one vector holds the same 32 bits of all rows;
// bits are then taken apart and scales converted for all rows together. Included once per pass by
// kernels-inl.h; of use only with vpdpbusd, whose tiles are bytes.

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

#if BRINK_HAVE_VNNI

// A place in each of sixteen rows, and one in memory that is wanted later: as the rows are read,
// as much of it is brought into the second-level cache.
class SixteenRows {
 public:
  SixteenRows(const std::uint8_t* first, std::size_t stride, const std::uint8_t* later)
      : first_(first), stride_(stride), later_(later) {}

  HWY_INLINE const std::uint8_t* row(std::size_t r) const { return first_ + r * stride_; }
  HWY_INLINE SixteenRows operator+(std::size_t bytes) const {
    return {first_ + bytes, stride_, later_ + 16 * bytes};
  }
  // For up to `bytes` from `at` on.
  HWY_INLINE void Prefetch(std::size_t at, std::size_t bytes) const {
    BRINK_UNROLL_LOOP(4)
    for (std::size_t i = 0; i < 16 * bytes; i += 64) {
      PrefetchToL2(later_ + 16 * at + i);
    }
  }

 private:
  const std::uint8_t* first_;
  std::size_t stride_;
  const std::uint8_t* later_;
};

// Lane r of word[i]: 32-bit word i of 16 bytes of row r.
struct WordsOfRows {
  __m512i word[4];
};

// bytes(p) gives the 16 bytes of the row that is at p.
template <class Bytes16OfRow>
HWY_INLINE WordsOfRows TransposeRows(const SixteenRows& rows, Bytes16OfRow bytes) {
  __m512i v[4];
  BRINK_UNROLL_LOOP(4)
  for (std::size_t i = 0; i < 4; ++i) {
    const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(bytes(rows.row(i))),
                                                bytes(rows.row(4 + i)), 1);
    const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(bytes(rows.row(8 + i))),
                                                 bytes(rows.row(12 + i)), 1);
    v[i] = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
  }
  const __m512i low01 = _mm512_unpacklo_epi32(v[0], v[1]);
  const __m512i low23 = _mm512_unpacklo_epi32(v[2], v[3]);
  const __m512i high01 = _mm512_unpackhi_epi32(v[0], v[1]);
  const __m512i high23 = _mm512_unpackhi_epi32(v[2], v[3]);
  return {{_mm512_unpacklo_epi64(low01, low23), _mm512_unpackhi_epi64(low01, low23),
           _mm512_unpacklo_epi64(high01, high23), _mm512_unpackhi_epi64(high01, high23)}};
}

// 16 bytes from `at` on of every row.
HWY_INLINE WordsOfRows LoadWords(const SixteenRows& rows, std::size_t at) {
  rows.Prefetch(at, 16);
  return TransposeRows(rows, [&](const std::uint8_t* row) { return Load16(row + at); });
}

// The 16-bit (or 32-bit) numbers at the start of 8 (4) blocks kStride bytes apart. Each load is
// moved so that the number comes where it belongs, and leaves the rest as it was.
template <std::size_t kStride>
HWY_INLINE __m128i Gather8x16(const std::uint8_t* HWY_RESTRICT p) {
  if constexpr (kStride == 18) {
    // Four lie within 64 bytes.
    const __m512i places = _mm512_castsi128_si512(_mm_setr_epi16(0, 9, 18, 27, 32, 41, 50, 59));
    return _mm512_castsi512_si128(_mm512_permutex2var_epi16(_mm512_loadu_si512(p), places,
                                                            _mm512_loadu_si512(p + 4 * kStride)));
  } else {
    __m128i v = _mm_cvtsi32_si128(LoadAs<std::uint16_t>(p));
    BRINK_UNROLL_LOOP(8)
    for (std::size_t b = 1; b < 8; ++b) {
      v = _mm_mask_loadu_epi16(v, static_cast<__mmask8>(1 << b), p + b * (kStride - 2));
    }
    return v;
  }
}
template <std::size_t kStride>
HWY_INLINE __m128i Gather4x32(const std::uint8_t* HWY_RESTRICT p) {
  __m128i v = _mm_cvtsi32_si128(LoadAs<std::int32_t>(p));
  BRINK_UNROLL_LOOP(4)
  for (std::size_t b = 1; b < 4; ++b) {
    v = _mm_mask_loadu_epi32(v, static_cast<__mmask8>(1 << b), p + b * (kStride - 4));
  }
  return v;
}

// The two f16 of every lane.
HWY_INLINE void ConvertF16Pairs(__m512i pairs, __m512& low, __m512& high) {
  const __m512i apart = _mm512_permutexvar_epi16(
      _mm512_set_epi16(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1, 30, 28, 26, 24,
                       22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0),
      pairs);
  low = _mm512_cvtph_ps(_mm512_castsi512_si256(apart));
  high = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(apart, 1));
}

HWY_INLINE __m512i BytesOf(int byte) { return _mm512_set1_epi8(static_cast<char>(byte)); }
HWY_INLINE __m512i AndBytes(__m512i v, int mask) { return _mm512_and_si512(v, BytesOf(mask)); }
// (v & mask) | rest
HWY_INLINE __m512i AndOr(__m512i v, int mask, __m512i rest) {
  return _mm512_ternarylogic_epi32(v, BytesOf(mask), rest, 0xEA);
}
// v >> bits (left if negative); bits of neighbouring bytes come in.
template <int kBits>
HWY_INLINE __m512i ShiftWords(__m512i v) {
  if constexpr (kBits > 0) return _mm512_srli_epi32(v, kBits);
  if constexpr (kBits < 0) return _mm512_slli_epi32(v, -kBits);
  return v;
}

// Bytes kLow and kHigh of every lane in its 16-bit halves.
template <char kLow, char kHigh>
HWY_INLINE __m512i TwoBytes(__m512i bytes) {
  return _mm512_shuffle_epi8(bytes, _mm512_broadcast_i32x4(_mm_setr_epi8(
                                        kLow, -1, kHigh, -1, kLow + 4, -1, kHigh + 4, -1, kLow + 8,
                                        -1, kHigh + 8, -1, kLow + 12, -1, kHigh + 12, -1)));
}

// Where a tile's values for sixteen of its rows go.
class TileRows {
 public:
  TileRows(Q8Tile& tile, std::size_t lane)
      : words_(tile.words + lane),
        scales_(tile.scales + lane),
        mins_(tile.mins + lane),
        min_pairs_(tile.min_pairs + lane),
        super_(tile.super + lane) {}

  HWY_INLINE void Word(std::size_t k, __m512i v) const {
    _mm512_store_si512(words_ + k * kPanelRows, v);
  }
  HWY_INLINE void Scale(std::size_t g, __m512 v) const {
    _mm512_store_ps(scales_ + g * kPanelRows, v);
  }
  HWY_INLINE void Min(std::size_t g, __m512 v) const { _mm512_store_ps(mins_ + g * kPanelRows, v); }
  HWY_INLINE void MinPair(std::size_t i, __m512i v) const {
    _mm512_store_si512(min_pairs_ + i * kPanelRows, v);
  }
  HWY_INLINE void Super(__m512 d, __m512 dmin) const {
    _mm512_store_ps(super_, d);
    _mm512_store_ps(super_ + kPanelRows, dmin);
  }
  // Bytes of `bytes` as the minima of groups 4 * i ... 4 * i + 3.
  HWY_INLINE void FourMinima(std::size_t i, __m512i bytes) const {
    MinPair(2 * i, TwoBytes<0, 1>(bytes));
    MinPair(2 * i + 1, TwoBytes<2, 3>(bytes));
  }

 private:
  std::int32_t* words_;
  float* scales_;
  float* mins_;
  std::int32_t* min_pairs_;
  float* super_;
};

// A specialisation has Unpack(), which fills those parts of a tile that LayoutOf<T>() wants.
template <TensorType T>
struct UnpackRows {
  static constexpr bool kExists = false;
};

// --- Blocks of 32 --------------------------------------------------------------------------------

// Scales, and minima, of the eight blocks of a unit; `Format` adds Words(), which unpacks one
// block.
template <TensorType T, class Format>
struct UnpackBlocks {
  static constexpr bool kExists = true;
  static constexpr std::size_t kBytes = size_of(T).block_bytes;

  static HWY_INLINE void Scales(const SixteenRows& rows, TileRows to) {
    if constexpr (brink::BRINK_ISA::Unpack<T>::kHasMin) {
      BRINK_UNROLL_LOOP(1)
      for (std::size_t half = 0; half < 2; ++half) {
        const SixteenRows from = rows + half * 4 * kBytes;
        const WordsOfRows pairs =
            TransposeRows(from, [](const std::uint8_t* row) { return Gather4x32<kBytes>(row); });
        BRINK_UNROLL_LOOP(4)
        for (std::size_t i = 0; i < 4; ++i) {
          __m512 scale, min;
          ConvertF16Pairs(pairs.word[i], scale, min);
          to.Scale(half * 4 + i, scale);
          to.Min(half * 4 + i, _mm512_xor_ps(min, _mm512_set1_ps(-0.0f)));
        }
      }
    } else {
      const WordsOfRows pairs =
          TransposeRows(rows, [](const std::uint8_t* row) { return Gather8x16<kBytes>(row); });
      BRINK_UNROLL_LOOP(4)
      for (std::size_t i = 0; i < 4; ++i) {
        __m512 even, odd;
        ConvertF16Pairs(pairs.word[i], even, odd);
        to.Scale(2 * i, even);
        to.Scale(2 * i + 1, odd);
      }
    }
  }

  static HWY_INLINE void Unpack(SixteenRows rows, TileRows to) {
    Scales(rows, to);
    BRINK_UNROLL_LOOP(1)
    for (std::size_t b = 0; b < 8; ++b, rows = rows + kBytes) {
      rows.Prefetch(0, 2);
      Format::Words(rows, to, b * 8);
    }
  }
};

template <TensorType T, std::size_t kAt>
struct NibbleRows : UnpackBlocks<T, NibbleRows<T, kAt>> {
  static HWY_INLINE void Words(const SixteenRows& rows, TileRows to, std::size_t k) {
    const WordsOfRows w = LoadWords(rows, kAt);
    BRINK_UNROLL_LOOP(4)
    for (std::size_t i = 0; i < 4; ++i) {
      to.Word(k + i, AndBytes(w.word[i], 15));
      to.Word(k + 4 + i, AndBytes(ShiftWords<4>(w.word[i]), 15));
    }
  }
};

template <>
struct UnpackRows<TensorType::kQ4_0> : NibbleRows<TensorType::kQ4_0, 2> {};
template <>
struct UnpackRows<TensorType::kQ4_1> : NibbleRows<TensorType::kQ4_1, 4> {};

template <>
struct UnpackRows<TensorType::kQ8_0>
    : UnpackBlocks<TensorType::kQ8_0, UnpackRows<TensorType::kQ8_0>> {
  static HWY_INLINE void Words(const SixteenRows& rows, TileRows to, std::size_t k) {
    BRINK_UNROLL_LOOP(2)
    for (std::size_t half = 0; half < 2; ++half) {
      const WordsOfRows w = LoadWords(rows, 2 + half * 16);
      BRINK_UNROLL_LOOP(4)
      for (std::size_t i = 0; i < 4; ++i) {
        to.Word(k + half * 4 + i, _mm512_xor_si512(w.word[i], BytesOf(0x80)));
      }
    }
  }
};

// Nibbles that choose one of 16 levels, to which 128 is added.
HWY_INLINE void StoreLevels(const WordsOfRows& w, TileRows to, std::size_t k) {
  const __m512i levels = UnsignedIq4Table();
  BRINK_UNROLL_LOOP(4)
  for (std::size_t i = 0; i < 4; ++i) {
    to.Word(k + i, _mm512_shuffle_epi8(levels, AndBytes(w.word[i], 15)));
    to.Word(k + 4 + i, _mm512_shuffle_epi8(levels, AndBytes(ShiftWords<4>(w.word[i]), 15)));
  }
}

template <>
struct UnpackRows<TensorType::kIQ4_NL>
    : UnpackBlocks<TensorType::kIQ4_NL, UnpackRows<TensorType::kIQ4_NL>> {
  static HWY_INLINE void Words(const SixteenRows& rows, TileRows to, std::size_t k) {
    StoreLevels(LoadWords(rows, 2), to, k);
  }
};

// --- Super-blocks --------------------------------------------------------------------------------

// scale g = d * byte g of `bytes`, for groups 4 * i ... 4 * i + 3
template <bool kSigned>
HWY_INLINE void FourScales(__m512i bytes, __m512 d, std::size_t i, TileRows to) {
  const auto scale = [&](std::size_t g, __m512i v) {
    to.Scale(4 * i + g, _mm512_mul_ps(d, _mm512_cvtepi32_ps(v)));
  };
  if constexpr (kSigned) {
    scale(0, _mm512_srai_epi32(_mm512_slli_epi32(bytes, 24), 24));
    scale(1, _mm512_srai_epi32(_mm512_slli_epi32(bytes, 16), 24));
    scale(2, _mm512_srai_epi32(_mm512_slli_epi32(bytes, 8), 24));
    scale(3, _mm512_srai_epi32(bytes, 24));
  } else {
    const __m512i low = _mm512_set1_epi32(0xFF);
    scale(0, _mm512_and_si512(bytes, low));
    scale(1, _mm512_and_si512(_mm512_srli_epi32(bytes, 8), low));
    scale(2, _mm512_and_si512(_mm512_srli_epi32(bytes, 16), low));
    scale(3, _mm512_srli_epi32(bytes, 24));
  }
}

// What Q4_K and Q5_K start with.
HWY_INLINE void ScalesAndMinima(const SixteenRows& rows, TileRows to) {
  const WordsOfRows w = LoadWords(rows, 0);
  __m512 d, dmin;
  ConvertF16Pairs(w.word[0], d, dmin);
  to.Super(d, dmin);
  FourScales<false>(AndBytes(w.word[1], 0x3F), d, 0, to);
  FourScales<false>(AndOr(w.word[3], 0x0F, AndBytes(ShiftWords<2>(w.word[1]), 0x30)), d, 1, to);
  to.FourMinima(0, AndBytes(w.word[2], 0x3F));
  to.FourMinima(1, AndOr(ShiftWords<4>(w.word[3]), 0x0F, AndBytes(ShiftWords<2>(w.word[2]), 0x30)));
}

template <>
struct UnpackRows<TensorType::kQ4_K> {
  static constexpr bool kExists = true;
  static HWY_INLINE void Unpack(SixteenRows rows, TileRows to) {
    ScalesAndMinima(rows, to);
    rows = rows + 16;
    BRINK_UNROLL_LOOP(1)
    for (std::size_t run = 0; run < 4; ++run, rows = rows + 32) {
      BRINK_UNROLL_LOOP(2)
      for (std::size_t half = 0; half < 2; ++half) {
        const WordsOfRows w = LoadWords(rows, half * 16);
        BRINK_UNROLL_LOOP(4)
        for (std::size_t i = 0; i < 4; ++i) {
          const std::size_t k = run * 16 + half * 4 + i;
          to.Word(k, AndBytes(w.word[i], 15));
          to.Word(k + 8, AndBytes(ShiftWords<4>(w.word[i]), 15));
        }
      }
    }
  }
};

template <>
struct UnpackRows<TensorType::kQ5_K> {
  static constexpr bool kExists = true;
  // 16 bytes of each run: bits 2 * kRun and 2 * kRun + 1 of `bits` go on top of the nibbles.
  template <int kRun>
  static HWY_INLINE void Run(const SixteenRows& rows, const WordsOfRows& bits, std::size_t half,
                             TileRows to) {
    const WordsOfRows w = LoadWords(rows, 48 + kRun * 32);
    BRINK_UNROLL_LOOP(4)
    for (std::size_t i = 0; i < 4; ++i) {
      const std::size_t k = kRun * 16 + half * 4 + i;
      to.Word(k, AndOr(ShiftWords<2 * kRun - 4>(bits.word[i]), 16, AndBytes(w.word[i], 15)));
      to.Word(k + 8, AndOr(ShiftWords<2 * kRun - 3>(bits.word[i]), 16,
                           AndBytes(ShiftWords<4>(w.word[i]), 15)));
    }
  }
  static HWY_INLINE void Unpack(SixteenRows rows, TileRows to) {
    ScalesAndMinima(rows, to);
    BRINK_UNROLL_LOOP(1)
    for (std::size_t half = 0; half < 2; ++half, rows = rows + 16) {
      const WordsOfRows bits = LoadWords(rows, 16);
      Run<0>(rows, bits, half, to);
      Run<1>(rows, bits, half, to);
      Run<2>(rows, bits, half, to);
      Run<3>(rows, bits, half, to);
    }
  }
};

template <>
struct UnpackRows<TensorType::kQ6_K> {
  static constexpr bool kExists = true;
  static HWY_INLINE void Unpack(SixteenRows rows, TileRows to) {
    __m512 unused, d;
    ConvertF16Pairs(LoadWords(rows, 194).word[3], unused, d);
    const WordsOfRows scales = LoadWords(rows, 192);
    BRINK_UNROLL_LOOP(4)
    for (std::size_t i = 0; i < 4; ++i) FourScales<true>(scales.word[i], d, i, to);
    BRINK_UNROLL_LOOP(1)
    for (std::size_t quarter = 0; quarter < 4; ++quarter) {
      const std::size_t part = quarter / 2, half = quarter % 2;
      const SixteenRows low = rows + (part * 64 + half * 16);
      const WordsOfRows bits = LoadWords(rows + (part * 32 + half * 16), 128);
      const WordsOfRows a = LoadWords(low, 0), b = LoadWords(low, 32);
      BRINK_UNROLL_LOOP(4)
      for (std::size_t i = 0; i < 4; ++i) {
        const std::size_t k = part * 32 + half * 4 + i;
        const __m512i h = bits.word[i];
        to.Word(k, AndOr(ShiftWords<-4>(h), 48, AndBytes(a.word[i], 15)));
        to.Word(k + 8, AndOr(ShiftWords<-2>(h), 48, AndBytes(b.word[i], 15)));
        to.Word(k + 16, AndOr(h, 48, AndBytes(ShiftWords<4>(a.word[i]), 15)));
        to.Word(k + 24, AndOr(ShiftWords<2>(h), 48, AndBytes(ShiftWords<4>(b.word[i]), 15)));
      }
    }
  }
};

template <>
struct UnpackRows<TensorType::kIQ4_XS> {
  static constexpr bool kExists = true;
  static HWY_INLINE void Unpack(SixteenRows rows, TileRows to) {
    // d, 2 high bits of every scale, 4 low bits of every scale.
    const WordsOfRows w = LoadWords(rows, 0);
    __m512 d, unused;
    ConvertF16Pairs(w.word[0], d, unused);
    BRINK_UNROLL_LOOP(8)
    for (unsigned g = 0; g < 8; ++g) {
      const __m512i low =
          _mm512_and_si512(_mm512_srli_epi32(w.word[1], 4 * g), _mm512_set1_epi32(15));
      const __m512i bits = _mm512_ternarylogic_epi32(_mm512_srli_epi32(w.word[0], 12 + 2 * g),
                                                     _mm512_set1_epi32(48), low, 0xEA);
      const __m512i scale = _mm512_sub_epi32(bits, _mm512_set1_epi32(32));
      to.Scale(g, _mm512_mul_ps(d, _mm512_cvtepi32_ps(scale)));
    }
    rows = rows + 8;
    BRINK_UNROLL_LOOP(1)
    for (std::size_t g = 0; g < 8; ++g, rows = rows + 16)
      StoreLevels(LoadWords(rows, 0), to, g * 8);
  }
};

// --- Folded scales -------------------------------------------------------------------------------
// A quant and its neighbour are multiplied together, as q0 + 256 * q1: the product with q0 never
// reaches the byte above.

template <>
struct UnpackRows<TensorType::kQ2_K> {
  static constexpr bool kExists = true;
  // Two-bit field kField of 16 bytes; four fields share a word of scales.
  template <int kField>
  static HWY_INLINE void Field(const WordsOfRows& w, __m512i scale, std::size_t k, TileRows to) {
    BRINK_UNROLL_LOOP(4)
    for (std::size_t i = 0; i < 4; ++i) {
      const __m512i q = AndBytes(ShiftWords<2 * kField>(w.word[i]), 3);
      to.Word(k + kField * 8 + i, _mm512_mullo_epi16(q, scale));
    }
  }
  static HWY_INLINE void Unpack(SixteenRows rows, TileRows to) {
    __m512 d, dmin;
    ConvertF16Pairs(LoadWords(rows, 68).word[3], d, dmin);
    to.Super(d, dmin);
    const WordsOfRows packed = LoadWords(rows, 0);
    BRINK_UNROLL_LOOP(4)
    for (std::size_t i = 0; i < 4; ++i) {
      to.FourMinima(i, AndBytes(ShiftWords<4>(packed.word[i]), 15));
    }
    BRINK_UNROLL_LOOP(2)
    for (std::size_t part = 0; part < 2; ++part) {
      const __m512i a = AndBytes(packed.word[part * 2], 15);
      const __m512i b = AndBytes(packed.word[part * 2 + 1], 15);
      const WordsOfRows first = LoadWords(rows, 16 + part * 32);
      const std::size_t k = part * 32;
      Field<0>(first, TwoBytes<0, 0>(a), k, to);
      Field<1>(first, TwoBytes<2, 2>(a), k, to);
      Field<2>(first, TwoBytes<0, 0>(b), k, to);
      Field<3>(first, TwoBytes<2, 2>(b), k, to);
      const WordsOfRows second = LoadWords(rows, 32 + part * 32);
      Field<0>(second, TwoBytes<1, 1>(a), k + 4, to);
      Field<1>(second, TwoBytes<3, 3>(a), k + 4, to);
      Field<2>(second, TwoBytes<1, 1>(b), k + 4, to);
      Field<3>(second, TwoBytes<3, 3>(b), k + 4, to);
    }
  }
};

template <>
struct UnpackRows<TensorType::kQ3_K> {
  static constexpr bool kExists = true;
  // Field kField of 16 bytes, with bit kBit of `bits` on top: (q - 4) * scale + the offset.
  template <int kField, int kBit>
  static HWY_INLINE void Field(const WordsOfRows& w, const WordsOfRows& bits, __m512i scale_bytes,
                               std::size_t k, TileRows to) {
    const __m512i scale = _mm512_sub_epi16(scale_bytes, _mm512_set1_epi16(32));
    const __m512i rest = _mm512_sub_epi16(_mm512_set1_epi16(kQ3FoldedOffset * 257),
                                          _mm512_mullo_epi16(scale, _mm512_set1_epi16(4 * 257)));
    BRINK_UNROLL_LOOP(4)
    for (std::size_t i = 0; i < 4; ++i) {
      const __m512i low = AndBytes(ShiftWords<2 * kField>(w.word[i]), 3);
      const __m512i q = AndOr(ShiftWords<kBit - 2>(bits.word[i]), 4, low);
      to.Word(k + kField * 8 + i, _mm512_add_epi16(_mm512_mullo_epi16(q, scale), rest));
    }
  }
  template <int kPart, int kHalf>
  static HWY_INLINE void Quarter(const SixteenRows& rows, const WordsOfRows& bits, __m512i a,
                                 __m512i b, TileRows to) {
    const WordsOfRows w = LoadWords(rows, 32 + kPart * 32 + kHalf * 16);
    constexpr std::size_t k = kPart * 32 + kHalf * 4;
    Field<0, kPart * 4>(w, bits, TwoBytes<kHalf, kHalf>(a), k, to);
    Field<1, kPart * 4 + 1>(w, bits, TwoBytes<kHalf + 2, kHalf + 2>(a), k, to);
    Field<2, kPart * 4 + 2>(w, bits, TwoBytes<kHalf, kHalf>(b), k, to);
    Field<3, kPart * 4 + 3>(w, bits, TwoBytes<kHalf + 2, kHalf + 2>(b), k, to);
  }
  static HWY_INLINE void Unpack(SixteenRows rows, TileRows to) {
    // The last two of the 14 bytes are d.
    const WordsOfRows last = LoadWords(rows, 94);
    __m512 unused, d;
    ConvertF16Pairs(last.word[3], unused, d);
    to.Super(d, _mm512_setzero_ps());
    const auto word = [&](std::size_t i) {
      return _mm512_or_si512(_mm512_srli_epi32(last.word[i], 16),
                             _mm512_slli_epi32(last.word[i + 1], 16));
    };
    const __m512i low0 = word(0), low1 = word(1), high = word(2);
    const __m512i scales[4] = {AndOr(ShiftWords<-4>(high), 48, AndBytes(low0, 15)),
                               AndOr(ShiftWords<-2>(high), 48, AndBytes(low1, 15)),
                               AndOr(high, 48, AndBytes(ShiftWords<4>(low0), 15)),
                               AndOr(ShiftWords<2>(high), 48, AndBytes(ShiftWords<4>(low1), 15))};
    const WordsOfRows first = LoadWords(rows, 0);
    Quarter<0, 0>(rows, first, scales[0], scales[1], to);
    Quarter<1, 0>(rows, first, scales[2], scales[3], to);
    const WordsOfRows second = LoadWords(rows, 16);
    Quarter<0, 1>(rows, second, scales[0], scales[1], to);
    Quarter<1, 1>(rows, second, scales[2], scales[3], to);
  }
};

// -------------------------------------------------------------------------------------------------

template <TensorType T>
HWY_NOINLINE void UnpackSixteenRows(const std::uint8_t* HWY_RESTRICT first, std::size_t stride,
                                    const std::uint8_t* later, Q8Tile& tile, std::size_t lane) {
  UnpackRows<T>::Unpack({first, stride, later}, {tile, lane});
}

#endif  // VNNI

template <TensorType T>
constexpr bool UnpacksSixteenRows() {
#if BRINK_HAVE_VNNI
  return UnpackRows<T>::kExists;
#else
  return false;
#endif
}

// Unpacks the unit from `column` on of rows [first, end) into `tile` if it is a whole one, of a
// type that there is a way for. Missing rows are copies of the last: their products go nowhere.
// Meanwhile as large a part of the panel whose first row is `next` comes into the second-level
// cache, in the order of memory: row after row of a panel at a time, which hardware prefetchers
// follow, was faster than the next unit of all rows by up to a quarter.
template <TensorType T>
HWY_INLINE bool UnpackWholeUnit([[maybe_unused]] const WeightMatrix& w,
                                [[maybe_unused]] std::size_t first,
                                [[maybe_unused]] std::size_t end, [[maybe_unused]] std::size_t next,
                                [[maybe_unused]] std::size_t column,
                                [[maybe_unused]] std::size_t count, [[maybe_unused]] Q8Tile& tile) {
#if BRINK_HAVE_VNNI
  if constexpr (UnpacksSixteenRows<T>()) {
    if (count != kUnit) return false;
    constexpr TensorTypeSize kSize = size_of(T);
    constexpr std::size_t kBytes = kUnit / kSize.block_size * kSize.block_bytes;
    const std::size_t stride = w.bytes_per_row();
    const std::size_t offset = column / kUnit * kBytes;
    const std::uint8_t* unit = w.data + first * stride + offset;
    const std::uint8_t* later = w.data + next * stride + offset * kPanelRows;
    for (std::size_t lane = 0; lane < kPanelRows; lane += kRowLanes, later += kBytes * kRowLanes) {
      if (first + lane + kRowLanes <= end) {
        UnpackSixteenRows<T>(unit + lane * stride, stride, later, tile, lane);
        continue;
      }
      std::uint8_t copies[kRowLanes * kBytes];
      for (std::size_t i = 0; i < kRowLanes; ++i) {
        const std::size_t row = HWY_MIN(lane + i, end - first - 1);
        std::memcpy(copies + i * kBytes, unit + row * stride, kBytes);
      }
      UnpackSixteenRows<T>(copies, kBytes, later, tile, lane);
    }
    return true;
  }
#endif
  return false;
}

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
