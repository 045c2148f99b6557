// Matrix-vector products with vectors of 256 bits and without vpdpbusd, for the types with integer
// scales in super-blocks and for those of 32 weights a block. A vector holds 32 consecutive
// weights; quants and activations are multiplied in pairs to int16 by maddubs, and one 16-bit
// multiply-add sums further: times the integer scales of the vector's groups where there are some,
// so that a super-block is converted to float once, else times one. Included once per pass by
// kernels-inl.h.

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

// Types whose super-blocks are summed up in integers.
template <TensorType T>
constexpr bool SumsSuperBlocks() {
  return HWY_TARGET == HWY_AVX2 && (kIsKQuant<T> || T == TensorType::kIQ4_XS);
}

// Types with an f32 scale per vector.
template <TensorType T>
constexpr bool HasVectorBlocks() {
  return HWY_TARGET == HWY_AVX2 && Unpack<T>::kBlock == 32 && Unpack<T>::kGroup == 32;
}

#if HWY_TARGET == HWY_AVX2

// Every byte shifted right (left if negative) and masked.
template <int kShift, int kMask>
HWY_INLINE __m256i MoveBits(__m256i v) {
  if constexpr (kShift > 0) v = _mm256_srli_epi16(v, kShift);
  if constexpr (kShift < 0) v = _mm256_slli_epi16(v, -kShift);
  return _mm256_and_si256(v, _mm256_set1_epi8(kMask));
}

// The low nibbles of 16 bytes, then the high ones.
HWY_INLINE __m256i LowThenHighNibbles(const std::uint8_t* p) {
  const __m256i twice = _mm256_broadcastsi128_si256(Load16(p));
  return _mm256_and_si256(_mm256_srlv_epi64(twice, _mm256_setr_epi64x(0, 0, 4, 4)),
                          _mm256_set1_epi8(15));
}

// Quants of vector kVector of a unit, as cheap as they come. In general as for all kernels; what
// is specialised is that for which 256 bits have a shorter way.
template <TensorType T>
struct VectorQuants {
  template <std::size_t kVector>
  static HWY_INLINE __m256i At(const std::uint8_t* HWY_RESTRICT unit) {
    const hn::FixedTag<std::uint8_t, 32> d;
    constexpr std::size_t k = kVector * 32, kBlock = Unpack<T>::kBlock;
    return Unpack<T>::Quants(d, unit + k / kBlock * size_of(T).block_bytes, k % kBlock).raw;
  }
};

template <>
struct VectorQuants<TensorType::kQ4_0> {
  template <std::size_t kVector>
  static HWY_INLINE __m256i At(const std::uint8_t* HWY_RESTRICT unit) {
    return LowThenHighNibbles(unit + kVector * 18 + 2);
  }
};

template <>
struct VectorQuants<TensorType::kQ4_1> {
  template <std::size_t kVector>
  static HWY_INLINE __m256i At(const std::uint8_t* HWY_RESTRICT unit) {
    return LowThenHighNibbles(unit + kVector * 20 + 4);
  }
};

HWY_INLINE __m256i Iq4LevelsOf(__m256i indices) {
  const hn::FixedTag<std::uint8_t, 32> d;
  return Iq4Levels(d, hn::Vec<decltype(d)>{indices}).raw;
}

template <>
struct VectorQuants<TensorType::kIQ4_NL> {
  template <std::size_t kVector>
  static HWY_INLINE __m256i At(const std::uint8_t* HWY_RESTRICT unit) {
    return Iq4LevelsOf(LowThenHighNibbles(unit + kVector * 18 + 2));
  }
};

template <>
struct VectorQuants<TensorType::kIQ4_XS> {
  template <std::size_t kVector>
  static HWY_INLINE __m256i At(const std::uint8_t* HWY_RESTRICT block) {
    return Iq4LevelsOf(LowThenHighNibbles(block + 8 + kVector * 16));
  }
};

