// Static scales: the largest magnitudes of the float64 forward pass, percentiles of them, and which
// matrices have one.
#include "brink/eval/calibration.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "brink/core/error.h"
#include "tests/support/evaluation.h"
#include "tests/support/float64_model.h"

namespace brink::testing {
namespace {

// By tensor of the file.
std::map<std::string, std::vector<double>> float64_magnitudes(const Gguf& gguf,
                                                              const TokenWindows& windows) {
  std::map<std::string, std::vector<double>> all;
  Float64Model model(gguf, windows.context());
  model.on_input = [&](const std::string& tensor, std::size_t, const Vector& x) {
    if (!tensor.starts_with("blk.") || tensor.find("gate_inp") != std::string::npos) return;
    for (const double v : x) all[tensor + ".weight"].push_back(std::abs(v));
  };
  for (std::size_t w = 0; w < windows.size(); ++w) model.logits(windows[w], {});
  return all;
}

TEST(CalibrationTest, FindsTheLargestMagnitudes) {
  BRINK_REQUIRE_REFERENCE_DATA();
  for (const char* name :
       {"tiny-llama-f16", "tiny-qwen2-f16", "tiny-mixtral-f16", "tiny-qwen2moe-f16"}) {
    SCOPED_TRACE(name);
    const Model model = Model::open(reference_data(std::string("models/") + name + ".gguf"));
    const std::vector<std::int32_t> ids = reference_tokens(std::string("models/") + name);
    const TokenWindows windows{std::span(ids).first(std::min<std::size_t>(ids.size(), 36)), 12};
    SessionOptions options;
    options.threads = 2;
    const ActivationScales scales = calibrate_activations(model, windows, options);
    std::map<std::string, std::vector<double>> magnitudes =
        float64_magnitudes(model.gguf(), windows);
    ASSERT_EQ(scales.size(), magnitudes.size());
    for (auto& [tensor, values] : magnitudes) {
      ASSERT_TRUE(scales.contains(tensor)) << tensor;
      const double largest = *std::max_element(values.begin(), values.end());
      EXPECT_NEAR(static_cast<double>(scales.at(tensor)) * 127, largest, 1e-5 * largest) << tensor;
    }
    // Percentiles, from bins whose upper ends are at most 2^-7 above the value.
    for (const double percentile : {99.9, 99.0, 50.0}) {
      const ActivationScales some = calibrate_activations(model, windows, options, percentile);
      for (auto& [tensor, values] : magnitudes) {
        std::sort(values.begin(), values.end());
        const auto place = static_cast<std::size_t>(
            std::ceil(percentile / 100 * static_cast<double>(values.size())));
        const double wanted = values[place - 1];
        const double found = static_cast<double>(some.at(tensor)) * 127;
        EXPECT_GE(found, wanted * (1 - 1e-5)) << tensor << ' ' << percentile;
        EXPECT_LE(found, wanted * (1 + 1.0 / 128 + 1e-5)) << tensor << ' ' << percentile;
      }
    }
  }
}

TEST(CalibrationTest, DoesNotDependOnBatches) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const Model model = Model::open(reference_data("models/tiny-mixtral-f16.gguf"));
  const std::vector<std::int32_t> ids = reference_tokens("models/tiny-mixtral-f16");
  const TokenWindows windows{std::span(ids).first(48), 16};
  SessionOptions options;
  options.threads = 1;
  const ActivationScales expected = calibrate_activations(model, windows, options, 99.0);
  for (const std::size_t batch : {16u, 48u}) {
    options.batch = batch;
    options.threads = 3;
    EXPECT_EQ(calibrate_activations(model, windows, options, 99.0), expected) << batch;
  }
}

TEST(CalibrationTest, RefusesPercentilesThatAreNone) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const Model model = Model::open(reference_data("models/tiny-llama-f16.gguf"));
  const std::vector<std::int32_t> ids = reference_tokens("models/tiny-llama-f16");
  const TokenWindows windows{std::span(ids).first(12), 12};
  for (const double percentile : {0.0, -1.0, 100.5, std::nan("")})
    EXPECT_THROW(calibrate_activations(model, windows, {}, percentile), Error) << percentile;
}

}  // namespace
}  // namespace brink::testing
