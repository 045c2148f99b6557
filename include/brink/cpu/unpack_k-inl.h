// Unpack steps of the k-quants (contract: unpack-inl.h). Included once per pass by kernels-inl.h.

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

// Q4_K and Q5_K pack 8 scales and 8 minima of 6 bits into 12 bytes.
HWY_INLINE void ScalesAndMins6(const std::uint8_t* HWY_RESTRICT packed, float d, float dmin,
                               float* HWY_RESTRICT scales, float* HWY_RESTRICT mins) {
  const std::uint32_t a = LoadAs<std::uint32_t>(packed);
  const std::uint32_t b = LoadAs<std::uint32_t>(packed + 4);
  const std::uint32_t c = LoadAs<std::uint32_t>(packed + 8);
  alignas(8) std::uint32_t bytes[4];
  bytes[0] = a & 0x3F3F3F3Fu;
  bytes[1] = (c & 0x0F0F0F0Fu) | (a >> 2 & 0x30303030u);
  bytes[2] = b & 0x3F3F3F3Fu;
  bytes[3] = (c >> 4 & 0x0F0F0F0Fu) | (b >> 2 & 0x30303030u);
  std::uint8_t six[16];
  std::memcpy(six, bytes, 16);
  ScaleBytes<8>(six, d, scales);
  ScaleBytes<8>(six + 8, dmin, mins);
}

template <>
struct Unpack<TensorType::kQ2_K> : UnpackBy32<Unpack<TensorType::kQ2_K>> {
  static constexpr std::size_t kBlock = 256, kGroup = 16;
  static constexpr int kOffset = 0;
  static constexpr bool kHasMin = true, kSigned = false;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT mins) {
    const hn::FixedTag<std::uint8_t, 16> d8;
    const auto packed = hn::LoadU(d8, block);
    alignas(16) std::uint8_t low[16], high[16];
    hn::Store(hn::And(packed, hn::Set(d8, 15)), d8, low);
    hn::Store(hn::ShiftRight<4>(packed), d8, high);
    ScaleBytes<16>(low, LoadF16(block + 80), scales);
    ScaleBytes<16>(high, LoadF16(block + 82), mins);
  }
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Run(D8 d, const std::uint8_t* HWY_RESTRICT block, std::size_t k) {
    const auto bytes = hn::LoadU(d, block + 16 + k / 128 * 32 + k % 32);
    return hn::And(ShiftBytes(bytes, k % 128 / 32 * 2), hn::Set(d, 3));
  }
};

template <>
struct Unpack<TensorType::kQ3_K> : UnpackBy32<Unpack<TensorType::kQ3_K>> {
  static constexpr std::size_t kBlock = 256, kGroup = 16;
  static constexpr int kOffset = 4;
  static constexpr bool kHasMin = false, kSigned = false;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT) {
    const std::uint64_t low = LoadAs<std::uint64_t>(block + 96);
    const std::uint64_t high = LoadAs<std::uint32_t>(block + 104);
    const std::uint64_t high2 = high | high >> 2 << 32;
    const std::uint64_t a = (low & 0x0F0F0F0F0F0F0F0Fu) | (high2 & 0x0303030303030303u) << 4;
    const std::uint64_t b = (low >> 4 & 0x0F0F0F0F0F0F0F0Fu) | (high2 >> 4 & 0x0303030303030303u)
                                                                   << 4;
    alignas(16) std::int8_t biased[16];
    const hn::FixedTag<std::int8_t, 16> di8;
    std::memcpy(biased, &a, 8);
    std::memcpy(biased + 8, &b, 8);
    hn::Store(hn::Sub(hn::Load(di8, biased), hn::Set(di8, 32)), di8, biased);
    ScaleBytes<16>(biased, LoadF16(block + 108), scales);
  }
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Run(D8 d, const std::uint8_t* HWY_RESTRICT block, std::size_t k) {
    const auto low = ShiftBytes(hn::LoadU(d, block + 32 + k / 128 * 32 + k % 32), k % 128 / 32 * 2);
    const auto high = ShiftBytes(hn::LoadU(d, block + k % 32), k / 32);
    return hn::Or(hn::And(low, hn::Set(d, 3)), hn::ShiftLeft<2>(hn::And(high, hn::Set(d, 1))));
  }
};

template <>
struct Unpack<TensorType::kQ4_K> : UnpackBy32<Unpack<TensorType::kQ4_K>> {
  static constexpr std::size_t kBlock = 256, kGroup = 32;
  static constexpr int kOffset = 0;
  static constexpr bool kHasMin = true, kSigned = false;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT mins) {
    ScalesAndMins6(block + 4, LoadF16(block), LoadF16(block + 2), scales, mins);
  }
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Run(D8 d, const std::uint8_t* HWY_RESTRICT block, std::size_t k) {
    const auto bytes = hn::LoadU(d, block + 16 + k / 64 * 32 + k % 32);
    return hn::And(ShiftBytes(bytes, k % 64 / 32 * 4), hn::Set(d, 15));
  }
};

template <>
struct Unpack<TensorType::kQ5_K> : UnpackBy32<Unpack<TensorType::kQ5_K>> {
  static constexpr std::size_t kBlock = 256, kGroup = 32;
  static constexpr int kOffset = 0;
  static constexpr bool kHasMin = true, kSigned = false;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT mins) {
    ScalesAndMins6(block + 4, LoadF16(block), LoadF16(block + 2), scales, mins);
  }
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Run(D8 d, const std::uint8_t* HWY_RESTRICT block, std::size_t k) {
    const auto low = ShiftBytes(hn::LoadU(d, block + 48 + k / 64 * 32 + k % 32), k % 64 / 32 * 4);
    const auto high = ShiftBytes(hn::LoadU(d, block + 16 + k % 32), k / 32);
    return hn::Or(hn::And(low, hn::Set(d, 15)), hn::ShiftLeft<4>(hn::And(high, hn::Set(d, 1))));
  }
};

template <>
struct Unpack<TensorType::kQ6_K> : UnpackBy32<Unpack<TensorType::kQ6_K>> {
  static constexpr std::size_t kBlock = 256, kGroup = 16;
  static constexpr int kOffset = 32;
  static constexpr bool kHasMin = false, kSigned = false;

  static HWY_INLINE void Scales(const std::uint8_t* HWY_RESTRICT block, float* HWY_RESTRICT scales,
                                float* HWY_RESTRICT) {
    ScaleBytes<16>(reinterpret_cast<const std::int8_t*>(block + 192), LoadF16(block + 208), scales);
  }
  template <class D8>
  static HWY_INLINE hn::Vec<D8> Run(D8 d, const std::uint8_t* HWY_RESTRICT block, std::size_t k) {
    const auto low = ShiftBytes(hn::LoadU(d, block + k / 128 * 64 + k % 64), k % 128 / 64 * 4);
    const auto high =
        ShiftBytes(hn::LoadU(d, block + 128 + k / 128 * 32 + k % 32), k % 128 / 32 * 2);
    return hn::Or(hn::And(low, hn::Set(d, 15)), hn::ShiftLeft<4>(hn::And(high, hn::Set(d, 3))));
  }
};

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