// Q2_K and Q3_K: of every 32 bytes the two low bits of four vectors. Three are taken where they
// lie, the fourth at bits 4 and 5, to save shifts: quants come 1, 4, 16 and 16 times as large, and
// the scales, 16, 4, 1 and 1 times as large, make that kTimes for all.
struct InPlaceQuarters {
  template <std::size_t kVector>
  static HWY_INLINE __m256i LowBits(const std::uint8_t* HWY_RESTRICT bits) {
    constexpr int quarter = kVector % 4;
    constexpr int shift = quarter == 3 ? 2 : 0, mask = quarter == 3 ? 48 : 3 << (2 * quarter);
    return MoveBits<shift, mask>(Load32(bits + kVector / 4 * 32));
  }
};

template <>
struct VectorQuants<TensorType::kQ2_K> : InPlaceQuarters {
  template <std::size_t kVector>
  static HWY_INLINE __m256i At(const std::uint8_t* HWY_RESTRICT block) {
    return LowBits<kVector>(block + 16);
  }
};

template <>
struct VectorQuants<TensorType::kQ3_K> : InPlaceQuarters {
  template <std::size_t kVector>
  static HWY_INLINE __m256i At(const std::uint8_t* HWY_RESTRICT block) {
    constexpr int quarter = kVector % 4;
    constexpr int to = quarter == 3 ? 6 : 2 * quarter + 2;  // above the two low bits
    const __m256i high = MoveBits<static_cast<int>(kVector) - to, 1 << to>(Load32(block));
    return _mm256_or_si256(LowBits<kVector>(block + 32), high);
  }
};

template <>
struct VectorQuants<TensorType::kQ5_K> {
  template <std::size_t kVector>
  static HWY_INLINE __m256i At(const std::uint8_t* HWY_RESTRICT block) {
    const __m256i low = MoveBits<kVector % 2 * 4, 15>(Load32(block + 48 + kVector / 2 * 32));
    return _mm256_or_si256(low, MoveBits<static_cast<int>(kVector) - 4, 16>(Load32(block + 16)));
  }
};

template <>
struct VectorQuants<TensorType::kQ6_K> {
  template <std::size_t kVector>
  static HWY_INLINE __m256i At(const std::uint8_t* HWY_RESTRICT block) {
    constexpr std::size_t half = kVector / 4, quarter = kVector % 4;
    const __m256i low = MoveBits<quarter / 2 * 4, 15>(Load32(block + half * 64 + quarter % 2 * 32));
    const __m256i bits = Load32(block + 128 + half * 32);
    return _mm256_or_si256(low, MoveBits<static_cast<int>(quarter) * 2 - 4, 48>(bits));
  }
};

// Quants times 32 activations in pairs, to int16.
template <TensorType T>
HWY_INLINE __m256i MultiplyVector(__m256i q, const std::int8_t* HWY_RESTRICT x) {
  if constexpr (Unpack<T>::kSigned) {
    asm("" : "+x"(q));  // loaded once instead of twice: loads are what limits Q8_0
    return _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(Load32(x), q));
  } else {
    return _mm256_maddubs_epi16(q, Load32(x));
  }
}

// Scales of a super-block as integers.
struct SuperBlockFactors {
  // 32-bit lane i of either 128-bit lane of pairs[h]: twice the scale of that half of vector
  // 4h + i. kTimes too large.
  __m256i pairs[2];
  __m256i groups;  // all scales in their order, where there is an offset
  __m256i mins;    // in their order, the first half where there are 8
  __m128 factors;  // d and dmin, if there is one, 1 / kTimes as large where that applies

