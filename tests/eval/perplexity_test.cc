// Windows of a text, and perplexity against the definition and against reference figures.
#include "brink/eval/perplexity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <numeric>

#include "brink/core/error.h"
#include "tests/support/evaluation.h"
#include "tests/support/tested_kernels.h"

namespace brink::testing {
namespace {

std::vector<std::int32_t> counting(std::size_t count) {
  std::vector<std::int32_t> ids(count);
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

std::string read_reference(const std::string& name) {
  std::ifstream in(reference_data(name), std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

TEST(TokenWindowsTest, ScoresTheSecondHalfOfEachWindow) {
  const TokenWindows even(counting(25), 8);
  EXPECT_EQ(even.size(), 3u);  // token 24 is left over
  EXPECT_EQ(even.first_scored(), 4u);
  EXPECT_EQ(even.scored_per_window(), 3u);
  ASSERT_EQ(even.scored(), 9u);
  const std::vector<std::int32_t> targets = {5, 6, 7, 13, 14, 15, 21, 22, 23};
  for (std::size_t i = 0; i < 9; ++i) EXPECT_EQ(even.target(i), targets[i]);
  EXPECT_EQ(even[1][0], 8);
  EXPECT_EQ(even[2].size(), 8u);

  const TokenWindows odd(counting(14), 7);
  EXPECT_EQ(odd.size(), 2u);
  EXPECT_EQ(odd.first_scored(), 3u);
  EXPECT_EQ(odd.scored_per_window(), 3u);
  EXPECT_EQ(odd.target(0), 4);
  EXPECT_EQ(odd.target(5), 13);
}

TEST(TokenWindowsTest, BosStandsInPlaceOfTheFirstToken) {
  const TokenWindows windows(counting(24), 8, 99, 2);
  EXPECT_EQ(windows.size(), 2u);
  EXPECT_EQ(windows[0][0], 99);
  EXPECT_EQ(windows[1][0], 99);
  EXPECT_EQ(windows[1][1], 9);
  EXPECT_EQ(windows.target(0), 5);
}

TEST(TokenWindowsTest, CountsTheBytesOfScoredTokens) {
  const std::vector<std::uint32_t> bytes = {1, 2, 3, 4, 50, 600, 7, 8, 9, 10, 20, 3000};
  const TokenWindows windows(counting(12), 6, {}, 0, bytes);
  EXPECT_EQ(windows.scored_bytes(0), 650u);
  EXPECT_EQ(windows.scored_bytes(1), 3020u);
  EXPECT_EQ(TokenWindows(counting(12), 6).scored_bytes(0), 0u);
}

TEST(TokenWindowsTest, TooShortIsAnError) {
  EXPECT_THROW(TokenWindows(counting(7), 8), Error);
  EXPECT_THROW(TokenWindows(counting(20), 2), Error);
  EXPECT_NO_THROW(TokenWindows(counting(3), 3));
}

TEST(PerplexityTest, FiguresOfKnownScores) {
  const std::vector<std::uint32_t> bytes = {0, 0, 0, 0, 2, 3, 0, 0, 0, 0, 4, 1};
  const TokenWindows windows(counting(12), 6, {}, 0, bytes);
  const std::vector<double> nll = {1.0, 2.0, 3.0, 6.0};
  const Perplexity p = summarize_perplexity(windows, nll);
  EXPECT_EQ(p.tokens, 4u);
  EXPECT_DOUBLE_EQ(p.nll.value, 3.0);
  EXPECT_DOUBLE_EQ(p.perplexity.value, std::exp(3.0));
  // Variance (4 + 1 + 0 + 9) / 4.
  EXPECT_DOUBLE_EQ(p.standard_error, std::exp(3.0) * std::sqrt(3.5 / 3));
  ASSERT_TRUE(p.bits_per_byte);
  EXPECT_DOUBLE_EQ(p.bits_per_byte->value, 12 / std::log(2.0) / 10);
  // Two windows: an interval reaches from one to the other.
  ASSERT_TRUE(p.nll.ci);
  EXPECT_DOUBLE_EQ(p.nll.ci->low, 1.5);
  EXPECT_DOUBLE_EQ(p.nll.ci->high, 4.5);
}

class ReferencePerplexityTest : public ::testing::Test {
 protected:
  void SetUp() override { BRINK_REQUIRE_REFERENCE_DATA(); }
};

// However windows share steps, batches and threads.
TEST_F(ReferencePerplexityTest, IsThatOfTheDefinition) {
  const Model model = quantized_model("f32");
  const std::string text = read_reference("text/shakespeare-60k.txt").substr(0, 6000);
  for (const std::size_t context : {63u, 128u}) {
    const TokenWindows windows = TokenWindows::of_text(model.tokenizer(), text, context, 5);
    ASSERT_EQ(windows.size(), 5u);
    const auto expected = scored_log_probabilities(model, windows, exact_options());
    double sum = 0;
    for (std::size_t i = 0; i < expected.size(); ++i)
      sum -= expected[i][static_cast<std::size_t>(windows.target(i))];
    for (const std::size_t batch : {40u, 128u, 512u}) {
      SessionOptions options = exact_options();
      options.batch = batch;
      options.threads = batch == 128 ? 1 : 3;
      std::size_t told = 0;
      const Perplexity p =
          measure_perplexity(model, windows, options, [&](std::size_t done) { told = done; });
      EXPECT_NEAR(p.nll.value, sum / static_cast<double>(expected.size()), 2e-6) << batch;
      EXPECT_EQ(p.tokens, expected.size());
      EXPECT_EQ(told, 5u);
    }
  }
}

TEST_F(ReferencePerplexityTest, BitsPerByteAreOfTheScoredText) {
  const Model model = quantized_model("f32");
  const Tokenizer& tokenizer = model.tokenizer();
  const std::string text = read_reference("text/shakespeare-60k.txt").substr(0, 3000);
  const TokenWindows windows = TokenWindows::of_text(tokenizer, text, 64);
  std::string scored;
  for (std::size_t i = 0; i < windows.scored(); ++i)
    tokenizer.append_piece(windows.target(i), scored);
  const Perplexity p = measure_perplexity(model, windows, exact_options());
  ASSERT_TRUE(p.bits_per_byte);
  EXPECT_NEAR(p.bits_per_byte->value,
              p.nll.value * static_cast<double>(p.tokens) / std::log(2.0) /
                  static_cast<double>(scored.size()),
              1e-12);
}

TEST_F(ReferencePerplexityTest, AgreesWithTheReferenceFigures) {
  const nlohmann::json reference =
      nlohmann::json::parse(read_reference("quantized/perplexity.json"));
  const std::string text = read_reference(reference["text"]);
  const Model model = quantized_model("f32");
  const TokenWindows windows =
      TokenWindows::of_text(model.tokenizer(), text, reference["context"].get<std::size_t>());
  EXPECT_EQ(windows.size(), reference["chunks"].get<std::size_t>());
  for (const Kernels* kernels : tested_kernels()) {
    SessionOptions options = exact_options();
    options.kernels = kernels;
    const Perplexity p = measure_perplexity(model, windows, options);
    const double expected = reference["base"]["perplexity"];
    EXPECT_NEAR(p.perplexity.value / expected, 1.0, 1e-4) << kernels->name;
    EXPECT_NEAR(p.standard_error / reference["base"]["stderr"].get<double>(), 1.0, 1e-3);
    ASSERT_TRUE(p.perplexity.ci);
    EXPECT_LT(p.perplexity.ci->low, expected);
    EXPECT_GT(p.perplexity.ci->high, expected);
    if (kSanitized) break;
  }
  // The reference rounded activations to 8 bits there.
  const double of_q4 =
      measure_perplexity(quantized_model("Q4_0"), windows, exact_options()).perplexity.value;
  EXPECT_NEAR(of_q4 / reference["micro-llama-Q4_0.gguf"]["perplexity"].get<double>(), 1.0, 0.02);
}

TEST_F(ReferencePerplexityTest, ModelsOfManyKindsRun) {
  for (const char* name : {"tiny-mixtral-f16", "tiny-linear-f16"}) {
    const std::string path = std::string("models/") + name;
    const Model model = Model::open(reference_data(path + ".gguf"));
    const TokenWindows windows(reference_tokens(path), 100);
    const auto expected = scored_log_probabilities(model, windows, exact_options());
    double sum = 0;
    for (std::size_t i = 0; i < expected.size(); ++i)
      sum -= expected[i][static_cast<std::size_t>(windows.target(i))];
    const Perplexity p = measure_perplexity(model, windows, exact_options());
    EXPECT_NEAR(p.nll.value, sum / static_cast<double>(expected.size()), 1e-5) << name;
    EXPECT_FALSE(p.bits_per_byte);
  }
}

}  // namespace
}  // namespace brink::testing
