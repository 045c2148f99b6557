// Attention of one or another shader against float64: scenes and what has to hold in them.
#ifndef BRINK_TESTS_SUPPORT_SHADER_ATTENTION_H_
#define BRINK_TESTS_SUPPORT_SHADER_ATTENTION_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "tests/support/shader_cache.h"
#include "tests/support/shader_test.h"

namespace brink::testing {

struct AttentionCase {
  CacheType type;
  AttentionShape shape;
};

/// Every type, groups of 1 to 8 heads, sizes of heads that are no powers of two, keys and values of
/// different sizes, the smallest sizes. A driver compiles a pipeline for each: hence so few.
inline constexpr AttentionCase kAttentionCases[] = {
    {CacheType::kF32, {14, 2, 64, 64}},   {CacheType::kF32, {4, 4, 80, 80}},
    {CacheType::kF32, {8, 1, 256, 256}},  {CacheType::kF32, {4, 1, 8, 16}},
    {CacheType::kF16, {14, 2, 64, 64}},   {CacheType::kF16, {6, 2, 72, 40}},
    {CacheType::kF16, {16, 8, 128, 128}}, {CacheType::kF16, {4, 2, 192, 128}},
    {CacheType::kQ8_0, {8, 2, 96, 64}},   {CacheType::kQ8_0, {8, 1, 256, 256}},
    {CacheType::kQ4_0, {14, 2, 64, 64}},  {CacheType::kQ4_0, {2, 1, 64, 256}}};

/// Bound of distance_of(). Scores are of size 4 here, sums of up to 256 products: a weight is off
/// by some roundings of its score, 4 * 6e-8 each, and outputs are averages, smaller than the
/// values. Measured: 2.4e-6, over more shapes than these.
inline constexpr double kAttentionBound = 3e-6;

inline std::string label(const TestCache& cache) {
  const AttentionShape& s = cache.shape();
  return std::string(name_of(cache.type())) + ", heads " + std::to_string(s.heads) + "/" +
         std::to_string(s.kv_heads) + " of " + std::to_string(s.k_dim) + ", " +
         std::to_string(s.v_dim);
}

/// Largest distance of outputs from those in float64, in units of a head's largest.
inline double distance_of(const TestCache& cache, std::span<const double> wanted,
                          std::span<const float> got) {
  const std::size_t dim = cache.shape().v_dim;
  Distance distance;
  for (std::size_t first = 0; first < wanted.size(); first += dim) {
    double most = 0.0;
    for (std::size_t i = first; i < first + dim; ++i) most = std::max(most, std::abs(wanted[i]));
    for (std::size_t i = first; i < first + dim; ++i)
      distance.add(got[i], wanted[i], most == 0.0 ? 1.0 : most);
  }
  return distance.largest();
}

inline double distance_of(const TestCache& cache, std::span<const float> q, float scale,
                          std::span<const float> got) {
  return distance_of(cache, cache.attention(q, scale), got);
}

inline float scale_of(const AttentionShape& shape) {
  return 1.0f / std::sqrt(static_cast<float>(shape.k_dim));
}

inline std::vector<float> queries(const TestCache& cache, Random& random) {
  return random.normal(cache.rows() * cache.shape().heads * cache.shape().k_dim);
}

/// `attend(cache, q, scale)`: the outputs of a shader. What stands at a position changes no bit of
/// the rows before it, and is not lost in the others.
template <class Attend>
void expect_later_positions_do_not_matter(const AttentionCase& c,
                                          std::initializer_list<u32> positions, Random& random,
                                          const Attend& attend) {
  constexpr u32 kFirst = 40, kCount = 70;  // in three tiles and two pages
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  struct Change {
    bool value;
    float to;
  };
  TestCache cache(c.shape, c.type, {{kFirst, kCount}}, random);
  cache.fill(random, 2.0f);
  const std::vector<float> q = queries(cache, random);
  const float scale = scale_of(c.shape);
  const std::vector<float> before = attend(cache, q, scale);
  ASSERT_LT(distance_of(cache, q, scale, before), kAttentionBound) << label(cache);
  const std::size_t row = std::size_t{c.shape.heads} * c.shape.v_dim;
  for (const u32 position : positions) {
    for (const Change& change : {Change{true, kInfinity}, {true, kNan}, {false, kNan}}) {
      TestCache changed = cache;
      const std::vector<float> hostile(change.value ? c.shape.v_dim : c.shape.k_dim, change.to);
      for (u32 h = 0; h < c.shape.kv_heads; ++h)
        changed.store(change.value, 0, h, position, hostile);
      const std::vector<float> after = attend(changed, q, scale);
      const std::size_t earlier = (position - kFirst) * row;
      std::size_t changes = 0, lost = 0;
      for (std::size_t i = 0; i < earlier; ++i)
        changes += std::bit_cast<u32>(after[i]) != std::bit_cast<u32>(before[i]);
      for (std::size_t i = earlier; i < after.size(); ++i) lost += std::isfinite(after[i]);
      SCOPED_TRACE(::testing::Message() << label(cache) << ", " << change.to << " in "
                                        << (change.value ? "value " : "key ") << position);
      EXPECT_EQ(changes, 0u) << "of " << earlier << " earlier outputs";
      EXPECT_EQ(lost, 0u) << "outputs that do not show it";
    }
  }
}

/// Scores of minus infinity get no weight, also all of a tile or a split; of nothing but those
/// there is no output.
template <class Attend>
void expect_minus_infinity_has_no_weight(Random& random, const Attend& attend) {
  constexpr AttentionShape kShape{4, 1, 8, 16};
  TestCache cache(kShape, CacheType::kF32, {{200, 1}, {70, 1}}, random);
  cache.fill(random, 1.0f);
  const std::vector<float> masked(kShape.k_dim, -std::numeric_limits<float>::infinity());
  for (u32 j = 0; j <= 200; ++j)
    if (j < 130 || j % 3 == 0) cache.store(false, 0, 0, j, masked);
  for (u32 j = 0; j <= 70; ++j) cache.store(false, 1, 0, j, masked);
  std::vector<float> q = queries(cache, random);
  for (float& v : q) v = std::abs(v) + 0.1f;
  const std::vector<float> out = attend(cache, q, 0.3f);
  EXPECT_LT(distance_of(cache, q, 0.3f, out), kAttentionBound);
  EXPECT_TRUE(std::all_of(out.begin() + kShape.heads * kShape.v_dim, out.end(),
                          [](float v) { return v == 0.0f; }));
}

template <class Attend>
void expect_huge_scores_do_not_overflow(Random& random, const Attend& attend) {
  constexpr AttentionShape kShape{4, 1, 8, 16};
  TestCache cache(kShape, CacheType::kF32, {{200, 1}, {70, 1}}, random);
  cache.fill(random, 1.0f);
  // Of some thousands: their rounding is 1e4 * 6e-8, and so is the relative error of a weight.
  std::vector<float> q = queries(cache, random);
  for (float& v : q) v *= 3000.0f;
  EXPECT_LT(distance_of(cache, q, 0.3f, attend(cache, q, 0.3f)), 1e-3);
  // Near the limits of f32, of either sign: one position has all the weight.
  std::fill(q.begin(), q.end(), 1e18f);
  for (u32 s = 0; s < 2; ++s)
    for (u32 j = 0; j <= (s == 0 ? 200u : 70u); ++j)
      cache.store(false, s, 0, j, std::vector<float>(kShape.k_dim, j == 67 ? 1e18f : -1e18f));
  EXPECT_LT(distance_of(cache, q, 0.3f, attend(cache, q, 0.3f)), kAttentionBound);
}

}  // namespace brink::testing

#endif  // BRINK_TESTS_SUPPORT_SHADER_ATTENTION_H_