  // From 8 scales of 32 weights each.
  HWY_INLINE void SetPairs32(__m128i scales) {
    const __m256i twice = _mm256_broadcastsi128_si256(scales);
    pairs[0] = _mm256_unpacklo_epi16(twice, twice);
    pairs[1] = _mm256_unpackhi_epi16(twice, twice);
  }
  // From 16 bytes, scales of 16 weights each.
  HWY_INLINE void SetPairs16(__m128i scales) {
    const __m128i first = _mm_setr_epi8(0, 0, 2, 2, 4, 4, 6, 6, 1, 1, 3, 3, 5, 5, 7, 7);
    const __m128i second = _mm_add_epi8(first, _mm_set1_epi8(8));
    pairs[0] = _mm256_cvtepi8_epi16(_mm_shuffle_epi8(scales, first));
    pairs[1] = _mm256_cvtepi8_epi16(_mm_shuffle_epi8(scales, second));
  }
  // For quants of InPlaceQuarters.
  HWY_INLINE void ScaleQuarters() {
    const __m256i times = _mm256_setr_epi16(16, 16, 4, 4, 1, 1, 1, 1, 16, 16, 4, 4, 1, 1, 1, 1);
    pairs[0] = _mm256_mullo_epi16(pairs[0], times);
    pairs[1] = _mm256_mullo_epi16(pairs[1], times);
    factors = _mm_mul_ps(factors, _mm_setr_ps(1.0f / 16, 1, 1, 1));
  }
};

template <TensorType T>
constexpr int kVectorTimes = T == TensorType::kQ2_K || T == TensorType::kQ3_K ? 16 : 1;

template <TensorType T>
HWY_INLINE void LoadFactors(const std::uint8_t* HWY_RESTRICT block, SuperBlockFactors& out) {
  if constexpr (T == TensorType::kQ2_K) {
    const __m128i packed = Load16(block), low = _mm_set1_epi8(15);
    out.factors = _mm_cvtph_ps(_mm_cvtsi32_si128(LoadAs<std::int32_t>(block + 80)));
    out.mins = _mm256_cvtepu8_epi16(_mm_and_si128(_mm_srli_epi16(packed, 4), low));
    out.SetPairs16(_mm_and_si128(packed, low));
    out.ScaleQuarters();
  } else if constexpr (T == TensorType::kQ3_K) {
    std::uint64_t first, second;
    Scales6(block + 96, first, second);
    const __m128i stored =
        _mm_set_epi64x(static_cast<long long>(second), static_cast<long long>(first));
    const __m128i scales = _mm_sub_epi8(stored, _mm_set1_epi8(32));
    out.factors = _mm_cvtph_ps(_mm_cvtsi32_si128(LoadAs<std::uint16_t>(block + 108)));
    out.groups = _mm256_cvtepi8_epi16(scales);
    out.SetPairs16(scales);
    out.ScaleQuarters();
  } else if constexpr (T == TensorType::kQ6_K) {
    const __m128i scales = Load16(block + 192);
    out.factors = _mm_cvtph_ps(_mm_cvtsi32_si128(LoadAs<std::uint16_t>(block + 208)));
    out.groups = _mm256_cvtepi8_epi16(scales);
    out.SetPairs16(scales);
  } else if constexpr (T == TensorType::kIQ4_XS) {
    // f16 d, 8 fields of 2 bits, 8 nibbles: fields go to the top of 16 bits by multiplication.
    const __m128i head = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(block));
    const __m128i nibbles = _mm_mullo_epi16(
        _mm_shuffle_epi8(head,
                         _mm_setr_epi8(4, -1, 4, -1, 5, -1, 5, -1, 6, -1, 6, -1, 7, -1, 7, -1)),
        _mm_setr_epi16(16, 1, 16, 1, 16, 1, 16, 1));
    const __m128i fields = _mm_mullo_epi16(
        _mm_shuffle_epi8(head, _mm_set1_epi16(0x0302)),
        _mm_setr_epi16(1 << 14, 1 << 12, 1 << 10, 1 << 8, 1 << 6, 1 << 4, 1 << 2, 1));
    const __m128i low = _mm_srli_epi16(_mm_and_si128(nibbles, _mm_set1_epi16(0xF0)), 4);
    const __m128i high = _mm_and_si128(_mm_srli_epi16(fields, 10), _mm_set1_epi16(0x30));
    out.factors = _mm_cvtph_ps(head);
    out.SetPairs32(_mm_sub_epi16(_mm_or_si128(low, high), _mm_set1_epi16(32)));
  } else {
    // Q4_K, Q5_K: f16 d and dmin, then words a, b, c as in ScalesAndMins6.
    const __m128i head = Load16(block);
    const __m128i low =
        _mm_and_si128(_mm_srlv_epi32(_mm_shuffle_epi32(head, _MM_SHUFFLE(3, 2, 3, 1)),
                                     _mm_setr_epi32(0, 0, 0, 4)),
                      _mm_setr_epi32(0x3F3F3F3F, 0x0F0F0F0F, 0x3F3F3F3F, 0x0F0F0F0F));
    const __m128i high =
        _mm_and_si128(_mm_srli_epi32(_mm_shuffle_epi32(head, _MM_SHUFFLE(2, 2, 1, 1)), 2),
                      _mm_setr_epi32(0, 0x30303030, 0, 0x30303030));
    const __m128i both = _mm_or_si128(low, high);
    out.factors = _mm_cvtph_ps(head);
    out.mins = _mm256_castsi128_si256(_mm_cvtepu8_epi16(_mm_srli_si128(both, 8)));
    out.SetPairs32(_mm_cvtepu8_epi16(both));
  }
}

