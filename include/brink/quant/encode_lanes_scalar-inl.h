// The lane layer of the encoders in plain C++: what cpu/encode_lanes-inl.h gives in vectors, bit
// for bit (that file documents the operations). Included once per namespace.

namespace brink::BRINK_ENCODE_NAMESPACE {

struct F32x16 {
  float lane[16];
};
struct I32x16 {
  std::int32_t lane[16];
};
struct Mask16 {
  bool lane[16];
};

// Not inlined: see encode_impl.h.
#define BRINK_ENCODE_LANES inline __attribute__((noinline, unused))
// One line per operation: for every lane i the expression, of lanes a[i], b[i], ...
#define BRINK_LANES(Result, name, parameters, expression)       \
  BRINK_ENCODE_LANES Result name parameters {                   \
    Result result;                                              \
    for (int i = 0; i < 16; ++i) result.lane[i] = (expression); \
    return result;                                              \
  }

BRINK_LANES(F32x16, Set, (float x), x)
BRINK_LANES(I32x16, SetInt, (std::int32_t x), x)
BRINK_LANES(F32x16, Load, (const float* p), p[i])
BRINK_LANES(I32x16, LoadInt, (const std::int32_t* p), p[i])
BRINK_LANES(I32x16, LoadBytes, (const std::uint8_t* p), p[i])

BRINK_ENCODE_INLINE void Store(F32x16 a, float* p) { std::memcpy(p, a.lane, sizeof(a.lane)); }
BRINK_ENCODE_INLINE void StoreInt(I32x16 a, std::int32_t* p) {
  std::memcpy(p, a.lane, sizeof(a.lane));
}
BRINK_ENCODE_INLINE void StoreBytes(I32x16 a, std::uint8_t* p) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<std::uint8_t>(a.lane[i]);
}

BRINK_LANES(F32x16, operator+, (F32x16 a, F32x16 b), a.lane[i] + b.lane[i])
BRINK_LANES(F32x16, operator-, (F32x16 a, F32x16 b), a.lane[i] - b.lane[i])
BRINK_LANES(F32x16, operator*, (F32x16 a, F32x16 b), quant::exact_product(a.lane[i], b.lane[i]))
BRINK_LANES(F32x16, operator/, (F32x16 a, F32x16 b), a.lane[i] / b.lane[i])
BRINK_LANES(F32x16, Min, (F32x16 a, F32x16 b), a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i])
BRINK_LANES(F32x16, Max, (F32x16 a, F32x16 b), a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i])
BRINK_LANES(F32x16, Abs, (F32x16 a), std::fabs(a.lane[i]))
BRINK_LANES(F32x16, Neg, (F32x16 a), -a.lane[i])
BRINK_LANES(F32x16, Sqrt, (F32x16 a), std::sqrt(a.lane[i]))

// Nearest, ties to even, by the one rounding of an addition at 2^23.
BRINK_ENCODE_INLINE float RoundOne(float x) {
  constexpr float kIntegers = 8388608.0f;
  const float magnitude = std::fabs(x);
  return magnitude < kIntegers ? std::copysign((magnitude + kIntegers) - kIntegers, x) : x;
}
BRINK_LANES(F32x16, Round, (F32x16 a), RoundOne(a.lane[i]))
BRINK_LANES(I32x16, RoundToInt, (F32x16 a), static_cast<std::int32_t>(RoundOne(a.lane[i])))
BRINK_LANES(F32x16, ConvertToFloat, (I32x16 a), static_cast<float>(a.lane[i]))
BRINK_LANES(I32x16, BitsOf, (F32x16 a), std::bit_cast<std::int32_t>(a.lane[i]))
BRINK_LANES(F32x16, FloatOfBits, (I32x16 a), std::bit_cast<float>(a.lane[i]))

