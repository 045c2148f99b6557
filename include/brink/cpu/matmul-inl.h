// Matrix-matrix products of quantized weights and int8 activations for many tokens. For each panel
// of rows, unit after unit: unpack a tile that stays in the first-level cache, multiply it with
// every token, and add to the panel's sums, kept together in scratch memory until the last unit.
// Included once per pass by kernels-inl.h.

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

// Tokens per register tile. With 32 registers: 6 x 2 dot products and 6 x 2 sums, two vectors of
// weights and one broadcast make 27. With 16: 3 x 2 dot products or products by pairs, two vectors
// of weights, a broadcast and a product make 10; what is used once a group goes to memory. More
// tokens a load were no faster, fewer were slower by a seventh.
#if HWY_TARGET == HWY_AVX3
inline constexpr std::size_t kTileTokens = 6;
#else
inline constexpr std::size_t kTileTokens = 3;
#endif

// acc + a[2i] * b[2i] + a[2i + 1] * b[2i + 1] for int16 a and b.
HWY_INLINE hn::Vec<Rows> DotPairs(hn::Vec<Rows> acc, hn::Vec<Rows> a, hn::Vec<Rows> b) {
#if BRINK_HAVE_VNNI
  return hn::Vec<Rows>{_mm512_dpwssd_epi32(acc.raw, a.raw, b.raw)};
#elif HWY_TARGET == HWY_AVX3
  return Opaque(hn::Add(acc, hn::Vec<Rows>{_mm512_madd_epi16(a.raw, b.raw)}));
#elif HWY_TARGET == HWY_AVX2
  return Opaque(hn::Add(acc, hn::Vec<Rows>{_mm256_madd_epi16(a.raw, b.raw)}));
#elif HWY_TARGET == HWY_SSE4
  return Opaque(hn::Add(acc, hn::Vec<Rows>{_mm_madd_epi16(a.raw, b.raw)}));
#else
  const auto low = [](hn::Vec<Rows> v) { return hn::ShiftRight<16>(hn::ShiftLeft<16>(v)); };
  return hn::Add(
      acc, hn::Add(hn::Mul(low(a), low(b)), hn::Mul(hn::ShiftRight<16>(a), hn::ShiftRight<16>(b))));
#endif
}

#if !BRINK_HAVE_VNNI
using RowPairs = hn::Repartition<std::int16_t, Rows>;

// w[2i] * x[2i] + w[2i + 1] * x[2i + 1] for bytes w < 128 and int8 x, which fits 16 bits.
HWY_INLINE hn::Vec<RowPairs> MultiplyPairs(hn::Vec<Rows> w, hn::Vec<Rows> x) {
#if HWY_TARGET == HWY_AVX3
  return hn::Vec<RowPairs>{_mm512_maddubs_epi16(w.raw, x.raw)};
#elif HWY_TARGET == HWY_AVX2
  return hn::Vec<RowPairs>{_mm256_maddubs_epi16(w.raw, x.raw)};
#elif HWY_TARGET == HWY_SSE4
  return hn::Vec<RowPairs>{_mm_maddubs_epi16(w.raw, x.raw)};
#else
  const RowPairs d16;
  const auto w16 = hn::BitCast(d16, w);
  const auto x16 = hn::BitCast(d16, x);
  return hn::Add(
      hn::Mul(hn::And(w16, hn::Set(d16, 0xFF)), hn::ShiftRight<8>(hn::ShiftLeft<8>(x16))),
      hn::Mul(hn::ShiftRight<8>(w16), hn::ShiftRight<8>(x16)));
#endif
}
#endif

