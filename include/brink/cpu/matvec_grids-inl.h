// The quants of a unit as matrix-vector products take them. IQ3 types find all codebook points of a
// unit by permutations of words, where one scalar load for each is what bounds the general way;
// that needs AVX512_VBMI and GFNI. (Points of IQ2 stand for 8 weights instead of 4, so loads are
// half as many: nothing gained for codebooks of 256 and 512 points, and a loss for 1024.) Layouts:
// quant/i_quants.h.
// Included once per pass by kernels-inl.h.

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

template <TensorType T, class D8>
HWY_INLINE hn::Vec<D8> QuantsAt(D8 d, const std::uint8_t* HWY_RESTRICT blocks, std::size_t k);

// Load() is called once, then At() for weights k to k + Lanes(d) - 1.
template <TensorType T>
struct UnitQuants {
  const std::uint8_t* HWY_RESTRICT unit;

  HWY_INLINE void Load(const std::uint8_t* HWY_RESTRICT blocks) { unit = blocks; }
  template <class D8>
  HWY_INLINE hn::Vec<D8> At(D8 d, std::size_t k) const {
    return QuantsAt<T>(d, unit, k);
  }
};

#if BRINK_HAVE_VNNI

// A codebook whose points of four coordinates are packed to 16 bits: the numbers of the levels, the
// first coordinate lowest.
template <std::size_t kPoints>
struct PackedGrid {
  alignas(64) std::uint16_t words[kPoints];
};

template <std::size_t kPoints, std::size_t kLevels>
constexpr PackedGrid<kPoints> PackGrid(const std::array<std::uint32_t, kPoints>& grid,
                                       const std::array<std::uint8_t, kLevels>& levels) {
  PackedGrid<kPoints> packed{};
  for (std::size_t i = 0; i < kPoints; ++i) {
    for (unsigned c = 0; c < 4; ++c) {
      const std::uint8_t value = static_cast<std::uint8_t>(grid[i] >> (8 * c));
      unsigned level = 0;
      while (levels[level] != value) ++level;
      packed.words[i] = static_cast<std::uint16_t>(packed.words[i] | level << (4 * c));
    }
  }
  return packed;
}

// The points that 32 indexes choose, 64 of them with each permutation, then by the higher bits.
template <std::size_t kPoints>
HWY_INLINE __m512i LookUp(const std::uint16_t* HWY_RESTRICT words, __m512i indexes) {
  if constexpr (kPoints == 64) {
    return _mm512_permutex2var_epi16(_mm512_load_si512(words), indexes,
                                     _mm512_load_si512(words + 32));
  } else {
    constexpr std::size_t kHalf = kPoints / 2;
    const __m512i low = LookUp<kHalf>(words, indexes);
    const __m512i high = LookUp<kHalf>(words + kHalf, indexes);
    const __mmask32 upper =
        _mm512_test_epi16_mask(indexes, _mm512_set1_epi16(static_cast<short>(kHalf)));
    return _mm512_mask_blend_epi16(upper, low, high);
  }
}

// A unit's points, packed, and its signs. `Format` derives from it and has kLevels.
template <class Format, TensorType T>
struct GridQuants {
  static constexpr int kOffset = Unpack<T>::kOffset;
  __m512i points[2];
  __mmask64 negative[4];

  // The signs' bits out of 32 bytes.
  HWY_INLINE void SetSigns(__m256i bits) {
    alignas(32) std::uint64_t words[4];
    _mm256_store_si256(reinterpret_cast<__m256i*>(words), bits);
    for (std::size_t i = 0; i < 4; ++i) negative[i] = _cvtu64_mask64(words[i]);
  }

  // The quants of weights k to k + 63.
  template <class D8>
  HWY_INLINE hn::Vec<D8> At(D8, std::size_t k) const {
    // Two points come into each u64 lane, then the level of each coordinate into a byte.
    const __m512i lanes = _mm512_add_epi64(_mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0),
                                           _mm512_set1_epi64(static_cast<long long>(k % 128 / 8)));
    const __m512i pairs = _mm512_permutexvar_epi32(lanes, points[k / 128]);
    const __m512i levels =
        _mm512_and_si512(_mm512_multishift_epi64_epi8(_mm512_set1_epi64(0x1C1814100C080400), pairs),
                         _mm512_set1_epi8(15));
    // An offset plus the level, or minus it.
    alignas(16) static constexpr std::array<std::uint8_t, 16> kPlus = [] {
      std::array<std::uint8_t, 16> plus{};
      for (std::size_t i = 0; i < Format::kLevels.size(); ++i) {
        plus[i] = static_cast<std::uint8_t>(kOffset + Format::kLevels[i]);
      }
      return plus;
    }();
    const __m512i plus = _mm512_shuffle_epi8(
        _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(kPlus.data()))),
        levels);
    return hn::Vec<D8>{_mm512_mask_sub_epi8(
        plus, negative[k / 64], _mm512_set1_epi8(static_cast<char>(2 * kOffset)), plus)};
  }
};

template <>
struct UnitQuants<TensorType::kIQ3_XXS>
    : GridQuants<UnitQuants<TensorType::kIQ3_XXS>, TensorType::kIQ3_XXS> {
  static constexpr auto kLevels = quant::kIq3XxsLevels;
  static constexpr auto kGrid = PackGrid(quant::kIq3XxsGrid, kLevels);

  HWY_INLINE void Load(const std::uint8_t* HWY_RESTRICT block) {
    for (std::size_t i = 0; i < 2; ++i) {
      points[i] = LookUp<256>(kGrid.words, _mm512_cvtepu8_epi16(Load32(block + 2 + 32 * i)));
    }
    // Four times seven bits in each u32 to the bytes of it, then their parity as the eighth: row i
    // of the matrix, byte 7 - i, makes bit i.
    const __m512i fields = _mm512_multishift_epi64_epi8(_mm512_set1_epi64(0x150E0700),
                                                        _mm512_cvtepu32_epi64(Load32(block + 66)));
    SetSigns(_mm256_gf2p8affine_epi64_epi8(_mm512_cvtepi64_epi32(fields),
                                           _mm256_set1_epi64x(0x010204081020407F), 0));
  }
};

template <>
struct UnitQuants<TensorType::kIQ3_S>
    : GridQuants<UnitQuants<TensorType::kIQ3_S>, TensorType::kIQ3_S> {
  static constexpr auto kLevels = quant::kIq3SLevels;
  static constexpr auto kGrid = PackGrid(quant::kIq3SGrid, kLevels);

  HWY_INLINE void Load(const std::uint8_t* HWY_RESTRICT block) {
    for (std::size_t i = 0; i < 2; ++i) {
      const __m512i low = _mm512_cvtepu8_epi16(Load32(block + 2 + 32 * i));
      const __mmask32 high = _cvtu32_mask32(LoadAs<std::uint32_t>(block + 66 + 4 * i));
      points[i] =
          LookUp<512>(kGrid.words, _mm512_mask_add_epi16(low, high, low, _mm512_set1_epi16(256)));
    }
    SetSigns(Load32(block + 74));
  }
};

#endif  // VNNI

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
