// Sessions with simulated activations: against a float64 simulation of the same rounding, on every
// instruction set; the same bits for any number of threads and any batches; what is left alone.
#include <gtest/gtest.h>

#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "brink/core/error.h"
#include "brink/cpu/simulated_activations.h"
#include "brink/eval/calibration.h"
#include "brink/model/session.h"
#include "tests/support/engine_logits.h"
#include "tests/support/float64_model.h"
#include "tests/support/npy.h"
#include "tests/support/reference_data.h"
#include "tests/support/tested_kernels.h"

namespace brink::testing {
namespace {

constexpr Activations kSimulated[] = {Activations::kInt8Token, Activations::kInt8Tensor,
                                      Activations::kFp8};

const char* name_of(Activations activations) {
  return activations == Activations::kInt8Token    ? "int8-token"
         : activations == Activations::kInt8Tensor ? "int8-tensor"
                                                   : "fp8";
}

struct Case {
  explicit Case(const std::string& name)
      : model(Model::open(reference_data(name + ".gguf"))),
        tokens(read_npy<std::int32_t>(reference_data(name + ".tokens.npy")).values) {
    if (tokens.size() > 48) tokens.resize(48);
    // Calibrated on the beginning, so that some of what follows saturates.
    const TokenWindows windows{std::span(tokens).first(12), 12};
    scales = calibrate_activations(model, windows, {});
  }

  SessionOptions options(Activations activations) const {
    return {.activations = activations,
            .kv_type = KvType::kF32,
            .threads = 2,
            .activation_scales = scales};
  }

  Float64Model::Rounding rounding(Activations activations) const {
    Float64Model::Rounding result{activations, KvType::kF32, {}};
    for (const auto& [tensor, scale] : scales)
      result.scales[tensor.substr(0, tensor.size() - std::string(".weight").size())] =
          static_cast<double>(scale);
    return result;
  }

  Model model;
  std::vector<std::int32_t> tokens;
  ActivationScales scales;
};

// What is lost is what the stated rounding loses, in products of many and of few tokens, of dense
// models and of mixtures of experts: measured 0.994 to 1.005 times as much, as values near the
// middle between two steps may go either way. Rounding the output or the routers too would show.
TEST(SimulatedActivations, CostNoMoreThanTheStatedRounding) {
  BRINK_REQUIRE_REFERENCE_DATA();
  std::printf("%-28s %-12s %10s %10s %10s\n", "", "", "simulated", "many", "few");
  for (const char* name :
       {"models/tiny-llama-f16", "models/tiny-qwen3-f16", "models/tiny-mixtral-f16",
        "models/tiny-qwen2moe-f16", "quantized/micro-llama-Q8_0", "quantized/micro-llama-Q4_K_M"}) {
    const Case test(name);
    Float64Model reference(test.model.gguf());
    const Vector exact = reference.logits(test.tokens, {});
    for (const Activations activations : kSimulated) {
      const double simulated =
          relative_distance(reference.logits(test.tokens, test.rounding(activations)), exact);
      ASSERT_GT(simulated, 1e-3) << name;
      for (const Kernels* kernels : tested_kernels()) {
        SessionOptions options = test.options(activations);
        options.kernels = kernels;
        const double many =
            relative_distance(engine_logits(test.model, test.tokens, options), exact);
        const double few =
            relative_distance(engine_logits_one_by_one(test.model, test.tokens, options), exact);
        EXPECT_LE(many, 1.03 * simulated) << name << ' ' << name_of(activations);
        EXPECT_LE(few, 1.03 * simulated) << name << ' ' << name_of(activations);
        EXPECT_GT(many, 0.97 * simulated) << name << ' ' << name_of(activations);
        EXPECT_GT(few, 0.97 * simulated) << name << ' ' << name_of(activations);
        if (kernels == available_kernels().back())
          std::printf("%-28s %-12s %10.3e %10.3e %10.3e\n", name, name_of(activations), simulated,
                      many, few);
      }
    }
  }
}

TEST(SimulatedActivations, SameBitsForAnyThreadsAndBatches) {
  BRINK_REQUIRE_REFERENCE_DATA();
  for (const char* name : {"quantized/micro-llama-Q4_K_M", "models/tiny-mixtral-f16"}) {
    const Case test(name);
    for (const Activations activations : kSimulated) {
      SessionOptions options = test.options(activations);
      const std::vector<float> expected = engine_logits(test.model, test.tokens, options);
      for (const unsigned threads : {1u, 3u})
        for (const std::size_t batch : {512u, 24u, 16u}) {
          options.threads = threads;
          options.batch = batch;
          EXPECT_EQ(engine_logits(test.model, test.tokens, options), expected)
              << name << ' ' << name_of(activations) << ' ' << threads << " threads, batches of "
              << batch;
        }
    }
  }
}

// Observers see inputs before they are rounded: those of the first layer, which no rounding came
// before, are those of a session with f32 activations.
TEST(SimulatedActivations, ObserversSeeUnroundedInputs) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const Case test("quantized/micro-llama-Q8_0");
  const auto first_input = [&](Activations activations) {
    std::vector<float> rows;
    SessionOptions options = test.options(activations);
    options.observer = [&](const ProductInput& input) {
      if (rows.empty()) rows.assign(input.rows, input.rows + input.count * input.columns);
    };
    engine_logits(test.model, test.tokens, options);
    return rows;
  };
  const std::vector<float> expected = first_input(Activations::kF32);
  ASSERT_FALSE(expected.empty());
  for (const Activations activations : kSimulated)
    EXPECT_EQ(first_input(activations), expected) << name_of(activations);
}

class ScaleErrors : public ::testing::Test {
 protected:
  void SetUp() override { BRINK_REQUIRE_REFERENCE_DATA(); }

  static std::string error_of(const std::function<void(ActivationScales&)>& change) {
    const Case test("models/tiny-mixtral-f16");
    ActivationScales scales = test.scales;
    change(scales);
    SessionOptions options = test.options(Activations::kInt8Tensor);
    options.activation_scales = scales;
    try {
      Session(test.model, options);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(ScaleErrors, NameTheTensor) {
  EXPECT_EQ(error_of([](ActivationScales&) {}), "");
  const auto has = [](const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  };
  const std::string missing =
      error_of([](ActivationScales& scales) { scales.erase("blk.1.attn_output.weight"); });
  EXPECT_TRUE(has(missing, "'blk.1.attn_output.weight'") && has(missing, "no scale")) << missing;
  const std::string bad =
      error_of([](ActivationScales& scales) { scales["blk.0.ffn_down_exps.weight"] = -1.0f; });
  EXPECT_TRUE(has(bad, "'blk.0.ffn_down_exps.weight'") && has(bad, "the scale is -1")) << bad;
  const std::string other =
      error_of([](ActivationScales& scales) { scales["blk.0.attn_v.weight"] *= 2; });
  EXPECT_TRUE(has(other, "'blk.0.attn_v.weight'") && has(other, "blk.0.attn_q.weight")) << other;
  EXPECT_TRUE(has(error_of([](ActivationScales& scales) { scales.clear(); }), "calibrate"));
}

TEST_F(ScaleErrors, OnlyTheCpuSimulates) {
  const Case test("models/tiny-mixtral-f16");
  for (const Activations activations : kSimulated) {
    SessionOptions options = test.options(activations);
    options.backend = BackendKind::kVulkan;
    try {
      Session(test.model, options);
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("only computed on the CPU"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace brink::testing
