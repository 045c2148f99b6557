// Small vector steps shared by the kernels. Included once per pass by kernels-inl.h.

#include <cstring>

#include "brink/core/half.h"
#include "hwy/highway.h"

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

// Quants are handled in vectors of at most 64 bytes, so that a super-block of 256 is always a whole
// number of them.
using Bytes = hn::CappedTag<std::uint8_t, 64>;
using SignedBytes = hn::RebindToSigned<Bytes>;
using Ints = hn::Repartition<std::int32_t, Bytes>;
using Floats = hn::RebindToFloat<Ints>;

template <class T>
HWY_INLINE T LoadAs(const std::uint8_t* p) {
  T value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}

// Little-endian f16 at any address. F16C comes with every processor that has AVX2.
HWY_INLINE float LoadF16(const std::uint8_t* p) {
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  // Not _cvtsh_ss(): GCC inserts the number into a register that the loop before has left, whose
  // iterations then wait for each other.
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(LoadAs<std::uint16_t>(p))));
#else
  return f16_to_f32(LoadAs<std::uint16_t>(p));
#endif
}

// Hides from the compiler how `v` came about, so that integer accumulators take one product at a
// time: GCC would rearrange the sums into a tree that holds all products at once, in memory.
template <class V>
HWY_INLINE V Opaque(V v) {
#if HWY_ARCH_X86 && HWY_TARGET == HWY_AVX3
  asm("" : "+v"(v.raw));
#elif HWY_ARCH_X86
  asm("" : "+x"(v.raw));
#elif HWY_ARCH_ARM
  asm("" : "+w"(v.raw));
#endif
  return v;
}

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
HWY_INLINE __m128i Load16(const void* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}
HWY_INLINE __m256i Load32(const void* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
#endif

// Asks for a line in the second-level cache: the first has too few places for lines on their way
// from memory (24 on Zen 4, where asking for them there reads at half the speed).
HWY_INLINE void PrefetchToL2(const std::uint8_t* p) { __builtin_prefetch(p, 0, 2); }

// Indexes of a permutation of bytes.
struct ByteTable {
  alignas(64) std::uint8_t at[64];
};

// acc[i] + sum over j < 4 of w[4i + j] * x[4i + j], exact for w <= 128 as unsigned and
// |x| <= 127: then two neighbouring products fit 16 bits.
template <class D32, class VU8, class VS8>
HWY_INLINE hn::Vec<D32> DotU8S8([[maybe_unused]] D32 d32, hn::Vec<D32> acc, VU8 w, VS8 x) {
#if BRINK_HAVE_VNNI
  if constexpr (sizeof(w.raw) == 64) {
    return hn::Vec<D32>{_mm512_dpbusd_epi32(acc.raw, w.raw, x.raw)};
  } else if constexpr (sizeof(w.raw) == 32) {
    return hn::Vec<D32>{_mm256_dpbusd_epi32(acc.raw, w.raw, x.raw)};
  } else {
    return hn::Vec<D32>{_mm_dpbusd_epi32(acc.raw, w.raw, x.raw)};
  }
#elif HWY_TARGET == HWY_AVX3
  if constexpr (sizeof(w.raw) == 64) {
    return hn::Add(acc, hn::Vec<D32>{_mm512_madd_epi16(_mm512_maddubs_epi16(w.raw, x.raw),
                                                       _mm512_set1_epi16(1))});
  } else if constexpr (sizeof(w.raw) == 32) {
    return hn::Add(acc, hn::Vec<D32>{_mm256_madd_epi16(_mm256_maddubs_epi16(w.raw, x.raw),
                                                       _mm256_set1_epi16(1))});
  } else {
    return hn::Add(
        acc, hn::Vec<D32>{_mm_madd_epi16(_mm_maddubs_epi16(w.raw, x.raw), _mm_set1_epi16(1))});
  }
#elif HWY_TARGET == HWY_AVX2
  if constexpr (sizeof(w.raw) == 32) {
    return hn::Add(acc, hn::Vec<D32>{_mm256_madd_epi16(_mm256_maddubs_epi16(w.raw, x.raw),
                                                       _mm256_set1_epi16(1))});
  } else {
    return hn::Add(
        acc, hn::Vec<D32>{_mm_madd_epi16(_mm_maddubs_epi16(w.raw, x.raw), _mm_set1_epi16(1))});
  }
#elif HWY_TARGET == HWY_SSE4
  return hn::Add(acc,
                 hn::Vec<D32>{_mm_madd_epi16(_mm_maddubs_epi16(w.raw, x.raw), _mm_set1_epi16(1))});
#else
  const hn::Repartition<std::int16_t, D32> d16;
  const auto w16 = hn::BitCast(d16, w);
  const auto x16 = hn::BitCast(d16, x);
  const auto w_even = hn::And(w16, hn::Set(d16, 0xFF));
  const auto w_odd =
      hn::BitCast(d16, hn::ShiftRight<8>(hn::BitCast(hn::RebindToUnsigned<decltype(d16)>(), w16)));
  const auto x_even = hn::ShiftRight<8>(hn::ShiftLeft<8>(x16));
  const auto x_odd = hn::ShiftRight<8>(x16);
  const auto pairs = hn::BitCast(d32, hn::Add(hn::Mul(w_even, x_even), hn::Mul(w_odd, x_odd)));
  return hn::Add(acc,
                 hn::Add(hn::ShiftRight<16>(hn::ShiftLeft<16>(pairs)), hn::ShiftRight<16>(pairs)));
#endif
}

// The same sum for any int8 w. `sums4` points to -128 * sum of x[4i..4i+3] for each lane: what
// makes up for reading w as unsigned w + 128.
template <class D32, class VS8>
HWY_INLINE hn::Vec<D32> DotS8S8(D32 d32, VS8 w, VS8 x, const std::int32_t* HWY_RESTRICT sums4) {
  const hn::Repartition<std::uint8_t, D32> d8;
#if BRINK_HAVE_VNNI
  const auto biased = hn::Xor(hn::BitCast(d8, w), hn::Set(d8, 0x80));
  return DotU8S8(d32, hn::LoadU(d32, sums4), biased, x);
#else
  (void)sums4;
  const hn::RebindToSigned<decltype(d8)> di8;
  const auto signed_x = hn::IfThenElse(hn::Lt(w, hn::Zero(di8)), hn::Neg(x), x);
  return DotU8S8(d32, hn::Zero(d32), hn::BitCast(d8, hn::Abs(w)), signed_x);
#endif
}

// v >> bits in every byte, to be masked by the caller: bits of the neighbouring byte come in at the
// top. `bits` is a constant once loops are unrolled, and the switch goes away.
template <class V>
HWY_INLINE V ShiftBytes(V v, std::size_t bits) {
  const hn::DFromV<V> d8;
  const hn::Repartition<std::uint16_t, decltype(d8)> d16;
  const auto v16 = hn::BitCast(d16, v);
  switch (bits) {
    case 1:
      return hn::BitCast(d8, hn::ShiftRight<1>(v16));
    case 2:
      return hn::BitCast(d8, hn::ShiftRight<2>(v16));
    case 3:
      return hn::BitCast(d8, hn::ShiftRight<3>(v16));
    case 4:
      return hn::BitCast(d8, hn::ShiftRight<4>(v16));
    case 5:
      return hn::BitCast(d8, hn::ShiftRight<5>(v16));
    case 6:
      return hn::BitCast(d8, hn::ShiftRight<6>(v16));
    case 7:
      return hn::BitCast(d8, hn::ShiftRight<7>(v16));
    default:
      return v;
  }
}

// out[i] = factor * byte i of `bytes`, taken as T. From registers, not memory: a vector load of
// bytes that scalar code has just stored waits for the stores.
template <class T>
HWY_INLINE void ScaleBytes8(std::uint64_t bytes, float factor, float* HWY_RESTRICT out) {
  const hn::CappedTag<float, 8> df;
  const hn::RebindToSigned<decltype(df)> di;
  const hn::FixedTag<std::uint64_t, 1> d64;
  const hn::Repartition<T, decltype(d64)> d8;
  const auto f = hn::Set(df, factor);
  for (std::size_t i = 0; i < 8; i += hn::Lanes(df)) {
    const auto rest = hn::BitCast(d8, hn::Set(d64, bytes >> (8 * i)));
    if constexpr (hn::MaxLanes(decltype(df)()) == 8) {
      hn::StoreU(hn::Mul(f, hn::ConvertTo(df, hn::PromoteTo(di, rest))), df, out + i);
    } else {
      const hn::Half<decltype(d8)> d4;
      const auto four = hn::LowerHalf(d4, rest);
      hn::StoreU(hn::Mul(f, hn::ConvertTo(df, hn::PromoteTo(di, four))), df, out + i);
    }
  }
}

// The same for the 16 bytes of a vector.
template <class V>
HWY_INLINE void ScaleBytes16(V bytes, float factor, float* HWY_RESTRICT out) {
  const hn::CappedTag<float, 16> df;
  const hn::RebindToSigned<decltype(df)> di;
  const auto f = hn::Set(df, factor);
  if constexpr (hn::MaxLanes(decltype(df)()) == 16) {
    hn::StoreU(hn::Mul(f, hn::ConvertTo(df, hn::PromoteTo(di, bytes))), df, out);
  } else {
    using T = hn::TFromV<V>;
    const hn::FixedTag<std::uint64_t, 2> d64;
    const auto both = hn::BitCast(d64, bytes);
    ScaleBytes8<T>(hn::GetLane(both), factor, out);
    ScaleBytes8<T>(hn::ExtractLane(both, 1), factor, out + 8);
  }
}

template <class T>
HWY_INLINE void ScaleBytes16(std::uint64_t low, std::uint64_t high, float factor,
                             float* HWY_RESTRICT out) {
  const hn::FixedTag<std::uint64_t, 2> d64;
  const hn::Repartition<T, decltype(d64)> d8;
  ScaleBytes16(hn::BitCast(d8, hn::InterleaveLower(d64, hn::Set(d64, low), hn::Set(d64, high))),
               factor, out);
}

// 32 bytes at two shifts: byte i of `run`, shifted right by `shift`, and after the 32 of these the
// same bytes shifted by `shift + step`; of that the Lanes(d) bytes from `k` on (k < 64). To be
// masked by the caller. How the k-quants lay out most of their fields.
template <class D8>
HWY_INLINE hn::Vec<D8> TwoShifts(D8 d, const std::uint8_t* HWY_RESTRICT run, std::size_t k,
                                 std::size_t shift, std::size_t step) {
  if constexpr (hn::MaxLanes(D8()) == 64) {
#if HWY_TARGET == HWY_AVX3
    const auto s0 = static_cast<long long>(shift);
    const auto s1 = static_cast<long long>(shift + step);
    const __m512i twice =
        _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(run)));
    return hn::Vec<D8>{_mm512_srlv_epi64(twice, _mm512_set_epi64(s1, s1, s1, s1, s0, s0, s0, s0))};
#else
    const hn::Half<D8> half;
    const auto bytes = hn::LoadU(half, run);
    return hn::Combine(d, ShiftBytes(bytes, shift + step), ShiftBytes(bytes, shift));
#endif
  } else {
    return ShiftBytes(hn::LoadU(d, run + k % 32), shift + (k % 64 / 32) * step);
  }
}

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
