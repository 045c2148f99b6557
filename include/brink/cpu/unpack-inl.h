// Unpack steps: what a format has to say about itself so that the frames (decoding, matrix-vector
// and matrix-matrix products) can be written once. Included once per pass by kernels-inl.h.
//
// A specialisation of Unpack<T> has
//   kBlock    weights per block
//   kGroup    weights per scale, 16 or 32 (a block with one scale for more repeats it)
//   kOffset   the quant stored is q + kOffset, so that it is unsigned
//   kHasMin   whether there is a minimum
//   kSigned   quants are int8 of the full range instead of 0..127
//   Scales()  scales[g] and mins[g] of a block such that each weight is exactly
//             scales[g] * float(q - kOffset) - mins[g], each operation rounded
//   TwoBlocks()  (blocks of 32 only) 64 quants, those of two neighbouring blocks
//   Quants()  Lanes(d) consecutive quants from weight k on; Lanes(d) is 16, 32 or 64 and divides k
//             and the block
// Formats are described in docs/formats.md.

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

template <TensorType T>
struct Unpack;

// 32 less in every byte (0..63), as int8; setting bit 7 first keeps borrows apart.
HWY_INLINE std::uint64_t BytesLess32(std::uint64_t bytes) {
  return ((bytes | 0x8080808080808080u) - 0x2020202020202020u) ^ 0x8080808080808080u;
}

// Most 32-weight formats store weight i and i + 16 in the low and high nibble of byte i.
template <class D8>
HWY_INLINE hn::Vec<D8> NibblePairs16(D8 d, const std::uint8_t* HWY_RESTRICT qs, std::size_t k) {
  const hn::Half<D8> half;
  if constexpr (hn::MaxLanes(D8()) == 32) {
    const auto bytes = hn::LoadU(half, qs);
    return hn::Combine(d, hn::ShiftRight<4>(bytes), hn::And(bytes, hn::Set(half, 15)));
  } else {
    const auto bytes = hn::LoadU(d, qs);
    return k == 0 ? hn::And(bytes, hn::Set(d, 15)) : hn::ShiftRight<4>(bytes);
  }
}

// Two such blocks side by side, whose nibbles start at `first` and `second`.
template <class D64>
HWY_INLINE hn::Vec<D64> NibblePairs16Twice(D64 d, const std::uint8_t* HWY_RESTRICT first,
                                           const std::uint8_t* HWY_RESTRICT second) {
#if HWY_TARGET == HWY_AVX3
  const __m512i a =
      _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(first)));
  const __m512i both = _mm512_mask_broadcast_i32x4(
      a, 0xFF00, _mm_loadu_si128(reinterpret_cast<const __m128i*>(second)));
  const __m512i shifts = _mm512_set_epi64(4, 4, 0, 0, 4, 4, 0, 0);
  return hn::And(hn::Vec<D64>{_mm512_srlv_epi64(both, shifts)}, hn::Set(d, 15));
#else
  const hn::Half<D64> half;
  return hn::Combine(d, NibblePairs16(half, second, 0), NibblePairs16(half, first, 0));
#endif
}

// bits[i] ? value : 0 for Lanes(d) consecutive bits.
template <class D8>
HWY_INLINE hn::Vec<D8> BitsToBytes(D8 d, const std::uint8_t* HWY_RESTRICT bits,
                                   std::uint8_t value) {
  return hn::IfThenElseZero(hn::LoadMaskBits(d, bits), hn::Set(d, value));
}

// Bits of two blocks to bytes of 0 or 16.
template <class D64>
HWY_INLINE hn::Vec<D64> TwoBitsToBytes(D64 d, std::uint32_t a, std::uint32_t b) {
#if HWY_TARGET == HWY_AVX3
  const __mmask64 bits = a | static_cast<std::uint64_t>(b) << 32;
  return hn::Vec<D64>{_mm512_maskz_mov_epi8(bits, hn::Set(d, 16).raw)};
#else
  alignas(8) std::uint32_t bits[2] = {a, b};
  return BitsToBytes(d, reinterpret_cast<const std::uint8_t*>(bits), 16);
#endif
}

// Blocks of 32 weights that start with an f16 scale.
template <int kOffsetOfType, bool kSignedType>
struct ScaledBlock32 {
  static constexpr std::size_t kBlock = 32, kGroup = 32;
  static constexpr int kOffset = kOffsetOfType;
  static constexpr bool kHasMin = false, kSigned = kSignedType;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT) {
    scales[0] = LoadF16(block);
  }
};

// Those with an f16 minimum after it, which is added.
struct ScaledBlock32WithMin {
  static constexpr std::size_t kBlock = 32, kGroup = 32;
  static constexpr int kOffset = 0;
  static constexpr bool kHasMin = true, kSigned = false;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT mins) {
    scales[0] = LoadF16(block);
    mins[0] = -LoadF16(block + 2);
  }
};

// Q4_0 to Q5_1: `Base` says what the block starts with; then, with kFifthBit, 32 bits that belong
// on top of the nibbles, then the nibbles.
template <class Base, bool kFifthBit>
struct NibbleBlock32 : Base {
  static constexpr std::size_t kBits = Base::kHasMin ? 4 : 2;
  static constexpr std::size_t kNibbles = kBits + (kFifthBit ? 4 : 0);

