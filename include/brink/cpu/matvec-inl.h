// Matrix-vector products for few tokens: each row of weights is read once, straight from its
// blocks, and multiplied with every token. Included once per pass by kernels-inl.h.

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

// Expands scales[first], ... so that lane i has the scale of weight k + 4i (lane i of a Dot sums
// four weights).
template <std::size_t kGroup, class D>
HWY_INLINE hn::Vec<D> GroupScales(D d, const float* HWY_RESTRICT scales) {
  constexpr std::size_t kLanesPerGroup = kGroup / 4;
  constexpr std::size_t kLanes = hn::MaxLanes(D());
  if constexpr (kLanes <= kLanesPerGroup) {
    return hn::Set(d, scales[0]);
  } else {
    const hn::Half<D> half;
    return hn::Combine(d, GroupScales<kGroup>(half, scales + kLanes / 2 / kLanesPerGroup),
                       GroupScales<kGroup>(half, scales));
  }
}

// The scales of the lanes of a Dot over the weights from k on, out of a unit's scales.
template <std::size_t kGroup, class D>
HWY_INLINE hn::Vec<D> ScalesAt(D d, const float* HWY_RESTRICT scales, std::size_t k) {
#if HWY_TARGET == HWY_AVX3
  if constexpr (hn::MaxLanes(D()) == 16) {
    // One permutation out of a register, by the group of each lane.
    alignas(64) static constexpr std::int32_t kGroups32[4][16] = {
        {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1},
        {2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3},
        {4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5},
        {6, 6, 6, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7, 7}};
    alignas(64) static constexpr std::int32_t kGroups16[4][16] = {
        {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3},
        {4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7},
        {8, 8, 8, 8, 9, 9, 9, 9, 10, 10, 10, 10, 11, 11, 11, 11},
        {12, 12, 12, 12, 13, 13, 13, 13, 14, 14, 14, 14, 15, 15, 15, 15}};
    if constexpr (kGroup == 32) {
      const __m512 all = _mm512_castps256_ps512(_mm256_load_ps(scales));
      return hn::Vec<D>{_mm512_permutexvar_ps(_mm512_load_si512(kGroups32[k / 64]), all)};
    } else {
      return hn::Vec<D>{
          _mm512_permutexvar_ps(_mm512_load_si512(kGroups16[k / 64]), _mm512_load_ps(scales))};
    }
  }
#endif
  return GroupScales<kGroup>(d, scales + k / kGroup);
}

// A number for 32 weights for each of their groups.
template <std::size_t kGroup, class D>
HWY_INLINE hn::Vec<D> PerGroup(D d, const float* HWY_RESTRICT x) {
  if constexpr (kGroup == 32) {
    return hn::LoadU(d, x);
  } else {
    const hn::Repartition<std::uint64_t, D> d64;
    const hn::Rebind<std::uint32_t, decltype(d64)> d32;
    const auto v = hn::PromoteTo(d64, hn::LoadU(d32, reinterpret_cast<const std::uint32_t*>(x)));
    return hn::BitCast(d, hn::Or(v, hn::ShiftLeft<32>(v)));
  }
}

// The f16 scales at the start of 8 consecutive blocks. Built in a register where there is F16C:
// eight scalar stores followed by a vector load would wait for the stores.
template <std::size_t kStride>
HWY_INLINE void LoadF16x8(const std::uint8_t* HWY_RESTRICT p, float* HWY_RESTRICT out) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  __m128i v = _mm_cvtsi32_si128(LoadAs<std::uint16_t>(p));
  v = _mm_insert_epi16(v, LoadAs<std::int16_t>(p + kStride), 1);
  v = _mm_insert_epi16(v, LoadAs<std::int16_t>(p + 2 * kStride), 2);
  v = _mm_insert_epi16(v, LoadAs<std::int16_t>(p + 3 * kStride), 3);
  v = _mm_insert_epi16(v, LoadAs<std::int16_t>(p + 4 * kStride), 4);
  v = _mm_insert_epi16(v, LoadAs<std::int16_t>(p + 5 * kStride), 5);
  v = _mm_insert_epi16(v, LoadAs<std::int16_t>(p + 6 * kStride), 6);
  v = _mm_insert_epi16(v, LoadAs<std::int16_t>(p + 7 * kStride), 7);
  _mm256_storeu_ps(out, _mm256_cvtph_ps(v));
