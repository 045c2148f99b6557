// Unpack steps of the codebook types IQ1, IQ2 and IQ3 (contract: unpack-inl.h; layouts:
// quant/i_quants.h). Included once per pass by kernels-inl.h.
//
// A vector of quants is put together from codebook points of 8 or 4 bytes, each found by one scalar
// load. Inserting them into registers beats a gather (which costs as many loads and more) and a
// detour over memory (eight narrow stores cannot be forwarded to one wide load).

#include "brink/quant/i_quant_grids.h"
#include "brink/quant/i_quants.h"

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

// Sixteen bytes from two or four words, the first in the lowest bytes.
template <class D8>
HWY_INLINE hn::Vec<D8> Bytes16(D8 d, std::uint64_t a, std::uint64_t b) {
#if HWY_ARCH_X86
  (void)d;
  return hn::Vec<D8>{_mm_set_epi64x(static_cast<long long>(b), static_cast<long long>(a))};
#else
  alignas(16) const std::uint64_t words[2] = {a, b};
  return hn::Load(d, reinterpret_cast<const std::uint8_t*>(words));
#endif
}
template <class D8>
HWY_INLINE hn::Vec<D8> Bytes16(D8 d, std::uint32_t a, std::uint32_t b, std::uint32_t c,
                               std::uint32_t e) {
#if HWY_ARCH_X86
  (void)d;
  return hn::Vec<D8>{_mm_set_epi32(static_cast<int>(e), static_cast<int>(c), static_cast<int>(b),
                                   static_cast<int>(a))};
#else
  alignas(16) const std::uint32_t words[4] = {a, b, c, e};
  return hn::Load(d, reinterpret_cast<const std::uint8_t*>(words));
#endif
}

// The codebook points of Lanes(d) weights from weight k on. Format::Point(block, k) is the one that
// starts with weight k, as u64 or u32.
template <class Format, class D8>
HWY_INLINE hn::Vec<D8> GridPoints(D8 d, const std::uint8_t* HWY_RESTRICT block, std::size_t k) {
  if constexpr (hn::MaxLanes(D8()) > 16) {
    const hn::Half<D8> half;
    return hn::Combine(d, GridPoints<Format>(half, block, k + hn::MaxLanes(half)),
                       GridPoints<Format>(half, block, k));
  } else if constexpr (sizeof(Format::Point(block, k)) == 8) {
    return Bytes16(d, Format::Point(block, k), Format::Point(block, k + 8));
  } else {
    return Bytes16(d, Format::Point(block, k), Format::Point(block, k + 4),
                   Format::Point(block, k + 8), Format::Point(block, k + 12));
  }
}

// offset + magnitude, or offset - magnitude where the weight's bit is set.
template <class D8>
HWY_INLINE hn::Vec<D8> WithSigns(D8 d, hn::Vec<D8> magnitudes,
                                 const std::uint8_t* HWY_RESTRICT bits, int offset) {
  const auto zero = hn::Set(d, static_cast<std::uint8_t>(offset));
  return hn::IfThenElse(hn::LoadMaskBits(d, bits), hn::Sub(zero, magnitudes),
                        hn::Add(zero, magnitudes));
}
template <class D8>
HWY_INLINE hn::Vec<D8> WithSigns(D8 d, hn::Vec<D8> magnitudes, std::uint64_t bits, int offset) {
  return WithSigns(d, magnitudes, reinterpret_cast<const std::uint8_t*>(&bits), offset);
}

// Bit 7 of every byte: the parity of its seven lower bits. Folding a byte onto itself leaves its
// parity in bit 0; what comes in from the next byte never gets that low.
HWY_INLINE std::uint64_t CompleteEvenSigns(std::uint64_t sevens) {
  std::uint64_t parity = sevens ^ sevens >> 4;
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  return sevens | (parity & 0x0101010101010101u) << 7;
}

// Four times seven bits of each u32, one in each byte and completed.
HWY_INLINE std::uint64_t SpreadEvenSigns(std::uint64_t bits) {
  return CompleteEvenSigns((bits & 0x0000007F0000007Fu) | (bits << 1 & 0x00007F0000007F00u) |
                           (bits << 2 & 0x007F0000007F0000u) | (bits << 3 & 0x7F0000007F000000u));
}

