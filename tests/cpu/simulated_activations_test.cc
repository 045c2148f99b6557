// Simulated 8-bit activations: bit for bit what their definitions say, written down anew with a
// table of all FP8 numbers and nearbyint.
#include "brink/cpu/simulated_activations.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

namespace brink {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The 127 numbers that E4M3 codes 0x00 to 0x7e stand for; 0x7f is NaN.
std::vector<double> e4m3_numbers() {
  std::vector<double> numbers;
  for (int code = 0; code < 0x7f; ++code) {
    const int exponent = code >> 3, mantissa = code & 7;
    numbers.push_back(exponent == 0 ? std::ldexp(mantissa, -9)
                                    : std::ldexp(8 + mantissa, exponent - 10));
  }
  return numbers;
}

// The nearest of them; between two the one with the even code, whose last mantissa bit is 0.
double nearest_e4m3(double x) {
  static const std::vector<double> numbers = e4m3_numbers();
  const double magnitude = std::fabs(x);
  std::size_t best = 0;
  for (std::size_t code = 1; code < numbers.size(); ++code) {
    const double old_distance = std::fabs(magnitude - numbers[best]);
    const double distance = std::fabs(magnitude - numbers[code]);
    if (distance < old_distance || (distance == old_distance && code % 2 == 0)) best = code;
  }
  return std::copysign(numbers[best], x);
}

std::vector<float> rounded_fp8(const std::vector<float>& x, float scale) {
  std::vector<float> out(x.size(), 55.0f);
  round_fp8(x.data(), x.size(), scale, out.data());
  return out;
}

std::vector<float> rounded_int8(const std::vector<float>& x, float scale) {
  std::vector<float> out(x.size(), 55.0f);
  round_int8(x.data(), x.size(), scale, out.data());
  return out;
}

std::vector<float> normal(std::size_t count, unsigned seed, float size = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> distribution(0.0f, size);
  std::vector<float> x(count);
  for (float& v : x) v = distribution(random);
  return x;
}

TEST(SimulatedActivations, E4M3IsTheFormat) {
  const std::vector<double> numbers = e4m3_numbers();
  EXPECT_EQ(numbers.back(), static_cast<double>(kE4M3Max));
  EXPECT_EQ(numbers[1], std::ldexp(1.0, -9));
  EXPECT_EQ(numbers[8], std::ldexp(1.0, -6));  // the smallest normal number
  EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end()));
}

// Every number, everything half way between two, and the floats next to those, of both signs.
TEST(SimulatedActivations, Fp8RoundsToTheNearestTiesToEven) {
  const std::vector<double> numbers = e4m3_numbers();
  std::vector<float> x;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const double next = i + 1 < numbers.size() ? numbers[i + 1] : 480.0;
    for (const double v : {numbers[i], (numbers[i] + next) / 2}) {
      const float f = static_cast<float>(v);
      ASSERT_EQ(static_cast<double>(f), v);
      for (const float near : {f, std::nextafter(f, kInfinity), std::nextafter(f, -kInfinity)})
        x.insert(x.end(), {near, -near});
    }
  }
  x.insert(x.end(), {449.0f, -500.0f, 1e30f, -1e30f, 1e-10f, -1e-40f});
  for (const float v : normal(4000, 3, 60.0f)) x.push_back(v);
  for (const float v : normal(4000, 4, 0.01f)) x.push_back(v);
  const std::vector<float> out = rounded_fp8(x, 1.0f);
  for (std::size_t i = 0; i < x.size(); ++i)
    ASSERT_EQ(static_cast<double>(out[i]), nearest_e4m3(static_cast<double>(x[i]))) << x[i];
}

