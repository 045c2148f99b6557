#include "brink/text/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "brink/core/error.h"

namespace brink {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Everything off: plain softmax at temperature 1.
SamplingOptions plain() { return {.temperature = 1.0f, .top_k = 0, .top_p = 1.0f, .min_p = 0.0f}; }

std::set<std::int32_t> drawn(const SamplingOptions& options, const std::vector<float>& logits) {
  Sampler sampler(options);
  std::set<std::int32_t> ids;
  for (int i = 0; i < 20000; ++i) ids.insert(sampler.sample(logits));
  return ids;
}

// Logits whose softmax is exactly these probabilities up to rounding.
std::vector<float> logits_of(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}

double chi_square(const SamplingOptions& options, const std::vector<float>& logits,
                  const std::map<std::int32_t, double>& probability, int draws) {
  Sampler sampler(options);
  std::map<std::int32_t, int> counts;
  for (int i = 0; i < draws; ++i) ++counts[sampler.sample(logits)];
  double sum = 0.0;
  for (const auto& [id, p] : probability) {
    const double expected = p * draws;
    sum += (counts[id] - expected) * (counts[id] - expected) / expected;
    counts.erase(id);
  }
  EXPECT_TRUE(counts.empty()) << "a token outside the expected set was drawn";
  return sum;
}

TEST(Sampler, GreedyTakesTheHighestAndOfEqualOnesTheLowestId) {
  Sampler sampler({.temperature = 0.0f});
  EXPECT_EQ(sampler.sample(std::vector<float>{-1.0f, 3.0f, 3.0f, 2.0f}), 1);
  EXPECT_EQ(sampler.sample(std::vector<float>{-5.0f}), 0);
  EXPECT_EQ(sampler.sample(std::vector<float>{kNan, -kInf, -7.0f, kNan}), 2);
}

// 5 degrees of freedom: 20.5 is exceeded with probability 0.001 by a correct sampler; the seed is
// fixed, so this either holds or does not.
TEST(Sampler, DistributionIsSoftmaxOfLogitsOverTemperature) {
  const std::vector<double> p{0.4, 0.25, 0.15, 0.1, 0.06, 0.04};
  const std::vector<float> logits = logits_of(p);
  for (const double temperature : {0.5, 1.0, 2.0}) {
    std::map<std::int32_t, double> want;
    double total = 0.0;
    for (const double x : p) total += std::pow(x, 1.0 / temperature);
    for (std::size_t i = 0; i < p.size(); ++i) {
      want[static_cast<std::int32_t>(i)] = std::pow(p[i], 1.0 / temperature) / total;
    }
    SamplingOptions options = plain();
    options.temperature = static_cast<float>(temperature);
    EXPECT_LT(chi_square(options, logits, want, 100000), 20.5) << temperature;
    // The bound can fail: the same draws against another temperature's probabilities.
    options.temperature = static_cast<float>(temperature * 1.1);
    EXPECT_GT(chi_square(options, logits, want, 100000), 20.5) << temperature;
  }
}

TEST(Sampler, TopKKeepsExactlyTheBestWithTiesByLowestId) {
  const std::vector<float> logits{1.0f, 2.0f, 1.0f, 2.5f, 1.0f, 0.0f};
  SamplingOptions options = plain();
  const std::vector<std::set<std::int32_t>> want{{3},          {1, 3},          {0, 1, 3},
                                                 {0, 1, 2, 3}, {0, 1, 2, 3, 4}, {0, 1, 2, 3, 4, 5}};
  for (std::size_t k = 1; k <= want.size(); ++k) {
    options.top_k = static_cast<int>(k);
    EXPECT_EQ(drawn(options, logits), want[k - 1]) << k;
  }
  options.top_k = 1000;
  EXPECT_EQ(drawn(options, logits).size(), logits.size());
}

TEST(Sampler, TopPKeepsTheFewestTokensThatReachIt) {
  const std::vector<float> logits = logits_of({0.1, 0.5, 0.3, 0.06, 0.04});
  SamplingOptions options = plain();
  const std::map<float, std::set<std::int32_t>> want{
      {0.0f, {1}},        {0.49f, {1}},          {0.51f, {1, 2}},         {0.79f, {1, 2}},
      {0.81f, {0, 1, 2}}, {0.91f, {0, 1, 2, 3}}, {0.99f, {0, 1, 2, 3, 4}}};
  for (const auto& [p, ids] : want) {
    options.top_p = p;
    EXPECT_EQ(drawn(options, logits), ids) << p;
  }
}

TEST(Sampler, MinPIsRelativeToTheBest) {
  const std::vector<float> logits = logits_of({0.1, 0.5, 0.3, 0.06, 0.04});
  SamplingOptions options = plain();
  const std::map<float, std::set<std::int32_t>> want{
      {1.0f, {1}},        {0.61f, {1}},          {0.59f, {1, 2}},
      {0.19f, {0, 1, 2}}, {0.11f, {0, 1, 2, 3}}, {0.07f, {0, 1, 2, 3, 4}}};
  for (const auto& [p, ids] : want) {
    options.min_p = p;
    EXPECT_EQ(drawn(options, logits), ids) << p;
  }
}

// Top-p counts what top-k left as the whole; temperature comes last, so it moves no cut.
TEST(Sampler, StagesRunInTheStatedOrder) {
  const std::vector<float> logits = logits_of({0.4, 0.3, 0.2, 0.1});
  SamplingOptions options = plain();
  options.top_k = 2;  // leaves 4/7 and 3/7
  options.top_p = 0.55f;
  EXPECT_EQ(drawn(options, logits), (std::set<std::int32_t>{0}));
  options.top_k = 0;
  EXPECT_EQ(drawn(options, logits), (std::set<std::int32_t>{0, 1}));
  options.temperature = 100.0f;  // nearly uniform: a cut after it would keep three
  EXPECT_EQ(drawn(options, logits), (std::set<std::int32_t>{0, 1}));
  options.top_p = 1.0f;
  options.min_p = 0.6f;
  EXPECT_EQ(drawn(options, logits), (std::set<std::int32_t>{0, 1}));
}

TEST(Sampler, RepetitionPenaltyDividesPositiveAndMultipliesNegativeOnce) {
  Sampler sampler({.temperature = 0.0f, .repetition_penalty = 2.0f, .repetition_window = 3});
  const std::vector<float> positive{3.0f, 1.6f, 1.4f};
  EXPECT_EQ(sampler.sample(positive), 0);
  sampler.accept(0);
  sampler.accept(0);  // twice in the window, still 3 / 2
  EXPECT_EQ(sampler.sample(positive), 1);
  EXPECT_EQ(sampler.sample(std::vector<float>{3.0f, 1.45f, 1.4f}), 0);
  const std::vector<float> negative{-1.0f, -1.9f, -2.1f};
  EXPECT_EQ(sampler.sample(negative), 1);  // -2 < -1.9
  sampler.accept(1);
  EXPECT_EQ(sampler.sample(negative), 0);  // -2, -3.8, -2.1
  sampler.accept(2);
  sampler.accept(2);
  sampler.accept(2);  // 0 and 1 have left the window
  EXPECT_EQ(sampler.sample(positive), 0);
  sampler.accept(-1);
  sampler.accept(99);  // outside the vocabulary: no effect
  EXPECT_EQ(sampler.sample(positive), 0);
}

TEST(Sampler, AWindowOfZeroPenalisesNothing) {
  Sampler sampler({.temperature = 0.0f, .repetition_penalty = 9.0f, .repetition_window = 0});
  sampler.accept(0);
  EXPECT_EQ(sampler.sample(std::vector<float>{2.0f, 1.0f}), 0);
}

TEST(Sampler, TheSeedDecides) {
  std::vector<float> logits;
  for (int i = 0; i < 1000; ++i) logits.push_back(static_cast<float>((i * 7919) % 101) * 0.05f);
  const auto sequence = [&](std::uint64_t seed) {
    Sampler sampler({.temperature = 1.5f, .top_k = 100, .seed = seed});
    std::vector<std::int32_t> ids;
    for (int i = 0; i < 32; ++i) {
      ids.push_back(sampler.sample(logits));
      sampler.accept(ids.back());
    }
    return ids;
  };
  EXPECT_EQ(sequence(42), sequence(42));
  EXPECT_NE(sequence(42), sequence(43));
  // Four equal tokens show the generator's top two bits: fixed for every platform.
  Sampler sampler(plain());
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 16; ++i) ids.push_back(sampler.sample(std::vector<float>(4, 0.0f)));
  EXPECT_EQ(ids, (std::vector<std::int32_t>{2, 0, 1, 1, 0, 3, 0, 3, 1, 2, 0, 1, 2, 2, 2, 0}));
}

