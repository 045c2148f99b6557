// Matrix-matrix products for many tokens. For each panel of rows, unit after unit: unpack a tile
// that stays in the first-level cache, multiply it with every token, and add to the panel's
// outputs, kept together in scratch memory. Included once per pass by kernels-inl.h.

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

// Tokens per register tile. With 32 registers: 6 x 2 integer and 6 x 2 float accumulators, two
// vectors of weights and one broadcast make 27. With 16 registers: 2 x 2 of each make 11.
#if HWY_TARGET == HWY_AVX3
inline constexpr std::size_t kTileTokens = 6;
#else
inline constexpr std::size_t kTileTokens = 2;
#endif

// acc + (products of the 4 or 2 columns of a word, summed per row)
HWY_INLINE hn::Vec<Rows> DotWord(hn::Vec<Rows> acc, hn::Vec<Rows> x, hn::Vec<Rows> w) {
#if BRINK_HAVE_VNNI
  return hn::Vec<Rows>{_mm512_dpbusd_epi32(acc.raw, x.raw, w.raw)};
#elif HWY_TARGET == HWY_AVX3
  return Opaque(hn::Add(acc, hn::Vec<Rows>{_mm512_madd_epi16(x.raw, w.raw)}));
#elif HWY_TARGET == HWY_AVX2
  return Opaque(hn::Add(acc, hn::Vec<Rows>{_mm256_madd_epi16(x.raw, w.raw)}));
#elif HWY_TARGET == HWY_SSE4
  return Opaque(hn::Add(acc, hn::Vec<Rows>{_mm_madd_epi16(x.raw, w.raw)}));
#else
  const auto x_low = hn::ShiftRight<16>(hn::ShiftLeft<16>(x));
  const auto w_low = hn::ShiftRight<16>(hn::ShiftLeft<16>(w));
  return hn::Add(
      acc, hn::Add(hn::Mul(x_low, w_low), hn::Mul(hn::ShiftRight<16>(x), hn::ShiftRight<16>(w))));
#endif
}

// One tile times kTokens tokens. x, scales and sums point at the first of these tokens in this
// unit's part of the panels; y is [tokens][kPanelRows].
template <std::size_t kTokens, std::size_t kGroup, bool kHasMin, bool kScalePer32>
HWY_INLINE void Q8TileTokens(const Q8Tile& tile, std::size_t groups,
                             const PanelElement* HWY_RESTRICT x, const float* HWY_RESTRICT scales,
                             const float* HWY_RESTRICT sums, float* HWY_RESTRICT y) {
  const Rows d;
  const RowFloats df;
  constexpr std::size_t kWords = kGroup * sizeof(PanelElement) / 4;
  constexpr std::size_t kSums = kUnit / kGroup;
  hn::Vec<RowFloats> out[kTokens][2];
  for (std::size_t t = 0; t < kTokens; ++t) out[t][0] = out[t][1] = hn::Zero(df);
  for (std::size_t g = 0; g < groups; ++g) {
    hn::Vec<Rows> dot[kTokens][2];
    for (std::size_t t = 0; t < kTokens; ++t) {
#if BRINK_HAVE_VNNI
      dot[t][0] = hn::Load(d, tile.start + g * kPanelRows);
      dot[t][1] = hn::Load(d, tile.start + g * kPanelRows + kRowLanes);
#else
      dot[t][0] = dot[t][1] = hn::Zero(d);
#endif
    }
    const std::int32_t* HWY_RESTRICT words = tile.words + g * kWords * kPanelRows;
    BRINK_UNROLL_LOOP(16)
    for (std::size_t k = 0; k < kWords; ++k) {
      const auto w0 = hn::Load(d, words + k * kPanelRows);
      const auto w1 = hn::Load(d, words + k * kPanelRows + kRowLanes);
      BRINK_UNROLL_LOOP(8)
      for (std::size_t t = 0; t < kTokens; ++t) {
        const auto xs =
            hn::Set(d, LoadAs<std::int32_t>(reinterpret_cast<const std::uint8_t*>(x + t * kUnit) +
                                            (g * kWords + k) * 4));
        dot[t][0] = DotWord(dot[t][0], xs, w0);
        dot[t][1] = DotWord(dot[t][1], xs, w1);
      }
    }
    for (std::size_t p = 0; p < 2; ++p) {
      const auto scale = hn::Load(df, tile.scales + g * kPanelRows + p * kRowLanes);
      hn::Vec<RowFloats> min;
      if constexpr (kHasMin) min = hn::Load(df, tile.mins + g * kPanelRows + p * kRowLanes);
      BRINK_UNROLL_LOOP(8)
      for (std::size_t t = 0; t < kTokens; ++t) {
        const auto v = hn::ConvertTo(df, dot[t][p]);
        if constexpr (kScalePer32) {
          const auto xs = hn::Set(df, scales[t * (kUnit / 32) + g * kGroup / 32]);
          auto sum = hn::Mul(v, scale);
          if constexpr (kHasMin) {
            sum = hn::NegMulAdd(min, hn::Set(df, sums[t * kSums + g]), sum);
          }
          out[t][p] = hn::MulAdd(sum, xs, out[t][p]);
        } else {
          out[t][p] = hn::MulAdd(v, scale, out[t][p]);
          if constexpr (kHasMin) {
            out[t][p] = hn::NegMulAdd(min, hn::Set(df, sums[t * kSums + g]), out[t][p]);
          }
        }
      }
    }
  }
  for (std::size_t t = 0; t < kTokens; ++t) {
    for (std::size_t p = 0; p < 2; ++p) {
      float* HWY_RESTRICT to = y + t * kPanelRows + p * kRowLanes;
      if constexpr (kScalePer32) {
        hn::StoreU(hn::Add(hn::LoadU(df, to), out[t][p]), df, to);
      } else {
        hn::StoreU(hn::MulAdd(out[t][p], hn::Set(df, scales[t]), hn::LoadU(df, to)), df, to);
      }
    }
  }
}

