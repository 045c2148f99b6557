// The kernels of evaluation, on every instruction set, against float64: sums over a row of logits,
// gaps stored in 16 bits, divergence of a row from stored gaps.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "brink/cpu/kernels.h"
#include "brink/cpu/logit_gaps.h"

namespace brink {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

const std::vector<std::size_t>& lengths() {
  static const std::vector<std::size_t> list = [] {
    std::vector<std::size_t> all = {100, 127, 128, 129, 1000, 32003, 151936};
    for (std::size_t n = 1; n <= 70; ++n) all.push_back(n);
    return all;
  }();
  return list;
}

// Logits as models have them, somewhere else for each seed.
std::vector<float> logits(std::size_t n, unsigned seed, float spread = 3.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> value(static_cast<float>(seed) - 20.0f, spread);
  std::vector<float> x(n);
  for (float& v : x) v = value(random);
  return x;
}

double exp_sum(const std::vector<float>& x) {
  const double largest = static_cast<double>(*std::max_element(x.begin(), x.end()));
  double sum = 0;
  for (const float v : x) sum += std::exp(static_cast<double>(v) - largest);
  return sum;
}

// ln of what softmax gives.
std::vector<double> log_probabilities(const std::vector<float>& x) {
  const double largest = static_cast<double>(*std::max_element(x.begin(), x.end()));
  const double log_sum = largest + std::log(exp_sum(x));
  std::vector<double> p;
  for (const float v : x) p.push_back(static_cast<double>(v) - log_sum);
  return p;
}

double divergence(const std::vector<double>& p, const std::vector<double>& q) {
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) sum += std::exp(p[i]) * (p[i] - q[i]);
  return sum;
}

class LogitsTest : public ::testing::TestWithParam<const Kernels*> {
 protected:
  const Kernels& kernels() const { return *GetParam(); }

  LogitSums sums_of(const std::vector<float>& x) const {
    LogitSums sums;
    kernels().sum_logits(x.data(), x.size(), &sums);
    return sums;
  }
  std::vector<std::uint16_t> gaps_of(const std::vector<float>& x) const {
    std::vector<std::uint16_t> gaps(x.size());
    kernels().store_gaps(x.data(), x.size(), sums_of(x).largest, gaps.data());
    return gaps;
  }
  // D(stored || x).
  double divergence_from(const std::vector<std::uint16_t>& gaps,
                         const std::vector<float>& x) const {
    const LogitSums sums = sums_of(x);
    DivergenceSums d;
    kernels().sum_divergence(x.data(), x.size(), sums.largest, gaps.data(), &d);
    return d.cross / d.mass + std::log(sums.sum) - std::log(d.mass);
  }
};

TEST_P(LogitsTest, SumsOfARow) {
  double worst = 0;
  for (const std::size_t n : lengths()) {
    std::vector<float> x = logits(n, static_cast<unsigned>(n % 40));
    const LogitSums sums = sums_of(x);
    const auto largest = std::max_element(x.begin(), x.end());
    EXPECT_EQ(sums.largest, *largest);
    EXPECT_EQ(sums.top, largest - x.begin()) << n;
    worst = std::max(worst, std::fabs(sums.sum / exp_sum(x) - 1));
    // The first of several equal ones, wherever they are.
    x.back() = *largest;
    EXPECT_EQ(sums_of(x).top, std::max_element(x.begin(), x.end()) - x.begin());
  }
  // f32 exponentials of differences that were rounded to f32, whose errors average out.
  EXPECT_LT(worst, 1.5e-7);
}

TEST_P(LogitsTest, EqualAndExtremeLogits) {
  for (const std::size_t n : {1u, 15u, 16u, 17u, 1000u}) {
    const LogitSums sums = sums_of(std::vector<float>(n, -3.5f));
    EXPECT_EQ(sums.largest, -3.5f);
    EXPECT_EQ(sums.top, 0u);
    EXPECT_EQ(sums.sum, static_cast<double>(n));
  }
  const LogitSums sums = sums_of({-3e38f, 3e38f, 0.0f});
  EXPECT_EQ(sums.top, 1u);
  EXPECT_EQ(sums.sum, 1.0);
}

TEST_P(LogitsTest, WhatIsNotFiniteShows) {
  for (const float bad : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()})
    for (const std::size_t n : {1u, 5u, 16u, 33u, 64u})
      for (std::size_t at = 0; at < n; ++at) {
        std::vector<float> x = logits(n, 3);
        x[at] = bad;
        EXPECT_TRUE(std::isnan(sums_of(x).sum)) << bad << " at " << at << " of " << n;
      }
}