// The heap and the growing partial sort against a full sort, on a vocabulary of real size.
TEST(Sampler, PartialSelectionKeepsWhatAFullSortKeeps) {
  std::vector<float> logits(150000);
  std::uint32_t state = 1;
  for (float& x : logits) {
    state = state * 1664525u + 1013904223u;
    x = static_cast<float>(state >> 22) * 0.01f;  // 1024 values: many ties
  }
  std::vector<std::int32_t> order(logits.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int32_t>(i);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
  });
  SamplingOptions options = plain();
  options.top_k = 200;
  options.temperature = 50.0f;
  Sampler top_k(options);
  std::set<std::int32_t> ids;
  for (int i = 0; i < 2500; ++i) ids.insert(top_k.sample(logits));
  EXPECT_EQ(ids, std::set<std::int32_t>(order.begin(), order.begin() + 200));

  double total = 0.0;
  for (const float x : logits) total += std::exp(static_cast<double>(x) - 10.23);
  double sum = 0.0;
  std::size_t kept = 0;
  while (sum < 0.002 * total) {
    sum += std::exp(static_cast<double>(logits[static_cast<std::size_t>(order[kept++])]) - 10.23);
  }
  ASSERT_GT(kept, 20u);
  options.top_k = 0;
  options.top_p = 0.002f;
  Sampler top_p(options);
  ids.clear();
  for (int i = 0; i < 500; ++i) ids.insert(top_p.sample(logits));
  EXPECT_EQ(ids, std::set<std::int32_t>(order.begin(),
                                        order.begin() + static_cast<std::ptrdiff_t>(kept)));
}

