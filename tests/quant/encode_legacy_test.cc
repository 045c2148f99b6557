// Encoders of Q4_0 to Q8_0 against exhaustive searches in double.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "brink/core/half.h"
#include "brink/quant/encode.h"
#include "tests/support/encode_check.h"

namespace brink {
namespace {

// The error of the best of all f16 scales, of either sign, that put the largest weight between
// `nearest` and `farthest` levels from zero.
double best_over_scales(const std::vector<float>& weights, const float* importance, int least,
                        int greatest, float nearest, float farthest) {
  float largest = 0.0f;
  for (const float w : weights) largest = std::max(largest, std::fabs(w));
  const int first = f32_to_f16(largest / farthest), last = f32_to_f16(largest / nearest);
  double best = INFINITY;
  for (int code = first; code <= last; ++code) {
    const double d = static_cast<double>(f16_to_f32(static_cast<std::uint16_t>(code)));
    for (const double scale : {d, -d}) {
      double sum = 0.0;
      for (std::size_t i = 0; i < weights.size() && sum < best; ++i) {
        const double x = static_cast<double>(weights[i]);
        const double q = std::clamp(std::nearbyint(x / scale), static_cast<double>(least),
                                    static_cast<double>(greatest));
        const double e = x - q * scale;
        sum += (importance != nullptr ? static_cast<double>(importance[i]) : 1.0) * e * e;
      }
      best = std::min(best, sum);
    }
  }
  return best;
}

struct SymmetricType {
  TensorType type;
  int least, greatest;
  float nearest, farthest;  // for best_over_scales
  // Measured distances to the best error, [weighted][effort], rounded up.
  double gap[2][2];
};

const SymmetricType kSymmetric[] = {
    {TensorType::kQ4_0, -8, 7, 4.0f, 16.0f, {{0.0008, 5e-5}, {0.03, 2e-4}}},
    {TensorType::kQ5_0, -16, 15, 9.0f, 28.0f, {{0.0015, 5e-5}, {0.022, 0.001}}},
    {TensorType::kQ8_0, -127, 127, 110.0f, 160.0f, {{0.31, 0.03}, {0.48, 0.045}}},
};

TEST(LegacyEncoders, AreNearTheBestScale) {
  for (const SymmetricType& t : kSymmetric) {
    for (const bool weighted : {false, true}) {
      const testing::Gap gap = testing::measure_gap(
          t.type, 200, weighted, [&](const std::vector<float>& weights, const float* importance) {
            return best_over_scales(weights, importance, t.least, t.greatest, t.nearest,
                                    t.farthest);
          });
      std::printf("%s%s: default %+.5f, high %+.5f of the best squared error\n",
                  format_of(t.type).name, weighted ? " weighted" : "", gap.of(Effort::kDefault),
                  gap.of(Effort::kHigh));
      EXPECT_GE(gap.of(Effort::kHigh), -1e-6) << "the search for the best missed it";
      EXPECT_LE(gap.of(Effort::kDefault), t.gap[weighted][0]) << format_of(t.type).name;
      EXPECT_LE(gap.of(Effort::kHigh), t.gap[weighted][1]) << format_of(t.type).name;
    }
  }
}

// Weights d q come back as they are: by default where the greatest level occurs, with more effort
// as nearly, whatever the levels.
TEST(LegacyEncoders, KeepWeightsThatHaveAScale) {
  std::mt19937_64 random(3);
  for (const SymmetricType& t : kSymmetric) {
    for (int n = 0; n < 300; ++n) {
      const float d = f16_to_f32(static_cast<std::uint16_t>(0x1000 + random() % 0x4000)) *
                      (random() % 2 && t.least != -127 ? -1.0f : 1.0f);
      const bool full = n % 2 == 0 || t.least == -127;
      const int bound = full ? -t.least : 1 + static_cast<int>(random() % 7);
      std::vector<float> weights(32);
      for (float& w : weights) {
        const int q = static_cast<int>(random() % static_cast<unsigned>(2 * bound + 1)) - bound;
        w = d * static_cast<float>(std::min(q, t.greatest));
      }
      weights[random() % 32] = d * static_cast<float>(-bound);
      for (const Effort effort : {Effort::kDefault, Effort::kHigh}) {
        if (full) {
          EXPECT_EQ(testing::encoded_and_decoded(t.type, weights, nullptr, effort), weights)
              << format_of(t.type).name;
        }
      }
      // Few levels fit other scales too, up to these scales' rounding to f16.
      const std::vector<float> zero(32);
      EXPECT_LE(testing::weighted_error(t.type, weights, nullptr, Effort::kHigh),
                2e-7 * testing::weighted_error(weights.data(), zero.data(), nullptr, 32))
          << format_of(t.type).name << ", levels to " << bound;
    }
  }
}

// The best of a fine grid of both ends, each improved by alternating levels and least squares.
double best_affine(const std::vector<float>& weights, const float* importance, int top) {
  const std::size_t count = weights.size();
  const auto [low, high] = std::minmax_element(weights.begin(), weights.end());
  const double range = static_cast<double>(*high) - static_cast<double>(*low);
  const double level = range / top;
  double best = INFINITY;
  for (double cut_low = -0.6; cut_low < 2.4; cut_low += 0.1) {
    for (double cut_high = -0.6; cut_high < 2.4; cut_high += 0.1) {
      double m = static_cast<double>(*low) + cut_low * level;
      double d = (range - (cut_low + cut_high) * level) / top;
      for (int pass = 0; pass < 4; ++pass) {
        double sw = 0, sq = 0, sqq = 0, sx = 0, sxq = 0, error = 0;
        for (std::size_t i = 0; i < count; ++i) {
          const double x = static_cast<double>(weights[i]);
          const double w = importance != nullptr ? static_cast<double>(importance[i]) : 1.0;
          const double q = std::clamp(std::nearbyint((x - m) / d), 0.0, static_cast<double>(top));
          const double e = x - m - d * q;
          error += w * e * e;
          sw += w;
          sq += w * q;
          sqq += w * q * q;
          sx += w * x;
          sxq += w * x * q;
        }
        best = std::min(best, error);
        d = (sw * sxq - sx * sq) / (sw * sqq - sq * sq);
        m = (sx - d * sq) / sw;
      }
    }
  }
  return best;
}

struct AffineType {
  TensorType type;
  int top;
  double gap[2][2];
};
const AffineType kAffine[] = {
    {TensorType::kQ4_1, 15, {{0.035, 0.012}, {0.04, 0.013}}},
    {TensorType::kQ5_1, 31, {{0.055, 0.021}, {0.055, 0.021}}},
};

TEST(LegacyEncoders, WithMinimaAreNearTheBest) {
  for (const AffineType& t : kAffine) {
    for (const bool weighted : {false, true}) {
      const testing::Gap gap = testing::measure_gap(
          t.type, 60, weighted, [&](const std::vector<float>& weights, const float* importance) {
            return best_affine(weights, importance, t.top);
          });
      std::printf("%s%s: default %+.5f, high %+.5f of the best squared error\n",
                  format_of(t.type).name, weighted ? " weighted" : "", gap.of(Effort::kDefault),
                  gap.of(Effort::kHigh));
      EXPECT_LE(gap.of(Effort::kDefault), t.gap[weighted][0]) << format_of(t.type).name;
      EXPECT_LE(gap.of(Effort::kHigh), t.gap[weighted][1]) << format_of(t.type).name;
    }
  }
}

// Blocks that use both ends come back as they are, and constant ones up to the two roundings.
TEST(LegacyEncoders, WithMinimaKeepWeightsThatHaveThem) {
  std::mt19937_64 random(4);
  for (const AffineType& t : kAffine) {
    for (int n = 0; n < 200; ++n) {
      const float d = f16_to_f32(static_cast<std::uint16_t>(0x2000 + random() % 0x1000));
      const float m = -f16_to_f32(static_cast<std::uint16_t>(0x2800 + random() % 0x1000));
      std::vector<float> weights(32);
      for (float& w : weights)
        w = d * static_cast<float>(random() % static_cast<unsigned>(t.top + 1)) + m;
      weights[0] = m;
      weights[1] = d * static_cast<float>(t.top) + m;
      for (const Effort effort : {Effort::kDefault, Effort::kHigh})
        EXPECT_EQ(testing::encoded_and_decoded(t.type, weights, nullptr, effort), weights)
            << format_of(t.type).name;
      const float constant = std::uniform_real_distribution<float>(-3.0f, 3.0f)(random);
      const std::vector<float> same(32, constant);
      for (const float w : testing::encoded_and_decoded(t.type, same, nullptr, Effort::kDefault))
        EXPECT_NEAR(w, constant,
                    std::fabs(constant) * 0x1p-20f);  // m to 2^-11, d the rest to 2^-11
    }
  }
}

}  // namespace
}  // namespace brink
