// Unpacks panels of weight rows into tiles for the matrix-matrix products: a tile holds one unit
// (kUnit columns) of one panel of rows, interleaved so that a vector holds neighbouring columns of
// all rows. Included once per pass by kernels-inl.h.

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

using Rows = hn::ScalableTag<std::int32_t>;  // one lane a row
using RowFloats = hn::RebindToFloat<Rows>;
inline constexpr std::size_t kRowLanes = hn::MaxLanes(Rows());
// Two vectors of rows share every broadcast of activations.
inline constexpr std::size_t kPanelRows = 2 * kRowLanes;
inline constexpr std::size_t kMaxGroups = kUnit / 16;

// The k-quants' scales and minima as the integers they are: a weight is
// (d * scales[g]) * (q - kOffset) - dmin * mins[g].
struct SuperBlockScales {
  alignas(32) std::int16_t scales[kMaxGroups];
  alignas(32) std::int16_t mins[kMaxGroups];
  float d, dmin;
};

// 16 bytes as int16, in one store where there are such vectors: they are read as one.
template <class V>
HWY_INLINE void PromoteBytes(V bytes, std::int16_t* HWY_RESTRICT out) {
  const hn::CappedTag<std::int16_t, 16> d16;
  if constexpr (hn::MaxLanes(decltype(d16)()) == 16) {
    hn::Store(hn::PromoteTo(d16, bytes), d16, out);
  } else {
    const hn::Half<hn::DFromV<V>> half;
    hn::Store(hn::PromoteTo(d16, hn::LowerHalf(half, bytes)), d16, out);
    hn::Store(hn::PromoteTo(d16, hn::UpperHalf(half, bytes)), d16, out + 8);
  }
}

// 16 bytes out of two words.
template <class T>
HWY_INLINE hn::Vec<hn::FixedTag<T, 16>> TwoWords(std::uint64_t low, std::uint64_t high) {
  const hn::FixedTag<std::uint64_t, 2> d64;
  return hn::BitCast(hn::FixedTag<T, 16>(),
                     hn::InterleaveLower(d64, hn::Set(d64, low), hn::Set(d64, high)));
}

template <TensorType T>
HWY_INLINE void LoadSuperScales(const std::uint8_t* HWY_RESTRICT block, SuperBlockScales& out) {
  const hn::FixedTag<std::uint8_t, 16> d8;
  const hn::FixedTag<std::int8_t, 16> ds8;
  if constexpr (T == TensorType::kQ2_K) {
    const auto packed = hn::LoadU(d8, block);
    PromoteBytes(hn::And(packed, hn::Set(d8, 15)), out.scales);
    PromoteBytes(hn::ShiftRight<4>(packed), out.mins);
    out.d = LoadF16(block + 80);
    out.dmin = LoadF16(block + 82);
  } else if constexpr (T == TensorType::kQ3_K) {
    std::uint64_t a, b;
    Scales6(block + 96, a, b);
    PromoteBytes(TwoWords<std::int8_t>(BytesLess32(a), BytesLess32(b)), out.scales);
    out.d = LoadF16(block + 108);
  } else if constexpr (T == TensorType::kQ6_K) {
    PromoteBytes(hn::LoadU(ds8, reinterpret_cast<const std::int8_t*>(block + 192)), out.scales);
    out.d = LoadF16(block + 208);
  } else {
    std::uint64_t scales, mins;
    ScalesAndMins6(block + 4, scales, mins);
    const auto both = TwoWords<std::uint8_t>(scales, mins);
    const hn::Half<decltype(d8)> half;
    const hn::FixedTag<std::int16_t, 8> d16;
    hn::Store(hn::PromoteTo(d16, hn::LowerHalf(half, both)), d16, out.scales);
    hn::Store(hn::PromoteTo(d16, hn::UpperHalf(half, both)), d16, out.mins);
    out.d = LoadF16(block);
    out.dmin = LoadF16(block + 2);
  }
}

// How a tile's dot products become sums.
enum class TileScales : std::uint8_t {
  kPer32,     // an f32 scale per group, and one per 32 activations
  kPerGroup,  // an f32 scale per group, one for the unit's activations
  kInteger,   // an integer scale per group, an f32 one for the unit
  kFolded,    // the integer scales are multiplied into the weights, which still fit a byte
};