#else
  for (std::size_t i = 0; i < 8; ++i) out[i] = LoadF16(p + i * kStride);
#endif
}

// The scales of 4 consecutive blocks of NVFP4: what quant::ue4m3_half() says, with an f16 of the
// same fields on the way. Table lookups would be stored one by one and then loaded as vectors.
HWY_INLINE void Nvfp4Scales(const std::uint8_t* HWY_RESTRICT blocks, float* HWY_RESTRICT out) {
  constexpr std::size_t kBytes = size_of(TensorType::kNVFP4).block_bytes;
  const hn::FixedTag<std::uint8_t, 16> d8;
  const hn::CappedTag<std::uint16_t, 16> d16;
  const hn::Rebind<std::uint8_t, decltype(d16)> narrow;
  const hn::CappedTag<float, 16> df;
  const hn::Rebind<hwy::float16_t, decltype(df)> dh;
  const auto codes = Bytes16(
      d8, LoadAs<std::uint32_t>(blocks), LoadAs<std::uint32_t>(blocks + kBytes),
      LoadAs<std::uint32_t>(blocks + 2 * kBytes), LoadAs<std::uint32_t>(blocks + 3 * kBytes));
  const auto numbers =
      hn::And(hn::IfThenZeroElse(hn::Eq(codes, hn::Set(d8, 0x7F)), codes), hn::Set(d8, 0x7F));
  alignas(16) std::uint8_t bytes[16];
  alignas(32) std::uint16_t f16[16];
  hn::Store(numbers, d8, bytes);
  for (std::size_t i = 0; i < 16; i += hn::Lanes(d16)) {
    hn::Store(hn::ShiftLeft<7>(hn::PromoteTo(d16, hn::Load(narrow, bytes + i))), d16, f16 + i);
  }
  for (std::size_t i = 0; i < 16; i += hn::Lanes(df)) {
    const auto v = hn::Load(dh, reinterpret_cast<const hwy::float16_t*>(f16 + i));
    // The bias of f16 is 15, that of E4M3 7, and half is asked for.
    hn::Store(hn::Mul(hn::PromoteTo(df, v), hn::Set(df, 128.0f)), df, out + i);
  }
}

// Scales and minima of a whole unit.
template <TensorType T>
HWY_INLINE void UnitScales(const std::uint8_t* HWY_RESTRICT blocks, float* HWY_RESTRICT scales,
                           float* HWY_RESTRICT mins) {
  using Format = Unpack<T>;
  constexpr std::size_t kBytes = size_of(T).block_bytes;
  constexpr std::size_t kGroups = Format::kBlock / Format::kGroup;
  if constexpr (T == TensorType::kNVFP4) {
    Nvfp4Scales(blocks, scales);
  } else if constexpr (Format::kBlock == 32 && T != TensorType::kMXFP4) {
    LoadF16x8<kBytes>(blocks, scales);
    if constexpr (Format::kHasMin) {
      LoadF16x8<kBytes>(blocks + 2, mins);
      const hn::CappedTag<float, 8> d;
      for (std::size_t i = 0; i < 8; i += hn::Lanes(d)) {
        hn::Store(hn::Neg(hn::Load(d, mins + i)), d, mins + i);
      }
    }
  } else {
    BRINK_UNROLL_LOOP(8)
    for (std::size_t b = 0; b < kUnit / Format::kBlock; ++b) {
      Format::Scales(blocks + b * kBytes, scales + b * kGroups, mins + b * kGroups);
    }
  }
}

// One vector of quants at weight k of a run of blocks.
template <TensorType T, class D8>
HWY_INLINE hn::Vec<D8> QuantsAt(D8 d, const std::uint8_t* HWY_RESTRICT blocks, std::size_t k) {
  using Format = Unpack<T>;
  constexpr std::size_t kBytes = size_of(T).block_bytes;
  if constexpr (hn::MaxLanes(D8()) > Format::kBlock) {
    const std::uint8_t* HWY_RESTRICT block = blocks + k / Format::kBlock * kBytes;
    return Format::TwoBlocks(d, block, block + kBytes);
  } else {
    return Format::Quants(d, blocks + k / Format::kBlock * kBytes, k % Format::kBlock);
  }
}