// The activations of some tokens in one unit.
struct PanelUnit {
  const std::int8_t* x;        // [tokens][kUnit]
  const float* scales;         // [tokens][kUnit / q8 block]
  const std::int32_t* starts;  // [tokens][kUnit / sums]: -128 times the sums of so many
  const std::int16_t* sums;    // [tokens][kUnit / sums]: the sums
  template <TileLayout kLayout>
  PanelUnit from(std::size_t t) const {
    constexpr std::size_t kScales = kLayout.scales == TileScales::kPer32 ? kUnit / 32 : 1;
    constexpr std::size_t kSums = kUnit / kLayout.sums;
    return {x + t * kUnit, scales + t * kScales, starts + t * kSums, sums + t * kSums};
  }
};

// Where the products of a tile go.
struct PanelSums {
  float* sums;  // [tokens][kPanelRows]: what the panel's units so far came to
  bool first;   // nothing so far
  float* y;     // with the last unit the sums go here, times `scale`; nullptr before
  std::size_t y_stride;
  float scale;

  HWY_INLINE hn::Vec<RowFloats> Get(std::size_t t, std::size_t p) const {
    const RowFloats df;
    return first ? hn::Zero(df) : hn::Load(df, sums + t * kPanelRows + p * kRowLanes);
  }
  // Asks for the lines that Put() will write of a token, while its products are computed.
  HWY_INLINE void Expect(std::size_t t) const {
    if (y == nullptr) return;
    for (std::size_t i = 0; i < kPanelRows; i += 16) __builtin_prefetch(y + t * y_stride + i, 1, 3);
  }
  HWY_INLINE void Put(std::size_t t, std::size_t p, hn::Vec<RowFloats> v) const {
    const RowFloats df;
    if (y != nullptr) {
      hn::StoreU(hn::Mul(v, hn::Set(df, scale)), df, y + t * y_stride + p * kRowLanes);
    } else {
      hn::Store(v, df, sums + t * kPanelRows + p * kRowLanes);
    }
  }
};

// Two neighbouring sums, in every lane.
HWY_INLINE hn::Vec<Rows> TwoSums(const std::int16_t* sums) {
  return hn::Set(Rows(), LoadAs<std::int32_t>(reinterpret_cast<const std::uint8_t*>(sums)));
}

// What a dot product starts from: minus the offset's part in it.
template <TileLayout kLayout>
HWY_INLINE hn::Vec<Rows> StartOf(const PanelUnit& in, std::size_t t, std::size_t g) {
  const Rows d;
  constexpr std::size_t kSums = kUnit / kLayout.sums;
  constexpr int kOffset = kLayout.offset;
  if constexpr (kOffset == 0 || kLayout.wide || kLayout.scales == TileScales::kInteger) {
    return hn::Zero(d);
  } else if constexpr (kLayout.scales == TileScales::kFolded) {
    const auto offset = hn::Set(
        d, static_cast<std::int32_t>((static_cast<unsigned>(-kOffset) & 0xFFFFu) * 0x10001u));
    auto start = hn::Zero(d);
    for (std::size_t i = 0; i < kSums; i += 2) {
      start = DotPairs(start, offset, TwoSums(in.sums + t * kSums + i));
    }
    return start;
  } else {
    const auto start = hn::Set(d, in.starts[t * kSums + g]);
    if constexpr (kOffset == 128) {
      return start;
    } else if constexpr (kOffset == 8) {
      return hn::ShiftRight<4>(start);
    } else if constexpr (kOffset == 16) {
      return hn::ShiftRight<3>(start);
    } else if constexpr (kOffset == 32) {
      return hn::ShiftRight<2>(start);
    } else {
      return hn::Mul(hn::ShiftRight<7>(start), hn::Set(d, kOffset));
    }
  }
}

