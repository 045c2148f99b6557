// The lane layer of the encoders in vectors: 16 lanes, whatever the width of a vector, so that
// every instruction set computes the same numbers in the same order. Included once per pass.
//
// Every operation rounds by itself: the product hides from the compiler that it is one, so that no
// FMA comes about. Arguments are never NaN. Code over this layer must not pass lanes through
// lambdas, which do not get the attributes of the pass.

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace encode {
namespace hn = hwy::HWY_NAMESPACE;

using LaneFloats = hn::CappedTag<float, 16>;
using LaneInts = hn::RebindToSigned<LaneFloats>;
inline constexpr std::size_t kPartLanes = hn::MaxLanes(LaneFloats());
inline constexpr std::size_t kParts = 16 / kPartLanes;

struct F32x16 {
  hn::Vec<LaneFloats> part[kParts];
};
struct I32x16 {
  hn::Vec<LaneInts> part[kParts];
};
struct Mask16 {
  hn::Mask<LaneFloats> part[kParts];
};

// One line per operation: for every part i the expression.
#define BRINK_LANES(Result, name, parameters, expression)                   \
  BRINK_ENCODE_INLINE Result name parameters {                              \
    [[maybe_unused]] const LaneFloats df;                                   \
    [[maybe_unused]] const LaneInts di;                                     \
    Result result;                                                          \
    for (std::size_t i = 0; i < kParts; ++i) result.part[i] = (expression); \
    return result;                                                          \
  }

BRINK_LANES(F32x16, Set, (float x), hn::Set(df, x))
BRINK_LANES(I32x16, SetInt, (std::int32_t x), hn::Set(di, x))
BRINK_LANES(F32x16, Load, (const float* p), hn::LoadU(df, p + i * kPartLanes))
BRINK_LANES(I32x16, LoadInt, (const std::int32_t* p), hn::LoadU(di, p + i * kPartLanes))
// 16 unsigned bytes.
BRINK_LANES(I32x16, LoadBytes, (const std::uint8_t* p),
            hn::PromoteTo(di, hn::LoadU(hn::Rebind<std::uint8_t, LaneInts>(), p + i * kPartLanes)))

BRINK_ENCODE_INLINE void Store(F32x16 a, float* p) {
  for (std::size_t i = 0; i < kParts; ++i) {
    hn::StoreU(a.part[i], LaneFloats(), p + i * kPartLanes);
  }
}
BRINK_ENCODE_INLINE void StoreInt(I32x16 a, std::int32_t* p) {
  for (std::size_t i = 0; i < kParts; ++i) hn::StoreU(a.part[i], LaneInts(), p + i * kPartLanes);
}
// The low bytes of all lanes.
BRINK_ENCODE_INLINE void StoreBytes(I32x16 a, std::uint8_t* p) {
  const hn::Rebind<std::uint8_t, LaneInts> d8;
  const auto low = hn::Set(LaneInts(), 255);
  for (std::size_t i = 0; i < kParts; ++i) {
    hn::StoreU(hn::DemoteTo(d8, hn::And(a.part[i], low)), d8, p + i * kPartLanes);
  }
}

BRINK_LANES(F32x16, operator+, (F32x16 a, F32x16 b), hn::Add(a.part[i], b.part[i]))
BRINK_LANES(F32x16, operator-, (F32x16 a, F32x16 b), hn::Sub(a.part[i], b.part[i]))
BRINK_LANES(F32x16, operator*, (F32x16 a, F32x16 b), Opaque(hn::Mul(a.part[i], b.part[i])))
BRINK_LANES(F32x16, operator/, (F32x16 a, F32x16 b), hn::Div(a.part[i], b.part[i]))
// Of zeros of both signs the second: as x86 does it.
#if HWY_ARCH_X86
BRINK_LANES(F32x16, Min, (F32x16 a, F32x16 b), hn::Min(a.part[i], b.part[i]))
BRINK_LANES(F32x16, Max, (F32x16 a, F32x16 b), hn::Max(a.part[i], b.part[i]))
#else
BRINK_LANES(F32x16, Min, (F32x16 a, F32x16 b),
            hn::IfThenElse(hn::Lt(a.part[i], b.part[i]), a.part[i], b.part[i]))
BRINK_LANES(F32x16, Max, (F32x16 a, F32x16 b),
            hn::IfThenElse(hn::Lt(b.part[i], a.part[i]), a.part[i], b.part[i]))
#endif
BRINK_LANES(F32x16, Abs, (F32x16 a), hn::Abs(a.part[i]))
BRINK_LANES(F32x16, Neg, (F32x16 a), hn::Neg(a.part[i]))
BRINK_LANES(F32x16, Sqrt, (F32x16 a), hn::Sqrt(a.part[i]))
// To the nearest integer, ties to even; RoundToInt for magnitudes below 2^31.
BRINK_LANES(F32x16, Round, (F32x16 a), hn::Round(a.part[i]))
BRINK_LANES(I32x16, RoundToInt, (F32x16 a), hn::NearestInt(a.part[i]))
BRINK_LANES(F32x16, ConvertToFloat, (I32x16 a), hn::ConvertTo(df, a.part[i]))
BRINK_LANES(I32x16, BitsOf, (F32x16 a), hn::BitCast(di, a.part[i]))
BRINK_LANES(F32x16, FloatOfBits, (I32x16 a), hn::BitCast(df, a.part[i]))

BRINK_LANES(I32x16, operator+, (I32x16 a, I32x16 b), hn::Add(a.part[i], b.part[i]))
BRINK_LANES(I32x16, operator-, (I32x16 a, I32x16 b), hn::Sub(a.part[i], b.part[i]))
BRINK_LANES(I32x16, operator*, (I32x16 a, I32x16 b), hn::Mul(a.part[i], b.part[i]))
BRINK_LANES(I32x16, operator&, (I32x16 a, I32x16 b), hn::And(a.part[i], b.part[i]))
BRINK_LANES(I32x16, operator|, (I32x16 a, I32x16 b), hn::Or(a.part[i], b.part[i]))
BRINK_LANES(I32x16, operator^, (I32x16 a, I32x16 b), hn::Xor(a.part[i], b.part[i]))
BRINK_LANES(I32x16, Min, (I32x16 a, I32x16 b), hn::Min(a.part[i], b.part[i]))
BRINK_LANES(I32x16, Max, (I32x16 a, I32x16 b), hn::Max(a.part[i], b.part[i]))
template <int kBits>
BRINK_LANES(I32x16, ShiftLeft, (I32x16 a), hn::ShiftLeft<kBits>(a.part[i]))
// Of signed numbers.
template <int kBits>
BRINK_LANES(I32x16, ShiftRight, (I32x16 a), hn::ShiftRight<kBits>(a.part[i]))

BRINK_LANES(Mask16, operator<, (F32x16 a, F32x16 b), hn::Lt(a.part[i], b.part[i]))
    BRINK_LANES(Mask16, operator<=, (F32x16 a, F32x16 b), hn::Le(a.part[i], b.part[i])) BRINK_LANES(
        Mask16, operator==, (F32x16 a, F32x16 b),
        hn::Eq(a.part[i], b.part[i])) BRINK_LANES(Mask16, operator<, (I32x16 a, I32x16 b),
                                                  hn::RebindMask(df, hn::Lt(a.part[i], b.part[i])))
        BRINK_LANES(Mask16, operator==, (I32x16 a, I32x16 b),
                    hn::RebindMask(df, hn::Eq(a.part[i], b.part[i])))
            BRINK_LANES(Mask16, operator&, (Mask16 a, Mask16 b), hn::And(a.part[i], b.part[i]))
                BRINK_LANES(Mask16, operator|, (Mask16 a, Mask16 b), hn::Or(a.part[i], b.part[i]))
                    BRINK_LANES(Mask16, Not, (Mask16 a), hn::Not(a.part[i]))
                        BRINK_LANES(F32x16, IfThenElse, (Mask16 m, F32x16 yes, F32x16 no),
                                    hn::IfThenElse(m.part[i], yes.part[i], no.part[i]))
                            BRINK_LANES(I32x16, IfThenElse, (Mask16 m, I32x16 yes, I32x16 no),
                                        hn::IfThenElse(hn::RebindMask(di, m.part[i]), yes.part[i],
                                                       no.part[i])) BRINK_ENCODE_INLINE
    bool AnyTrue(Mask16 m) {
  bool any = false;
  for (std::size_t i = 0; i < kParts; ++i) any |= !hn::AllFalse(LaneFloats(), m.part[i]);
  return any;
}
// Bit i is lane i.
BRINK_ENCODE_INLINE std::uint32_t BitsOfMask(Mask16 m) {
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < kParts; ++i) {
#if HWY_TARGET == HWY_AVX3
    bits |= static_cast<std::uint32_t>(m.part[i].raw) << (i * kPartLanes);
#elif HWY_TARGET == HWY_AVX2
    bits |= static_cast<std::uint32_t>(_mm256_movemask_ps(m.part[i].raw)) << (i * kPartLanes);
#elif HWY_TARGET == HWY_SSE4
    bits |= static_cast<std::uint32_t>(_mm_movemask_ps(m.part[i].raw)) << (i * kPartLanes);
#else
    std::uint8_t bytes[8] = {};  // as many as StoreMaskBits may write
    hn::StoreMaskBits(LaneFloats(), m.part[i], bytes);
    bits |= static_cast<std::uint32_t>(bytes[0] | bytes[1] << 8) << (i * kPartLanes);
#endif
  }
  return bits;
}

