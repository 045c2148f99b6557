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

#if BRINK_HAVE_VNNI
using TileElement = std::int8_t;
#else
using TileElement = std::int16_t;
#endif
inline constexpr std::size_t kTileWords = kUnit * sizeof(TileElement) / 4;  // per row

// An unpacked unit of a panel.
struct Q8Tile {
  alignas(64) std::int32_t words[kTileWords * kPanelRows];  // [word][row]
  alignas(64) float scales[kMaxGroups * kPanelRows];        // [group][row]
  alignas(64) float mins[kMaxGroups * kPanelRows];          // [group][row]
  alignas(64) std::int32_t start[kMaxGroups * kPanelRows];  // [group][row] accumulator's start
};

// A unit of one row of quants less their offset, as unpacked by UnpackUnit.
struct RowUnit {
  alignas(64) TileElement q[kUnit];
  alignas(64) float scales[kMaxGroups];
  alignas(64) float mins[kMaxGroups];
};

// `count` weights from `blocks` on; the rest of the unit is zero.
template <TensorType T>
HWY_NOINLINE void UnpackUnit(const std::uint8_t* HWY_RESTRICT blocks, std::size_t count,
                             RowUnit& out) {
  using Format = Unpack<T>;
  constexpr std::size_t kBytes = size_of(T).block_bytes;
  constexpr std::size_t kGroups = Format::kBlock / Format::kGroup;
  const hn::CappedTag<std::uint8_t, (Format::kBlock < 64 ? Format::kBlock : 64)> d8;
  const hn::RebindToSigned<decltype(d8)> ds8;
  if (count < kUnit) std::memset(static_cast<void*>(&out), 0, sizeof(out));
  for (std::size_t b = 0; b < count / Format::kBlock; ++b, blocks += kBytes) {
    Format::Scales(blocks, out.scales + b * kGroups, out.mins + b * kGroups);
    BRINK_UNROLL_LOOP(16)
    for (std::size_t k = 0; k < Format::kBlock; k += hn::Lanes(d8)) {
      const auto q = hn::Sub(hn::BitCast(ds8, Format::Quants(d8, blocks, k)),
                             hn::Set(ds8, static_cast<std::int8_t>(Format::kOffset)));
      TileElement* HWY_RESTRICT to = out.q + b * Format::kBlock + k;
#if BRINK_HAVE_VNNI
      hn::StoreU(q, ds8, to);
#else
      const hn::Half<decltype(ds8)> half;
      const hn::Rebind<std::int16_t, decltype(half)> d16;
      hn::StoreU(hn::PromoteTo(d16, hn::LowerHalf(half, q)), d16, to);
      hn::StoreU(hn::PromoteTo(d16, hn::UpperHalf(half, q)), d16, to + hn::Lanes(half));
#endif
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
// `group` is the type's weights per scale.
HWY_NOINLINE void UnpackTile(const WeightMatrix& w, UnpackUnitFn unpack, std::size_t group,
                             bool has_min, std::size_t first, std::size_t end, std::size_t column,
                             std::size_t count, Q8Tile& tile) {
  const TensorTypeSize& size = size_of(w.type);
  const std::size_t offset = column / size.block_size * size.block_bytes;
  const std::size_t groups = kUnit / group;
  RowUnit units[4];
  for (std::size_t r = 0; r < kPanelRows; r += 4) {
    for (std::size_t i = 0; i < 4; ++i) {
      if (first + r + i < end) {
        unpack(w.row(first + r + i) + offset, count, units[i]);
      } else {
        std::memset(static_cast<void*>(&units[i]), 0, sizeof(RowUnit));
      }
    }
    constexpr std::size_t kStride = sizeof(RowUnit) / 4;
    const auto* base = reinterpret_cast<const std::int32_t*>(&units[0]);
    TransposeWords(base, kStride, kTileWords, tile.words + r);
    TransposeWords(base + kTileWords, kStride, groups,
                   reinterpret_cast<std::int32_t*>(tile.scales) + r);
    if (has_min) {
      TransposeWords(base + kTileWords + kMaxGroups, kStride, groups,
                     reinterpret_cast<std::int32_t*>(tile.mins) + r);
    }
  }
#if BRINK_HAVE_VNNI
  // Activations come as q + 128, so each dot product starts from -128 * (sum of the weights).
  const Rows d;
  const hn::Repartition<std::uint8_t, Rows> d8;
  const hn::Repartition<std::int8_t, Rows> ds8;
  for (std::size_t g = 0; g < groups; ++g) {
    for (std::size_t p = 0; p < kPanelRows; p += kRowLanes) {
      auto sum = hn::Zero(d);
      for (std::size_t k = g * group / 4; k < (g + 1) * group / 4; ++k) {
        sum = DotU8S8(d, sum, hn::Set(d8, 1),
                      hn::BitCast(ds8, hn::Load(d, tile.words + k * kPanelRows + p)));
      }
      hn::Store(hn::Neg(hn::ShiftLeft<7>(sum)), d, tile.start + g * kPanelRows + p);
    }
  }
#endif
}

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
