// The 16-bit floats against arithmetic that shares nothing with them: values from the definition of
// the formats in double, and rounding from comparing distances to both neighbours.
#include "brink/core/half.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

namespace brink {
namespace {

/// The value of a finite pattern of `mantissa_bits` and a bias.
double value_of(std::uint32_t pattern, int mantissa_bits, int bias) {
  const std::uint32_t magnitude = pattern & 0x7fffu;
  const int exponent = static_cast<int>(magnitude >> mantissa_bits);
  const double fraction = std::ldexp(magnitude & ((1u << mantissa_bits) - 1), -mantissa_bits);
  const double value =
      exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias);
  return pattern & 0x8000u ? -value : value;
}

struct Kind {
  int mantissa_bits;
  int bias;
  std::uint32_t infinity;
  float (*widen)(std::uint16_t);
  std::uint16_t (*narrow)(float);
};
constexpr Kind kF16{10, 15, 0x7c00, f16_to_f32, f32_to_f16};
constexpr Kind kBf16{7, 127, 0x7f80, bf16_to_f32, f32_to_bf16};

class Half : public ::testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(F16, Half, ::testing::Values(kF16));
INSTANTIATE_TEST_SUITE_P(Bf16, Half, ::testing::Values(kBf16));

TEST_P(Half, WidensEveryPatternExactlyAndBack) {
  const Kind& kind = GetParam();
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    const std::uint16_t pattern = static_cast<std::uint16_t>(i);
    const float wide = kind.widen(pattern);
    const std::uint32_t magnitude = i & 0x7fffu;
    ASSERT_EQ(std::signbit(wide), (i & 0x8000u) != 0) << i;
    if (magnitude > kind.infinity) {
      ASSERT_TRUE(std::isnan(wide)) << i;
      ASSERT_GT(kind.narrow(wide) & 0x7fffu, kind.infinity) << i;
      continue;
    }
    if (magnitude == kind.infinity) {
      ASSERT_TRUE(std::isinf(wide)) << i;
    } else {
      ASSERT_EQ(static_cast<double>(wide), value_of(i, kind.mantissa_bits, kind.bias)) << i;
    }
    ASSERT_EQ(kind.narrow(wide), pattern) << i;
  }
}

/// The nearest pattern, ties to even, infinity counting as the next power of two.
std::uint16_t nearest(const Kind& kind, float f) {
  const double value = std::fabs(static_cast<double>(f));
  std::uint32_t low = 0, high = kind.infinity;  // low <= value, and value < high or infinite
  while (high - low > 1) {
    const std::uint32_t middle = (low + high) / 2;
    (value_of(middle, kind.mantissa_bits, kind.bias) <= value ? low : high) = middle;
  }
  const double below = value - value_of(low, kind.mantissa_bits, kind.bias);
  const double above = value_of(high, kind.mantissa_bits, kind.bias) - value;
  const std::uint32_t chosen = below != above ? (below < above ? low : high) : low + (low & 1u);
  return static_cast<std::uint16_t>(chosen | (std::signbit(f) ? 0x8000u : 0u));
}

TEST_P(Half, RoundsToNearestEvenAroundEveryMidpoint) {
  const Kind& kind = GetParam();
  for (std::uint32_t i = 0; i < kind.infinity; ++i) {
    const double middle = (value_of(i, kind.mantissa_bits, kind.bias) +
                           value_of(i + 1, kind.mantissa_bits, kind.bias)) /
                          2;
    // Exact in f32 for both formats, the last one beyond the largest finite bfloat16 too.
    const float m = static_cast<float>(middle);
    ASSERT_EQ(static_cast<double>(m), middle) << i;
    for (const float f : {std::nextafter(m, 0.0f), m, std::nextafter(m, INFINITY)}) {
      ASSERT_EQ(kind.narrow(f), nearest(kind, f)) << f;
      ASSERT_EQ(kind.narrow(-f), nearest(kind, -f)) << f;
    }
  }
}

TEST_P(Half, RoundsRandomFloats) {
  const Kind& kind = GetParam();
  std::mt19937 random(1);
  for (int i = 0; i < 300000; ++i) {
    const float f = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    if (std::isnan(f)) {
      ASSERT_GT(kind.narrow(f) & 0x7fffu, kind.infinity);
    } else if (std::isinf(f)) {
      ASSERT_EQ(kind.narrow(f) & 0x7fffu, kind.infinity);
    } else {
      ASSERT_EQ(kind.narrow(f), nearest(kind, f)) << f;
    }
  }
}

TEST_P(Half, KeepsSpecialValues) {
  const Kind& kind = GetParam();
  EXPECT_EQ(kind.narrow(0.0f), 0);
  EXPECT_EQ(kind.narrow(-0.0f), 0x8000);
  EXPECT_EQ(kind.narrow(INFINITY), kind.infinity);
  EXPECT_EQ(kind.narrow(-INFINITY), kind.infinity | 0x8000u);
  EXPECT_EQ(kind.narrow(std::numeric_limits<float>::max()), kind.infinity);
  // NaNs whose payload lies only in the bits that are cut off.
  for (const std::uint32_t bits : {0x7f800001u, 0xff800001u, 0x7f801fffu, 0x7fffffffu}) {
    const std::uint16_t narrow = kind.narrow(std::bit_cast<float>(bits));
    EXPECT_GT(narrow & 0x7fffu, kind.infinity) << bits;
    EXPECT_EQ(narrow >> 15, bits >> 31) << bits;
  }
}

TEST(HalfAtCompileTime, IsConstant) {
  static_assert(f16_to_f32(0x3c00) == 1.0f && f32_to_f16(1.0f) == 0x3c00);
  static_assert(f32_to_f16(65504.0f) == 0x7bff && f32_to_f16(65520.0f) == 0x7c00);
  static_assert(bf16_to_f32(0x3f80) == 1.0f && f32_to_bf16(1.0f) == 0x3f80);
}

}  // namespace
}  // namespace brink
