// Answers of a Vulkan device to many prompts at once: those of each alone, to the bit.
#include "brink/eval/generation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "brink/model/session.h"
#include "tests/support/generations.h"
#include "tests/support/reference_data.h"
#include "tests/support/tested_kernels.h"
#include "tests/support/vulkan.h"

namespace brink::testing {
namespace {

struct Case {
  const char* name;
  const char* model;
  Activations activations;
  KvType kv_type;
  std::size_t device_layers;  // of two
};

class VulkanGenerations : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    BRINK_REQUIRE_REFERENCE_DATA();
    BRINK_REQUIRE_VULKAN();
    device_ = vulkan::Device::open();
  }
  void TearDown() override {
    if (device_ != nullptr) expect_silent_validation(*device_);
  }
  static Model model() {
    return Model::open(reference_data(std::string(GetParam().model) + ".gguf"));
  }
  static SessionOptions options() {
    const Case& c = GetParam();
    return {.context = 128,
            .activations = c.activations,
            .kv_type = c.kv_type,
            .threads = 2,
            .backend = BackendKind::kVulkan,
            .device_layers = c.device_layers};
  }

  std::shared_ptr<vulkan::Device> device_;
};

TEST_P(VulkanGenerations, SameResultsForAnyBatchAndOrder) {
  GenerationOptions generation;
  generation.session = options();
  expect_same_in_any_company(model(), generation, some_requests(3), {3});
}

// Rows of a prompt in one step and one by one. Without same_kernels some bits differ, or this test
// would be blind.
TEST_P(VulkanGenerations, SameKernelsMakeRowsTheSameInStepsOfAnySize) {
  const Model m = model();
  // More than a page of the KV cache; drivers on the CPU take long with experts.
  const Tokens tokens = some_tokens(m.config().experts == 0 ? 66 : 10, 3);
  const std::size_t vocabulary = m.config().vocabulary;
  const auto logits_of = [&](bool same, std::size_t piece) {
    SessionOptions session_options = options();
    session_options.same_kernels = same;
    Session session(m, session_options);
    std::vector<float> all;
    for (std::size_t at = 0; at < tokens.size(); at += piece) {
      const std::size_t count = std::min(piece, tokens.size() - at);
      const auto rows = session.feed(std::span(tokens).subspan(at, count), Logits::kAll);
      EXPECT_EQ(rows.size(), count * vocabulary);
      all.insert(all.end(), rows.begin(), rows.end());
    }
    return all;
  };
  const std::vector<float> whole = logits_of(true, tokens.size());
  for (const std::size_t piece : {1u, 33u}) EXPECT_EQ(logits_of(true, piece), whole);
  EXPECT_NE(logits_of(false, 1), logits_of(false, tokens.size()));
}

INSTANTIATE_TEST_SUITE_P(
    Models, VulkanGenerations,
    ::testing::ValuesIn(sanitized_sample<Case>(
        {Case{"Q4_K_M_q8", "quantized/micro-llama-Q4_K_M", Activations::kQ8, KvType::kF16, 2},
         Case{"IQ4_XS_bf16", "quantized/micro-llama-IQ4_XS", Activations::kBf16, KvType::kQ8_0, 2},
         Case{"Q5_0_q8_part", "quantized/micro-llama-Q5_0", Activations::kQ8, KvType::kF16, 1},
         Case{"moe_f32", "models/tiny-qwen2moe-f16", Activations::kF32, KvType::kF16, 2}},
        2)),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace brink::testing