// dot[t][p] += the products of words [first, first + kWords) of tile and tokens; without VNNI, each
// times the int16 `scale` of its row, given twice per lane.
template <TileLayout kLayout, std::size_t kTokens, std::size_t kWords>
HWY_INLINE void DotWords(const std::int32_t* HWY_RESTRICT words, const std::uint8_t* HWY_RESTRICT x,
                         [[maybe_unused]] const hn::Vec<Rows> (&scale)[2],
                         hn::Vec<Rows> (&dot)[kTokens][2]) {
  const Rows d;
  constexpr std::size_t kTokenBytes = TileWords(kLayout) * 4;
  const auto activations = [&](std::size_t t, std::size_t k) {
    return hn::Set(d, LoadAs<std::int32_t>(x + t * kTokenBytes + k * 4));
  };
  if constexpr (BRINK_HAVE_VNNI || kLayout.wide) {
    BRINK_UNROLL_LOOP(16)
    for (std::size_t k = 0; k < kWords; ++k) {
      const auto w0 = hn::Load(d, words + k * kPanelRows);
      const auto w1 = hn::Load(d, words + k * kPanelRows + kRowLanes);
      BRINK_UNROLL_LOOP(8)
      for (std::size_t t = 0; t < kTokens; ++t) {
        const auto xs = activations(t, k);
#if BRINK_HAVE_VNNI
        dot[t][0].raw = _mm512_dpbusd_epi32(dot[t][0].raw, w0.raw, xs.raw);
        dot[t][1].raw = _mm512_dpbusd_epi32(dot[t][1].raw, w1.raw, xs.raw);
#else
        dot[t][0] = DotPairs(dot[t][0], xs, w0);
        dot[t][1] = DotPairs(dot[t][1], xs, w1);
#endif
      }
    }
  } else {
#if !BRINK_HAVE_VNNI
    const RowPairs d16;
    constexpr std::size_t kRun = kLayout.run;
    BRINK_UNROLL_LOOP(8)
    for (std::size_t run = 0; run < kWords; run += kRun) {
      hn::Vec<RowPairs> pairs[kTokens][2];
      BRINK_UNROLL_LOOP(8)
      for (std::size_t k = 0; k < kRun; ++k) {
        const auto w0 = hn::Load(d, words + (run + k) * kPanelRows);
        const auto w1 = hn::Load(d, words + (run + k) * kPanelRows + kRowLanes);
        BRINK_UNROLL_LOOP(8)
        for (std::size_t t = 0; t < kTokens; ++t) {
          const auto xs = activations(t, run + k);
          const auto a = MultiplyPairs(w0, xs);
          const auto b = MultiplyPairs(w1, xs);
          pairs[t][0] = k == 0 ? a : Opaque(hn::Add(pairs[t][0], a));
          pairs[t][1] = k == 0 ? b : Opaque(hn::Add(pairs[t][1], b));
        }
      }
      BRINK_UNROLL_LOOP(8)
      for (std::size_t t = 0; t < kTokens; ++t) {
        dot[t][0] = DotPairs(dot[t][0], hn::BitCast(d, pairs[t][0]), scale[0]);
        dot[t][1] = DotPairs(dot[t][1], hn::BitCast(d, pairs[t][1]), scale[1]);
      }
    }
    (void)d16;
#endif
  }
}

// dot[t][p] += the minima (or the offset times scales) times the sums of their activations.
template <TileLayout kLayout, std::size_t kTokens>
HWY_INLINE void DotMinima(const Q8Tile& tile, const PanelUnit& in,
                          hn::Vec<Rows> (&dot)[kTokens][2]) {
  const Rows d;
  constexpr std::size_t kSums = kUnit / kLayout.sums;
  BRINK_UNROLL_LOOP(8)
  for (std::size_t i = 0; i < kSums / 2; ++i) {
    const auto w0 = hn::Load(d, tile.min_pairs + i * kPanelRows);
    const auto w1 = hn::Load(d, tile.min_pairs + i * kPanelRows + kRowLanes);
    BRINK_UNROLL_LOOP(8)
    for (std::size_t t = 0; t < kTokens; ++t) {
      const auto sums = TwoSums(in.sums + t * kSums + 2 * i);
      dot[t][0] = DotPairs(dot[t][0], w0, sums);
      dot[t][1] = DotPairs(dot[t][1], w1, sums);
    }
  }
}