// Sums of four products of quants and activations.
template <TensorType T, class D32, class VU8, class VS8>
HWY_INLINE hn::Vec<D32> DotQuants(D32 d32, VU8 q, VS8 x, const std::int32_t* HWY_RESTRICT sums4) {
  if constexpr (Unpack<T>::kSigned) {
    return DotS8S8(d32, hn::BitCast(hn::DFromV<VS8>(), q), x, sums4);
  } else {
    return DotU8S8(d32, hn::Zero(d32), q, x);
  }
}

// The products of one unit of a row (`count` weights, a multiple of 32; D8 decides the width) with
// kTokens tokens, added to `sums`.
template <TensorType T, std::size_t kTokens, bool kWhole>
HWY_INLINE void MatvecUnit(const std::uint8_t* HWY_RESTRICT blocks, const Q8Row& x,
                           std::size_t columns, std::size_t column, std::size_t count,
                           hn::Vec<Floats> (&sums)[kTokens]) {
  using Format = Unpack<T>;
  constexpr std::size_t kBytes = size_of(T).block_bytes;
  constexpr std::size_t kGroup = Format::kGroup;
  constexpr std::size_t kGroups = kUnit / kGroup;
  constexpr std::size_t kQ8Block = Format::kBlock == 256 ? 256 : 32;
  constexpr std::size_t kGroupsPerBlock = Format::kBlock / kGroup;
  // A unit that is not whole may end on 32 weights.
  const hn::CappedTag<std::uint8_t, kWhole ? 64 : 32> d8;
  const hn::RebindToSigned<decltype(d8)> ds8;
  const hn::Repartition<std::int32_t, decltype(d8)> di;
  const hn::RebindToFloat<decltype(di)> df;
  const hn::CappedTag<float, kGroups> dg;
  const std::size_t weights = kWhole ? kUnit : count;

  alignas(64) float scales[kGroups];
  alignas(64) float mins[kGroups];
  if constexpr (kWhole) {
    UnitScales<T>(blocks, scales, mins);
  } else {
    for (std::size_t g = 0; g < kGroups; ++g) scales[g] = mins[g] = 0.0f;
    for (std::size_t b = 0; b < weights / Format::kBlock; ++b) {
      Format::Scales(blocks + b * kBytes, scales + b * kGroupsPerBlock, mins + b * kGroupsPerBlock);
    }
  }
  // What offset and minimum take away: (offset * scale + min) times the sum of the activations.
  constexpr bool kCorrect = Format::kHasMin || Format::kOffset != 0;

  if constexpr (kQ8Block == 256) {
    hn::Vec<decltype(df)> unit[kTokens];
    for (std::size_t t = 0; t < kTokens; ++t) unit[t] = hn::Zero(df);
    UnitQuants<T> quants;
    quants.Load(blocks);
    BRINK_UNROLL_LOOP(16)
    for (std::size_t k = 0; k < kUnit; k += hn::Lanes(d8)) {
      const auto q = quants.At(d8, k);
      const auto scale = ScalesAt<kGroup>(df, scales, k);
      for (std::size_t t = 0; t < kTokens; ++t) {
        const std::size_t at = t * columns + column + k;
        const auto xq = hn::LoadU(ds8, x.q + at);
        const auto dot = DotQuants<T>(di, q, xq, x.sums4 + at / 4);
        unit[t] = hn::MulAdd(hn::ConvertTo(df, dot), scale, unit[t]);
      }
    }
    if constexpr (kCorrect) {
      for (std::size_t g = 0; g < kGroups; g += hn::Lanes(dg)) {
        auto away = hn::Mul(hn::Load(dg, scales + g), hn::Set(dg, Format::kOffset));
        if constexpr (Format::kHasMin) away = hn::Load(dg, mins + g);
        hn::Store(away, dg, mins + g);
      }
      const hn::CappedTag<float,
                          (hn::MaxLanes(Floats()) < kGroups ? hn::MaxLanes(Floats()) : kGroups)>
          dm;
      for (std::size_t t = 0; t < kTokens; ++t) {
        const float* HWY_RESTRICT s =
            (kGroup == 16 ? x.sums16 : x.sums32) + (t * columns + column) / kGroup;
        for (std::size_t g = 0; g < kGroups; g += hn::Lanes(dm)) {
          const auto part = hn::Mul(hn::Load(dm, mins + g), hn::LoadU(dm, s + g));
          if constexpr (hn::MaxLanes(decltype(dm)()) == hn::MaxLanes(decltype(df)())) {
            unit[t] = hn::Sub(unit[t], part);
          } else {
            unit[t] = hn::Sub(unit[t], hn::ZeroExtendVector(df, part));
          }
        }
      }
    }
    for (std::size_t t = 0; t < kTokens; ++t) {
      const float s = x.scales[(t * columns + column) / 256];
      sums[t] = hn::MulAdd(unit[t], hn::Set(df, s), sums[t]);
    }
  } else {
    for (std::size_t t = 0; t < kTokens; ++t) {
      // The activations' scales come into the groups' scales.
      alignas(64) float both[kGroups];
      const float* HWY_RESTRICT xs = x.scales + (t * columns + column) / 32;
      if constexpr (kWhole) {
        for (std::size_t g = 0; g < kGroups; g += hn::Lanes(dg)) {
          hn::Store(hn::Mul(hn::Load(dg, scales + g), PerGroup<kGroup>(dg, xs + g * kGroup / 32)),
                    dg, both + g);
        }
      } else {
        for (std::size_t g = 0; g < kGroups; ++g) {
          both[g] = g < weights / kGroup ? scales[g] * xs[g * kGroup / 32] : 0.0f;
        }
      }
      auto sum = hn::Zero(df);
      BRINK_UNROLL_LOOP(16)
      for (std::size_t k = 0; k < weights; k += hn::Lanes(d8)) {
        const std::size_t at = t * columns + column + k;
        const auto q = QuantsAt<T>(d8, blocks, k);
        const auto xq = hn::LoadU(ds8, x.q + at);
        const auto dot = DotQuants<T>(di, q, xq, x.sums4 + at / 4);
        sum = hn::MulAdd(hn::ConvertTo(df, dot), ScalesAt<kGroup>(df, both, k), sum);
      }
      if constexpr (kCorrect) {
        const float* HWY_RESTRICT s =
            (kGroup == 16 ? x.sums16 : x.sums32) + (t * columns + column) / kGroup;
        if constexpr (kWhole) {
          auto away = hn::Zero(dg);
          for (std::size_t g = 0; g < kGroups; g += hn::Lanes(dg)) {
            auto m = hn::Mul(hn::Load(dg, both + g), hn::Set(dg, Format::kOffset));
            if constexpr (Format::kHasMin) {
              m = hn::Mul(hn::Load(dg, mins + g), PerGroup<kGroup>(dg, xs + g * kGroup / 32));
            }
            away = hn::MulAdd(m, hn::LoadU(dg, s + g), away);
          }
          if constexpr (hn::MaxLanes(decltype(df)()) == hn::MaxLanes(decltype(dg)())) {
            sum = hn::Sub(sum, away);
          } else {
            sum = hn::Sub(sum, hn::ZeroExtendVector(df, away));
          }
        } else {
          float away = 0.0f;
          for (std::size_t g = 0; g < weights / kGroup; ++g) {
            float m = both[g] * static_cast<float>(Format::kOffset);
            if constexpr (Format::kHasMin) m = mins[g] * xs[g * kGroup / 32];
            away += m * s[g];
          }
          sum = hn::Sub(sum, hn::IfThenElseZero(hn::FirstN(df, 1), hn::Set(df, away)));
        }
      }
      if constexpr (kWhole) {
        sums[t] = hn::Add(sums[t], sum);
      } else if constexpr (hn::MaxLanes(decltype(df)()) == hn::MaxLanes(Floats())) {
        sums[t] = hn::Add(sums[t], sum);
      } else {
        sums[t] = hn::Add(sums[t], hn::ZeroExtendVector(Floats(), sum));
      }
    }
  }
}

