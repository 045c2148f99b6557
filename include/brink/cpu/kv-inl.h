// Rows of the KV cache: f32, f16 and blocks of 32 values, Q8_0 (f16 scale, 32 int8) and Q4_0 (f16
// scale, 16 bytes: the quants of values j, and above them j + 16, each plus 8). Stored once,
// converted to f32 wherever attention reads them. Included once per pass, after simd-inl.h.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "brink/core/half.h"
#include "brink/cpu/kernels.h"
#include "hwy/highway.h"

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

// The widest vector here: attention keeps as many vectors as one has lanes in registers.
using Lane16 = hn::CappedTag<float, 16>;
inline constexpr std::size_t kLanes = hn::MaxLanes(Lane16());
using LaneVec = hn::Vec<Lane16>;

inline constexpr std::size_t kKvBlock = 32;  // of Q8_0 and Q4_0
inline constexpr std::size_t kQ8KvBytes = kv_block_bytes(KvType::kQ8_0);
inline constexpr std::size_t kQ4KvBytes = kv_block_bytes(KvType::kQ4_0);
// Largest scale of a block: the largest finite f16.
inline constexpr float kMaxF16 = 65504.0f;
// Added to the quants of Q4_0, -8 to 7, so that they are none below 0.
inline constexpr std::int32_t kQ4KvOffset = 8;

// Conversions between f16 and f32 in hardware; else in integers, as Highway's own for these targets
// lose infinities and do not round to nearest.
#if (HWY_ARCH_X86 && HWY_TARGET != HWY_SSE4 && !defined(HWY_DISABLE_F16C)) || HWY_ARCH_ARM_A64
#define BRINK_NATIVE_F16 1
#else
#define BRINK_NATIVE_F16 0
#endif

// The first `count` < kLanes values at p, zeros after them; never reads past them.
HWY_INLINE LaneVec LoadFirst(Lane16 d, const float* p, std::size_t count) {
  HWY_ALIGN float values[kLanes] = {};
  std::memcpy(values, p, count * sizeof(float));
  return hn::Load(d, values);
}

HWY_INLINE void StoreFirst(LaneVec v, Lane16 d, float* p, std::size_t count) {
  HWY_ALIGN float values[kLanes];
  hn::Store(v, d, values);
  std::memcpy(p, values, count * sizeof(float));
}

// f16 at any address; subnormals exact, infinities and NaN kept.
HWY_INLINE LaneVec LoadHalves(Lane16 d, const std::uint8_t* p) {
#if BRINK_NATIVE_F16
  const hn::Rebind<std::uint16_t, Lane16> d16;
  const hn::Rebind<hwy::float16_t, Lane16> dh;
  const auto bits = hn::LoadU(d16, reinterpret_cast<const std::uint16_t*>(p));
  return hn::PromoteTo(d, hn::BitCast(dh, bits));
#else
  const hn::RebindToUnsigned<Lane16> du;
  const hn::Rebind<std::uint16_t, Lane16> d16;
  const auto bits = hn::PromoteTo(du, hn::LoadU(d16, reinterpret_cast<const std::uint16_t*>(p)));
  const auto magnitude = hn::ShiftLeft<13>(hn::And(bits, hn::Set(du, 0x7fffu)));
  const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(du, 0x8000u)));
  // Read with the wrong exponent bias and multiplied by the difference: exact, and subnormals of
  // f16 come out as the normal numbers they are.
  const auto scaled = hn::BitCast(du, hn::Mul(hn::BitCast(d, magnitude), hn::Set(d, 0x1p112f)));
  const auto finite = hn::Lt(hn::BitCast(hn::RebindToSigned<Lane16>(), magnitude),
                             hn::Set(hn::RebindToSigned<Lane16>(), 0x0f800000));
  const auto special = hn::Or(magnitude, hn::Set(du, 0x7f800000u));
  const auto chosen = hn::IfThenElse(hn::RebindMask(du, finite), scaled, special);
  return hn::BitCast(d, hn::Or(sign, chosen));
#endif
}

// Rounds to nearest even; `count` <= kLanes halves are written.
HWY_INLINE void StoreHalves(LaneVec v, Lane16 d, std::uint8_t* p, std::size_t count) {
  HWY_ALIGN std::uint16_t halves[kLanes];
#if BRINK_NATIVE_F16
  const hn::Rebind<std::uint16_t, Lane16> d16;
  const hn::Rebind<hwy::float16_t, Lane16> dh;
  hn::Store(hn::BitCast(d16, hn::DemoteTo(dh, v)), d16, halves);
  (void)d;
#else
  HWY_ALIGN float values[kLanes];
  hn::Store(v, d, values);
  for (std::size_t i = 0; i < kLanes; ++i) halves[i] = f32_to_f16(values[i]);
#endif
  std::memcpy(p, halves, count * sizeof(std::uint16_t));
}

