// Choosing tokens on a Vulkan device: the same that all logits would give.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "brink/brink.h"
#include "brink/text/sampler.h"
#include "tests/support/reference_data.h"
#include "tests/support/vulkan.h"

namespace brink::testing {
namespace {

class VulkanBest : public VulkanTest {
 protected:
  void SetUp() override {
    VulkanTest::SetUp();
    if (IsSkipped()) return;
    BRINK_REQUIRE_REFERENCE_DATA();
    model_.emplace(Model::open(reference_data("quantized/micro-llama-Q4_K_M.gguf")));
  }

  SessionOptions options() const {
    SessionOptions options;
    options.backend = BackendKind::kVulkan;
    options.context = 512;
    options.batch = 16;
    options.sequences = 2;
    return options;
  }

  std::vector<std::int32_t> tokens(std::size_t count) const {
    std::vector<std::int32_t> ids;
    for (std::size_t i = 0; i < count; ++i)
      ids.push_back(static_cast<std::int32_t>((i * 37 + 11) % model_->config().vocabulary));
    return ids;
  }

  // The best of each row of logits.
  std::vector<std::int32_t> expected(std::span<const float> logits, std::size_t best) const {
    const std::size_t vocabulary = model_->config().vocabulary;
    std::vector<std::int32_t> all;
    for (; !logits.empty(); logits = logits.subspan(vocabulary)) {
      std::vector<std::int32_t> ids(vocabulary);
      std::iota(ids.begin(), ids.end(), 0);
      std::stable_sort(ids.begin(), ids.end(), [&](std::int32_t a, std::int32_t b) {
        return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
      });
      all.insert(all.end(), ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(best));
    }
    return all;
  }

  std::optional<Model> model_;
};

// In a prompt of several batches, then token by token, where steps are replayed, with another
// number wanted from step to step.
TEST_F(VulkanBest, AreTheLargestLogits) {
  Session plain(*model_, options()), chooses(*model_, options());
  const std::vector<std::int32_t> prompt = tokens(45);
  const auto check = [&](std::span<const std::int32_t> ids, Logits wanted, std::size_t best) {
    const SequenceInput input{0, ids, wanted};
    const std::span<const float> logits = plain.step({&input, 1});
    const Outputs outputs = chooses.step_best({&input, 1}, best);
    const std::size_t rows = logits.size() / model_->config().vocabulary;
    ASSERT_TRUE(outputs.logits.empty());
    const std::vector<std::int32_t> want = expected(logits, best);
    ASSERT_EQ(std::vector<std::int32_t>(outputs.best_ids.begin(), outputs.best_ids.end()), want);
    ASSERT_EQ(outputs.best_logits.size(), best == 1 ? 0 : rows * best);
    for (std::size_t i = 0; i < outputs.best_logits.size(); ++i)
      ASSERT_EQ(outputs.best_logits[i],
                logits[i / best * model_->config().vocabulary + static_cast<std::size_t>(want[i])]);
  };
  check(prompt, Logits::kAll, 3);
  check(prompt, Logits::kLast, 1);
  check(prompt, Logits::kNone, 1);
  for (const std::size_t best : {1, 1, 40, 40, 2, 256, 1})
    check(std::span(prompt).first(1), Logits::kLast, best);
}

TEST_F(VulkanBest, MoreThanTheDeviceChoosesFromAreAllLogits) {
  Session session(*model_, options());
  const std::vector<std::int32_t> prompt = tokens(3);
  const SequenceInput input{0, prompt};
  const Outputs outputs = session.step_best({&input, 1}, 257);
  EXPECT_TRUE(outputs.best_ids.empty());
  EXPECT_EQ(outputs.logits.size(), model_->config().vocabulary);
}

TEST_F(VulkanBest, GenerationTakesWhatAllLogitsWouldGive) {
  const std::vector<std::int32_t> prompt = tokens(7);
  for (const float temperature : {0.0f, 1.5f})
    for (const float penalty : {1.0f, 1.3f}) {
      GenerateOptions generate;
      generate.max_tokens = 24;
      generate.sampling.temperature = temperature;
      generate.sampling.repetition_penalty = penalty;
      Session session(*model_, options());
      std::string text;
      for (const std::string_view piece : session.generate(prompt, generate)) text += piece;

      Session plain(*model_, options());
      Sampler sampler(generate.sampling);
      for (const std::int32_t id : prompt) sampler.accept(id);
      StreamDecoder decoder(model_->tokenizer());
      std::span<const float> logits = plain.feed(prompt);
      std::string expected;
      for (std::size_t i = 0; i < generate.max_tokens; ++i) {
        const std::int32_t id = sampler.sample(logits);
        if (model_->tokenizer().is_end_of_generation(id)) break;
        sampler.accept(id);
        expected += decoder.push(id);
        logits = plain.feed({&id, 1});
      }
      expected += decoder.finish();
      EXPECT_EQ(text, expected) << "temperature " << temperature << " penalty " << penalty;
      EXPECT_FALSE(text.empty());
    }
}

}  // namespace
}  // namespace brink::testing