// How a type's weights lie in a tile. Products are compiled per layout, which types share.
struct TileLayout {
  std::size_t group;  // weights per dot product
  std::size_t sums;   // weights per sum of activations: 16 or 32
  TileScales scales;
  bool wide;   // weights are int16 instead of bytes with an offset
  int offset;  // the bytes are unsigned: weight + offset
  bool minima;
  std::size_t run;  // words whose products by pairs, added up, fit 16 bits (not VNNI)
  constexpr bool super_scale() const {
    return scales == TileScales::kInteger || scales == TileScales::kFolded;
  }
  // Integer minima, or the offset times the integer scales.
  constexpr bool min_pairs() const {
    return scales != TileScales::kPer32 && (minima || (scales == TileScales::kInteger && offset));
  }
};

// The largest quant (as Unpack<T> has it, offset included), where known to be below 127.
template <TensorType T>
constexpr int MaxQuant() {
  switch (T) {
    case TensorType::kQ1_0:
    case TensorType::kTQ1_0:
    case TensorType::kTQ2_0:
    case TensorType::kQ2_0:
    case TensorType::kQ2_K:
      return 3;
    case TensorType::kQ3_K:
      return 7;
    case TensorType::kQ4_0:
    case TensorType::kQ4_1:
    case TensorType::kQ4_K:
      return 15;
    case TensorType::kIQ1_S:
    case TensorType::kIQ1_M:
      return 18;
    case TensorType::kMXFP4:
    case TensorType::kNVFP4:
      return 24;
    case TensorType::kQ5_0:
    case TensorType::kQ5_1:
    case TensorType::kQ5_K:
    case TensorType::kIQ3_S:
      return 31;
    case TensorType::kQ6_K:
      return 63;
    default:
      return 127;
  }
}

// (q - 4) * scale of Q3_K lies within -124 .. 128.
inline constexpr int kQ3FoldedOffset = 124;

template <TensorType T>
constexpr TileLayout LayoutOf() {
  using Format = Unpack<T>;
  TileLayout l{Format::kGroup,
               Format::kGroup == 16 ? std::size_t{16} : std::size_t{32},
               Format::kBlock != 256 ? TileScales::kPer32 : TileScales::kPerGroup,
               false,
               Format::kOffset,
               Format::kHasMin,
               1};
#if BRINK_HAVE_VNNI
  // Offsets that the panels' starting values, for 128, can be shifted to.
  if (Format::kSigned || (l.offset & (l.offset - 1)) != 0) l.offset = 128;
  if (T == TensorType::kQ2_K || T == TensorType::kQ3_K) {
    l.scales = TileScales::kFolded;
    l.group = kUnit;
    if (T == TensorType::kQ3_K) {
      l.offset = kQ3FoldedOffset;
      l.sums = 32;
    }
  }
#else
  l.wide = Format::kSigned;
  if (kIsKQuant<T>) l.scales = TileScales::kInteger;
  while (l.run * 2 <= Format::kGroup / 4 && l.run * 2 * 254 * MaxQuant<T>() <= 32767) l.run *= 2;
#endif
  return l;
}

// Words of 32 bits that hold a unit of a row.
constexpr std::size_t TileWords(const TileLayout& l) { return kUnit / (l.wide ? 2 : 4); }

// An unpacked unit of a panel. Only the parts that the layout needs are filled.
struct Q8Tile {
#if BRINK_HAVE_VNNI
  static constexpr std::size_t kMaxWords = kUnit / 4;
#else
  static constexpr std::size_t kMaxWords = kUnit / 2;
#endif
  alignas(64) std::int32_t words[kMaxWords * kPanelRows];           // [word][row]
  alignas(64) float scales[kMaxGroups * kPanelRows];                // [group][row]
  alignas(64) float mins[kMaxGroups * kPanelRows];                  // [group][row]
  alignas(64) std::int32_t scale_pairs[kMaxGroups * kPanelRows];    // [group][row] int16, twice
  alignas(64) std::int32_t min_pairs[kMaxGroups / 2 * kPanelRows];  // [two groups][row] 2 x int16
  alignas(64) float super[4 * kPanelRows];                          // [d, dmin, -, -][row]
};