template <TensorType T, std::size_t kTokens, std::size_t kVector>
HWY_INLINE void AddScaledVector(const std::uint8_t* HWY_RESTRICT block,
                                const SuperBlockFactors& factors, const std::int8_t* HWY_RESTRICT x,
                                std::size_t columns, __m256i (&sums)[kTokens]) {
  const __m256i q = VectorQuants<T>::template At<kVector>(block);
  const __m256i scales = _mm256_shuffle_epi32(factors.pairs[kVector / 4], kVector % 4 * 0x55);
  BRINK_UNROLL_LOOP(4)
  for (std::size_t t = 0; t < kTokens; ++t) {
    const __m256i pairs = MultiplyVector<T>(q, x + t * columns + kVector * 32);
    const __m256i products = _mm256_madd_epi16(pairs, scales);
    sums[t] = kVector == 0 ? products : _mm256_add_epi32(sums[t], products);
  }
}

// A row's sums with one token: products, and what the minima take away.
struct VectorSums {
  __m256 products, mins;
};

template <TensorType T, std::size_t kTokens>
HWY_INLINE void AddSuperBlock(const std::uint8_t* HWY_RESTRICT block, const Q8Row& x,
                              std::size_t columns, std::size_t column, VectorSums (&out)[kTokens]) {
  using Format = Unpack<T>;
  const std::int8_t* HWY_RESTRICT q = x.q + column;
  SuperBlockFactors factors;
  LoadFactors<T>(block, factors);
  __m256i sums[kTokens];
  AddScaledVector<T, kTokens, 0>(block, factors, q, columns, sums);
  AddScaledVector<T, kTokens, 1>(block, factors, q, columns, sums);
  AddScaledVector<T, kTokens, 2>(block, factors, q, columns, sums);
  AddScaledVector<T, kTokens, 3>(block, factors, q, columns, sums);
  AddScaledVector<T, kTokens, 4>(block, factors, q, columns, sums);
  AddScaledVector<T, kTokens, 5>(block, factors, q, columns, sums);
  AddScaledVector<T, kTokens, 6>(block, factors, q, columns, sums);
  AddScaledVector<T, kTokens, 7>(block, factors, q, columns, sums);
  const std::int16_t* HWY_RESTRICT group_sums =
      (Format::kGroup == 16 ? x.integer_sums16 : x.integer_sums32) + column / Format::kGroup;
  BRINK_UNROLL_LOOP(4)
  for (std::size_t t = 0; t < kTokens; ++t) {
    const std::int16_t* HWY_RESTRICT of_token = group_sums + t * (columns / Format::kGroup);
    const __m128 scale = _mm_set1_ps(x.scales[(t * columns + column) / kUnit]);
    const __m128 f = _mm_mul_ps(factors.factors, scale);
    if constexpr (Format::kOffset != 0) {
      static_assert(Format::kGroup == 16);
      const __m256i away = _mm256_madd_epi16(factors.groups, Load32(of_token));
      constexpr int kTimes = Format::kOffset * kVectorTimes<T>;
      static_assert((kTimes & (kTimes - 1)) == 0);
      sums[t] = _mm256_sub_epi32(sums[t], _mm256_slli_epi32(away, __builtin_ctz(kTimes)));
    }
    out[t].products =
        _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[t]), _mm256_broadcastss_ps(f), out[t].products);
    if constexpr (Format::kHasMin) {
      __m256i away;
      if constexpr (Format::kGroup == 16) {
        away = _mm256_madd_epi16(factors.mins, Load32(of_token));
      } else {
        away = _mm256_zextsi128_si256(
            _mm_madd_epi16(_mm256_castsi256_si128(factors.mins), Load16(of_token)));
      }
      const __m256 dmin = _mm256_broadcastss_ps(_mm_movehdup_ps(f));
      out[t].mins = _mm256_fmadd_ps(_mm256_cvtepi32_ps(away), dmin, out[t].mins);
    }
  }
}