// One tile times kTokens tokens, the first of which `in` and `to` + first_token are.
template <TileLayout kLayout, std::size_t kTokens>
HWY_INLINE void Q8TileTokens(const Q8Tile& tile, std::size_t groups, const PanelUnit& in,
                             const PanelSums& to, std::size_t first_token) {
  const Rows d;
  const RowFloats df;
  constexpr TileScales kScales = kLayout.scales;
  constexpr bool kWholeUnit = kLayout.super_scale();  // one dot product for all groups
  constexpr std::size_t kWords = kLayout.group / (kLayout.wide ? 2 : 4);
  constexpr std::size_t kSums = kUnit / kLayout.sums;

  for (std::size_t t = 0; t < kTokens; ++t) to.Expect(first_token + t);
  const std::uint8_t* x = reinterpret_cast<const std::uint8_t*>(in.x);
#if !BRINK_HAVE_VNNI
  // Activations as int16, for weights that are: cheaper than panels of twice the size.
  [[maybe_unused]] alignas(64) std::int16_t wide[kLayout.wide ? kTokens * kUnit : 1];
  if constexpr (kLayout.wide) {
    const hn::ScalableTag<std::int16_t> d16;
    const hn::Rebind<std::int8_t, decltype(d16)> d8;
    for (std::size_t i = 0; i < kTokens * kUnit; i += hn::Lanes(d16)) {
      hn::Store(hn::PromoteTo(d16, hn::LoadU(d8, in.x + i)), d16, wide + i);
    }
    x = reinterpret_cast<const std::uint8_t*>(wide);
  }
#endif
  const auto ones = hn::Set(d, 0x10001);
  hn::Vec<Rows> scale_pairs[2] = {ones, ones};
  hn::Vec<Rows> dot[kTokens][2];
  hn::Vec<RowFloats> out[kTokens][2];
  const auto start = [&](std::size_t g) {
    BRINK_UNROLL_LOOP(8)
    for (std::size_t t = 0; t < kTokens; ++t) dot[t][0] = dot[t][1] = StartOf<kLayout>(in, t, g);
  };
  if constexpr (kWholeUnit) {
    start(0);
    if constexpr (kLayout.min_pairs() && !kLayout.minima)
      DotMinima<kLayout, kTokens>(tile, in, dot);
    constexpr std::size_t kStep = kScales == TileScales::kFolded ? 8 : kWords;
    for (std::size_t k = 0; k < kUnit / 4; k += kStep) {
      if constexpr (kScales == TileScales::kInteger) {
        const std::int32_t* pairs = tile.scale_pairs + k / kStep * kPanelRows;
        scale_pairs[0] = hn::Load(d, pairs);
        scale_pairs[1] = hn::Load(d, pairs + kRowLanes);
      }
      DotWords<kLayout, kTokens, kStep>(tile.words + k * kPanelRows, x + k * 4, scale_pairs, dot);
    }
    BRINK_UNROLL_LOOP(8)
    for (std::size_t t = 0; t < kTokens; ++t) {
      BRINK_UNROLL_LOOP(8)
      for (std::size_t p = 0; p < 2; ++p) {
        out[t][p] = hn::Mul(hn::ConvertTo(df, dot[t][p]), hn::Load(df, tile.super + p * kRowLanes));
      }
    }
  } else {
    BRINK_UNROLL_LOOP(8)
    for (std::size_t t = 0; t < kTokens; ++t) out[t][0] = out[t][1] = hn::Zero(df);
    for (std::size_t g = 0; g < groups; ++g) {
      start(g);
      DotWords<kLayout, kTokens, kWords>(tile.words + g * kWords * kPanelRows, x + g * kWords * 4,
                                         scale_pairs, dot);
      BRINK_UNROLL_LOOP(8)
      for (std::size_t p = 0; p < 2; ++p) {
        const auto scale = hn::Load(df, tile.scales + g * kPanelRows + p * kRowLanes);
        BRINK_UNROLL_LOOP(8)
        for (std::size_t t = 0; t < kTokens; ++t) {
          const auto v = hn::ConvertTo(df, dot[t][p]);
          if constexpr (kScales == TileScales::kPer32) {
            auto sum = hn::Mul(v, scale);
            if constexpr (kLayout.minima) {
              const auto min = hn::Load(df, tile.mins + g * kPanelRows + p * kRowLanes);
              const auto total = hn::Set(df, static_cast<float>(in.sums[t * kSums + g]));
              sum = hn::NegMulAdd(min, total, sum);
            }
            const float xs = in.scales[t * (kUnit / 32) + g * kLayout.group / 32];
            out[t][p] = hn::MulAdd(sum, hn::Set(df, xs), out[t][p]);
          } else {
            out[t][p] = hn::MulAdd(v, scale, out[t][p]);
          }
        }
      }
    }
  }
  if constexpr (kScales != TileScales::kPer32 && kLayout.minima) {
    BRINK_UNROLL_LOOP(8)
    for (std::size_t t = 0; t < kTokens; ++t) dot[t][0] = dot[t][1] = hn::Zero(d);
    DotMinima<kLayout, kTokens>(tile, in, dot);
    BRINK_UNROLL_LOOP(8)
    for (std::size_t t = 0; t < kTokens; ++t) {
      BRINK_UNROLL_LOOP(8)
      for (std::size_t p = 0; p < 2; ++p) {
        const auto dmin = hn::Load(df, tile.super + kPanelRows + p * kRowLanes);
        out[t][p] = hn::NegMulAdd(hn::ConvertTo(df, dot[t][p]), dmin, out[t][p]);
      }
    }
  }
  BRINK_UNROLL_LOOP(8)
  for (std::size_t t = 0; t < kTokens; ++t) {
    BRINK_UNROLL_LOOP(8)
    for (std::size_t p = 0; p < 2; ++p) {
      const auto before = to.Get(first_token + t, p);
      if constexpr (kScales == TileScales::kPer32) {
        to.Put(first_token + t, p, hn::Add(before, out[t][p]));
      } else {
        to.Put(first_token + t, p, hn::MulAdd(out[t][p], hn::Set(df, in.scales[t]), before));
      }
    }
  }
}

