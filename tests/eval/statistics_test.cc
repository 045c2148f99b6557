// Quantiles and bootstrap intervals against figures that are known exactly.
#include "brink/eval/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace brink {
namespace {

double mean_of_two_columns(std::span<const double> sums) { return sums[0] / sums[1]; }

TEST(StatisticsTest, RankCorrelation) {
  // scipy.stats.spearmanr([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]).
  EXPECT_NEAR(
      rank_correlation(std::vector<double>{1, 2, 3, 4, 5}, std::vector<double>{5, 6, 7, 8, 7}),
      0.8207826816681233, 1e-15);
  // Without ties 1 - 6 sum d^2 / (n (n^2 - 1)): ranks 3 1 4 2 against 1 2 3 4.
  EXPECT_NEAR(
      rank_correlation(std::vector<double>{0.3, -7, 1e9, 0}, std::vector<double>{1, 2, 3, 4}),
      1 - 6.0 * (4 + 1 + 1 + 4) / (4 * 15), 1e-15);
  EXPECT_DOUBLE_EQ(
      rank_correlation(std::vector<double>{1, 2, 2, 9}, std::vector<double>{8, 4, 4, 1}), -1);
  EXPECT_TRUE(std::isnan(rank_correlation(std::vector<double>{1, 1}, std::vector<double>{1, 2})));
  EXPECT_TRUE(std::isnan(rank_correlation(std::vector<double>{1}, std::vector<double>{1})));
}

TEST(StatisticsTest, QuantilesInterpolate) {
  // numpy.quantile([1, 2, 4, 8, 16], ...)
  const std::vector<double> x = {1, 2, 4, 8, 16};
  EXPECT_DOUBLE_EQ(quantile(x, 0.0), 1);
  EXPECT_DOUBLE_EQ(quantile(x, 0.1), 1.4);
  EXPECT_DOUBLE_EQ(quantile(x, 0.5), 4);
  EXPECT_DOUBLE_EQ(quantile(x, 0.9), 12.8);
  EXPECT_DOUBLE_EQ(quantile(x, 0.975), 15.2);
  EXPECT_DOUBLE_EQ(quantile(x, 1.0), 16);
  const std::vector<float> one = {3.5f};
  EXPECT_DOUBLE_EQ(quantile(one, 0.999), 3.5);
}

// Means of resamples of {0, 1} are 0, 1/2 and 1 with probabilities 1/4, 1/2 and 1/4: the interval
// is everything. Of {0, 0, 0, 0, 1} the sum is binomial (5, 1/5): P(0) = 0.328, P(>= 4) = 0.0067,
// so the 2.5 % quantile is 0 and the 97.5 % quantile 3/5.
TEST(StatisticsTest, IntervalsOfSmallSamplesAreThoseOfAllResamples) {
  const auto figures = [](std::span<const double> sums) {
    return std::vector{mean_of_two_columns(sums)};
  };
  const std::vector<double> two = {0, 1, 1, 1};
  const auto of_two = bootstrap(two, 2, figures);
  ASSERT_TRUE(of_two[0].ci);
  EXPECT_EQ(of_two[0].value, 0.5);
  EXPECT_EQ(of_two[0].ci->low, 0.0);
  EXPECT_EQ(of_two[0].ci->high, 1.0);
  const std::vector<double> five = {0, 1, 0, 1, 1, 1, 0, 1, 0, 1};
  const auto of_five = bootstrap(five, 2, figures);
  EXPECT_EQ(of_five[0].ci->low, 0.0);
  EXPECT_EQ(of_five[0].ci->high, 0.6);
}

TEST(StatisticsTest, IntervalsOfManyUnitsAreTheNormalOnes) {
  constexpr std::size_t kUnits = 400;
  std::mt19937 random(1);
  std::normal_distribution<double> value(5.0, 2.0);
  std::vector<double> rows;
  double sum = 0, squares = 0;
  for (std::size_t i = 0; i < kUnits; ++i) {
    const double x = value(random);
    rows.insert(rows.end(), {x, 1.0});
    sum += x;
    squares += x * x;
  }
  const double n = kUnits, mean = sum / n;
  const double error = std::sqrt((squares / n - mean * mean) / n);
  const auto estimates = bootstrap(rows, 2, [](std::span<const double> sums) {
    return std::vector{mean_of_two_columns(sums), std::exp(mean_of_two_columns(sums))};
  });
  ASSERT_EQ(estimates.size(), 2u);
  EXPECT_DOUBLE_EQ(estimates[0].value, mean);
  // A 2.5 % quantile of 10,000 resamples varies by about 0.027 standard errors.
  EXPECT_NEAR(estimates[0].ci->low, mean - 1.96 * error, 0.1 * error);
  EXPECT_NEAR(estimates[0].ci->high, mean + 1.96 * error, 0.1 * error);
  // Both figures come from the same resamples; only interpolation between two of them differs.
  EXPECT_NEAR(std::log(estimates[1].ci->low), estimates[0].ci->low, 1e-6);
  EXPECT_NEAR(std::log(estimates[1].ci->high), estimates[0].ci->high, 1e-6);
}

TEST(StatisticsTest, TheSeedDecides) {
  std::vector<double> rows;
  for (int i = 0; i < 50; ++i) rows.insert(rows.end(), {std::sin(i), 1.0});
  const auto run = [&](std::uint64_t seed) {
    return *bootstrap(
                rows, 2,
                [](std::span<const double> sums) { return std::vector{mean_of_two_columns(sums)}; },
                {.resamples = 1000, .seed = seed})[0]
                .ci;
  };
  EXPECT_EQ(run(1).low, run(1).low);
  EXPECT_NE(run(1).low, run(2).low);
}

TEST(StatisticsTest, OneUnitHasNoInterval) {
  const std::vector<double> rows = {3.0, 2.0};
  const auto estimates = bootstrap(
      rows, 2, [](std::span<const double> sums) { return std::vector{mean_of_two_columns(sums)}; });
  EXPECT_EQ(estimates[0].value, 1.5);
  EXPECT_FALSE(estimates[0].ci);
}

}  // namespace
}  // namespace brink