HWY_INLINE void StoreRowSum(const MatvecArgs& args, std::size_t token, std::size_t row, __m256 v) {
  const __m128 fours = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 twos = _mm_add_ps(fours, _mm_movehl_ps(fours, fours));
  const float sum = _mm_cvtss_f32(_mm_add_ss(twos, _mm_movehdup_ps(twos)));
  args.y[token * args.y_stride + row] = args.weights.scale * sum;
}

template <TensorType T, std::size_t kTokens>
void MatvecSuperBlocks(const MatvecArgs& args, std::size_t first_token) {
  constexpr std::size_t kBytes = size_of(T).block_bytes;
  const std::size_t columns = args.weights.columns;
  const Q8Row x = args.x.q8.from(first_token * columns, kUnit);
  const std::size_t row_bytes = columns / kUnit * kBytes;
  const std::uint8_t* HWY_RESTRICT block = args.weights.data + args.row_begin * row_bytes;
  for (std::size_t r = args.row_begin; r < args.row_end; ++r) {
    VectorSums sums[kTokens];
    for (VectorSums& s : sums) s = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (std::size_t c = 0; c < columns; c += kUnit, block += kBytes) {
      PrefetchUnit<kBytes>(block);
      AddSuperBlock<T, kTokens>(block, x, columns, c, sums);
    }
    BRINK_UNROLL_LOOP(4)
    for (std::size_t t = 0; t < kTokens; ++t) {
      StoreRowSum(args, first_token + t, r, _mm256_sub_ps(sums[t].products, sums[t].mins));
    }
  }
}

// A token's sums take turns in so many registers: one would wait for itself, more would not fit
// with four tokens, and sums are the same for any number of tokens.
inline constexpr std::size_t kChains = 2;

// Eight scales, the first four in both lanes of one vector, the others in another's: one shuffle
// repeats any of them. Broadcasts from memory were slower, so soon after the store.
struct EightScales {
  __m256 halves[2];

  HWY_INLINE void Set(__m256 v) {
    halves[0] = _mm256_permute2f128_ps(v, v, 0x00);
    halves[1] = _mm256_permute2f128_ps(v, v, 0x11);
  }
  template <std::size_t kIndex>
  HWY_INLINE __m256 At() const {
    return _mm256_permute_ps(halves[kIndex / 4], kIndex % 4 * 0x55);
  }
};

template <TensorType T, std::size_t kTokens, std::size_t kVector>
HWY_INLINE void AddBlock(const std::uint8_t* HWY_RESTRICT unit, const std::int8_t* HWY_RESTRICT x,
                         std::size_t columns, const EightScales (&scales)[kTokens],
                         __m256 (&sums)[kTokens][kChains]) {
  const __m256i q = VectorQuants<T>::template At<kVector>(unit);
  BRINK_UNROLL_LOOP(4)
  for (std::size_t t = 0; t < kTokens; ++t) {
    const __m256i pairs = MultiplyVector<T>(q, x + t * columns + kVector * 32);
    const __m256 dot = _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    __m256& sum = sums[t][kVector % kChains];
    sum = _mm256_fmadd_ps(dot, scales[t].template At<kVector>(), sum);
  }
}

