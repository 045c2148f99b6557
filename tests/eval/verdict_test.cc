#include "brink/eval/verdict.h"

#include <cmath>
#include <vector>

#include "tests/support/eval_reference.h"

namespace brink {
namespace {

constexpr Verdict kSafe = Verdict::kSafe, kUnsafe = Verdict::kUnsafe,
                  kCannotTell = Verdict::kCannotTell;

TEST(VerdictTest, Holm) {
  for (const auto& row : testing::paired_reference()["holm"]) {
    const auto p = row["p"].get<std::vector<double>>();
    const std::vector<double> corrected = holm(p);
    ASSERT_EQ(corrected.size(), p.size());
    for (std::size_t i = 0; i < p.size(); ++i)
      EXPECT_NEAR(corrected[i], row["corrected"][i].get<double>(), 1e-12) << row;
  }
}

TEST(VerdictTest, NonInferiority) {
  EXPECT_EQ(non_inferiority({-0.019, 0.01}, 0.02), kSafe);
  EXPECT_EQ(non_inferiority({-0.02, 0.01}, 0.02), kCannotTell);  // 2 points are not excluded
  EXPECT_EQ(non_inferiority({-0.05, -0.02}, 0.02), kCannotTell);
  EXPECT_EQ(non_inferiority({-0.05, -0.021}, 0.02), kUnsafe);
  // Surely worse than the base, and surely by less than tolerated.
  EXPECT_EQ(non_inferiority({-0.015, -0.005}, 0.02), kSafe);
  EXPECT_EQ(non_inferiority({-0.001, 0.001}, 0.0), kCannotTell);
}

TEST(VerdictTest, Equivalence) {
  EXPECT_TRUE(equivalent({-0.009, 0.009}, 0.01));
  EXPECT_FALSE(equivalent({-0.009, 0.01}, 0.01));
  EXPECT_FALSE(equivalent({-0.01, 0.0}, 0.01));
}

TEST(VerdictTest, OverTasks) {
  EXPECT_EQ(over_tasks(std::vector{kSafe, kSafe}), kSafe);
  EXPECT_EQ(over_tasks(std::vector{kSafe, kCannotTell}), kCannotTell);
  EXPECT_EQ(over_tasks(std::vector{kCannotTell, kUnsafe, kSafe}), kUnsafe);
  EXPECT_EQ(over_tasks({}), kCannotTell);
}

TEST(VerdictTest, NothingIsSafeBehindTheFirstThatIsNot) {
  const FixedSequence sequence =
      fixed_sequence(std::vector{kSafe, kSafe, kCannotTell, kSafe, kUnsafe});
  EXPECT_EQ(sequence.verdicts, (std::vector{kSafe, kSafe, kCannotTell, kCannotTell, kUnsafe}));
  EXPECT_EQ(sequence.lowest_safe, 1u);
  EXPECT_EQ(fixed_sequence(std::vector{kUnsafe, kSafe}).lowest_safe, std::nullopt);
  EXPECT_EQ(fixed_sequence({}).lowest_safe, std::nullopt);
  EXPECT_EQ(fixed_sequence(std::vector{kSafe}).lowest_safe, 0u);
}

}  // namespace
}  // namespace brink