// The blocks of the next tile: brought into the second-level cache row after row between the token
// tiles of this one, since rows are too short for hardware prefetchers.
struct NextTile {
  const std::uint8_t* start = nullptr;
  std::size_t row_bytes = 0;
  std::size_t rows = 0;
  std::size_t bytes = 0;  // per row

  NextTile() = default;
  NextTile(const WeightMatrix& w, std::size_t row, std::size_t column) {
    if (row >= w.rows) return;
    const TensorTypeSize& size = size_of(w.type);
    const std::size_t count = HWY_MIN(kUnit, w.columns - column);
    start = w.row(row) + column / size.block_size * size.block_bytes;
    row_bytes = w.bytes_per_row();
    rows = HWY_MIN(kPanelRows, w.rows - row);
    bytes = count / size.block_size * size.block_bytes;
  }
  HWY_INLINE void Prefetch(std::size_t row) const {
    const std::uint8_t* p = start + row * row_bytes;
    for (std::size_t i = 0; i < bytes + 63; i += 64) {
      PrefetchToL2(p + HWY_MIN(i, bytes - 1));
    }
  }
};

// One tile times all tokens.
template <TileLayout kLayout>
HWY_NOINLINE void Q8TileAllTokens(const Q8Tile& tile, const ActivationPanels& panels,
                                  std::size_t unit, std::size_t groups, const PanelSums& to,
                                  const NextTile& next) {
  const std::size_t tokens = panels.tokens;
  const PanelUnit first{panels.q8, panels.scales,
                        kLayout.sums == 16 ? panels.starts16 : panels.starts32,
                        kLayout.sums == 16 ? panels.sums16 : panels.sums32};
  const PanelUnit in = first.from<kLayout>(unit * tokens);
  const std::size_t per_step = (kPanelRows * kTileTokens + tokens - 1) / tokens;
  std::size_t row = 0, t = 0;
  while (t < tokens) {
    for (const std::size_t end = HWY_MIN(row + per_step, next.rows); row < end; ++row) {
      next.Prefetch(row);
    }
    const auto step = [&](auto count) {
      Q8TileTokens<kLayout, count()>(tile, groups, in.from<kLayout>(t), to, t);
      t += count();
    };
    const std::size_t left = tokens - t;
    // Seven and eight are better cut in halves.
    const bool halves = kTileTokens == 6 && (left == 7 || left == 8);
    if (left >= kTileTokens && !halves) {
      step(std::integral_constant<std::size_t, kTileTokens>());
    } else if (kTileTokens == 6 && left >= 4) {
      step(std::integral_constant<std::size_t, HWY_MIN(kTileTokens, std::size_t{4})>());
    } else if (left == 3) {
      step(std::integral_constant<std::size_t, 3>());
    } else if (left == 2) {
      step(std::integral_constant<std::size_t, 2>());
    } else {
      step(std::integral_constant<std::size_t, 1>());
    }
  }
}