// One tile times all tokens.
template <std::size_t kGroup, bool kHasMin, bool kScalePer32>
HWY_NOINLINE void Q8TileAllTokens(const Q8Tile& tile, const ActivationPanels& panels,
                                  std::size_t unit, std::size_t groups, float* HWY_RESTRICT y) {
  constexpr std::size_t kScales = kScalePer32 ? kUnit / 32 : 1;
  constexpr std::size_t kSums = kUnit / kGroup;
  const std::size_t tokens = panels.tokens;
  const auto* x = reinterpret_cast<const PanelElement*>(panels.q8) + unit * tokens * kUnit;
  const float* scales = panels.scales + unit * tokens * kScales;
  const float* sums = (kGroup == 16 ? panels.sums16 : panels.sums32) + unit * tokens * kSums;
  std::size_t t = 0;
  for (; t + kTileTokens <= tokens; t += kTileTokens) {
    Q8TileTokens<kTileTokens, kGroup, kHasMin, kScalePer32>(
        tile, groups, x + t * kUnit, scales + t * kScales, sums + t * kSums, y + t * kPanelRows);
  }
  if constexpr (kTileTokens > 2) {
    for (; t + 2 <= tokens; t += 2) {
      Q8TileTokens<2, kGroup, kHasMin, kScalePer32>(
          tile, groups, x + t * kUnit, scales + t * kScales, sums + t * kSums, y + t * kPanelRows);
    }
  }
  for (; t < tokens; ++t) {
    Q8TileTokens<1, kGroup, kHasMin, kScalePer32>(tile, groups, x + t * kUnit, scales + t * kScales,
                                                  sums + t * kSums, y + t * kPanelRows);
  }
}

// Copies a panel's outputs to their places.
HWY_INLINE void StorePanel(const MatmulArgs& args, std::size_t first, const float* y) {
  const std::size_t rows = HWY_MIN(kPanelRows, args.row_end - first);
  for (std::size_t t = 0; t < args.x.tokens; ++t) {
    float* HWY_RESTRICT to = args.y + t * args.y_stride + first;
    for (std::size_t r = 0; r < rows; ++r) to[r] = args.weights.scale * y[t * kPanelRows + r];
  }
}

