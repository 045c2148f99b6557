// Matrix-matrix products of f32 or bf16 activations and weights decoded to the same, for many
// tokens. Included once per pass by kernels-inl.h.

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

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
                                const std::uint8_t* HWY_RESTRICT x, const PanelSums& to,
                                std::size_t first_token) {
  constexpr std::size_t kTokenBytes = kUnit * (kBf16 ? 2 : 4);
  const Rows d;
  const RowFloats df;
  hn::Vec<RowFloats> out[kTokens][2];
  BRINK_UNROLL_LOOP(8)
  for (std::size_t t = 0; t < kTokens; ++t) {
    to.Expect(first_token + t);
    out[t][0] = to.Get(first_token + t, 0);
    out[t][1] = to.Get(first_token + t, 1);
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
  BRINK_UNROLL_LOOP(8)
  for (std::size_t t = 0; t < kTokens; ++t) {
    to.Put(first_token + t, 0, out[t][0]);
    to.Put(first_token + t, 1, out[t][1]);
  }
}

template <bool kBf16>
void MatmulFloat(const MatmulArgs& args) {
  constexpr std::size_t kTokenBytes = kUnit * (kBf16 ? 2 : 4);
  constexpr std::size_t kWordColumns = kBf16 ? 2 : 1;
  auto* tile = reinterpret_cast<std::int32_t*>(args.scratch);
  float* sums = reinterpret_cast<float*>(args.scratch + kUnit * kPanelRows * sizeof(float));
  const std::size_t tokens = args.x.tokens;
  ForEachTile(args, sums, [&](std::size_t r, std::size_t c, std::size_t count, PanelSums to) {
    DecodeTile(args.weights, r, args.row_end, c, count, kBf16, tile);
    const std::size_t words = (count + kWordColumns - 1) / kWordColumns;
    const std::uint8_t* x = kBf16 ? reinterpret_cast<const std::uint8_t*>(args.x.bf16)
                                  : reinterpret_cast<const std::uint8_t*>(args.x.f32);
    x += c / kUnit * tokens * kTokenBytes;
    std::size_t t = 0;
    for (; t + kFloatTokens <= tokens; t += kFloatTokens) {
      FloatTileTokens<kFloatTokens, kBf16>(tile, words, x + t * kTokenBytes, to, t);
    }
    for (; t < tokens; ++t) FloatTileTokens<1, kBf16>(tile, words, x + t * kTokenBytes, to, t);
  });
}

std::size_t MatmulScratchBytes(std::size_t tokens) {
  return HWY_MAX(sizeof(Q8Tile), kUnit * kPanelRows * sizeof(float)) +
         tokens * kPanelRows * sizeof(float);
}

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
