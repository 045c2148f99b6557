// Encoders of MXFP4 and NVFP4 against all scales that the formats have.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

#include "brink/quant/encode.h"
#include "brink/quant/fp4.h"
#include "tests/support/encode_check.h"

namespace brink {
namespace {

const std::vector<double> kLevels = {-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12};

double best_mxfp4(const std::vector<float>& weights, const float* importance) {
  double best = INFINITY;
  for (int e = 0; e < 255; ++e) {
    const double d = static_cast<double>(quant::e8m0_half(static_cast<std::uint8_t>(e)));
    best = std::min(best, testing::error_at_scale(weights, importance, d, kLevels));
  }
  return best;
}

double best_nvfp4(const std::vector<float>& weights, const float* importance) {
  double total = 0.0;
  for (std::size_t g = 0; g < 4; ++g) {
    const auto begin = weights.begin() + static_cast<std::ptrdiff_t>(16 * g);
    const std::vector<float> group(begin, begin + 16);
    double best = INFINITY;
    for (std::size_t code = 0; code < 127; ++code) {
      const double d = static_cast<double>(quant::kUe4m3Half[code]);
      best = std::min(
          best, testing::error_at_scale(
                    group, importance != nullptr ? importance + 16 * g : nullptr, d, kLevels));
    }
    total += best;
  }
  return total;
}

TEST(Fp4Encoders, HighEffortFindsTheBestScales) {
  const struct {
    TensorType type;
    double (*best)(const std::vector<float>&, const float*);
    double default_gap[2];  // measured, rounded up
  } types[] = {{TensorType::kMXFP4, &best_mxfp4, {1e-6, 1e-3}},
               {TensorType::kNVFP4, &best_nvfp4, {1e-3, 5e-3}}};
  for (const auto& t : types) {
    for (const bool weighted : {false, true}) {
      const testing::Gap gap = testing::measure_gap(t.type, 200, weighted, t.best);
      std::printf("%s%s: default %+.6f, high %+.6f of the best squared error\n",
                  format_of(t.type).name, weighted ? " weighted" : "", gap.of(Effort::kDefault),
                  gap.of(Effort::kHigh));
      EXPECT_GE(gap.of(Effort::kHigh), -1e-9);
      EXPECT_LE(gap.of(Effort::kHigh), weighted ? 1e-4 : 1e-6) << format_of(t.type).name;
      EXPECT_LE(gap.of(Effort::kDefault), t.default_gap[weighted]) << format_of(t.type).name;
    }
  }
}

// Every code of a scale, every level.
TEST(Fp4Encoders, KeepWeightsThatHaveAScale) {
  std::mt19937_64 random(3);
  for (int e = 3; e < 250; ++e) {
    std::vector<float> weights(32);
    for (float& w : weights)
      w = static_cast<float>(kLevels[random() % kLevels.size()]) *
          quant::e8m0_half(static_cast<std::uint8_t>(e));
    weights[7] = -12.0f * quant::e8m0_half(static_cast<std::uint8_t>(e));
    for (const Effort effort : {Effort::kDefault, Effort::kHigh})
      EXPECT_EQ(testing::encoded_and_decoded(TensorType::kMXFP4, weights, nullptr, effort), weights)
          << e;
  }
  for (std::size_t code = 1; code < 127; ++code) {
    std::vector<float> weights(64);
    for (float& w : weights)
      w = static_cast<float>(kLevels[random() % kLevels.size()]) * quant::kUe4m3Half[code];
    for (std::size_t g = 0; g < 4; ++g) weights[16 * g + g] = 12.0f * quant::kUe4m3Half[code];
    for (const Effort effort : {Effort::kDefault, Effort::kHigh})
      EXPECT_EQ(testing::encoded_and_decoded(TensorType::kNVFP4, weights, nullptr, effort), weights)
          << code;
  }
}

}  // namespace
}  // namespace brink