// scales[i] = factor * (2 * s[i] + 1) for 16 nibbles s, low ones first.
HWY_INLINE void OddNibbleScales16(const std::uint8_t* HWY_RESTRICT nibbles, float factor,
                                  float* HWY_RESTRICT scales) {
  const hn::FixedTag<std::uint8_t, 16> d;
  const std::uint64_t packed = LoadAs<std::uint64_t>(nibbles);
  const auto both = Bytes16(d, packed, packed);
  const auto s = hn::InterleaveLower(d, hn::And(both, hn::Set(d, 15)), hn::ShiftRight<4>(both));
  ScaleBytes16(hn::Or(hn::Add(s, s), hn::Set(d, 1)), factor, scales);
}

// scales[i] = factor * (2 * s[i] + 1) for 8 four-bit s at the top of words[first + stride * i].
template <std::size_t kStride>
HWY_INLINE void OddTopScales8(const std::uint8_t* HWY_RESTRICT words, float factor,
                              float* HWY_RESTRICT scales) {
  const hn::CappedTag<float, 8> df;
  const hn::RebindToSigned<decltype(df)> di;
  const hn::RebindToUnsigned<decltype(df)> du;
  const hn::Repartition<std::uint8_t, decltype(df)> d8;
  const std::size_t bytes = hn::Lanes(d8);
  for (std::size_t i = 0; i < 8; i += hn::Lanes(df)) {
    auto w = hn::BitCast(du, hn::LoadU(d8, words + 4 * kStride * i));
    if constexpr (kStride == 2)
      w = hn::ConcatOdd(du, hn::BitCast(du, hn::LoadU(d8, words + 8 * i + bytes)), w);
    const auto odd = hn::Or(hn::And(hn::ShiftRight<27>(w), hn::Set(du, 30)), hn::Set(du, 1));
    hn::StoreU(hn::Mul(hn::Set(df, factor), hn::ConvertTo(df, hn::BitCast(di, odd))), df,
               scales + i);
  }
}

// --- IQ1: q = 8 t + 1 or 8 t - 1, the scale is divided by 8 (exactly) ----------------------------

inline constexpr int kIq1Offset = 9;  // the grid has 8 t + 8; 2 or 0 is added

template <>
struct Unpack<TensorType::kIQ1_S> {
  static constexpr std::size_t kBlock = 256, kGroup = 32;
  static constexpr int kOffset = kIq1Offset;
  static constexpr bool kHasMin = false, kSigned = false;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT) {
    const hn::CappedTag<float, 8> df;
    const hn::RebindToSigned<decltype(df)> di;
    const hn::Rebind<std::uint16_t, decltype(df)> d16;
    const auto factor = hn::Set(df, LoadF16(block) * 0.125f);
    alignas(16) std::uint16_t qh[8];
    std::memcpy(qh, block + 34, sizeof(qh));
    for (std::size_t i = 0; i < 8; i += hn::Lanes(df)) {
      const auto shifted = hn::ShiftRight<11>(hn::PromoteTo(di, hn::LoadU(d16, qh + i)));
      const auto odd = hn::Or(hn::And(shifted, hn::Set(di, 14)), hn::Set(di, 1));
      hn::StoreU(hn::Mul(factor, hn::ConvertTo(df, odd)), df, scales + i);
    }
  }
  static HWY_INLINE std::uint64_t Point(const std::uint8_t* HWY_RESTRICT block, std::size_t k) {
    const std::size_t qh = LoadAs<std::uint16_t>(block + 34 + k / 32 * 2);
    return quant::kIq1Grid[block[2 + k / 8] | (qh >> (k % 32 / 8 * 3) & 7) << 8];
  }
  // 2 where delta is positive; one sign for 32 weights.
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Deltas(D8 d, const std::uint8_t* HWY_RESTRICT block,
                                       std::size_t k) {
    if constexpr (hn::MaxLanes(D8()) == 64) {
      const hn::Half<D8> half;
      return hn::Combine(d, Deltas(half, block, k + 32), Deltas(half, block, k));
    } else {
      const std::uint8_t high = block[35 + k / 32 * 2];
      return hn::Set(d, static_cast<std::uint8_t>((high >> 6 & 2) ^ 2));
    }
  }
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Quants(D8 d, const std::uint8_t* HWY_RESTRICT block,
                                       std::size_t k) {
    return hn::Add(GridPoints<Unpack>(d, block, k), Deltas(d, block, k));
  }
};

template <>
struct Unpack<TensorType::kIQ1_M> {
  static constexpr std::size_t kBlock = 256, kGroup = 16;
  static constexpr int kOffset = kIq1Offset;
  static constexpr bool kHasMin = false, kSigned = false;

