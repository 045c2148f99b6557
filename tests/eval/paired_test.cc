// Comparisons of items that two models answered, against an independent implementation
// (tests/data/eval/paired_statistics.py), and how often their intervals hold the truth.
#include "brink/eval/paired.h"

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "brink/core/error.h"
#include "tests/support/eval_reference.h"

namespace brink {
namespace {

using testing::expect_interval, testing::paired_reference;

struct Items {
  std::vector<double> base, other;
  std::vector<std::uint64_t> clusters;
  PairedScores scores() const { return {base, other, clusters}; }
};

Items reference_items(const std::string& name, const nlohmann::json** row) {
  for (const auto& candidate : paired_reference()["paired"])
    if (candidate["name"] == name) *row = &candidate;
  return {(**row)["base"].get<std::vector<double>>(), (**row)["other"].get<std::vector<double>>(),
          (**row)["clusters"].get<std::vector<std::uint64_t>>()};
}

void expect_bootstrap(const PairedComparison& result, const nlohmann::json& expected) {
  EXPECT_NEAR(result.difference.value, expected["difference"].get<double>(), 1e-14);
  expect_interval(*result.difference.ci, expected["ci"], 1e-12, "difference");
  expect_interval(result.difference90, expected["ci90"], 1e-12, "of 90 %");
  EXPECT_NEAR(result.retained->value, expected["retained"].get<double>(), 1e-14);
  expect_interval(*result.retained->ci, expected["retained_ci"], 1e-12, "retained");
  EXPECT_NEAR(result.p, expected["p"].get<double>(), 1e-15);
}

nlohmann::json hull(const nlohmann::json& a, const nlohmann::json& b) {
  return {std::min(a[0].get<double>(), b[0].get<double>()),
          std::max(a[1].get<double>(), b[1].get<double>())};
}

TEST(PairedTest, GradedScores) {
  const nlohmann::json* row = nullptr;
  const Items items = reference_items("graded", &row);
  const PairedComparison result = compare_paired({items.base, items.other});
  EXPECT_EQ(result.method, PairedMethod::kBootstrap);
  EXPECT_TRUE(result.graded);
  expect_bootstrap(result, (*row)["bootstrap"]);
  // Cluster numbers that are all different say the same.
  EXPECT_EQ(compare_paired(items.scores()).difference.ci->low, result.difference.ci->low);
}

TEST(PairedTest, GradedScoresInClusters) {
  const nlohmann::json* row = nullptr;
  const PairedComparison result = compare_paired(reference_items("graded_clusters", &row).scores());
  EXPECT_EQ(result.method, PairedMethod::kClusterBootstrap);
  EXPECT_EQ(result.items, 60u);
  EXPECT_EQ(result.clusters, 15u);
  expect_bootstrap(result, (*row)["bootstrap"]);
}

// Fewer than 10 clusters changed: resamples alone would be too sure.
TEST(PairedTest, FewGradedScoresChange) {
  for (const char* name : {"graded_few", "graded_few_clusters"}) {
    const nlohmann::json* row = nullptr;
    const PairedComparison result = compare_paired(reference_items(name, &row).scores());
    const nlohmann::json &bootstrap = (*row)["bootstrap"], &tango = (*row)["tango"];
    EXPECT_EQ(result.method, PairedMethod::kFewChanges);
    EXPECT_TRUE(result.graded);
    EXPECT_NEAR(result.effective_items, (*row)["effective"].get<double>(), 1e-10);
    EXPECT_EQ(result.p, std::max((*row)["p"].get<double>(), bootstrap["p"].get<double>()));
    expect_interval(*result.difference.ci, hull(bootstrap["ci"], tango), 1e-9, name);
    expect_interval(result.difference90, hull(bootstrap["ci90"], (*row)["tango90"]), 1e-9, name);
    expect_interval(*result.retained->ci, hull(bootstrap["retained_ci"], (*row)["ratio"]), 1e-8,
                    name);
    EXPECT_GT(*result.detectable, 0.05);
  }
}

// 43 graded items of which each is lost with probability 5.5 %: that must be called safe for a
// tolerance of 2 points in no more than 2.5 % of cases. By resamples alone it is in about 9 %.
TEST(PairedTest, RareLossesAreNotCalledSafe) {
  std::mt19937_64 random(5);
  std::vector<double> base(43, 1.0), other;
  base[0] = 0.5;
  int safe = 0, safe_by_bootstrap = 0;
  for (int round = 0; round < 400; ++round) {
    other = base;
    std::vector<double> rows;
    for (std::size_t i = 0; i < base.size(); ++i) {
      if (random() % 1000 < 55) other[i] = 0;
      rows.insert(rows.end(), {other[i] - base[i], 1.0});
    }
    const BootstrapOptions options{.resamples = 1000};
    safe += compare_paired({base, other}, options).difference.ci->low > -0.02;
    safe_by_bootstrap +=
        bootstrap(
            rows, 2, [](std::span<const double> sums) { return std::vector{sums[0] / sums[1]}; },
            options)[0]
            .ci->low > -0.02;
  }
  std::printf("called safe: %d of 400, by the bootstrap alone %d\n", safe, safe_by_bootstrap);
  EXPECT_LE(safe, 10);
  EXPECT_GE(safe_by_bootstrap, 20);
}

TEST(PairedTest, RightAndWrongInClusters) {
  for (const char* name : {"right_wrong_clusters", "uneven_clusters"}) {
    const nlohmann::json* row = nullptr;
    const PairedComparison result = compare_paired(reference_items(name, &row).scores());
    EXPECT_EQ(result.method, PairedMethod::kClusterTango);
    EXPECT_FALSE(result.graded);
    EXPECT_NEAR(result.effective_items, (*row)["effective"].get<double>(), 1e-10);
    EXPECT_NEAR(result.p, (*row)["p"].get<double>(), 1e-13);
    const nlohmann::json& bootstrap = (*row)["bootstrap"];
    const Items items = reference_items(name, &row);
    const nlohmann::json& mean = (*row)["mean"];
    expect_interval(*mean_score(items.other, items.clusters).ci,
                    hull(mean["wilson"], mean["bootstrap"]), 1e-9, name);
    expect_interval(*result.difference.ci, hull(bootstrap["ci"], (*row)["tango"]), 1e-9, name);
    expect_interval(result.difference90, hull(bootstrap["ci90"], (*row)["tango90"]), 1e-9, name);
    expect_interval(*result.retained->ci, hull(bootstrap["retained_ci"], (*row)["ratio"]), 1e-8,
                    name);
  }
}

// Right and wrong answers of independent items: the functions of proportions.h.
TEST(PairedTest, RightAndWrong) {
  const std::vector<double> base = {1, 1, 1, 1, 1, 0, 0, 0, 1, 1};
  const std::vector<double> other = {1, 1, 0, 0, 0, 1, 0, 0, 1, 1};
  const PairedComparison result = compare_paired({base, other});
  EXPECT_EQ(result.method, PairedMethod::kTango);
  EXPECT_EQ(result.lost, 3u);
  EXPECT_EQ(result.gained, 1u);
  EXPECT_DOUBLE_EQ(result.base, 0.7);
  EXPECT_DOUBLE_EQ(result.other, 0.5);
  EXPECT_DOUBLE_EQ(result.difference.value, -0.2);
  const PairedCounts counts{.both_right = 4, .lost = 3, .gained = 1, .both_wrong = 2};
  const Interval tango = tango_interval(counts);
  EXPECT_DOUBLE_EQ(result.difference.ci->low, tango.low);
  EXPECT_DOUBLE_EQ(result.difference.ci->high, tango.high);
  EXPECT_DOUBLE_EQ(result.difference90.low, tango_interval(counts, 0.9).low);
  EXPECT_DOUBLE_EQ(result.retained->value, 5.0 / 7);
  EXPECT_DOUBLE_EQ(result.retained->ci->low, paired_ratio(counts)->ci->low);
  EXPECT_DOUBLE_EQ(result.p, 0.625);
  EXPECT_EQ(result.detectable, detectable_difference(10, 4));
  EXPECT_EQ(result.effective_items, 10);
}

TEST(PairedTest, WithoutAnyChangeIntervalsKeepTheirWidth) {
  const double z2 = std::pow(normal_quantile(0.975), 2);
  const std::vector<double> graded(40, 0.25);
  const PairedComparison independent = compare_paired({graded, graded});
  EXPECT_EQ(independent.method, PairedMethod::kWorstCase);
  EXPECT_NEAR(independent.difference.ci->high, z2 / (40 + z2), 1e-12);
  EXPECT_NEAR(independent.difference.ci->low, -z2 / (40 + z2), 1e-12);
  EXPECT_EQ(independent.p, 1.0);
  EXPECT_NEAR(independent.retained->ci->high, 1 + z2 / 10, 1e-9);  // of 10 right answers
  EXPECT_EQ(independent.detectable, detectable_difference(40, 0));

  // Right and wrong in clusters of 4, 4 and 2: 100 / 36 effective items.
  const std::vector<double> right(10, 1.0);
  const std::vector<std::uint64_t> clusters = {7, 7, 7, 7, 1, 1, 1, 1, 9, 9};
  const PairedComparison clustered = compare_paired({right, right, clusters});
  EXPECT_NEAR(clustered.effective_items, 100.0 / 36, 1e-12);
  EXPECT_NEAR(clustered.difference.ci->high, z2 / (100.0 / 36 + z2), 1e-12);
  EXPECT_FALSE(clustered.detectable);

  // All in one cluster: as much as a single item tells.
  const std::vector<double> changed = {1, 1, 1, 1, 0, 0, 1, 1, 1, 1};
  const std::vector<std::uint64_t> one(10, 3);
  const PairedComparison single = compare_paired({right, changed, one});
  EXPECT_EQ(single.effective_items, 1);
  EXPECT_EQ(single.difference.value, -0.2);
  EXPECT_LT(single.difference.ci->low, -0.8);
  EXPECT_GT(single.difference.ci->high, 0.5);
  EXPECT_EQ(single.p, 1.0);
}

TEST(PairedTest, MeanScores) {
  const std::vector<double> right_and_wrong = {1, 0, 1, 1}, graded = {0.5, 0.25, 1, 0},
                            equal = {1, 1, 1, 1};
  const std::vector<std::uint64_t> pairs = {1, 1, 2, 2};
  EXPECT_EQ(mean_score(right_and_wrong).value, 0.75);
  EXPECT_EQ(mean_score(right_and_wrong).ci->low, wilson_interval(3, 4).low);
  // Of the bootstrap of 4 units, by its definition on other code.
  const std::vector<double> rows = {0.5, 1, 0.25, 1, 1, 1, 0, 1};
  const auto mean = [](std::span<const double> sums) { return std::vector{sums[0] / sums[1]}; };
  const Interval of_four = *bootstrap(rows, 2, mean)[0].ci;
  // As four tell too little: Wilson's of 4 / 1.25, where three units differ, whose variance of
  // means is 4/3 of that of independent items, and one speaks for the worst, 1.
  const Interval wilson = wilson_interval(1.75 / 1.25, 4 / 1.25);
  EXPECT_NEAR(mean_score(graded).ci->high, std::max(of_four.high, wilson.high), 1e-12);
  std::vector<double> many, rows_of_many;
  for (std::size_t i = 0; i < 40; ++i) {
    many.push_back(graded[i % 4]);
    rows_of_many.insert(rows_of_many.end(), {graded[i % 4], 1});
  }
  EXPECT_EQ(mean_score(many).ci->high, bootstrap(rows_of_many, 2, mean)[0].ci->high);
  // Nearly all equal: hardly narrower than with all equal.
  std::vector<double> nearly(40, 1.0);
  nearly[7] = 0.5;
  EXPECT_LT(mean_score(nearly).ci->low, 0.92);
  EXPECT_EQ(mean_score(equal, pairs).ci->low, wilson_interval(2, 2).low);
  EXPECT_THROW(mean_score({}), Error);
}

TEST(PairedTest, MeanOfIndependentEstimates) {
  const std::vector<Estimate> estimates = {{0.2, Interval{0.17, 0.23}},
                                           {0.6, Interval{0.52, 0.64}}};
  const Estimate mean = mean_of(estimates);
  EXPECT_DOUBLE_EQ(mean.value, 0.4);
  EXPECT_NEAR(mean.ci->low, 0.4 - std::sqrt(0.03 * 0.03 + 0.08 * 0.08) / 2, 1e-15);
  EXPECT_NEAR(mean.ci->high, 0.4 + 0.05 / 2, 1e-15);
}

TEST(PairedTest, NothingIsRetainedOfNothing) {
  const std::vector<double> wrong(5, 0.0), right(5, 1.0);
  EXPECT_FALSE(compare_paired({wrong, right}).retained);
  const PairedComparison lost = compare_paired({right, wrong});
  EXPECT_EQ(lost.retained->value, 0);
  EXPECT_EQ(lost.retained->ci->low, 0);
  EXPECT_GT(lost.retained->ci->high, 0.1);
  EXPECT_EQ(lost.difference.ci->low, -1);
}

TEST(PairedTest, RefusesWhatIsNotPaired) {
  const std::vector<double> two = {0, 1}, three = {0, 1, 1}, beyond = {0, 1.5},
                            nan = {0, std::nan("")};
  const std::vector<std::uint64_t> one_cluster = {0};
  EXPECT_THROW(compare_paired({}), Error);
  EXPECT_THROW(compare_paired({two, three}), Error);
  EXPECT_THROW(compare_paired({two, beyond}), Error);
  EXPECT_THROW(compare_paired({nan, two}), Error);
  EXPECT_THROW(compare_paired({two, two, one_cluster}), Error);
}

// Clusters of 1 to 9 items; a share of items flips, mostly down, some of them together (a cluster's
// items share their fate with probability 1/2). 40 clusters with few flips: of the 400 intervals 95
// % hold the truth, 2 % more or less (two standard errors); of the bootstrap's alone 88 %.
TEST(PairedTest, CoverageInClusters) {
  std::mt19937_64 random(11);
  const auto uniform = [&] { return static_cast<double>(random() >> 11) * 0x1p-53; };
  constexpr double kFlips = 0.05, kLosses = 0.8, kTruth = kFlips * (1 - 2 * kLosses);
  constexpr int kRounds = 400;
  int held = 0, held_by_bootstrap = 0;
  for (int round = 0; round < kRounds; ++round) {
    Items items;
    std::vector<double> rows;
    for (std::uint64_t cluster = 0; cluster < 40; ++cluster) {
      const auto draw = [&] {
        const double u = uniform();
        return u < kFlips * kLosses ? -1 : u < kFlips ? 1 : 0;
      };
      const int fate = draw(), size = 1 + static_cast<int>(random() % 9);
      double change = 0;
      for (int i = 0; i < size; ++i) {
        const int flip = uniform() < 0.5 ? fate : draw();
        const bool right = flip < 0 || (flip == 0 && uniform() < 0.6);
        items.base.push_back(right);
        items.other.push_back(right + flip);
        items.clusters.push_back(cluster);
        change += flip;
      }
      rows.insert(rows.end(), {change, static_cast<double>(size)});
    }
    const BootstrapOptions options{.resamples = 1000};
    const Interval interval = *compare_paired(items.scores(), options).difference.ci;
    held += interval.low <= kTruth && kTruth <= interval.high;
    const Interval plain =
        *bootstrap(
             rows, 2, [](std::span<const double> sums) { return std::vector{sums[0] / sums[1]}; },
             options)[0]
             .ci;
    held_by_bootstrap += plain.low <= kTruth && kTruth <= plain.high;
  }
  std::printf("held: %d of %d, by the bootstrap alone %d\n", held, kRounds, held_by_bootstrap);
  EXPECT_GE(held, 0.93 * kRounds);
  EXPECT_LE(held, 0.985 * kRounds);
  EXPECT_LT(held_by_bootstrap, 0.92 * kRounds);
}

// Newcombe, Statistics in Medicine 17, 1998, pp. 873-890, table II, method 10: 56/70 - 48/80.
TEST(PairedTest, ContrastOfIndependentEstimates) {
  const Estimate a{56.0 / 70, wilson_interval(56, 70)}, b{48.0 / 80, wilson_interval(48, 80)};
  const Contrast result = contrast(a, b);
  EXPECT_NEAR(result.difference.value, 0.2, 1e-15);
  expect_interval(*result.difference.ci, {0.0524, 0.3339}, 5e-5, "56/70 - 48/80");
  EXPECT_LT(result.p, 0.05);
  const Contrast turned = contrast(b, a);
  EXPECT_NEAR(turned.difference.ci->low, -result.difference.ci->high, 1e-15);
  EXPECT_NEAR(turned.p, result.p, 1e-15);
  EXPECT_EQ(contrast(a, a).p, 1.0);
  // p is 0.05 where the interval ends at 0.
  const Estimate c{0.5, Interval{0.2, 0.9}}, d{0.1, Interval{-0.3, 0.1 + std::sqrt(0.07)}};
  EXPECT_NEAR(contrast(c, d).difference.ci->low, 0.0, 1e-12);
  EXPECT_NEAR(contrast(c, d).p, 0.05, 1e-12);
}

}  // namespace
}  // namespace brink
