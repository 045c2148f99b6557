// Whole models on a Vulkan device against float64, with the validation layer on and silent.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "brink/model/session.h"
#include "tests/support/engine_logits.h"
#include "tests/support/float64_model.h"
#include "tests/support/npy.h"
#include "tests/support/reference_data.h"
#include "tests/support/tested_kernels.h"
#include "tests/support/vulkan.h"

namespace brink::testing {
namespace {

class VulkanModel : public ::testing::Test {
 protected:
  void SetUp() override {
    BRINK_REQUIRE_REFERENCE_DATA();
    BRINK_REQUIRE_VULKAN();
    device_ = vulkan::Device::open();  // kept, so that all sessions share its pipelines
    names_ = reference_models();
    ASSERT_EQ(names_.size(), 24u);
    names_ = sanitized_sample(names_, 3);
  }
  void TearDown() override {
    if (device_ != nullptr) expect_silent_validation(*device_);
  }

  std::shared_ptr<vulkan::Device> device_;
  std::vector<std::string> names_;
};

SessionOptions options_of(BackendKind backend, Activations activations, KvType kv) {
  return {
      .context = 1024, .activations = activations, .kv_type = kv, .threads = 2, .backend = backend};
}

// What must hold is 1e-3; sums in f32 measure 3e-7 to 1e-6, so that anything above 1e-5 is a
// mistake, not rounding.
TEST_F(VulkanModel, F32ActivationsMatchEveryReference) {
  double worst = 0.0;
  for (const std::string& name : names_) {
    const double distance = distance_from_reference(
        name, options_of(BackendKind::kVulkan, Activations::kF32, KvType::kF32));
    EXPECT_LT(distance, 1e-5) << label(name);
    worst = std::max(worst, distance);
  }
  std::printf("largest relative distance from float64: %.2e\n", worst);
}

// Integer products cost no more than the CPU's, which costs what the stated rounding costs.
TEST_F(VulkanModel, Q8ActivationsCostNoMoreThanOnTheCpu) {
  for (const std::string& name : names_) {
    if (name.find("quantized") == std::string::npos) continue;  // F16 weights: not rounded
    const Model model = Model::open(name + ".gguf");
    const auto tokens = read_npy<std::int32_t>(name + ".tokens.npy");
    const auto expected = read_npy<float>(name + ".logits.npy");
    const SessionOptions gpu = options_of(BackendKind::kVulkan, Activations::kQ8, KvType::kF32);
    const SessionOptions cpu = options_of(BackendKind::kCpu, Activations::kQ8, KvType::kF32);
    const double of_cpu =
        relative_distance(engine_logits(model, tokens.values, cpu), expected.values);
    const double of_many =
        relative_distance(engine_logits(model, tokens.values, gpu), expected.values);
    const std::size_t count = std::min<std::size_t>(tokens.values.size(), 12);
    const std::span<const std::int32_t> ids = std::span(tokens.values).first(count);
    const std::vector<float> rows = engine_logits_one_by_one(model, ids, gpu);
    const std::span<const float> truth = std::span(expected.values).first(rows.size());
    const double few_of_cpu = relative_distance(engine_logits_one_by_one(model, ids, cpu), truth);
    const double of_few = relative_distance(rows, truth);
    EXPECT_LE(of_many, 1.1 * of_cpu) << label(name);
    EXPECT_LE(of_few, 1.1 * few_of_cpu) << label(name);
    EXPECT_GT(of_many, 0.5 * of_cpu) << label(name) << ": not rounded at all?";
    std::printf("%-28s CPU %.3e  Vulkan %.3e, ratio %.3f, one by one %.3f\n", label(name).c_str(),
                of_cpu, of_many, of_many / of_cpu, of_few / few_of_cpu);
  }
}

// Only activations are rounded here, on the CPU weights too (in products of many tokens); with
// cooperative matrices weights become f16, which may also send a token to other experts.
TEST_F(VulkanModel, Bf16ActivationsCostNoMoreThanOnTheCpu) {
  const bool cooperates = vulkan::Device::open()->cooperative().has_value();
  for (const std::string& name : names_) {
    const Model model = Model::open(name + ".gguf");
    const auto tokens = read_npy<std::int32_t>(name + ".tokens.npy");
    const auto expected = read_npy<float>(name + ".logits.npy");
    const auto distance = [&](BackendKind backend) {
      const SessionOptions options = options_of(backend, Activations::kBf16, KvType::kF32);
      return relative_distance(engine_logits(model, tokens.values, options), expected.values);
    };
    const double of_vulkan = distance(BackendKind::kVulkan);
    const double of_cpu = distance(BackendKind::kCpu);
    EXPECT_LE(of_vulkan, (cooperates ? 1.1 : 1.0) * of_cpu) << label(name);
    EXPECT_GT(of_vulkan, 1e-4) << label(name) << ": not rounded at all?";
  }
}

// Weights and activations as f16, sums in f32.
TEST_F(VulkanModel, CooperativeMatricesCostWhatF16OperandsCost) {
  if (!vulkan::Device::open()->cooperative())
    GTEST_SKIP() << "the device has no cooperative matrices";
  for (const char* model_name : {"tiny-llama-f16", "tiny-qwen2-f16", "tiny-qwen3-f16"}) {
    const std::string name = reference_data(std::string("models/") + model_name);
    const Model model = Model::open(name + ".gguf");
    const auto tokens = read_npy<std::int32_t>(name + ".tokens.npy");
    const auto expected = read_npy<float>(name + ".logits.npy");
    const SessionOptions options = options_of(BackendKind::kVulkan, Activations::kQ8, KvType::kF32);
    const double distance =
        relative_distance(engine_logits(model, tokens.values, options), expected.values);
    EXPECT_LE(distance, 2e-3) << model_name;
    EXPECT_GT(distance, 1e-5) << model_name << ": not rounded at all?";
    std::printf("%-28s %.3e\n", model_name, distance);
  }
}

TEST_F(VulkanModel, KvTypesCostNoMoreThanTheStatedRounding) {
  for (const char* name : {"models/tiny-llama-f16", "models/tiny-qwen3-f16",
                           "quantized/micro-llama-Q8_0", "quantized/micro-llama-Q4_K_M"}) {
    const Model model = Model::open(reference_data(std::string(name) + ".gguf"));
    const auto tokens = read_npy<std::int32_t>(reference_data(std::string(name) + ".tokens.npy"));
    for (const KvType kv : {KvType::kF16, KvType::kQ8_0, KvType::kQ4_0}) {
      const Float64Model::Rounding rounding{Activations::kF32, kv};
      Float64Model reference(model.gguf());
      const Vector exact = reference.logits(tokens.values, {});
      const double simulated = relative_distance(reference.logits(tokens.values, rounding), exact);
      const SessionOptions options = options_of(BackendKind::kVulkan, Activations::kF32, kv);
      const double of_many = relative_distance(engine_logits(model, tokens.values, options), exact);
      const double of_few =
          relative_distance(engine_logits_one_by_one(model, tokens.values, options), exact);
      EXPECT_LE(of_many, 1.1 * simulated) << name;
      EXPECT_LE(of_few, 1.1 * simulated) << name;
      EXPECT_GT(of_many, 0.5 * simulated) << name << ": not rounded at all?";
    }
  }
}

// Several sequences, prompts and single tokens in one step, forks: the same logits as alone.
TEST_F(VulkanModel, SequencesDoNotDisturbEachOther) {
  expect_undisturbed_sequences(reference_data("models/tiny-qwen3-f16"),
                               options_of(BackendKind::kVulkan, Activations::kF32, KvType::kF16));
}

}  // namespace
}  // namespace brink::testing