  // Two u16 of four three-bit numbers each, as eight bytes 2 s + 1.
  static HWY_INLINE std::uint64_t OddScales(std::uint64_t two) {
    const std::uint64_t s = (two & 0xFFFu) | (two & 0xFFF0000u) << 16;
    const std::uint64_t doubled = (s << 1 & 0x0000000E0000000Eu) | (s << 6 & 0x00000E0000000E00u) |
                                  (s << 11 & 0x000E0000000E0000u) | (s << 16 & 0x0E0000000E000000u);
    return doubled | 0x0101010101010101u;
  }
  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT) {
    const std::uint64_t packed = LoadAs<std::uint64_t>(block + 48);
    const std::uint64_t tops = packed & 0xF000F000F000F000u;
    const std::uint16_t super_scale =
        static_cast<std::uint16_t>(tops >> 12 | tops >> 24 | tops >> 36 | tops >> 48);
    const hn::FixedTag<std::uint8_t, 16> d;
    std::uint8_t f16[2];
    std::memcpy(f16, &super_scale, 2);
    ScaleBytes16(Bytes16(d, OddScales(packed), OddScales(packed >> 32)), LoadF16(f16) * 0.125f,
                 scales);
  }
  static HWY_INLINE std::uint64_t Point(const std::uint8_t* HWY_RESTRICT block, std::size_t k) {
    const std::size_t high = block[32 + k / 16] >> (k % 16 / 8 * 4) & 7;
    return quant::kIq1Grid[block[k / 8] | high << 8];
  }
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Quants(D8 d, const std::uint8_t* HWY_RESTRICT block,
                                       std::size_t k) {
    // One sign of delta for 8 weights: bit 3 of each nibble of qh, packed to one bit a u64 lane.
    std::uint32_t nibbles = 0;
    std::memcpy(&nibbles, block + 32 + k / 16, hn::MaxLanes(d) / 16);
    std::uint32_t plus = ~nibbles >> 3 & 0x11111111u;
    plus = (plus | plus >> 3) & 0x03030303u;
    plus = (plus | plus >> 6) & 0x000F000Fu;
    const std::uint8_t bits = static_cast<std::uint8_t>(plus | plus >> 12);
    const hn::Repartition<std::uint64_t, D8> d64;
    const auto deltas =
        hn::IfThenElseZero(hn::LoadMaskBits(d64, &bits), hn::Set(d64, 0x0202020202020202u));
    return hn::Add(GridPoints<Unpack>(d, block, k), hn::BitCast(d, deltas));
  }
};

// --- IQ2: magnitudes 8, 25 and 43 ----------------------------------------------------------------

inline constexpr int kIq2Offset = 43;

template <>
struct Unpack<TensorType::kIQ2_XXS> {
  static constexpr std::size_t kBlock = 256, kGroup = 32;
  static constexpr int kOffset = kIq2Offset;
  static constexpr bool kHasMin = false, kSigned = false;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT) {
    OddTopScales8<2>(block + 2, LoadF16(block) * 0.125f, scales);
  }
  static HWY_INLINE std::uint64_t Point(const std::uint8_t* HWY_RESTRICT block, std::size_t k) {
    return quant::kIq2XxsGrid[block[2 + k / 32 * 8 + k % 32 / 8]];
  }
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Quants(D8 d, const std::uint8_t* HWY_RESTRICT block,
                                       std::size_t k) {
    const std::uint8_t* group = block + 2 + k / 32 * 8;
    std::uint64_t bits = LoadAs<std::uint32_t>(group + 4);
    if constexpr (hn::MaxLanes(D8()) == 64)
      bits |= static_cast<std::uint64_t>(LoadAs<std::uint32_t>(group + 12)) << 32;
    return WithSigns(d, GridPoints<Unpack>(d, block, k), SpreadEvenSigns(bits) >> (k % 32),
                     kOffset);
  }
};