template <TensorType T>
void MatmulQ8(const MatmulArgs& args) {
  using Format = Unpack<T>;
  auto& tile = *reinterpret_cast<Q8Tile*>(args.scratch);
  float* y = reinterpret_cast<float*>(args.scratch + sizeof(Q8Tile));
  const std::size_t columns = args.weights.columns;
  for (std::size_t r = args.row_begin; r < args.row_end; r += kPanelRows) {
    std::memset(y, 0, args.x.tokens * kPanelRows * sizeof(float));
    for (std::size_t c = 0; c < columns; c += kUnit) {
      const std::size_t count = HWY_MIN(kUnit, columns - c);
      UnpackTile(args.weights, &UnpackUnit<T>, Format::kGroup, Format::kHasMin, r, args.row_end, c,
                 count, tile);
      Q8TileAllTokens<Format::kGroup, Format::kHasMin, Format::kBlock != 256>(
          tile, args.x, c / kUnit, (count + Format::kGroup - 1) / Format::kGroup, y);
    }
    StorePanel(args, r, y);
  }
}

// --- f32 and bf16 ------------------------------------------------------------------------------

#if HWY_TARGET == HWY_AVX3
inline constexpr std::size_t kFloatTokens = 8;  // 16 accumulators + 3
#else
inline constexpr std::size_t kFloatTokens = 4;  // 8 accumulators + 3
#endif

// Decodes a unit of a panel to f32, rounded to bf16 on request, as [column][row].
HWY_NOINLINE void DecodeTile(const WeightMatrix& w, std::size_t first, std::size_t end,
                             std::size_t column, std::size_t count, bool to_bf16,
                             std::int32_t* HWY_RESTRICT tile) {
  const TensorTypeSize& size = size_of(w.type);
  const DecodeFn decode = DecoderOf(w.type);
  const std::size_t offset = column / size.block_size * size.block_bytes;
  alignas(64) float units[4][kUnit];
  alignas(64) std::uint16_t rounded[4][kUnit];
  for (std::size_t r = 0; r < kPanelRows; r += 4) {
    for (std::size_t i = 0; i < 4; ++i) {
      if (first + r + i < end) {
        decode(w.row(first + r + i) + offset, units[i], count);
        std::memset(units[i] + count, 0, (kUnit - count) * sizeof(float));
      } else {
        std::memset(units[i], 0, sizeof(units[i]));
      }
      if (to_bf16) RoundBf16(units[i], kUnit, rounded[i]);
    }
    if (to_bf16) {
      TransposeWords(reinterpret_cast<const std::int32_t*>(rounded), kUnit / 2, kUnit / 2,
                     tile + r);
    } else {
      TransposeWords(reinterpret_cast<const std::int32_t*>(units), kUnit, kUnit, tile + r);
    }
  }
}

