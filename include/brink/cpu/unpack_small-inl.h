// Unpack steps of the ternary types, the 4-bit floats and the types of one and two bits (contract:
// unpack-inl.h; layouts: quant/ternary.h, fp4.h, small.h). Included once per pass by kernels-inl.h.

#include "brink/quant/fp4.h"

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

// --- Ternary -------------------------------------------------------------------------------------

// Bytes times a power of 3 modulo 256, given as u16 lanes: the low byte of a 16-bit product depends
// on the low byte of its factors alone, and so does the high one when the low byte is cleared.
template <class D8, class V16>
HWY_INLINE hn::Vec<D8> MultiplyBytes(D8 d, hn::Vec<D8> bytes, V16 factors) {
  const hn::Repartition<std::uint16_t, D8> d16;
  const auto high = hn::Set(d16, 0xFF00);
  const auto b = hn::BitCast(d16, bytes);
  return hn::BitCast(
      d, hn::Or(hn::AndNot(high, hn::Mul(b, factors)), hn::Mul(hn::And(high, b), factors)));
}

// 3 b >> 8, counted out: it reaches 1 at b = 86 and 2 at b = 171.
template <class D8>
HWY_INLINE hn::Vec<D8> LeadingTrit(D8 d, hn::Vec<D8> bytes) {
  const auto one = hn::Set(d, 1);
  return hn::Add(hn::Min(hn::SaturatedSub(bytes, hn::Set(d, 85)), one),
                 hn::Min(hn::SaturatedSub(bytes, hn::Set(d, 170)), one));
}

template <>
struct Unpack<TensorType::kTQ1_0> {
  static constexpr std::size_t kBlock = 256, kGroup = 32;
  static constexpr int kOffset = 1;
  static constexpr bool kHasMin = false, kSigned = false;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT) {
    const float d = LoadF16(block + 52);
    for (std::size_t g = 0; g < 8; ++g) scales[g] = d;
  }
  // Digit n of consecutive bytes.
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Digits(D8 d, const std::uint8_t* HWY_RESTRICT bytes,
                                       std::size_t n) {
    constexpr std::uint16_t kPowers[5] = {1, 3, 9, 27, 81};
    const hn::Repartition<std::uint16_t, D8> d16;
    return LeadingTrit(d, MultiplyBytes(d, hn::LoadU(d, bytes), hn::Set(d16, kPowers[n])));
  }
  // The 16 weights of the last four bytes: four digits of each.
  template <class D8>
  static HWY_INLINE hn::Vec<D8> LastDigits(D8 d, const std::uint8_t* HWY_RESTRICT bytes) {
    alignas(16) static constexpr std::uint16_t kPowers[8] = {1, 1, 3, 3, 9, 9, 27, 27};
    const hn::Repartition<std::uint16_t, D8> d16;
    const hn::Repartition<std::uint32_t, D8> d32;
    const auto repeated = hn::BitCast(d, hn::Set(d32, LoadAs<std::uint32_t>(bytes)));
    return LeadingTrit(d, MultiplyBytes(d, repeated, hn::Load(d16, kPowers)));
  }
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Quants(D8 d, const std::uint8_t* HWY_RESTRICT block,
                                       std::size_t k) {
    if constexpr (hn::MaxLanes(D8()) == 64) {
      const hn::Half<D8> half;
      return hn::Combine(d, Quants(half, block, k + 32), Quants(half, block, k));
    } else if constexpr (hn::MaxLanes(D8()) == 32) {
      if (k < 160) return Digits(d, block, k / 32);
      const hn::Half<D8> half;
      return hn::Combine(d, Quants(half, block, k + 16), Quants(half, block, k));
    } else {
      if (k < 160) return Digits(d, block + k % 32, k / 32);
      if (k < 240) return Digits(d, block + 32, (k - 160) / 16);
      return LastDigits(d, block + 48);
    }
  }
};

template <>
struct Unpack<TensorType::kTQ2_0> {
  static constexpr std::size_t kBlock = 256, kGroup = 32;
  static constexpr int kOffset = 1;
  static constexpr bool kHasMin = false, kSigned = false;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT) {
    const float d = LoadF16(block + 64);
    for (std::size_t g = 0; g < 8; ++g) scales[g] = d;
  }
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Quants(D8 d, const std::uint8_t* HWY_RESTRICT block,
                                       std::size_t k) {
    return hn::And(TwoShifts(d, block + k / 128 * 32, k, k % 128 / 64 * 4, 2), hn::Set(d, 3));
  }
};

// --- 4-bit floats --------------------------------------------------------------------------------