TEST(Sampler, LogitsThatAreNotNumbersAreNeverChosen) {
  const SamplingOptions options = plain();
  EXPECT_EQ(drawn(options, {kNan, 0.0f, -kInf, 1.0f, kNan}), (std::set<std::int32_t>{1, 3}));
  EXPECT_EQ(drawn(options, {5.0f, kInf, kNan, kInf}), (std::set<std::int32_t>{1, 3}));
  SamplingOptions defaults;
  EXPECT_EQ(drawn(defaults, {kNan, 2.0f, -kInf}), (std::set<std::int32_t>{1}));
  for (const float temperature : {0.0f, 1.0f}) {
    Sampler sampler({.temperature = temperature});
    EXPECT_THROW(sampler.sample(std::vector<float>{kNan, -kInf}), Error);
    EXPECT_THROW(sampler.sample(std::vector<float>{}), Error);
  }
}

// The largest logits alone, as a device gives them, choose what all of them would.
TEST(Sampler, TheBestAloneChooseTheSame) {
  EXPECT_EQ(Sampler({.temperature = 0.0f}).needed(), 1u);
  EXPECT_EQ(Sampler({.top_k = 7}).needed(), 7u);
  EXPECT_EQ(Sampler({.top_k = 0}).needed(), 0u);
  EXPECT_EQ(Sampler({.repetition_penalty = 1.1f}).needed(), 0u);
  EXPECT_EQ(Sampler({.repetition_penalty = 1.1f, .repetition_window = 0}).needed(), 40u);

  std::vector<float> logits(1000);
  for (std::size_t i = 0; i < logits.size(); ++i)
    logits[i] = static_cast<float>((i * 7919) % 97) * 0.07f;  // with equals
  logits[5] = kNan;
  std::vector<std::int32_t> order;
  for (std::int32_t i = 0; i < 1000; ++i)
    if (i != 5) order.push_back(i);
  const auto logit = [&](std::int32_t id) { return logits[static_cast<std::size_t>(id)]; };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int32_t a, std::int32_t b) { return logit(a) > logit(b); });
  for (const SamplingOptions& options :
       {SamplingOptions{}, SamplingOptions{.temperature = 0.0f}, SamplingOptions{.top_k = 5},
        SamplingOptions{.top_k = 100, .top_p = 0.5f, .min_p = 0.0f},
        SamplingOptions{.top_k = 3, .top_p = 1.0f, .min_p = 0.9f}}) {
    Sampler all(options), best(options);
    std::vector<float> values;
    for (std::size_t i = 0; i < best.needed(); ++i) values.push_back(logit(order[i]));
    for (int draw = 0; draw < 1000; ++draw)
      ASSERT_EQ(best.sample(std::span(order).first(values.size()), values), all.sample(logits));
  }
  const std::vector<std::int32_t> none = {-1}, ids = {3, 4};
  EXPECT_THROW(Sampler({.temperature = 0.0f}).sample(none, {}), Error);
  EXPECT_THROW(Sampler({.top_k = 2}).sample(ids, std::vector<float>{-kInf, kNan}), Error);
  EXPECT_EQ(Sampler({.top_k = 2}).sample(ids, std::vector<float>{-kInf, 1.0f}), 4);
}

TEST(Sampler, AVerySmallTemperatureIsNearlyGreedy) {
  SamplingOptions options = plain();
  options.temperature = 1e-30f;
  EXPECT_EQ(drawn(options, {1.0f, 1.5f, 0.0f}), (std::set<std::int32_t>{1}));
}

TEST(Sampler, OptionsOutOfRangeAreNamed) {
  const auto message = [](SamplingOptions options) -> std::string {
    try {
      Sampler sampler(options);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message({}), "");
  EXPECT_NE(message({.temperature = -1.0f}).find("temperature"), std::string::npos);
  EXPECT_NE(message({.temperature = kNan}).find("temperature"), std::string::npos);
  EXPECT_NE(message({.temperature = kInf}).find("temperature"), std::string::npos);
  EXPECT_NE(message({.top_k = -1}).find("top_k"), std::string::npos);
  EXPECT_NE(message({.top_p = 1.1f}).find("top_p"), std::string::npos);
  EXPECT_NE(message({.min_p = -0.1f}).find("min_p"), std::string::npos);
  EXPECT_NE(message({.repetition_penalty = 0.0f}).find("repetition_penalty"), std::string::npos);
  EXPECT_NE(message({.repetition_window = -1}).find("repetition_window"), std::string::npos);
}

}  // namespace
}  // namespace brink