template <>
struct Unpack<TensorType::kIQ2_XS> {
  static constexpr std::size_t kBlock = 256, kGroup = 16;
  static constexpr int kOffset = kIq2Offset;
  static constexpr bool kHasMin = false, kSigned = false;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT) {
    OddNibbleScales16(block + 66, LoadF16(block) * 0.125f, scales);
  }
  static HWY_INLINE std::uint64_t Point(const std::uint8_t* HWY_RESTRICT block, std::size_t k) {
    return quant::kIq2XsGrid[LoadAs<std::uint16_t>(block + 2 + k / 4) & 511];
  }
  // The sign fields of four u16 (or fewer), one in each byte.
  static HWY_INLINE std::uint64_t SignFields(std::uint64_t words) {
    std::uint64_t s = words >> 9 & 0x007F007F007F007Fu;
    s = (s | s >> 8) & 0x0000FFFF0000FFFFu;
    return (s | s >> 16) & 0xFFFFFFFFu;
  }
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Quants(D8 d, const std::uint8_t* HWY_RESTRICT block,
                                       std::size_t k) {
    const std::uint8_t* qs = block + 2 + k / 4;
    std::uint64_t sevens;
    if constexpr (hn::MaxLanes(D8()) == 16) {
      sevens = SignFields(LoadAs<std::uint32_t>(qs));
    } else if constexpr (hn::MaxLanes(D8()) == 32) {
      sevens = SignFields(LoadAs<std::uint64_t>(qs));
    } else {
      sevens = SignFields(LoadAs<std::uint64_t>(qs)) | SignFields(LoadAs<std::uint64_t>(qs + 8))
                                                           << 32;
    }
    return WithSigns(d, GridPoints<Unpack>(d, block, k), CompleteEvenSigns(sevens), kOffset);
  }
};

template <>
struct Unpack<TensorType::kIQ2_S> {
  static constexpr std::size_t kBlock = 256, kGroup = 16;
  static constexpr int kOffset = kIq2Offset;
  static constexpr bool kHasMin = false, kSigned = false;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT) {
    OddNibbleScales16(block + 74, LoadF16(block) * 0.125f, scales);
  }
  static HWY_INLINE std::uint64_t Point(const std::uint8_t* HWY_RESTRICT block, std::size_t k) {
    const std::size_t high = block[66 + k / 32] >> (k % 32 / 8 * 2) & 3;
    return quant::kIq2SGrid[block[2 + k / 8] | high << 8];
  }
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Quants(D8 d, const std::uint8_t* HWY_RESTRICT block,
                                       std::size_t k) {
    return WithSigns(d, GridPoints<Unpack>(d, block, k), block + 34 + k / 8, kOffset);
  }
};

// --- IQ3 -----------------------------------------------------------------------------------------

template <>
struct Unpack<TensorType::kIQ3_XXS> {
  static constexpr std::size_t kBlock = 256, kGroup = 32;
  static constexpr int kOffset = 62;  // the largest magnitude
  static constexpr bool kHasMin = false, kSigned = false;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT) {
    OddTopScales8<1>(block + 66, LoadF16(block) * 0.25f, scales);
  }
  static HWY_INLINE std::uint32_t Point(const std::uint8_t* HWY_RESTRICT block, std::size_t k) {
    return quant::kIq3XxsGrid[block[2 + k / 4]];
  }
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Quants(D8 d, const std::uint8_t* HWY_RESTRICT block,
                                       std::size_t k) {
    const std::uint8_t* group = block + 66 + k / 32 * 4;
    std::uint64_t bits;
    if constexpr (hn::MaxLanes(D8()) == 64) {
      bits = LoadAs<std::uint64_t>(group);
    } else {
      bits = LoadAs<std::uint32_t>(group);
    }
    return WithSigns(d, GridPoints<Unpack>(d, block, k), SpreadEvenSigns(bits) >> (k % 32),
                     kOffset);
  }
};

template <>
struct Unpack<TensorType::kIQ3_S> {
  static constexpr std::size_t kBlock = 256, kGroup = 32;
  static constexpr int kOffset = 15;
  static constexpr bool kHasMin = false, kSigned = false;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT) {
    std::uint64_t s = LoadAs<std::uint32_t>(block + 106);
    s = (s | s << 16) & 0x0000FFFF0000FFFFu;
    s = (s | s << 8) & 0x00FF00FF00FF00FFu;
    s = (s | s << 4) & 0x0F0F0F0F0F0F0F0Fu;
    s = s << 1 | 0x0101010101010101u;
    ScaleBytes8<std::uint8_t>(s, LoadF16(block), scales);
  }
  static HWY_INLINE std::uint32_t Point(const std::uint8_t* HWY_RESTRICT block, std::size_t k) {
    const std::size_t high = block[66 + k / 32] >> (k % 32 / 4) & 1;
    return quant::kIq3SGrid[block[2 + k / 4] | high << 8];
  }
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Quants(D8 d, const std::uint8_t* HWY_RESTRICT block,
                                       std::size_t k) {
    return WithSigns(d, GridPoints<Unpack>(d, block, k), block + 74 + k / 8, kOffset);
  }
};

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