BRINK_LANES(I32x16, operator+, (I32x16 a, I32x16 b), a.lane[i] + b.lane[i])
BRINK_LANES(I32x16, operator-, (I32x16 a, I32x16 b), a.lane[i] - b.lane[i])
BRINK_LANES(I32x16, operator*, (I32x16 a, I32x16 b), a.lane[i] * b.lane[i])
BRINK_LANES(I32x16, operator&, (I32x16 a, I32x16 b), a.lane[i] & b.lane[i])
BRINK_LANES(I32x16, operator|, (I32x16 a, I32x16 b), a.lane[i] | b.lane[i])
BRINK_LANES(I32x16, operator^, (I32x16 a, I32x16 b), a.lane[i] ^ b.lane[i])
BRINK_LANES(I32x16, Min, (I32x16 a, I32x16 b), a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i])
BRINK_LANES(I32x16, Max, (I32x16 a, I32x16 b), a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i])
template <int kBits>
BRINK_LANES(I32x16, ShiftLeft, (I32x16 a),
            static_cast<std::int32_t>(static_cast<std::uint32_t>(a.lane[i]) << kBits))
template <int kBits>
BRINK_LANES(I32x16, ShiftRight, (I32x16 a), a.lane[i] >> kBits)

BRINK_LANES(Mask16, operator<, (F32x16 a, F32x16 b), a.lane[i] < b.lane[i])
    BRINK_LANES(Mask16, operator<=, (F32x16 a, F32x16 b), a.lane[i] <= b.lane[i])
        BRINK_LANES(Mask16, operator==, (F32x16 a, F32x16 b), a.lane[i] == b.lane[i])
            BRINK_LANES(Mask16, operator<, (I32x16 a, I32x16 b), a.lane[i] < b.lane[i])
                BRINK_LANES(Mask16, operator==, (I32x16 a, I32x16 b), a.lane[i] == b.lane[i])
                    BRINK_LANES(Mask16, operator&, (Mask16 a, Mask16 b), a.lane[i] && b.lane[i])
                        BRINK_LANES(Mask16, operator|, (Mask16 a, Mask16 b), a.lane[i] || b.lane[i])
                            BRINK_LANES(Mask16, Not, (Mask16 a), !a.lane[i])
                                BRINK_LANES(F32x16, IfThenElse, (Mask16 m, F32x16 yes, F32x16 no),
                                            m.lane[i] ? yes.lane[i] : no.lane[i])
                                    BRINK_LANES(I32x16, IfThenElse,
                                                (Mask16 m, I32x16 yes, I32x16 no),
                                                m.lane[i] ? yes.lane[i]
                                                          : no.lane[i]) BRINK_ENCODE_INLINE
    bool AnyTrue(Mask16 m) {
  for (const bool lane : m.lane) {
    if (lane) return true;
  }
  return false;
}
BRINK_ENCODE_INLINE std::uint32_t BitsOfMask(Mask16 m) {
  std::uint32_t bits = 0;
  for (int i = 0; i < 16; ++i) bits |= static_cast<std::uint32_t>(m.lane[i]) << i;
  return bits;
}

BRINK_LANES(F32x16, Lookup, (const float* table, I32x16 index), table[index.lane[i]])
BRINK_LANES(F32x16, SwapHalves, (F32x16 a), a.lane[i ^ 8])

#define BRINK_FOLD(name, operation)                      \
  BRINK_ENCODE_INLINE float name(F32x16 a) {             \
    for (int half = 8; half != 0; half /= 2) {           \
      for (int i = 0; i < half; ++i) {                   \
        const float x = a.lane[i], y = a.lane[i + half]; \
        a.lane[i] = (operation);                         \
      }                                                  \
    }                                                    \
    return a.lane[0];                                    \
  }
BRINK_FOLD(SumOfLanes, x + y)
BRINK_FOLD(MinOfLanes, x < y ? x : y)
BRINK_FOLD(MaxOfLanes, x > y ? x : y)
#undef BRINK_FOLD
#undef BRINK_LANES
#undef BRINK_ENCODE_LANES

}  // namespace brink::BRINK_ENCODE_NAMESPACE