// Eight blocks of a row with kTokens tokens.
template <TensorType T, std::size_t kTokens>
HWY_INLINE void AddBlocks(const std::uint8_t* HWY_RESTRICT unit, const Q8Row& x,
                          std::size_t columns, std::size_t column, __m256 (&sums)[kTokens][kChains],
                          __m256 (&scaled)[kTokens]) {
  using Format = Unpack<T>;
  alignas(32) float scales[8], mins[8];
  UnitScales<T>(unit, scales, mins);
  EightScales both[kTokens];  // of weights and activations
  BRINK_UNROLL_LOOP(4)
  for (std::size_t t = 0; t < kTokens; ++t) {
    const std::size_t at = (t * columns + column) / 32;
    const __m256 x_scales = _mm256_loadu_ps(x.scales + at);
    const __m256 product = _mm256_mul_ps(_mm256_load_ps(scales), x_scales);
    both[t].Set(product);
    if constexpr (Format::kOffset != 0) {
      scaled[t] = _mm256_fmadd_ps(product, _mm256_loadu_ps(x.sums32 + at), scaled[t]);
    }
    if constexpr (Format::kHasMin) {
      scaled[t] = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_load_ps(mins), x_scales),
                                  _mm256_loadu_ps(x.sums32 + at), scaled[t]);
    }
  }
  const std::int8_t* HWY_RESTRICT q = x.q + column;
  AddBlock<T, kTokens, 0>(unit, q, columns, both, sums);
  AddBlock<T, kTokens, 1>(unit, q, columns, both, sums);
  AddBlock<T, kTokens, 2>(unit, q, columns, both, sums);
  AddBlock<T, kTokens, 3>(unit, q, columns, both, sums);
  AddBlock<T, kTokens, 4>(unit, q, columns, both, sums);
  AddBlock<T, kTokens, 5>(unit, q, columns, both, sums);
  AddBlock<T, kTokens, 6>(unit, q, columns, both, sums);
  AddBlock<T, kTokens, 7>(unit, q, columns, both, sums);
}

template <TensorType T, std::size_t kTokens>
void MatvecVectorBlocks(const MatvecArgs& args, std::size_t first_token) {
  using Format = Unpack<T>;
  constexpr std::size_t kUnitBytes = kUnit / 32 * size_of(T).block_bytes;
  const std::size_t columns = args.weights.columns;
  const std::size_t whole = columns / kUnit * kUnit;
  const std::size_t row_bytes = columns / 32 * size_of(T).block_bytes;
  const Q8Row x = args.x.q8.from(first_token * columns, 32);
  for (std::size_t r = args.row_begin; r < args.row_end; ++r) {
    const std::uint8_t* HWY_RESTRICT unit = args.weights.data + r * row_bytes;
    __m256 sums[kTokens][kChains], scaled[kTokens];
    BRINK_UNROLL_LOOP(4)
    for (std::size_t t = 0; t < kTokens; ++t) {
      scaled[t] = _mm256_setzero_ps();
      for (__m256& s : sums[t]) s = _mm256_setzero_ps();
    }
    for (std::size_t c = 0; c < whole; c += kUnit, unit += kUnitBytes) {
      PrefetchUnit<kUnitBytes>(unit);
      AddBlocks<T, kTokens>(unit, x, columns, c, sums, scaled);
    }
    hn::Vec<Floats> all[kTokens];
    BRINK_UNROLL_LOOP(4)
    for (std::size_t t = 0; t < kTokens; ++t) {
      __m256 sum = sums[t][0];
      for (std::size_t i = 1; i < kChains; ++i) sum = _mm256_add_ps(sum, sums[t][i]);
      if constexpr (Format::kOffset != 0) {
        sum = _mm256_fnmadd_ps(scaled[t], _mm256_set1_ps(Format::kOffset), sum);
      }
      if constexpr (Format::kHasMin) sum = _mm256_sub_ps(sum, scaled[t]);
      all[t].raw = sum;
    }
    if (whole < columns) {
      PrefetchUnit<kUnitBytes>(unit);
      MatvecUnit<T, kTokens, false>(unit, x, columns, whole, columns - whole, all);
    }
    BRINK_UNROLL_LOOP(4)
    for (std::size_t t = 0; t < kTokens; ++t) StoreRowSum(args, first_token + t, r, all[t].raw);
  }
}

#endif  // AVX2

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
