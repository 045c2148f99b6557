// Encoders of IQ4_NL and IQ4_XS against exhaustive searches in double.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

#include "brink/core/half.h"
#include "brink/quant/encode.h"
#include "brink/quant/i_quants.h"
#include "tests/support/encode_check.h"

namespace brink {
namespace {

const std::vector<double> kLevels(std::begin(quant::kIq4Values), std::end(quant::kIq4Values));

TEST(Iq4Encoders, NonLinearAreNearTheBestScale) {
  for (const bool weighted : {false, true}) {
    const testing::Gap gap = testing::measure_gap(
        TensorType::kIQ4_NL, 100, weighted,
        [](const std::vector<float>& weights, const float* importance) {
          float largest = 0.0f;
          for (const float w : weights) largest = std::max(largest, std::fabs(w));
          const int first = f32_to_f16(largest / 230.0f), last = f32_to_f16(largest / 70.0f);
          double best = INFINITY;
          for (int code = first; code <= last; ++code) {
            const double d = static_cast<double>(f16_to_f32(static_cast<std::uint16_t>(code)));
            best = std::min(best, testing::error_at_scale(weights, importance, d, kLevels));
            best = std::min(best, testing::error_at_scale(weights, importance, -d, kLevels));
          }
          return best;
        });
    std::printf("IQ4_NL%s: default %+.5f, high %+.5f of the best squared error\n",
                weighted ? " weighted" : "", gap.of(Effort::kDefault), gap.of(Effort::kHigh));
    EXPECT_GE(gap.of(Effort::kHigh), -1e-6) << "the search for the best missed it";
    EXPECT_LE(gap.of(Effort::kDefault), weighted ? 0.017 : 0.0012);
    EXPECT_LE(gap.of(Effort::kHigh), weighted ? 4e-4 : 5e-5);
  }
}

// Every tenth f16 scale of the block near that of the largest group, of either sign, and for each
// the best of all 64 steps in every group.
double best_xs(const std::vector<float>& weights, const float* importance) {
  float largest = 0.0f;
  for (const float w : weights) largest = std::max(largest, std::fabs(w));
  const int first = f32_to_f16(largest / 130.0f / 33.0f);
  const int last = f32_to_f16(largest / 95.0f / 24.0f);
  double best = INFINITY;
  for (int code = first; code <= last; code += 10) {
    const double d = static_cast<double>(f16_to_f32(static_cast<std::uint16_t>(code)));
    double total = 0.0;
    for (std::size_t g = 0; g < 8 && total < best; ++g) {
      const std::vector<float> group(weights.begin() + static_cast<std::ptrdiff_t>(32 * g),
                                     weights.begin() + static_cast<std::ptrdiff_t>(32 * g + 32));
      double least = INFINITY;
      for (int step = -32; step < 32; ++step) {
        least = std::min(least, testing::error_at_scale(
                                    group, importance != nullptr ? importance + 32 * g : nullptr,
                                    d * step, kLevels));
      }
      total += least;
    }
    best = std::min(best, total);
  }
  return best;
}

TEST(Iq4Encoders, SuperBlocksAreNearTheBestScales) {
  for (const bool weighted : {false, true}) {
    const testing::Gap gap = testing::measure_gap(TensorType::kIQ4_XS, 4, weighted, &best_xs);
    std::printf("IQ4_XS%s: default %+.5f, high %+.5f of the best squared error\n",
                weighted ? " weighted" : "", gap.of(Effort::kDefault), gap.of(Effort::kHigh));
    EXPECT_LE(gap.of(Effort::kDefault), 0.015);
    EXPECT_LE(gap.of(Effort::kHigh), 0.002);
  }
}

TEST(Iq4Encoders, KeepWeightsThatHaveAScale) {
  std::mt19937_64 random(3);
  for (int n = 0; n < 300; ++n) {
    const float d = f16_to_f32(static_cast<std::uint16_t>(0x1000 + random() % 0x3000)) *
                    (random() % 2 ? -1.0f : 1.0f);
    // The largest magnitude that occurs is that of the level in `extreme`.
    const std::size_t extreme = n % 2 == 0 ? 0 : random() % 16;
    const int bound = std::abs(quant::kIq4Values[extreme]);
    std::vector<float> weights(32);
    for (float& w : weights) {
      int level = quant::kIq4Values[random() % 16];
      if (std::abs(level) > bound) level = quant::kIq4Values[extreme];
      w = d * static_cast<float>(level);
    }
    weights[random() % 32] = d * static_cast<float>(quant::kIq4Values[extreme]);
    if (extreme == 0) {
      EXPECT_EQ(
          testing::encoded_and_decoded(TensorType::kIQ4_NL, weights, nullptr, Effort::kDefault),
          weights);
    }
    // Few levels fit other scales too, up to these scales' rounding to f16.
    const std::vector<float> zero(32);
    EXPECT_LE(testing::weighted_error(TensorType::kIQ4_NL, weights, nullptr, Effort::kHigh),
              (extreme == 0 ? 0.0 : 1e-6) *
                  testing::weighted_error(weights.data(), zero.data(), nullptr, 32))
        << "extreme level " << bound;
  }
}

// Super-blocks with the step -32 and groups that use the level -127 keep all steps.
TEST(Iq4Encoders, SuperBlocksKeepWeightsThatHaveScales) {
  std::mt19937_64 random(5);
  for (int n = 0; n < 100; ++n) {
    const float d = f16_to_f32(static_cast<std::uint16_t>(0x1000 + random() % 0x2000));
    std::vector<float> weights(256);
    for (std::size_t g = 0; g < 8; ++g) {
      const int step = g == 3 ? -32 : static_cast<int>(random() % 64) - 32;
      for (std::size_t i = 0; i < 32; ++i) {
        const int level = quant::kIq4Values[i == 5 ? 0 : random() % 16];
        weights[32 * g + i] = d * static_cast<float>(step) * static_cast<float>(level);
      }
    }
    for (const Effort effort : {Effort::kDefault, Effort::kHigh})
      EXPECT_EQ(testing::encoded_and_decoded(TensorType::kIQ4_XS, weights, nullptr, effort),
                weights);
  }
}

}  // namespace
}  // namespace brink