// table[index]
BRINK_LANES(F32x16, Lookup, (const float* table, I32x16 index),
            hn::GatherIndex(df, table, index.part[i]))

// Lane i gets lane i ^ 8.
BRINK_ENCODE_INLINE F32x16 SwapHalves(F32x16 a) {
  if constexpr (kParts == 1) {
    a.part[0] = hn::ConcatLowerUpper(LaneFloats(), a.part[0], a.part[0]);
  } else {
    const F32x16 old = a;
    for (std::size_t i = 0; i < kParts; ++i) a.part[i] = old.part[i ^ (kParts / 2)];
  }
  return a;
}

// Reductions fold the upper half of the lanes onto the lower one until one is left: a tree that
// every width follows.
struct FoldSum {
  template <class V>
  BRINK_ENCODE_INLINE V operator()(V a, V b) const {
    return hn::Add(a, b);
  }
};
struct FoldMin {
  template <class V>
  BRINK_ENCODE_INLINE V operator()(V a, V b) const {
#if HWY_ARCH_X86
    return hn::Min(a, b);
#else
    return hn::IfThenElse(hn::Lt(a, b), a, b);
#endif
  }
};
struct FoldMax {
  template <class V>
  BRINK_ENCODE_INLINE V operator()(V a, V b) const {
#if HWY_ARCH_X86
    return hn::Max(a, b);
#else
    return hn::IfThenElse(hn::Lt(b, a), a, b);
#endif
  }
};

template <class Fold, class V>
BRINK_ENCODE_INLINE float FoldVector(V v) {
  constexpr Fold kFold;
  if constexpr (hn::MaxLanes(hn::DFromV<V>()) == 4) {
    v = kFold(v, hn::Shuffle1032(v));
    return hn::GetLane(kFold(v, hn::Shuffle2301(v)));
  } else {
    const hn::Half<hn::DFromV<V>> half;
    return FoldVector<Fold>(kFold(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}

template <class Fold>
BRINK_ENCODE_INLINE float FoldLanes(F32x16 a) {
  for (std::size_t half = kParts / 2; half != 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) a.part[i] = Fold()(a.part[i], a.part[i + half]);
  }
  return FoldVector<Fold>(a.part[0]);
}

BRINK_ENCODE_INLINE float SumOfLanes(F32x16 a) { return FoldLanes<FoldSum>(a); }
BRINK_ENCODE_INLINE float MinOfLanes(F32x16 a) { return FoldLanes<FoldMin>(a); }
BRINK_ENCODE_INLINE float MaxOfLanes(F32x16 a) { return FoldLanes<FoldMax>(a); }
#undef BRINK_LANES

}  // namespace encode
}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