// One f16 at any address, in all lanes.
HWY_INLINE LaneVec LoadHalfInAll(Lane16 d, const std::uint8_t* p) {
#if BRINK_NATIVE_F16
  const hn::Rebind<std::uint16_t, Lane16> d16;
  const hn::Rebind<hwy::float16_t, Lane16> dh;
  std::uint16_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  return hn::PromoteTo(d, hn::BitCast(dh, hn::Set(d16, bits)));
#else
  return hn::Set(d, LoadF16(p));
#endif
}

// kLanes values of a cached row from value `i` (a multiple of kLanes) on. Values of blocks are
// exact: the scale has 11 bits and the quant 7 or less.
template <KvType kType>
HWY_INLINE LaneVec LoadKv(Lane16 d, const std::uint8_t* row, std::size_t i) {
  if constexpr (kType == KvType::kF32) {
    return hn::LoadU(d, reinterpret_cast<const float*>(row) + i);
  } else if constexpr (kType == KvType::kF16) {
    return LoadHalves(d, row + i * sizeof(std::uint16_t));
  } else if constexpr (kType == KvType::kQ8_0) {
    const std::uint8_t* block = row + i / kKvBlock * kQ8KvBytes;
    const hn::RebindToSigned<Lane16> di;
    const hn::Rebind<std::int8_t, Lane16> d8;
    const std::uint8_t* q = block + sizeof(std::uint16_t) + i % kKvBlock;
    const auto values = hn::PromoteTo(di, hn::LoadU(d8, reinterpret_cast<const std::int8_t*>(q)));
    return hn::Mul(LoadHalfInAll(d, block), hn::ConvertTo(d, values));
  } else {
    const std::uint8_t* block = row + i / kKvBlock * kQ4KvBytes;
    const hn::RebindToSigned<Lane16> di;
    const hn::Rebind<std::uint8_t, Lane16> d8;
    const std::uint8_t* q = block + sizeof(std::uint16_t) + i % (kKvBlock / 2);
    const auto bytes = hn::PromoteTo(di, hn::LoadU(d8, q));
    const auto upper = hn::ShiftRight<4>(bytes), lower = hn::And(bytes, hn::Set(di, 15));
    const auto quants =
        hn::Sub(i % kKvBlock < kKvBlock / 2 ? lower : upper, hn::Set(di, kQ4KvOffset));
    return hn::Mul(LoadHalfInAll(d, block), hn::ConvertTo(d, quants));
  }
}

// Vectors best loaded together, as they share a scale.
template <KvType kType>
inline constexpr std::size_t kKvStep = kv_block(kType) > 1 ? kKvBlock / kLanes : 1;

// The same for kKvStep vectors, from value `i` (a multiple of as many values) on.
template <KvType kType>
HWY_INLINE void LoadKvStep(Lane16 d, const std::uint8_t* row, std::size_t i,
                           LaneVec* HWY_RESTRICT v) {
  // `i` goes in so that the compiler sees one block, and its scale once.
  constexpr bool kBlocks = kv_block(kType) > 1;
  const std::uint8_t* step = kBlocks ? row + i / kKvBlock * kv_block_bytes(kType) : row;
  const std::size_t begin = kBlocks ? 0 : i;
  BRINK_UNROLL_LOOP(16)
  for (std::size_t k = 0; k < kKvStep<kType>; ++k) {
    v[k] = LoadKv<kType>(d, step, begin + k * kLanes);
  }
}

// The last values of a row whose length is no multiple of kLanes (never so for blocks): `count`
// of them, zeros after them.
template <KvType kType>
HWY_INLINE LaneVec LoadKvFirst(Lane16 d, const std::uint8_t* row, std::size_t i,
                               std::size_t count) {
  if constexpr (kType == KvType::kF32) {
    return LoadFirst(d, reinterpret_cast<const float*>(row) + i, count);
  } else {
    HWY_ALIGN std::uint8_t halves[kLanes * sizeof(std::uint16_t)] = {};
    std::memcpy(halves, row + i * sizeof(std::uint16_t), count * sizeof(std::uint16_t));
    return LoadHalves(d, halves);
  }
}

// Magnitudes compare as integers as they do as floats, with infinity and NaN above all numbers.
HWY_INLINE std::int32_t LargestMagnitudeBits(const float* HWY_RESTRICT x) {
  const Lane16 d;
  const hn::RebindToSigned<Lane16> di;
  auto most = hn::Zero(di);
  for (std::size_t i = 0; i < kKvBlock; i += kLanes) {
    most = hn::Max(most, hn::And(hn::BitCast(di, hn::LoadU(d, x + i)), hn::Set(di, 0x7fffffff)));
  }
  return hn::GetLane(hn::MaxOfLanes(di, most));
}
inline constexpr std::int32_t kInfinityBits = 0x7f800000;
inline constexpr std::uint16_t kNanF16 = 0x7e00;