TEST(LogitGapsTest, EveryCodeComesBack) {
  for (std::uint32_t code = 0; code <= kMaxGapCode; ++code) {
    const float gap = decode_logit_gap(static_cast<std::uint16_t>(code));
    ASSERT_EQ(encode_logit_gap(gap), code);
    if (code > 0) {
      ASSERT_GT(gap, decode_logit_gap(static_cast<std::uint16_t>(code - 1)));
    }
  }
  EXPECT_EQ(decode_logit_gap(0), 0.0f);
  EXPECT_EQ(encode_logit_gap(kInfinity), kMaxGapCode);
  EXPECT_EQ(encode_logit_gap(3e38f), kMaxGapCode);
  EXPECT_EQ(encode_logit_gap(127.6f), kMaxGapCode);
}

TEST_P(LogitsTest, GapsAreTheScalarOnes) {
  std::mt19937 random(5);
  for (const std::size_t n : lengths()) {
    std::vector<float> x = logits(n, 7, 20.0f);
    if (n > 3) x[n / 2] = -3e38f;
    if (n > 20) x[n - 2] = x[0] - 500.0f;
    const float largest = *std::max_element(x.begin(), x.end());
    const std::vector<std::uint16_t> gaps = gaps_of(x);
    for (std::size_t i = 0; i < n; ++i) {
      ASSERT_EQ(gaps[i], encode_logit_gap(largest - x[i])) << i << " of " << n;
      const float gap = largest - x[i];
      if (gap > 127.0f) continue;
      // Half a step: 2^-14 of the power of two below g + 1/2.
      const double half = std::ldexp(1.0, std::ilogb(gap + 0.5f) - 14);
      ASSERT_LE(
          std::fabs(static_cast<double>(decode_logit_gap(gaps[i])) - static_cast<double>(gap)),
          half * 1.001);
    }
  }
}

// What cpu/logit_gaps.h promises, on peaked, flat and very flat rows.
TEST_P(LogitsTest, ARowIsItsOwnBase) {
  double worst = 0;
  for (const float spread : {0.0f, 0.01f, 0.5f, 2.0f, 3.0f, 5.0f, 30.0f})
    for (const std::size_t n : lengths()) {
      const std::vector<float> x = logits(n, static_cast<unsigned>(n % 40), spread);
      worst = std::max(worst, std::fabs(divergence_from(gaps_of(x), x)));
    }
  EXPECT_LT(worst, 2e-7);
}

TEST_P(LogitsTest, DivergenceIsThatOfTheDistributions) {
  double worst = 0;
  for (const float difference : {0.01f, 0.3f, 3.0f})
    for (const std::size_t n : lengths()) {
      if (n == 1) continue;
      const std::vector<float> base = logits(n, 11);
      std::vector<float> x = logits(n, 12, difference);
      for (std::size_t i = 0; i < n; ++i) x[i] += base[i];
      const std::vector<std::uint16_t> gaps = gaps_of(base);
      // Exactly that of the stored distribution ...
      std::vector<float> stored;
      for (const std::uint16_t gap : gaps) stored.push_back(-decode_logit_gap(gap));
      const double actual = divergence_from(gaps, x);
      const auto q = log_probabilities(x);
      worst = std::max(worst, std::fabs(actual - divergence(log_probabilities(stored), q)));
      // ... and nearly that of the true one: steps of at most 2^-9 where there is probability.
      const double expected = divergence(log_probabilities(base), q);
      EXPECT_NEAR(actual, expected, 2e-3 * expected + 1e-3 * static_cast<double>(difference));
    }
  EXPECT_LT(worst, 1e-6);
}

TEST_P(LogitsTest, NothingIsNothing) {
  LogitSums sums;
  kernels().sum_logits(nullptr, 0, &sums);
  EXPECT_EQ(sums.sum, 0.0);
  kernels().store_gaps(nullptr, 0, 0.0f, nullptr);
  DivergenceSums d;
  kernels().sum_divergence(nullptr, 0, 0.0f, nullptr, &d);
  EXPECT_EQ(d.mass, 0.0);
  EXPECT_EQ(d.cross, 0.0);
}

INSTANTIATE_TEST_SUITE_P(EveryIsa, LogitsTest,
                         ::testing::ValuesIn(available_kernels().begin(),
                                             available_kernels().end()),
                         [](const auto& info) { return std::string(info.param->name); });

}  // namespace
}  // namespace brink