// A unit of one row, as unpacked by UnpackUnit.
struct RowUnit {
  alignas(64) std::uint8_t q[Q8Tile::kMaxWords * 4];
  alignas(64) float scales[kMaxGroups];
  alignas(64) float mins[kMaxGroups];
  alignas(64) std::int32_t scale_pairs[kMaxGroups];
  alignas(32) std::int16_t min_pairs[kMaxGroups];
  alignas(16) float super[4];
};

// Writes the quants of a unit as the layout wants them.
template <TensorType T, class D8>
HWY_INLINE void StoreQuants(D8 d8, hn::Vec<D8> q, std::uint8_t* HWY_RESTRICT unit, std::size_t k) {
  constexpr TileLayout kLayout = LayoutOf<T>();
  if constexpr (kLayout.wide) {
    const hn::RebindToSigned<D8> ds8;
    const hn::Half<decltype(ds8)> half;
    const hn::Rebind<std::int16_t, decltype(half)> d16;
    auto* to = reinterpret_cast<std::int16_t*>(unit) + k;
    const auto v = hn::BitCast(ds8, q);
    hn::StoreU(hn::PromoteTo(d16, hn::LowerHalf(half, v)), d16, to);
    hn::StoreU(hn::PromoteTo(d16, hn::UpperHalf(half, v)), d16, to + hn::Lanes(half));
  } else {
    constexpr int kMore = kLayout.offset - Unpack<T>::kOffset;
    if constexpr (kMore != 0) q = hn::Add(q, hn::Set(d8, static_cast<std::uint8_t>(kMore)));
    hn::StoreU(q, d8, unit + k);
  }
}

// `count` weights from `blocks` on; the rest of the unit is zero.
template <TensorType T>
HWY_NOINLINE void UnpackUnit(const std::uint8_t* HWY_RESTRICT blocks, std::size_t count,
                             RowUnit& out) {
  using Format = Unpack<T>;
  constexpr TileLayout kLayout = LayoutOf<T>();
  constexpr std::size_t kBytes = size_of(T).block_bytes;
  constexpr std::size_t kGroups = Format::kBlock / Format::kGroup;
  const hn::CappedTag<std::uint8_t, (Format::kBlock < 64 ? Format::kBlock : 64)> d8;
  if (count < kUnit) std::memset(static_cast<void*>(&out), 0, sizeof(out));

  [[maybe_unused]] SuperBlockScales integers;
  if constexpr (kLayout.super_scale() || kLayout.min_pairs()) {
    LoadSuperScales<T>(blocks, integers);
    const hn::CappedTag<std::int16_t, 16> d16;
    const std::int16_t* pairs = kLayout.minima ? integers.mins : integers.scales;
    const auto factor =
        hn::Set(d16, kLayout.minima ? std::int16_t{1} : static_cast<std::int16_t>(-kLayout.offset));
    if constexpr (kLayout.min_pairs()) {
      for (std::size_t g = 0; g < kGroups; g += hn::Lanes(d16)) {
        hn::Store(hn::Mul(hn::Load(d16, pairs + g), factor), d16, out.min_pairs + g);
      }
    }
    if constexpr (kLayout.scales == TileScales::kInteger) {
      const hn::CappedTag<std::int32_t, kGroups> d32;
      const hn::Rebind<std::int16_t, decltype(d32)> dh;
      for (std::size_t g = 0; g < kGroups; g += hn::Lanes(d32)) {
        const auto v = hn::PromoteTo(d32, hn::Load(dh, integers.scales + g));
        hn::Store(hn::Or(hn::And(v, hn::Set(d32, 0xFFFF)), hn::ShiftLeft<16>(v)), d32,
                  out.scale_pairs + g);
      }
    }
    out.super[0] = integers.d;
    out.super[1] = kLayout.minima ? integers.dmin : 0.0f;
  }
  if constexpr (!kLayout.super_scale()) {
    for (std::size_t b = 0; b < count / Format::kBlock; ++b) {
      Format::Scales(blocks + b * kBytes, out.scales + b * kGroups, out.mins + b * kGroups);
    }
  }

  std::size_t b = 0;
  if constexpr (Format::kBlock == 32 && hn::MaxLanes(Bytes()) == 64) {
    const Bytes two;
    for (; b + 2 <= count / 32; b += 2) {
      StoreQuants<T>(two, Format::TwoBlocks(two, blocks + b * kBytes, blocks + (b + 1) * kBytes),
                     out.q, b * 32);
    }
  }
  for (; b < count / Format::kBlock; ++b) {
    BRINK_UNROLL_LOOP(16)
    for (std::size_t k = 0; k < Format::kBlock; k += hn::Lanes(d8)) {
      StoreQuants<T>(d8, Format::Quants(d8, blocks + b * kBytes, k), out.q, b * Format::kBlock + k);
    }
  }
}