// One block of 32: the scale is max|x| / 127 rounded to f16, and the quants are made for that
// rounded scale. A NaN or infinity among the values makes the scale NaN: it must not vanish.
HWY_INLINE void StoreQ8KvBlock(const float* HWY_RESTRICT x, std::uint8_t* HWY_RESTRICT block) {
  const Lane16 d;
  const std::int32_t most_bits = LargestMagnitudeBits(x);
  std::uint16_t scale_bits = kNanF16;
  std::memset(block + sizeof(scale_bits), 0, kKvBlock);
  if (most_bits < kInfinityBits) {
    float largest;
    std::memcpy(&largest, &most_bits, sizeof(largest));
    scale_bits = f32_to_f16(HWY_MIN(largest / 127.0f, kMaxF16));
    const float scale = f16_to_f32(scale_bits);
    if (scale > 0.0f) {
      for (std::size_t i = 0; i < kKvBlock; i += kLanes) {
        // Beyond 127 only by rounding of the scale, or where the scale is at its limit.
        const auto ratio = hn::Div(hn::LoadU(d, x + i), hn::Set(d, scale));
        const auto q =
            hn::NearestInt(hn::Min(hn::Max(ratio, hn::Set(d, -127.0f)), hn::Set(d, 127.0f)));
        const hn::Rebind<std::int8_t, Lane16> d8;
        hn::StoreU(hn::DemoteTo(d8, q), d8,
                   reinterpret_cast<std::int8_t*>(block + sizeof(scale_bits)) + i);
      }
    }
  }
  std::memcpy(block, &scale_bits, sizeof(scale_bits));
}

// The same with 4 bits: the first value of the largest magnitude gets the quant -8, which has no
// opposite.
HWY_INLINE void StoreQ4KvBlock(const float* HWY_RESTRICT x, std::uint8_t* HWY_RESTRICT block) {
  const Lane16 d;
  const hn::RebindToSigned<Lane16> di;
  const std::int32_t most_bits = LargestMagnitudeBits(x);
  std::uint16_t scale_bits = kNanF16;
  HWY_ALIGN std::int32_t quants[kKvBlock];
  for (std::size_t i = 0; i < kKvBlock; ++i) quants[i] = kQ4KvOffset;
  if (most_bits < kInfinityBits) {
    float largest;
    std::memcpy(&largest, &most_bits, sizeof(largest));
    std::size_t first = 0;
    while (x[first] != largest && x[first] != -largest) ++first;
    scale_bits = f32_to_f16(HWY_MIN(HWY_MAX(x[first] / -8.0f, -kMaxF16), kMaxF16));
    const float scale = f16_to_f32(scale_bits);
    if (scale != 0.0f) {
      for (std::size_t i = 0; i < kKvBlock; i += kLanes) {
        const auto ratio = hn::Div(hn::LoadU(d, x + i), hn::Set(d, scale));
        const auto q = hn::NearestInt(hn::Min(hn::Max(ratio, hn::Set(d, -8.0f)), hn::Set(d, 7.0f)));
        hn::Store(hn::Add(q, hn::Set(di, kQ4KvOffset)), di, quants + i);
      }
    }
  }
  std::memcpy(block, &scale_bits, sizeof(scale_bits));
  for (std::size_t j = 0; j < kKvBlock / 2; ++j) {
    block[sizeof(scale_bits) + j] =
        static_cast<std::uint8_t>(quants[j] | quants[j + kKvBlock / 2] << 4);
  }
}

void KvStore(const float* x, std::size_t dim, KvType type, void* row) {
  const Lane16 d;
  std::uint8_t* out = static_cast<std::uint8_t*>(row);
  if (type == KvType::kF32) {
    std::memcpy(out, x, dim * sizeof(float));
  } else if (type == KvType::kF16) {
    std::size_t i = 0;
    for (; i + kLanes <= dim; i += kLanes) StoreHalves(hn::LoadU(d, x + i), d, out + 2 * i, kLanes);
    if (i < dim) StoreHalves(LoadFirst(d, x + i, dim - i), d, out + 2 * i, dim - i);
  } else if (type == KvType::kQ8_0) {
    for (std::size_t i = 0; i < dim / kKvBlock; ++i) {
      StoreQ8KvBlock(x + i * kKvBlock, out + i * kQ8KvBytes);
    }
  } else {
    for (std::size_t i = 0; i < dim / kKvBlock; ++i) {
      StoreQ4KvBlock(x + i * kKvBlock, out + i * kQ4KvBytes);
    }
  }
}

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()

#undef BRINK_NATIVE_F16
