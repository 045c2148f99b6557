// Divergence of models from a base, whose logits lie in a file: against the definition, against
// reference figures, after interruptions and damage.
#include "brink/eval/divergence.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>

#include "brink/core/error.h"
#include "tests/support/evaluation.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tested_kernels.h"

namespace brink::testing {
namespace {

class DivergenceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    BRINK_REQUIRE_REFERENCE_DATA();
    base_.emplace(quantized_model("f32"));
  }

  TokenWindows windows_of(std::size_t context, std::size_t most) const {
    return TokenWindows::of_text(
        base_->tokenizer(), read_bytes(reference_data("text/shakespeare-60k.txt")), context, most);
  }

  // The error that reading or making the file gives.
  std::string error_of(const TokenWindows& windows, const std::string& path) const {
    try {
      const BaseLogits base(*base_, windows, path, exact_options());
      measure_divergence(base, *base_, exact_options());
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  std::optional<Model> base_;
  TemporaryFolder folder_;
};

TEST_F(DivergenceTest, OfTheBaseItselfIsNothing) {
  const TokenWindows windows = windows_of(256, 20);
  const BaseLogits base(*base_, windows, folder_.path("base"), exact_options());
  for (const Kernels* kernels : tested_kernels()) {
    SessionOptions options = exact_options();
    options.kernels = kernels;
    const Divergence d = measure_divergence(base, *base_, options);
    EXPECT_LE(d.kl_max, 1e-6) << kernels->name;
    EXPECT_LE(d.kl_mean.value, 2e-7);
    EXPECT_NEAR(d.ln_ratio.value, 0.0, 1e-7);
    EXPECT_NEAR(d.shift_rms.value, 0.0, 1e-7);
    // Near ties may fall differently with other instructions.
    EXPECT_GE(d.same_top.value, kernels == &best_kernels() ? 1.0 : 0.999);
    EXPECT_EQ(d.tokens, 20u * 127u);
  }
}

TEST_F(DivergenceTest, IsThatOfTheDefinition) {
  const Model quant = quantized_model("Q4_0");
  const TokenWindows windows = windows_of(100, 6);
  const auto p = scored_log_probabilities(*base_, windows, exact_options());
  const auto q = scored_log_probabilities(quant, windows, exact_options());
  double kl = 0, ratio = 0, same = 0, shift = 0, square = 0, most = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    double of_token = 0;
    for (std::size_t v = 0; v < p[i].size(); ++v)
      of_token += std::exp(p[i][v]) * (p[i][v] - q[i][v]);
    const auto target = static_cast<std::size_t>(windows.target(i));
    const double dp = std::exp(q[i][target]) - std::exp(p[i][target]);
    kl += of_token;
    most = std::max(most, of_token);
    ratio += p[i][target] - q[i][target];
    same += std::max_element(p[i].begin(), p[i].end()) - p[i].begin() ==
            std::max_element(q[i].begin(), q[i].end()) - q[i].begin();
    shift += dp;
    square += dp * dp;
  }
  const double n = static_cast<double>(p.size());
  const BaseLogits base(*base_, windows, folder_.path("base"), exact_options());
  for (const std::size_t batch : {64u, 512u}) {
    SessionOptions options = exact_options();
    options.batch = batch;
    const Divergence d = measure_divergence(base, quant, options);
    EXPECT_EQ(d.tokens, p.size());
    EXPECT_NEAR(d.kl_mean.value / (kl / n), 1.0, 1e-4);
    EXPECT_NEAR(d.kl_max / most, 1.0, 1e-2);
    EXPECT_NEAR(d.ln_ratio.value, ratio / n, 1e-6);
    EXPECT_NEAR(std::log(d.perplexity.value / d.base_perplexity.value), d.ln_ratio.value, 1e-12);
    EXPECT_NEAR(d.same_top.value, same / n, 1.01 / n);
    EXPECT_NEAR(d.shift_mean.value, shift / n, 1e-8);
    EXPECT_NEAR(d.shift_rms.value, std::sqrt(square / n), 1e-8);
    ASSERT_TRUE(d.kl_mean.ci);
    EXPECT_LT(d.kl_mean.ci->low, d.kl_mean.value);
    EXPECT_GT(d.kl_mean.ci->high, d.kl_mean.value);
    EXPECT_GT(d.ln_ratio_standard_error.value(), 0.0);
    ASSERT_EQ(d.kl_quantiles.size(), 5u);
    for (std::size_t i = 1; i < 5; ++i)
      EXPECT_GE(d.kl_quantiles[i].value, d.kl_quantiles[i - 1].value);
    EXPECT_LE(d.kl_quantiles.back().value, d.kl_max);
  }
}

// llama.cpp rounded activations to 8 bits for these, and log-probabilities to 16 bits.
TEST_F(DivergenceTest, AgreesWithTheReferenceFigures) {
  const nlohmann::json reference =
      nlohmann::json::parse(read_bytes(reference_data("quantized/perplexity.json")));
  const nlohmann::json& expected = reference["micro-llama-Q4_0.gguf"];
  const TokenWindows windows = windows_of(256, 0);
  const BaseLogits base(*base_, windows, folder_.path("base"), exact_options());
  const Divergence d = measure_divergence(base, quantized_model("Q4_0"), exact_options());
  EXPECT_NEAR(d.kl_mean.value / expected["kld_mean"].get<double>(), 1.0, 0.02);
  EXPECT_NEAR(d.kl_quantiles[0].value / expected["kld_median"].get<double>(), 1.0, 0.02);
  EXPECT_NEAR(d.kl_quantiles[1].value / expected["kld_90"].get<double>(), 1.0, 0.02);
  EXPECT_NEAR(d.kl_quantiles[3].value / expected["kld_99"].get<double>(), 1.0, 0.02);
  EXPECT_NEAR(d.ln_ratio.value, expected["mean_ln_ratio"].get<double>(), 0.002);
  EXPECT_NEAR(100 * d.same_top.value, expected["same_top_percent"].get<double>(), 1.0);
  EXPECT_NEAR(100 * d.shift_rms.value / expected["rms_dp_percent"].get<double>(), 1.0, 0.02);
}

TEST_F(DivergenceTest, AnInterruptedFileIsCompleted) {
  const TokenWindows windows = windows_of(64, 12);
  SessionOptions options = exact_options();
  options.batch = 64;  // a window a step
  const std::string whole = folder_.path("whole");
  std::uintmax_t size = 0;
  {
    const BaseLogits base(*base_, windows, whole, options);
    EXPECT_EQ(base.windows_found(), 0u);
    size = base.file_bytes();
  }
  const std::string bytes = read_bytes(whole);
  ASSERT_EQ(bytes.size(), size);
  const std::size_t row = (size - 128) / windows.scored();
  const std::size_t window = row * windows.scored_per_window();
  // Cut in the header, between rows, within a row and within a window; or not at all.
  for (const auto& [left, found] :
       std::vector<std::pair<std::size_t, std::size_t>>{{0, 0},
                                                        {5, 0},
                                                        {127, 0},
                                                        {128, 0},
                                                        {128 + row, 0},
                                                        {128 + window, 1},
                                                        {128 + 5 * window + 3 * row + 17, 5},
                                                        {size - 1, 11},
                                                        {size, 12}}) {
    const std::string path = folder_.write("cut", bytes.substr(0, left));
    std::vector<std::size_t> told;
    const BaseLogits base(*base_, windows, path, options,
                          [&](std::size_t done) { told.push_back(done); });
    EXPECT_EQ(base.windows_found(), found) << left;
    EXPECT_EQ(told.front(), found);
    EXPECT_EQ(told.back(), 12u);
    EXPECT_EQ(told.size(), 12 - found + 1);
    EXPECT_TRUE(read_bytes(path) == bytes) << left;
  }
}

TEST_F(DivergenceTest, DamageIsNamed) {
  const TokenWindows windows = windows_of(32, 3);
  const std::string path = folder_.path("base");
  EXPECT_EQ(error_of(windows, path), "");
  const std::string good = read_bytes(path);
  // A bit in every part of the file: magic, key, numbers, checksums, rows.
  for (std::size_t at = 0; at < good.size(); at += at < 400 ? 1 : 997) {
    // 32 bytes of the header say nothing.
    if (at >= 96 && at < 128) continue;
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 16);
    folder_.write("base", bad);
    const std::string error = error_of(windows, path);
    EXPECT_TRUE(error.starts_with(path + ": ")) << at << ": " << error;
  }
  // Rows that have changed places.
  const std::size_t row = (good.size() - 128) / windows.scored();
  std::string swapped = good;
  std::swap_ranges(swapped.begin() + 128, swapped.begin() + 128 + static_cast<std::ptrdiff_t>(row),
                   swapped.begin() + 128 + static_cast<std::ptrdiff_t>(row));
  folder_.write("base", swapped);
  EXPECT_NE(error_of(windows, path).find("checksum"), std::string::npos);
}