TEST(SimulatedActivations, Fp8IsScaledByRow) {
  for (const float size : {1e-4f, 1.0f, 3e4f}) {
    const std::vector<float> x = normal(513, 5, size);
    float max = 0;
    for (const float v : x) max = std::max(max, std::fabs(v));
    const float scale = row_scale(x.data(), x.size(), kE4M3Max);
    ASSERT_EQ(scale, max / 448.0f);
    const std::vector<float> out = rounded_fp8(x, scale);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const float ratio = x[i] / scale;
      ASSERT_EQ(out[i], static_cast<float>(nearest_e4m3(static_cast<double>(ratio))) * scale);
      // Half a step: 2^-4 of a normal number.
      ASSERT_LE(std::fabs(out[i] - x[i]),
                std::max(std::fabs(x[i]) / 16.0f, scale / 1024) * 1.0001f);
    }
  }
}

TEST(SimulatedActivations, Int8RoundsToTheNearestTiesToEven) {
  // Halves are exact with scale 1.
  std::vector<float> x;
  for (int i = -260; i <= 260; ++i) x.push_back(static_cast<float>(i) / 2);
  for (const float v : normal(2000, 6, 50.0f)) x.push_back(v);
  x.insert(x.end(), {1e30f, -1e30f, kInfinity, -kInfinity});
  for (const float scale : {1.0f, 0.013f, 7e-5f, 300.0f}) {
    const std::vector<float> out = rounded_int8(x, scale);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const float q = std::nearbyint(std::clamp(x[i] / scale, -127.0f, 127.0f));
      ASSERT_EQ(out[i], q * scale) << x[i] << " scale " << scale;
    }
  }
}

// The largest value of a row is kept, up to the rounding of its scale.
TEST(SimulatedActivations, RowsKeepTheirLargestValue) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    const std::vector<float> x = normal(97, seed);
    const auto at = static_cast<std::size_t>(
        std::max_element(x.begin(), x.end(),
                         [](float a, float b) { return std::fabs(a) < std::fabs(b); }) -
        x.begin());
    const float scale = row_scale(x.data(), x.size(), kInt8Max);
    EXPECT_EQ(scale, std::fabs(x[at]) / 127.0f);
    EXPECT_EQ(rounded_int8(x, scale)[at], std::copysign(127.0f * scale, x[at]));
  }
}

TEST(SimulatedActivations, WhatIsNotANumberStaysSo) {
  for (const float bad : {kNaN, kInfinity, -kInfinity}) {
    std::vector<float> x = normal(40, 7);
    x[31] = bad;
    const float scale = row_scale(x.data(), x.size(), kInt8Max);
    EXPECT_TRUE(std::isnan(scale));
    for (const float v : rounded_int8(x, scale)) EXPECT_TRUE(std::isnan(v));
    for (const float v : rounded_fp8(x, scale)) EXPECT_TRUE(std::isnan(v));
  }
  // A static scale saturates infinities, but NaN shows.
  const std::vector<float> out = rounded_int8({kNaN, kInfinity, 1.0f}, 0.5f);
  EXPECT_TRUE(std::isnan(out[0]));
  EXPECT_EQ(out[1], 63.5f);
  EXPECT_EQ(out[2], 1.0f);
}

TEST(SimulatedActivations, NextToNothingIsZero) {
  const std::vector<float> x = {1e-36f, -1e-40f, 0.0f};
  EXPECT_EQ(row_scale(x.data(), x.size(), kInt8Max), 0.0f);
  EXPECT_EQ(rounded_int8(x, 0.0f), std::vector<float>(3, 0.0f));
  EXPECT_EQ(rounded_fp8(x, 0.0f), std::vector<float>(3, 0.0f));
  EXPECT_EQ(row_scale(nullptr, 0, kInt8Max), 0.0f);
  round_int8(nullptr, 0, 1.0f, nullptr);
  std::vector<float> in_place = normal(33, 9), copy = in_place;
  round_int8(in_place.data(), in_place.size(), 0.02f, in_place.data());
  EXPECT_EQ(in_place, rounded_int8(copy, 0.02f));
}

}  // namespace
}  // namespace brink
