// Unpack steps of the k-quants (contract: unpack-inl.h). Included once per pass by kernels-inl.h.

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

// Types whose super-blocks have integer scales, and minima where there are some, under f16 ones.
template <TensorType T>
inline constexpr bool kIsKQuant =
    T == TensorType::kQ2_K || T == TensorType::kQ3_K || T == TensorType::kQ4_K ||
    T == TensorType::kQ5_K || T == TensorType::kQ6_K;

// Q4_K and Q5_K pack 8 scales and 8 minima of 6 bits into 12 bytes; out come bytes.
HWY_INLINE void ScalesAndMins6(const std::uint8_t* HWY_RESTRICT packed, std::uint64_t& scales,
                               std::uint64_t& mins) {
  const std::uint64_t a = LoadAs<std::uint32_t>(packed);
  const std::uint64_t b = LoadAs<std::uint32_t>(packed + 4);
  const std::uint64_t c = LoadAs<std::uint32_t>(packed + 8);
  const std::uint64_t scale4 = (c & 0x0F0F0F0Fu) | (a >> 2 & 0x30303030u);
  const std::uint64_t min4 = (c >> 4 & 0x0F0F0F0Fu) | (b >> 2 & 0x30303030u);
  scales = (a & 0x3F3F3F3Fu) | scale4 << 32;
  mins = (b & 0x3F3F3F3Fu) | min4 << 32;
}

template <>
struct Unpack<TensorType::kQ2_K> {
  static constexpr std::size_t kBlock = 256, kGroup = 16;
  static constexpr int kOffset = 0;
  static constexpr bool kHasMin = true, kSigned = false;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT mins) {
    const hn::FixedTag<std::uint8_t, 16> d8;
    const auto packed = hn::LoadU(d8, block);
    ScaleBytes16(hn::And(packed, hn::Set(d8, 15)), LoadF16(block + 80), scales);
    ScaleBytes16(hn::ShiftRight<4>(packed), LoadF16(block + 82), mins);
  }
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Quants(D8 d, const std::uint8_t* HWY_RESTRICT block,
                                       std::size_t k) {
    return hn::And(TwoShifts(d, block + 16 + k / 128 * 32, k, k % 128 / 64 * 4, 2), hn::Set(d, 3));
  }
};

// Q3_K packs 16 scales of 6 bits, 32 more than their value, into 12 bytes; out come bytes.
HWY_INLINE void Scales6(const std::uint8_t* HWY_RESTRICT packed, std::uint64_t& first,
                        std::uint64_t& second) {
  const std::uint64_t low = LoadAs<std::uint64_t>(packed);
  const std::uint64_t high = LoadAs<std::uint32_t>(packed + 8);
  const std::uint64_t high2 = high | high >> 2 << 32;
  first = (low & 0x0F0F0F0F0F0F0F0Fu) | (high2 & 0x0303030303030303u) << 4;
  second = (low >> 4 & 0x0F0F0F0F0F0F0F0Fu) | (high2 >> 4 & 0x0303030303030303u) << 4;
}

template <>
struct Unpack<TensorType::kQ3_K> {
  static constexpr std::size_t kBlock = 256, kGroup = 16;
  static constexpr int kOffset = 4;
  static constexpr bool kHasMin = false, kSigned = false;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT) {
    std::uint64_t a, b;
    Scales6(block + 96, a, b);
    ScaleBytes16<std::int8_t>(BytesLess32(a), BytesLess32(b), LoadF16(block + 108), scales);
  }
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Quants(D8 d, const std::uint8_t* HWY_RESTRICT block,
                                       std::size_t k) {
    const auto low = TwoShifts(d, block + 32 + k / 128 * 32, k, k % 128 / 64 * 4, 2);
    const auto high = TwoShifts(d, block, k, k / 64 * 2, 1);
    return hn::Or(hn::And(low, hn::Set(d, 3)), hn::ShiftLeft<2>(hn::And(high, hn::Set(d, 1))));
  }
};

// What Q4_K and Q5_K share: all but the fifth bit.
struct NibbleSuperBlock {
  static constexpr std::size_t kBlock = 256, kGroup = 32;
  static constexpr int kOffset = 0;
  static constexpr bool kHasMin = true, kSigned = false;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT mins) {
    std::uint64_t scale_bytes, min_bytes;
    ScalesAndMins6(block + 4, scale_bytes, min_bytes);
    ScaleBytes8<std::uint8_t>(scale_bytes, LoadF16(block), scales);
    ScaleBytes8<std::uint8_t>(min_bytes, LoadF16(block + 2), mins);
  }
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Nibbles(D8 d, const std::uint8_t* HWY_RESTRICT qs, std::size_t k) {
    return hn::And(TwoShifts(d, qs + k / 64 * 32, k, 0, 4), hn::Set(d, 15));
  }
};

template <>
struct Unpack<TensorType::kQ4_K> : NibbleSuperBlock {
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Quants(D8 d, const std::uint8_t* HWY_RESTRICT block,
                                       std::size_t k) {
    return Nibbles(d, block + 16, k);
  }
};

template <>
struct Unpack<TensorType::kQ5_K> : NibbleSuperBlock {
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Quants(D8 d, const std::uint8_t* HWY_RESTRICT block,
                                       std::size_t k) {
    const auto high = hn::And(TwoShifts(d, block + 16, k, k / 64 * 2, 1), hn::Set(d, 1));
    return hn::Or(Nibbles(d, block + 48, k), hn::ShiftLeft<4>(high));
  }
};

template <>
struct Unpack<TensorType::kQ6_K> {
  static constexpr std::size_t kBlock = 256, kGroup = 16;
  static constexpr int kOffset = 32;
  static constexpr bool kHasMin = false, kSigned = false;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT) {
    const hn::FixedTag<std::int8_t, 16> di8;
    ScaleBytes16(hn::LoadU(di8, reinterpret_cast<const std::int8_t*>(block + 192)),
                 LoadF16(block + 208), scales);
  }
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Quants(D8 d, const std::uint8_t* HWY_RESTRICT block,
                                       std::size_t k) {
    const auto low = ShiftBytes(hn::LoadU(d, block + k / 128 * 64 + k % 64), k % 128 / 64 * 4);
    const auto high = TwoShifts(d, block + 128 + k / 128 * 32, k, k % 128 / 64 * 4, 2);
    return hn::Or(hn::And(low, hn::Set(d, 15)), hn::ShiftLeft<4>(hn::And(high, hn::Set(d, 3))));
  }
};

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