TEST_F(DivergenceTest, OtherFilesAreLeftAlone) {
  const TokenWindows windows = windows_of(32, 3);
  const std::string text = folder_.write("text", "to be or not to be");
  EXPECT_NE(error_of(windows, text).find("not a file of base logits"), std::string::npos);
  EXPECT_EQ(read_bytes(text), "to be or not to be");
  // Of another context, text or model.
  const std::string path = folder_.path("base");
  EXPECT_EQ(error_of(windows, path), "");
  EXPECT_NE(error_of(windows_of(33, 3), path).find("another model, text"), std::string::npos);
  EXPECT_NE(error_of(windows_of(32, 2), path).find("another model, text"), std::string::npos);
  const Model quant = quantized_model("Q8_0");
  EXPECT_THROW(BaseLogits(quant, windows, path, exact_options()), Error);
  EXPECT_THROW(BaseLogits(*base_, windows, folder_.path("none/base"), exact_options()), Error);
}

TEST_F(DivergenceTest, OnlyOneProcessWrites) {
  const TokenWindows windows = windows_of(32, 3);
  const std::string path = folder_.path("base");
  std::string error;
  const BaseLogits base(*base_, windows, path, exact_options(), [&](std::size_t) {
    if (error.empty()) error = error_of(windows, path);
  });
  EXPECT_NE(error.find("another process is writing it"), std::string::npos) << error;
  EXPECT_EQ(error_of(windows, path), "");
}

TEST_F(DivergenceTest, VocabulariesMustFit) {
  const TokenWindows windows = windows_of(32, 2);
  const BaseLogits base(*base_, windows, folder_.path("base"), exact_options());
  const Model other = Model::open(reference_data("models-trained/tiny-skills-f16.gguf"));
  ASSERT_NE(other.config().vocabulary, base_->config().vocabulary);
  EXPECT_THROW(measure_divergence(base, other, exact_options()), Error);
}

}  // namespace
}  // namespace brink::testing