template <TensorType T, std::size_t kTokens>
void MatvecTokens(const MatvecArgs& args, std::size_t first_token) {
  constexpr std::size_t kUnitBytes = kUnit / Unpack<T>::kBlock * size_of(T).block_bytes;
  const std::size_t columns = args.weights.columns;
  const std::size_t whole = columns / kUnit * kUnit;
  const Floats df;
  const std::size_t q8_block = Unpack<T>::kBlock == 256 ? 256 : 32;
  const Q8Row x = args.x.q8.from(first_token * columns, q8_block);
  const std::size_t row_bytes = args.weights.bytes_per_row();
  for (std::size_t r = args.row_begin; r < args.row_end; ++r) {
    const std::uint8_t* HWY_RESTRICT row = args.weights.data + r * row_bytes;
    hn::Vec<Floats> sums[kTokens];
    for (std::size_t t = 0; t < kTokens; ++t) sums[t] = hn::Zero(df);
    for (std::size_t c = 0; c < whole; c += kUnit, row += kUnitBytes) {
      PrefetchUnit<kUnitBytes>(row);
      MatvecUnit<T, kTokens, true>(row, x, columns, c, kUnit, sums);
    }
    if constexpr (Unpack<T>::kBlock != 256) {
      if (whole < columns) {
        PrefetchUnit<kUnitBytes>(row);
        MatvecUnit<T, kTokens, false>(row, x, columns, whole, columns - whole, sums);
      }
    }
    for (std::size_t t = 0; t < kTokens; ++t) {
      args.y[(first_token + t) * args.y_stride + r] =
          args.weights.scale * hn::GetLane(hn::SumOfLanes(df, sums[t]));
    }
  }
}