// kTokens tokens of f32 or bf16 pairs; `words` is the number of 32-bit words per row and token.
template <std::size_t kTokens, bool kBf16>
HWY_INLINE void FloatTileTokens(const std::int32_t* HWY_RESTRICT tile, std::size_t words,
                                const std::uint8_t* HWY_RESTRICT x, float* HWY_RESTRICT y) {
  constexpr std::size_t kTokenBytes = kUnit * (kBf16 ? 2 : 4);
  const Rows d;
  const RowFloats df;
  hn::Vec<RowFloats> out[kTokens][2];
  for (std::size_t t = 0; t < kTokens; ++t) {
    out[t][0] = hn::LoadU(df, y + t * kPanelRows);
    out[t][1] = hn::LoadU(df, y + t * kPanelRows + kRowLanes);
  }
  for (std::size_t k = 0; k < words; ++k) {
    const auto w0 = hn::Load(d, tile + k * kPanelRows);
    const auto w1 = hn::Load(d, tile + k * kPanelRows + kRowLanes);
    BRINK_UNROLL_LOOP(8)
    for (std::size_t t = 0; t < kTokens; ++t) {
      const auto xs = hn::Set(d, LoadAs<std::int32_t>(x + t * kTokenBytes + k * 4));
      if constexpr (kBf16) {
#if BRINK_HAVE_VNNI
        out[t][0].raw = _mm512_dpbf16_ps(out[t][0].raw, reinterpret_cast<__m512bh>(xs.raw),
                                         reinterpret_cast<__m512bh>(w0.raw));
        out[t][1].raw = _mm512_dpbf16_ps(out[t][1].raw, reinterpret_cast<__m512bh>(xs.raw),
                                         reinterpret_cast<__m512bh>(w1.raw));
#else
        const auto high = hn::Set(d, static_cast<std::int32_t>(0xFFFF0000u));
        const auto x_low = hn::BitCast(df, hn::ShiftLeft<16>(xs));
        const auto x_high = hn::BitCast(df, hn::And(xs, high));
        out[t][0] = hn::MulAdd(hn::BitCast(df, hn::ShiftLeft<16>(w0)), x_low, out[t][0]);
        out[t][0] = hn::MulAdd(hn::BitCast(df, hn::And(w0, high)), x_high, out[t][0]);
        out[t][1] = hn::MulAdd(hn::BitCast(df, hn::ShiftLeft<16>(w1)), x_low, out[t][1]);
        out[t][1] = hn::MulAdd(hn::BitCast(df, hn::And(w1, high)), x_high, out[t][1]);
#endif
      } else {
        out[t][0] = hn::MulAdd(hn::BitCast(df, w0), hn::BitCast(df, xs), out[t][0]);
        out[t][1] = hn::MulAdd(hn::BitCast(df, w1), hn::BitCast(df, xs), out[t][1]);
      }
    }
  }
  for (std::size_t t = 0; t < kTokens; ++t) {
    hn::StoreU(out[t][0], df, y + t * kPanelRows);
    hn::StoreU(out[t][1], df, y + t * kPanelRows + kRowLanes);
  }
}

template <bool kBf16>
void MatmulFloat(const MatmulArgs& args) {
  constexpr std::size_t kTokenBytes = kUnit * (kBf16 ? 2 : 4);
  constexpr std::size_t kWordColumns = kBf16 ? 2 : 1;
  auto* tile = reinterpret_cast<std::int32_t*>(args.scratch);
  float* y = reinterpret_cast<float*>(args.scratch + kUnit * kPanelRows * sizeof(float));
  const std::size_t columns = args.weights.columns;
  const std::size_t tokens = args.x.tokens;
  for (std::size_t r = args.row_begin; r < args.row_end; r += kPanelRows) {
    std::memset(y, 0, tokens * kPanelRows * sizeof(float));
    for (std::size_t c = 0; c < columns; c += kUnit) {
      const std::size_t count = HWY_MIN(kUnit, columns - c);
      DecodeTile(args.weights, r, args.row_end, c, count, kBf16, tile);
      const std::size_t words = (count + kWordColumns - 1) / kWordColumns;
      const std::uint8_t* x = kBf16 ? reinterpret_cast<const std::uint8_t*>(args.x.bf16)
                                    : reinterpret_cast<const std::uint8_t*>(args.x.f32);
      x += c / kUnit * tokens * kTokenBytes;
      std::size_t t = 0;
      for (; t + kFloatTokens <= tokens; t += kFloatTokens) {
        FloatTileTokens<kFloatTokens, kBf16>(tile, words, x + t * kTokenBytes, y + t * kPanelRows);
      }
      for (; t < tokens; ++t) {
        FloatTileTokens<1, kBf16>(tile, words, x + t * kTokenBytes, y + t * kPanelRows);
      }
    }
    StorePanel(args, r, y);
  }
}

std::size_t MatmulScratchBytes(std::size_t tokens) {
  return HWY_MAX(sizeof(Q8Tile), kUnit * kPanelRows * sizeof(float)) +
         tokens * kPanelRows * sizeof(float);
}

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