// Transposes 4 rows of `words` 32-bit words (rows `stride` words apart) into columns of `to`, which
// are kPanelRows words apart.
HWY_INLINE void TransposeWords(const std::int32_t* HWY_RESTRICT from, std::size_t stride,
                               std::size_t words, std::int32_t* HWY_RESTRICT to) {
  const hn::FixedTag<std::int32_t, 4> d;
  const hn::FixedTag<std::int64_t, 2> d64;
  for (std::size_t i = 0; i < words; i += 4) {
    const auto a = hn::LoadU(d, from + i);
    const auto b = hn::LoadU(d, from + stride + i);
    const auto c = hn::LoadU(d, from + 2 * stride + i);
    const auto e = hn::LoadU(d, from + 3 * stride + i);
    const auto ab_low = hn::BitCast(d64, hn::InterleaveLower(d, a, b));
    const auto ce_low = hn::BitCast(d64, hn::InterleaveLower(d, c, e));
    const auto ab_high = hn::BitCast(d64, hn::InterleaveUpper(d, a, b));
    const auto ce_high = hn::BitCast(d64, hn::InterleaveUpper(d, c, e));
    std::int32_t* HWY_RESTRICT column = to + i * kPanelRows;
    hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, ab_low, ce_low)), d, column);
    hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, ab_low, ce_low)), d, column + kPanelRows);
    hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, ab_high, ce_high)), d,
               column + 2 * kPanelRows);
    hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, ab_high, ce_high)), d,
               column + 3 * kPanelRows);
  }
}

using UnpackUnitFn = void (*)(const std::uint8_t*, std::size_t, RowUnit&);

// Unpacks `count` columns from `column` on of rows [first, end) into `tile`; missing rows are zero.
// `groups` is the number of groups of a unit.
HWY_NOINLINE void UnpackTile(const WeightMatrix& w, UnpackUnitFn unpack, const TileLayout& layout,
                             std::size_t groups, std::size_t first, std::size_t end,
                             std::size_t column, std::size_t count, Q8Tile& tile) {
  const TensorTypeSize& size = size_of(w.type);
  const std::size_t offset = column / size.block_size * size.block_bytes;
  RowUnit units[4];
  constexpr std::size_t kStride = sizeof(RowUnit) / 4;
  for (std::size_t r = 0; r < kPanelRows; r += 4) {
    for (std::size_t i = 0; i < 4; ++i) {
      if (first + r + i < end) {
        unpack(w.row(first + r + i) + offset, count, units[i]);
      } else {
        std::memset(static_cast<void*>(&units[i]), 0, sizeof(RowUnit));
      }
    }
    const auto transpose = [&](const void* from, std::size_t words, void* to) {
      TransposeWords(static_cast<const std::int32_t*>(from), kStride, words,
                     static_cast<std::int32_t*>(to) + r);
    };
    transpose(units[0].q, TileWords(layout), tile.words);
    if (!layout.super_scale()) transpose(units[0].scales, groups, tile.scales);
    if (layout.scales == TileScales::kPer32 && layout.minima) {
      transpose(units[0].mins, groups, tile.mins);
    }
    if (layout.scales == TileScales::kInteger) {
      transpose(units[0].scale_pairs, groups, tile.scale_pairs);
    }
    if (layout.min_pairs()) transpose(units[0].min_pairs, groups / 2, tile.min_pairs);
    if (layout.super_scale() || layout.min_pairs()) transpose(units[0].super, 4, tile.super);
  }
}

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