// The f32 dot product of `count` weights with one token, in four partial sums. With kPrefetch the
// weights come from memory, row after row.
template <bool kPrefetch, class T>
HWY_INLINE float DotPlain(const T* HWY_RESTRICT w, const float* HWY_RESTRICT x, std::size_t count) {
  const hn::ScalableTag<float> d;
  const std::size_t n = hn::Lanes(d);
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  std::size_t k = 0;
  for (; k + 4 * n <= count; k += 4 * n) {
    if constexpr (kPrefetch) {
      PrefetchUnit<4 * hn::MaxLanes(d) * sizeof(T)>(reinterpret_cast<const std::uint8_t*>(w + k));
    }
    s0 = hn::MulAdd(LoadPlain(d, w + k), hn::LoadU(d, x + k), s0);
    s1 = hn::MulAdd(LoadPlain(d, w + k + n), hn::LoadU(d, x + k + n), s1);
    s2 = hn::MulAdd(LoadPlain(d, w + k + 2 * n), hn::LoadU(d, x + k + 2 * n), s2);
    s3 = hn::MulAdd(LoadPlain(d, w + k + 3 * n), hn::LoadU(d, x + k + 3 * n), s3);
  }
  for (; k + n <= count; k += n) {
    s0 = hn::MulAdd(LoadPlain(d, w + k), hn::LoadU(d, x + k), s0);
  }
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
  if (k < count) {
    float tail[hn::MaxLanes(hn::ScalableTag<float>())];
    DecodePlain<T>(reinterpret_cast<const std::uint8_t*>(w + k), tail, count - k);
    for (std::size_t i = 0; k + i < count; ++i) sum += tail[i] * x[k + i];
  }
  return sum;
}

template <class T>
void MatvecPlain(const MatvecArgs& args) {
  for (std::size_t r = args.row_begin; r < args.row_end; ++r) {
    const T* row = reinterpret_cast<const T*>(args.weights.row(r));
    for (std::size_t t = 0; t < args.x.tokens; ++t) {
      args.y[t * args.y_stride + r] =
          args.weights.scale *
          DotPlain<true>(row, args.x.f32 + t * args.x.f32_stride, args.weights.columns);
    }
  }
}

void MatvecF32(const MatvecArgs& args) {
  switch (args.weights.type) {
    case TensorType::kF32:
      return MatvecPlain<float>(args);
    case TensorType::kF16:
      return MatvecPlain<hwy::float16_t>(args);
    case TensorType::kBF16:
      return MatvecPlain<hwy::bfloat16_t>(args);
    default:
      break;
  }
  const DecodeFn decode = DecoderOf(args.weights.type);
  const TensorTypeSize& size = size_of(args.weights.type);
  alignas(64) float unit[kUnit];
  for (std::size_t r = args.row_begin; r < args.row_end; ++r) {
    const std::uint8_t* row = args.weights.row(r);
    float sums[kMatvecTokens] = {};
    for (std::size_t c = 0; c < args.weights.columns; c += kUnit) {
      const std::size_t count = HWY_MIN(kUnit, args.weights.columns - c);
      decode(row + c / size.block_size * size.block_bytes, unit, count);
      for (std::size_t t = 0; t < args.x.tokens; ++t) {
        sums[t] += DotPlain<false>(unit, args.x.f32 + t * args.x.f32_stride + c, count);
      }
    }
    for (std::size_t t = 0; t < args.x.tokens; ++t) {
      args.y[t * args.y_stride + r] = args.weights.scale * sums[t];
    }
  }
}

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