// Twice the E2M1 value, plus 12; minus zero is zero.
template <class D8>
HWY_INLINE hn::Vec<D8> E2m1Levels(D8 d, hn::Vec<D8> codes) {
  alignas(16) static constexpr std::uint8_t kLevels[16] = {12, 13, 14, 15, 16, 18, 20, 24,
                                                           12, 11, 10, 9,  8,  6,  4,  0};
  return hn::TableLookupBytes(hn::LoadDup128(d, kLevels), codes);
}

template <>
struct Unpack<TensorType::kMXFP4> {
  static constexpr std::size_t kBlock = 32, kGroup = 32;
  static constexpr int kOffset = 12;
  static constexpr bool kHasMin = false, kSigned = false;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT) {
    scales[0] = quant::e8m0_half(block[0]);
  }
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Quants(D8 d, const std::uint8_t* HWY_RESTRICT block,
                                       std::size_t k) {
    return E2m1Levels(d, NibblePairs16(d, block + 1, k));
  }
  template <class D64>
  static HWY_INLINE hn::Vec<D64> TwoBlocks(D64 d, const std::uint8_t* HWY_RESTRICT a,
                                           const std::uint8_t* HWY_RESTRICT b) {
    return E2m1Levels(d, NibblePairs16Twice(d, a + 1, b + 1));
  }
};

template <>
struct Unpack<TensorType::kNVFP4> {
  static constexpr std::size_t kBlock = 64, kGroup = 16;
  static constexpr int kOffset = 12;
  static constexpr bool kHasMin = false, kSigned = false;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT) {
    for (std::size_t g = 0; g < 4; ++g) scales[g] = quant::kUe4m3Half[block[g]];
  }
  // Nibbles in the order of the weights: 16 of them are the low, then the high ones of 8 bytes.
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Codes(D8 d, const std::uint8_t* HWY_RESTRICT block, std::size_t k) {
    const hn::Half<D8> half;
    if constexpr (hn::MaxLanes(D8()) == 64) {
      return hn::Combine(d, Codes(half, block, k + 32), Codes(half, block, k));
    } else {
      const auto bytes = hn::LoadU(half, block + 4 + k / 2);
      const auto low = hn::And(bytes, hn::Set(half, 15));
      const auto high = hn::ShiftRight<4>(bytes);
      if constexpr (hn::MaxLanes(D8()) == 16) {
        return hn::Combine(d, high, low);
      } else {
        const hn::Repartition<std::uint64_t, decltype(half)> d64;
        const auto l = hn::BitCast(d64, low), h = hn::BitCast(d64, high);
        return hn::Combine(d, hn::BitCast(half, hn::InterleaveUpper(d64, l, h)),
                           hn::BitCast(half, hn::InterleaveLower(d64, l, h)));
      }
    }
  }
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Quants(D8 d, const std::uint8_t* HWY_RESTRICT block,
                                       std::size_t k) {
    return E2m1Levels(d, Codes(d, block, k));
  }
};

// --- One and two bits ----------------------------------------------------------------------------

template <>
struct Unpack<TensorType::kQ1_0> {
  static constexpr std::size_t kBlock = 128, kGroup = 32;
  static constexpr int kOffset = 1;  // -1 and 1 are 0 and 2
  static constexpr bool kHasMin = false, kSigned = false;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT) {
    const float d = LoadF16(block);
    for (std::size_t g = 0; g < 4; ++g) scales[g] = d;
  }
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Quants(D8 d, const std::uint8_t* HWY_RESTRICT block,
                                       std::size_t k) {
    return BitsToBytes(d, block + 2 + k / 8, 2);
  }
};

template <>
struct Unpack<TensorType::kQ2_0> {
  static constexpr std::size_t kBlock = 64, kGroup = 32;
  static constexpr int kOffset = 1;
  static constexpr bool kHasMin = false, kSigned = false;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT) {
    scales[0] = scales[1] = LoadF16(block);
  }
  // Each byte becomes a u32 in whose bytes its four fields end up at the bottom.
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Quants(D8 d, const std::uint8_t* HWY_RESTRICT block,
                                       std::size_t k) {
    const hn::Repartition<std::uint32_t, D8> d32;
    const hn::Rebind<std::uint8_t, decltype(d32)> packed;
    const auto v = hn::PromoteTo(d32, hn::LoadU(packed, block + 2 + k / 4));
    const auto two = hn::Or(v, hn::ShiftLeft<6>(v));
    return hn::And(hn::BitCast(d, hn::Or(two, hn::ShiftLeft<12>(two))), hn::Set(d, 3));
  }
};

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