// Copies the sums of a panel that has not all its rows to their places.
HWY_INLINE void StorePanel(const MatmulArgs& args, std::size_t first, const float* sums) {
  for (std::size_t t = 0; t < args.x.tokens; ++t) {
    float* HWY_RESTRICT to = args.y + t * args.y_stride + first;
    for (std::size_t r = 0; first + r < args.row_end; ++r) {
      to[r] = args.weights.scale * sums[t * kPanelRows + r];
    }
  }
}

// Calls unit(first row, column, columns, sums) for every unit of every panel of the rows of `args`.
template <class Unit>
HWY_INLINE void ForEachTile(const MatmulArgs& args, float* sums, Unit unit) {
  const std::size_t columns = args.weights.columns;
  for (std::size_t r = args.row_begin; r < args.row_end; r += kPanelRows) {
    const bool whole = r + kPanelRows <= args.row_end;
    for (std::size_t c = 0; c < columns; c += kUnit) {
      const bool last = c + kUnit >= columns;
      float* y = last && whole ? args.y + r : nullptr;
      unit(r, c, HWY_MIN(kUnit, columns - c),
           PanelSums{sums, c == 0, y, args.y_stride, args.weights.scale});
    }
    if (!whole) StorePanel(args, r, sums);
  }
}

template <TensorType T>
void MatmulQ8(const MatmulArgs& args) {
  constexpr TileLayout kLayout = LayoutOf<T>();
  auto& tile = *reinterpret_cast<Q8Tile*>(args.scratch);
  float* sums = reinterpret_cast<float*>(args.scratch + sizeof(Q8Tile));
  const WeightMatrix& w = args.weights;
  ForEachTile(args, sums, [&](std::size_t r, std::size_t c, std::size_t count, PanelSums to) {
    const std::size_t next_panel = r + kPanelRows < args.row_end ? r + kPanelRows : args.next_row;
    NextTile next;
    const bool done = UnpackWholeUnit<T>(w, r, args.row_end, next_panel, c, count, tile);
    // Super-blocks are whole units.
    if constexpr (!UnpacksSixteenRows<T>() || Unpack<T>::kBlock != kUnit) {
      if (!done) {
        constexpr std::size_t kGroups = kUnit / Unpack<T>::kGroup;
        UnpackTile(w, &UnpackUnit<T>, kLayout, kGroups, r, args.row_end, c, count, tile);
        const bool more = c + kUnit < w.columns;
        next = NextTile(w, more ? r : next_panel, more ? c + kUnit : 0);
      }
    }
    Q8TileAllTokens<kLayout>(tile, args.x, c / kUnit,
                             (count + Unpack<T>::kGroup - 1) / Unpack<T>::kGroup, to, next);
  });
}

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