  template <class D8>
  static HWY_INLINE hn::Vec<D8> Quants(D8 d, const std::uint8_t* HWY_RESTRICT block,
                                       std::size_t k) {
    const auto low = NibblePairs16(d, block + kNibbles, k);
    if constexpr (kFifthBit) {
      return hn::Or(low, BitsToBytes(d, block + kBits + k / 8, 16));
    } else {
      return low;
    }
  }
  template <class D64>
  static HWY_INLINE hn::Vec<D64> TwoBlocks(D64 d, const std::uint8_t* HWY_RESTRICT a,
                                           const std::uint8_t* HWY_RESTRICT b) {
    const auto low = NibblePairs16Twice(d, a + kNibbles, b + kNibbles);
    if constexpr (kFifthBit) {
      return hn::Or(low, TwoBitsToBytes(d, LoadAs<std::uint32_t>(a + kBits),
                                        LoadAs<std::uint32_t>(b + kBits)));
    } else {
      return low;
    }
  }
};

template <>
struct Unpack<TensorType::kQ4_0> : NibbleBlock32<ScaledBlock32<8, false>, false> {};
template <>
struct Unpack<TensorType::kQ4_1> : NibbleBlock32<ScaledBlock32WithMin, false> {};
template <>
struct Unpack<TensorType::kQ5_0> : NibbleBlock32<ScaledBlock32<16, false>, true> {};
template <>
struct Unpack<TensorType::kQ5_1> : NibbleBlock32<ScaledBlock32WithMin, true> {};

template <>
struct Unpack<TensorType::kQ8_0> : ScaledBlock32<0, true> {
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Quants(D8 d, const std::uint8_t* HWY_RESTRICT block,
                                       std::size_t k) {
    return hn::LoadU(d, block + 2 + k);
  }
  template <class D64>
  static HWY_INLINE hn::Vec<D64> TwoBlocks(D64 d, const std::uint8_t* HWY_RESTRICT a,
                                           const std::uint8_t* HWY_RESTRICT b) {
    return hn::Combine(d, hn::LoadU(hn::Half<D64>(), b + 2), hn::LoadU(hn::Half<D64>(), a + 2));
  }
};

// The 16 levels of the IQ4 formats, repeated in all 128-bit lanes.
template <class D8>
HWY_INLINE hn::Vec<D8> Iq4Table(D8 d) {
  alignas(16) static constexpr std::int8_t kLevels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                          1,    13,   25,  38,  53,  69,  89,  113};
  return hn::BitCast(d, hn::LoadDup128(hn::RebindToSigned<D8>(), kLevels));
}

template <class D8>
HWY_INLINE hn::Vec<D8> Iq4Levels(D8 d, hn::Vec<D8> indices) {
  return hn::TableLookupBytes(Iq4Table(d), indices);
}

template <>
struct Unpack<TensorType::kIQ4_NL> : ScaledBlock32<0, true> {
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Quants(D8 d, const std::uint8_t* HWY_RESTRICT block,
                                       std::size_t k) {
    return Iq4Levels(d, NibblePairs16(d, block + 2, k));
  }
  template <class D64>
  static HWY_INLINE hn::Vec<D64> TwoBlocks(D64 d, const std::uint8_t* HWY_RESTRICT a,
                                           const std::uint8_t* HWY_RESTRICT b) {
    return Iq4Levels(d, NibblePairs16Twice(d, a + 2, b + 2));
  }
};

template <>
struct Unpack<TensorType::kIQ4_XS> {
  static constexpr std::size_t kBlock = 256, kGroup = 32;
  static constexpr int kOffset = 0;
  static constexpr bool kHasMin = false, kSigned = true;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT) {
    // 8 scales of 6 bits: nibbles of scales_l, 2-bit fields of scales_h. Spread both to bytes.
    const std::uint64_t high = LoadAs<std::uint16_t>(block + 2);
    const std::uint64_t low = LoadAs<std::uint32_t>(block + 4);
    std::uint64_t l = (low | low << 16) & 0x0000FFFF0000FFFFu;
    l = (l | l << 8) & 0x00FF00FF00FF00FFu;
    l = (l | l << 4) & 0x0F0F0F0F0F0F0F0Fu;
    std::uint64_t h = (high | high << 24) & 0x000000FF000000FFu;
    h = (h | h << 12) & 0x000F000F000F000Fu;
    h = (h | h << 6) & 0x0303030303030303u;
    ScaleBytes8<std::int8_t>(BytesLess32(l | h << 4), LoadF16(block), scales);
  }
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Quants(D8 d, const std::uint8_t* HWY_RESTRICT block,
                                       std::size_t k) {
    const std::uint8_t* HWY_RESTRICT qs = block + 8 + k / 32 * 16;
    if constexpr (hn::MaxLanes(D8()) == 64) {
      return Iq4Levels(d, NibblePairs16Twice(d, qs, qs + 16));
    } else {
      return Iq4Levels(d, NibblePairs16(d, qs, k % 32));
    }
  }
};

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
