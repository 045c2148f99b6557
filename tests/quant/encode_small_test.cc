// Encoders of the types with two to four levels against the best there is, and those of the floats.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "brink/core/half.h"
#include "brink/quant/encode.h"
#include "tests/support/encode_check.h"

namespace brink {
namespace {

double importance_at(const float* importance, std::size_t i) {
  return importance != nullptr ? static_cast<double>(importance[i]) : 1.0;
}

// With the best real scale, the mean magnitude.
double best_signs(const std::vector<float>& weights, const float* importance) {
  double sum = 0, sum_w = 0, squares = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double x = std::fabs(static_cast<double>(weights[i]));
    const double w = importance_at(importance, i);
    sum += w * x;
    sum_w += w;
    squares += w * x * x;
  }
  return squares - sum * sum / sum_w;
}

// With the best real scale: that of the k largest magnitudes, for the best k.
double best_ternary(const std::vector<float>& weights, const float* importance) {
  std::vector<std::size_t> order(weights.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::fabs(weights[a]) > std::fabs(weights[b]);
  });
  double sum = 0, sum_w = 0, squares = 0, gain = 0;
  for (const std::size_t i : order) {
    const double x = std::fabs(static_cast<double>(weights[i]));
    const double w = importance_at(importance, i);
    sum += w * x;
    sum_w += w;
    squares += w * x * x;
    gain = std::max(gain, sum * sum / sum_w);
  }
  return squares - gain;
}

// Over all f16 scales of either sign from a tenth of the largest weight to more than it.
double best_of_four(const std::vector<float>& weights, const float* importance) {
  float largest = 0.0f;
  for (const float w : weights) largest = std::max(largest, std::fabs(w));
  double best = INFINITY;
  for (int code = f32_to_f16(largest * 0.1f); code <= f32_to_f16(largest * 1.1f); ++code) {
    const double d = static_cast<double>(f16_to_f32(static_cast<std::uint16_t>(code)));
    for (const double scale : {d, -d})
      best = std::min(best, testing::error_at_scale(weights, importance, scale, {-1, 0, 1, 2}));
  }
  return best;
}

TEST(SmallEncoders, AreNearTheBestScale) {
  const struct {
    TensorType type;
    double (*best)(const std::vector<float>&, const float*);
    // Measured distances to the best squared error, [weighted][effort], rounded up.
    double gap[2][2];
  } types[] = {{TensorType::kQ1_0, &best_signs, {{1e-6, 1e-6}, {1e-6, 1e-6}}},
               {TensorType::kQ2_0, &best_of_four, {{0.003, 1e-6}, {0.005, 1e-6}}},
               {TensorType::kTQ1_0, &best_ternary, {{3e-4, 6e-5}, {3e-4, 6e-5}}},
               {TensorType::kTQ2_0, &best_ternary, {{3e-4, 6e-5}, {3e-4, 6e-5}}}};
  for (const auto& t : types) {
    for (const bool weighted : {false, true}) {
      const testing::Gap gap = testing::measure_gap(t.type, 100, weighted, t.best);
      std::printf("%s%s: default %+.6f, high %+.6f of the best squared error\n",
                  format_of(t.type).name, weighted ? " weighted" : "", gap.of(Effort::kDefault),
                  gap.of(Effort::kHigh));
      EXPECT_GE(gap.of(Effort::kHigh), -1e-6);
      EXPECT_LE(gap.of(Effort::kDefault), t.gap[weighted][0]) << format_of(t.type).name;
      EXPECT_LE(gap.of(Effort::kHigh), t.gap[weighted][1]) << format_of(t.type).name;
    }
  }
}

TEST(SmallEncoders, KeepWeightsThatHaveAScale) {
  std::mt19937_64 random(3);
  const struct {
    TensorType type;
    std::vector<float> levels;
  } types[] = {{TensorType::kQ1_0, {-1, 1}},
               {TensorType::kQ2_0, {-1, 0, 1, 2}},
               {TensorType::kQ2_0, {-1, 0, 1}},
               {TensorType::kTQ1_0, {-1, 0, 1}},
               {TensorType::kTQ2_0, {-1, 0, 1}}};
  for (const auto& t : types) {
    for (int n = 0; n < 200; ++n) {
      const float d = f16_to_f32(static_cast<std::uint16_t>(0x0400 + random() % 0x7000));
      std::vector<float> weights(format_of(t.type).block_size);
      // Dense at first, then ever sparser.
      for (float& w : weights) {
        const bool kept = t.levels.size() == 2 || random() % 200 >= static_cast<unsigned>(n);
        w = kept ? d * t.levels[random() % t.levels.size()] : 0.0f;
      }
      for (const Effort effort : {Effort::kDefault, Effort::kHigh})
        EXPECT_EQ(testing::encoded_and_decoded(t.type, weights, nullptr, effort), weights)
            << format_of(t.type).name << ", block " << n;
    }
  }
}

// Both ternary types hold the same weights.
TEST(SmallEncoders, TernaryTypesAgree) {
  std::mt19937_64 random(8);
  for (int n = 0; n < 100; ++n) {
    const std::vector<float> weights = testing::sample_block(512, n, random);
    EXPECT_EQ(testing::encoded_and_decoded(TensorType::kTQ1_0, weights, nullptr, Effort::kDefault),
              testing::encoded_and_decoded(TensorType::kTQ2_0, weights, nullptr, Effort::kDefault));
  }
}

// All upper halves with ten lower ones, NaN and infinity included, and rows of odd lengths.
TEST(FloatEncoders, RoundAsTheScalarConversions) {
  std::mt19937_64 random(1);
  std::vector<float> weights;
  const auto check = [&] {
    for (const TensorType type : {TensorType::kF16, TensorType::kBF16}) {
      std::vector<std::uint16_t> got(weights.size());
      for (const Kernels* kernels : available_kernels()) {
        kernels->encode[static_cast<std::size_t>(type)](
            weights.data(), nullptr, weights.size(), Effort::kDefault,
            reinterpret_cast<std::uint8_t*>(got.data()));
        for (std::size_t i = 0; i < got.size(); ++i) {
          const std::uint16_t want =
              type == TensorType::kF16 ? f32_to_f16(weights[i]) : f32_to_bf16(weights[i]);
          ASSERT_EQ(got[i], want) << format_of(type).name << ", bits "
                                  << std::bit_cast<std::uint32_t>(weights[i]);
        }
      }
    }
  };
  for (std::uint32_t high = 0; high < 1u << 16; ++high) {
    for (const std::uint32_t low : {0u, 1u, 0x0fffu, 0x1000u, 0x1001u, 0x7fffu, 0x8000u, 0x8001u,
                                    0xffffu, static_cast<std::uint32_t>(random() & 0xffff)})
      weights.push_back(std::bit_cast<float>(high << 16 | low));
    if (weights.size() > 60000) {
      check();
      weights.clear();
    }
  }
  for (std::size_t count = 0; count < 40; ++count) {
    weights.assign(count, 0.1f);
    check();
  }
}

}  // namespace
}  // namespace brink
