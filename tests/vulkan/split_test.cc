// Models of which a part of the layers is on a Vulkan device: as near to float64 as on the device
// alone, and models that do not fit it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "brink/cpu/backend.h"
#include "brink/model/session.h"
#include "brink/model/split_backend.h"
#include "brink/vulkan/backend.h"
#include "tests/support/backend_steps.h"
#include "tests/support/engine_logits.h"
#include "tests/support/float64_model.h"
#include "tests/support/npy.h"
#include "tests/support/reference_data.h"
#include "tests/support/vulkan.h"

namespace brink::testing {
namespace {

class VulkanSplit : public VulkanTest {
 protected:
  void SetUp() override {
    BRINK_REQUIRE_REFERENCE_DATA();
    VulkanTest::SetUp();
  }
};

Model reference_model(const std::string& name) {
  return Model::open(reference_data(name + ".gguf"));
}

SessionOptions options_of(Activations activations, std::size_t device_layers) {
  return {.context = 1024,
          .activations = activations,
          .kv_type = KvType::kF32,
          .threads = 2,
          .backend = BackendKind::kVulkan,
          .device_layers = device_layers};
}

// The bound of the whole model on the device: above it is a mistake, not rounding.
TEST_F(VulkanSplit, F32ActivationsMatchEveryReference) {
  const std::vector<std::string> names = reference_models();
  ASSERT_EQ(names.size(), 24u);
  double worst = 0.0;
  for (const std::string& name : names) {
    const double distance = distance_from_reference(name, options_of(Activations::kF32, 1));
    EXPECT_LT(distance, 1e-5) << label(name);
    worst = std::max(worst, distance);
  }
  std::printf("largest relative distance from float64: %.2e\n", worst);
}

TEST_F(VulkanSplit, Q8ActivationsCostNoMoreThanOnTheCpu) {
  for (const char* type : {"Q8_0", "Q4_K_M", "IQ3_S"}) {
    const std::string name = reference_data(std::string("quantized/micro-llama-") + type);
    const Model model = Model::open(name + ".gguf");
    const auto tokens = read_npy<std::int32_t>(name + ".tokens.npy");
    const auto expected = read_npy<float>(name + ".logits.npy");
    const auto distance = [&](std::size_t layers) {
      return relative_distance(
          engine_logits(model, tokens.values, options_of(Activations::kQ8, layers)),
          expected.values);
    };
    const double of_cpu = distance(0), of_both = distance(1);
    EXPECT_LE(of_both, 1.1 * of_cpu) << type;
    EXPECT_GT(of_both, 0.5 * of_cpu) << type << ": not rounded at all?";
    std::printf("%-7s CPU %.3e  1 of 2 layers on the device %.3e\n", type, of_cpu, of_both);
  }
}

// Either backend gives and takes rows, in prompts, mixed steps, steps without logits and single
// tokens, which a device replays.
TEST_F(VulkanSplit, AnyBorderInAnyOrderGivesTheSameLogits) {
  for (const char* name : {"models/tiny-qwen2-f16", "models/tiny-qwen2moe-f16"}) {
    const DeepModel deep(reference_model(name), 5);
    const CpuBackendOptions cpu_options{.context = kStepsContext,
                                        .pages = kStepsPages,
                                        .batch = kStepsBatch,
                                        .activations = Activations::kF32,
                                        .kv_type = KvType::kF32,
                                        .threads = 2};
    VulkanBackendOptions options{.context = kStepsContext,
                                 .pages = kStepsPages,
                                 .batch = kStepsBatch,
                                 .sequences = kStepsSequences,
                                 .activations = Activations::kF32,
                                 .kv_type = KvType::kF32};
    const auto cpu = [&](const Config& config, const Weights& weights) {
      return std::make_unique<CpuBackend>(config, weights, cpu_options);
    };
    const auto vulkan = [&](const Config& config, const Weights& weights) {
      return make_vulkan_backend(config, weights, options);
    };
    const auto both = [&](const Config& config, const Weights& weights) {
      return std::make_unique<SplitBackend>(config, weights, 1, vulkan, cpu);
    };
    CpuBackend whole(deep.config, deep.weights, cpu_options);
    const std::vector<float> expected = backend_steps(deep.config, whole);
    for (std::size_t border = 1; border < 5; ++border) {
      SplitBackend first(deep.config, deep.weights, border, vulkan, cpu);
      EXPECT_LT(relative_distance(backend_steps(deep.config, first), expected), 1e-5) << border;
      SplitBackend second(deep.config, deep.weights, border, cpu, vulkan);
      EXPECT_LT(relative_distance(backend_steps(deep.config, second), expected), 1e-5) << border;
    }
    // Device, CPU, device, CPU.
    SplitBackend four(deep.config, deep.weights, 2, both, both);
    EXPECT_LT(relative_distance(backend_steps(deep.config, four), expected), 1e-5);
  }
}

TEST_F(VulkanSplit, SequencesForkAndStepTogether) {
  SessionOptions options = options_of(Activations::kF32, 1);
  options.batch = 16;  // the step of three sequences takes four runs
  expect_undisturbed_sequences(reference_data("models/tiny-qwen3-f16"), options);
}

TEST_F(VulkanSplit, TheNumberOfLayersSaysWhatIsOnTheDevice) {
  const Model model = reference_model("models/tiny-llama-f16");
  const auto session = [&](std::size_t layers) {
    return Session(model, options_of(Activations::kQ8, layers));
  };
  const std::string whole = session(kAllLayers).backend_name();
  const std::string cpu = Session(model, {.threads = 2}).backend_name();
  EXPECT_EQ(session(0).backend_name(), cpu);
  EXPECT_EQ(session(2).backend_name(), whole);
  EXPECT_EQ(session(1).backend_name(), whole + ", 1 of 2 layers, then " + cpu);

  const MemoryUse all = session(kAllLayers).memory(), part = session(1).memory();
  EXPECT_EQ(session(0).memory().device, 0u);
  EXPECT_EQ(all.device, all.total());
  EXPECT_EQ(part.kv_cache, all.kv_cache);
  EXPECT_EQ(part.weights, all.weights);
  EXPECT_LT(part.device, all.device);
  EXPECT_GT(part.device, all.device / 4);
}

// --- Models that do not fit ---------------------------------------------------------------------

class VulkanRoom : public VulkanSplit {
 protected:
  static std::string error_with(const DeepModel& deep, const VulkanBackendOptions& options) {
    try {
      make_vulkan_backend(deep.config, deep.weights, options);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
};

// The number of layers in the error fits, and one more does not.
TEST_F(VulkanRoom, TheErrorSaysHowManyLayersFit) {
  const DeepModel deep(reference_model("quantized/micro-llama-Q4_K_M"), 8);
  VulkanBackendOptions options{.context = 16384, .pages = 256, .batch = 16};
  ASSERT_EQ(error_with(deep, options), "");
  std::uint64_t enough = std::uint64_t{1} << 30;
  for (std::uint64_t step = enough / 2; step > 0; step /= 2) {
    options.memory = enough - step;
    if (error_with(deep, options).empty()) enough -= step;
  }
  std::vector<std::size_t> suggested;
  for (const double share : {0.99, 0.8, 0.6, 0.4}) {
    options.memory = static_cast<std::uint64_t>(static_cast<double>(enough) * share);
    const std::string error = error_with(deep, options);
    const std::string flag = "--gpu-layers ";
    const std::size_t at = error.find(flag);
    ASSERT_NE(at, std::string::npos) << error;
    const std::size_t layers = std::stoul(error.substr(at + flag.size()));
    const auto fits = [&](std::size_t count) {
      const ModelPart part(deep.config, deep.weights, 0, count);
      try {
        make_vulkan_backend(part.config, part.weights, options);
      } catch (const Error&) {
        return false;
      }
      return true;
    };
    EXPECT_TRUE(fits(layers)) << error;
    if (layers < 7) {
      EXPECT_FALSE(fits(layers + 1)) << error;
    }
    EXPECT_NE(error.find(device().info().name), std::string::npos) << error;
    EXPECT_NE(error.find(std::to_string((options.memory + (1 << 20) - 1) >> 20) + " MiB"),
              std::string::npos)
        << error;
    EXPECT_NE(error.find("8 layers"), std::string::npos) << error;
    suggested.push_back(layers);
  }
  EXPECT_EQ(suggested.front(), 7u);
  EXPECT_LT(suggested.back(), 5u);
  EXPECT_TRUE(std::is_sorted(suggested.rbegin(), suggested.rend()));
  options.memory = 1 << 20;
  const std::string error = error_with(deep, options);
  EXPECT_NE(error.find("not even one layer"), std::string::npos) << error;
  EXPECT_EQ(error.find("--gpu-layers"), std::string::npos) << error;
}

// What it is bounded by is a session's option, too.
TEST_F(VulkanRoom, SessionsKeepToTheirShare) {
  const Model model = reference_model("models/tiny-llama-f16");
  SessionOptions options = options_of(Activations::kQ8, kAllLayers);
  options.context = 16384;
  options.batch = 16;
  const MemoryUse use = Session::predict_memory(model, options);
  // Room for the cache of one of two layers, wherever the weights are.
  ASSERT_GT(use.kv_cache, 4 * (use.working + use.weights));
  options.device_memory = use.kv_cache * 3 / 4 + use.working + use.weights;
  try {
    Session session(model, options);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("(--gpu-layers 1)"), std::string::npos)
        << error.what();
  }
  options.device_layers = 1;
  Session(model, options).feed(std::vector<std::int32_t>{1, 2, 3});
}

}  // namespace
}  // namespace brink::testing
