// Shaders that choose the largest of a row: argmax, top_k, route. Choices are exact: equal values,
// infinities and NaN have their place in the order.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "brink/vulkan/push.h"
#include "tests/support/shader_test.h"

namespace brink::testing {
namespace {

using Choose = ShaderTest;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

using vulkan::ArgmaxPush, vulkan::TopKPush;

// Indices of the values of a row, the largest first, then the lowest index, NaN last.
std::vector<u32> ordered(std::span<const float> row) {
  std::vector<u32> order(row.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](u32 a, u32 b) {
    return std::isnan(row[b]) ? !std::isnan(row[a]) : row[a] > row[b];
  });
  return order;
}

TEST_F(Choose, ArgmaxTakesTheFirstOfTheLargest) {
  enum Kind { kNormal, kHalfNan, kManyEqual, kNothingFinite, kAllNan, kKinds };
  for (const u32 width : {1u, 3u, 100u, 1001u, 151936u}) {
    for (const u32 rows : {1u, 7u}) {
      if (rows * width > 200000) continue;  // time
      for (const u32 size : {8u, 256u, 1024u}) {
        // Lavapipe ends loops after 65535 turns of an invocation.
        if (size == 8 && width > 32000) continue;
        for (int kind = 0; kind < kKinds; ++kind) {
          std::vector<float> x = random_.normal(rows * width);
          for (float& v : x) {
            const bool heads = random_.below(2) == 0;
            if (kind == kHalfNan && heads) v = kNan;
            // Mostly zeros of both signs, and nothing above them.
            if (kind == kManyEqual) v = heads ? -0.0f : -std::abs(std::round(v / 4)) + 0.0f;
            if (kind == kNothingFinite) v = heads ? -kInfinity : -kNan;
            if (kind == kAllNan) v = heads ? kNan : -kNan;
          }
          const Floats on_x(device(), x);
          const Uints ids(device(), rows);
          run("argmax", {size}, ArgmaxPush{on_x.address(), ids.address(), width}, rows);
          for (u32 row = 0; row < rows; ++row) {
            const std::span<const float> values = std::span(x).subspan(row * width, width);
            u32 best = ~0u;  // -1: nothing but NaN and -infinity
            for (u32 i = 0; i < width; ++i)
              if (values[i] > (best == ~0u ? -kInfinity : values[best])) best = i;
            ASSERT_EQ(ids[row], best) << width << " values, kind " << kind << ", size " << size;
          }
        }
      }
    }
  }
}

TEST_F(Choose, TopKIsOrdered) {
  enum Kind { kNormal, kManyEqual, kMostlyMasked, kMostlyNan, kKinds };
  for (const u32 width : {1u, 3u, 100u, 1001u, 151936u}) {
    for (const u32 rows : {1u, 3u}) {
      if (rows * width > 200000) continue;  // time
      for (const u32 size : {8u, 64u, 256u, 1024u}) {
        if (size == 8 && width > 32000) continue;  // as above
        for (const u32 k : {1u, 2u, 8u, 40u, 250u}) {
          if (k > std::min(size, width)) continue;
          for (int kind = 0; kind < kKinds; ++kind) {
            std::vector<float> x = random_.normal(rows * width);
            for (float& v : x) {
              if (kind == kManyEqual) v = std::round(v * 2);
              if (kind == kMostlyMasked && random_.below(width / 10 + 1) > 0) v = -kInfinity;
              if (kind == kMostlyNan && random_.below(8) > 0)
                v = random_.below(2) == 0 ? kNan : -kNan;
            }
            const Floats on_x(device(), x), values(device(), rows * k);
            const Uints ids(device(), rows * k);
            run("top_k", {size},
                TopKPush{on_x.address(), ids.address(), values.address(), width, k}, rows);
            for (u32 row = 0; row < rows; ++row) {
              const std::span<const float> from = std::span(x).subspan(row * width, width);
              const std::vector<u32> order = ordered(from);
              for (u32 i = 0; i < k; ++i) {
                ASSERT_EQ(ids[row * k + i], order[i])
                    << i << " of " << k << ", " << width << " values, kind " << kind << ", size "
                    << size;
                ASSERT_EQ(std::bit_cast<u32>(values[row * k + i]),
                          std::bit_cast<u32>(from[order[i]]));
              }
            }
          }
        }
      }
    }
  }
}

// Relative to each weight: logits are up to 20 apart, so that the argument of the exponential
// function is off by up to 1e-6, and the weight as much. Measured: 1e-6.
constexpr double kWeightBound = 2e-6;

TEST_F(Choose, RouteTakesTheLikeliestExperts) {
  Distance distance;
  for (const u32 experts : {1u, 8u, 60u, 128u, 300u}) {
    for (const u32 used : {1u, 4u, 8u}) {
      if (used > experts) continue;
      for (const u32 rows : {1u, 65u}) {
        for (const u32 size : {32u, 64u}) {
          for (const bool normalized : {false, true}) {
            for (const bool equal : {false, true}) {
              std::vector<float> x = random_.normal(rows * experts, 2.0f);
              if (equal)
                for (float& v : x) v = std::round(v) * 0.5f;
              const Floats logits(device(), x), weights(device(), rows * used);
              const Uints ids(device(), rows * used);
              run("route", {size, experts},
                  vulkan::RoutePush{logits.address(), ids.address(), weights.address(), used,
                                    normalized ? 1u : 0u, 1.5f},
                  rows);
              for (u32 row = 0; row < rows; ++row) {
                const std::span<const float> from = std::span(x).subspan(row * experts, experts);
                const std::vector<u32> order = ordered(from);
                std::vector<double> exps(experts);
                for (u32 i = 0; i < experts; ++i)
                  exps[i] = std::exp(static_cast<double>(from[order[i]]) -
                                     static_cast<double>(from[order[0]]));
                const double sum = std::accumulate(
                    exps.begin(), normalized ? exps.begin() + used : exps.end(), 0.0);
                for (u32 rank = 0; rank < used; ++rank) {
                  ASSERT_EQ(ids[row * used + rank], order[rank]) << experts << " experts";
                  const double wanted = 1.5 * exps[rank] / sum;
                  distance.add(weights[row * used + rank], wanted, wanted);
                }
              }
              ASSERT_LT(distance.largest(), kWeightBound) << experts << " experts, " << used;
            }
          }
        }
      }
    }
  }
  std::printf("route: largest distance %.2e\n", distance.largest());
}

// Ids address weights: they must be valid, and different, whatever the logits are.
TEST_F(Choose, RouteTakesValidExpertsForAnyLogits) {
  constexpr u32 kExperts = 60, kUsed = 8, kRows = 9;
  for (const float hostile : {kNan, -kNan, -kInfinity, kInfinity}) {
    for (const bool everywhere : {false, true}) {
      std::vector<float> x = random_.normal(kRows * kExperts);
      for (float& v : x)
        if (everywhere || random_.below(3) == 0) v = hostile;
      const Floats logits(device(), x), weights(device(), kRows * kUsed);
      const Uints ids(device(), kRows * kUsed);
      run("route", {64, kExperts},
          vulkan::RoutePush{logits.address(), ids.address(), weights.address(), kUsed, 1, 1.0f},
          kRows);
      for (u32 row = 0; row < kRows; ++row) {
        std::vector<bool> seen(kExperts);
        for (u32 rank = 0; rank < kUsed; ++rank) {
          const u32 id = ids[row * kUsed + rank];
          ASSERT_LT(id, kExperts);
          EXPECT_FALSE(seen[id]) << "chosen twice";
          seen[id] = true;
          const bool is_nan = std::isnan(weights[row * kUsed + rank]);
          if (std::isnan(hostile)) {  // chosen or not
            EXPECT_TRUE(is_nan) << "a NaN must show";
          } else if (hostile == -kInfinity && !everywhere) {
            EXPECT_FALSE(is_nan);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace brink::testing
