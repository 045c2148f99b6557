// Two backends that share the layers of a model compute what one computes. With the CPU for both,
// bit for bit.
#include "brink/model/split_backend.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "brink/cpu/backend.h"
#include "tests/support/backend_steps.h"
#include "tests/support/reference_data.h"

namespace brink::testing {
namespace {

Model reference_model(const std::string& name) {
  return Model::open(reference_data(name + ".gguf"));
}

class Split : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { BRINK_REQUIRE_REFERENCE_DATA(); }
};

// Dense and with experts, with biases, quantized, with factors of its own for the rotations.
INSTANTIATE_TEST_SUITE_P(Models, Split,
                         ::testing::Values("models/tiny-qwen2-f16", "models/tiny-qwen2moe-f16",
                                           "models/tiny-llama3-f16",
                                           "quantized/micro-llama-Q4_K_M"),
                         [](const auto& info) { return "Model" + std::to_string(info.index); });

TEST_P(Split, SameBitsWhereverTheBorderIs) {
  const DeepModel deep(reference_model(GetParam()), 5);
  const CpuBackendOptions options{.context = kStepsContext,
                                  .pages = kStepsPages,
                                  .batch = kStepsBatch,
                                  .kv_type = KvType::kQ8_0,
                                  .threads = 2};
  const auto make = [&](const Config& config, const Weights& weights) {
    return std::make_unique<CpuBackend>(config, weights, options);
  };
  CpuBackend whole(deep.config, deep.weights, options);
  const std::vector<float> expected = backend_steps(deep.config, whole);
  ASSERT_EQ(expected.size(), 14 * deep.config.vocabulary);
  for (std::size_t border = 1; border < 5; ++border) {
    SplitBackend split(deep.config, deep.weights, border, make, make);
    EXPECT_EQ(backend_steps(deep.config, split), expected) << border;
  }
  // Of the two parts either may be split again.
  const auto again = [&](const Config& config, const Weights& weights) {
    return std::make_unique<SplitBackend>(config, weights, 1, make, make);
  };
  SplitBackend four(deep.config, deep.weights, 2, again, again);
  EXPECT_EQ(backend_steps(deep.config, four), expected);
}

TEST_P(Split, PartsHoldWhatTheyNeed) {
  const Model model = reference_model(GetParam());
  const Weights& all = model.weights();
  ASSERT_EQ(all.layers.size(), 2u);
  const ModelPart first(model.config(), all, 0, 1), second(model.config(), all, 1, 1);
  EXPECT_EQ(first.config.layers.size(), 1u);
  EXPECT_EQ(first.weights.layers[0].q.matrix.data, all.layers[0].q.matrix.data);
  EXPECT_EQ(second.weights.layers[0].q.matrix.data, all.layers[1].q.matrix.data);
  EXPECT_TRUE(first.weights.embedding);
  EXPECT_FALSE(first.weights.output.matrix);
  EXPECT_TRUE(first.weights.output_norm.empty());
  EXPECT_FALSE(second.weights.embedding);
  EXPECT_TRUE(second.weights.output.matrix);
  EXPECT_FALSE(second.weights.output_norm.empty());
  EXPECT_EQ(first.weights.rope_factors, all.rope_factors);
  EXPECT_EQ(second.weights.rope_factors, all.rope_factors);
  // Each tensor is in one part, but for a matrix that is embedding and output, and the factors.
  const bool tied = all.output.matrix.data == all.embedding.data;
  const std::uint64_t twice = tied ? all.embedding.rows * all.embedding.bytes_per_row() : 0;
  EXPECT_EQ(first.weights.bytes + second.weights.bytes,
            all.bytes + twice - all.rope_factors.size() * sizeof(float));
  EXPECT_EQ(ModelPart(model.config(), all, 0, 2).weights.bytes,
            all.bytes - all.rope_factors.size() * sizeof(float));
}

}  // namespace
}  // namespace brink::testing
