// Logits given to a sink are those that a step returns, bit for bit.
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "brink/model/session.h"
#include "tests/support/evaluation.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/variant_model.h"

namespace brink::testing {
namespace {

struct Given {
  std::vector<float> logits;
  std::size_t pieces = 0;
};

Given give(Session& session, std::span<const SequenceInput> inputs) {
  Given given;
  const std::size_t vocabulary = session.model().config().vocabulary;
  session.step_to(inputs, [&](std::size_t first, std::span<const float> logits) {
    EXPECT_EQ(first * vocabulary, given.logits.size());
    given.logits.insert(given.logits.end(), logits.begin(), logits.end());
    ++given.pieces;
  });
  return given;
}

TEST(SinkTest, GetsWhatAStepReturns) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const std::vector<std::int32_t> ids = reference_tokens("models/tiny-mixtral-f16");
  const std::span<const std::int32_t> all(ids);
  const std::vector<std::uint32_t> chosen = {0, 3, 29};
  const std::vector<SequenceInput> inputs = {{0, all.first(30), Logits::kChosen, chosen},
                                             {1, all.subspan(7, 50), Logits::kAll},
                                             {2, all.first(9), Logits::kNone},
                                             {3, all.first(20), Logits::kLast}};
  for (const char* name : {"models/tiny-mixtral-f16", "quantized/micro-llama-Q4_K_M"})
    for (const std::size_t batch : {13u, 64u, 512u}) {
      SessionOptions options;
      options.context = 64;
      options.sequences = 4;
      options.batch = batch;
      const Model model = Model::open(reference_data(std::string(name) + ".gguf"));
      Session kept(model, options), given(model, options);
      const std::span<const float> expected = kept.step(inputs);
      const Given actual = give(given, inputs);
      ASSERT_EQ(actual.logits.size(), 54 * model.config().vocabulary);
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), actual.logits.begin())) << batch;
      EXPECT_EQ(given.position(1), 50u);
    }
}

// A head so wide that it is computed in pieces: the rows of the embedding again and again, so that
// logits repeat.
TEST(SinkTest, GetsPiecesOfAWideHead) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const TemporaryFolder folder;
  VariantModel variant(reference_data("models/tiny-llama-f16.gguf"));
  const std::vector<float> once = variant.values("output.weight");
  const std::size_t width = variant.values("output_norm.weight").size();
  const std::size_t rows = once.size() / width, wide = rows * 512;
  std::vector<float> repeated;
  for (std::size_t i = 0; i < 512; ++i) repeated.insert(repeated.end(), once.begin(), once.end());
  variant.put("output.weight", {width, wide}, repeated);
  variant.put("token_embd.weight", {width, wide}, repeated);
  variant.set("vocab_size", static_cast<std::uint32_t>(wide));
  variant.edit([](GgufWriter& writer) { writer.erase("tokenizer.ggml.tokens"); });
  const Model model = Model::open(variant.write(folder.path("wide.gguf")));
  ASSERT_EQ(model.config().vocabulary, wide);
  const std::vector<std::int32_t> ids = reference_tokens("models/tiny-llama-f16");
  for (const Activations activations : {Activations::kF32, Activations::kQ8}) {
    SessionOptions options;
    options.context = 128;
    options.sequences = 2;
    options.activations = activations;
    Session kept(model, options), given(model, options);
    const std::vector<SequenceInput> inputs = {{0, ids, Logits::kAll}, {1, ids, Logits::kAll}};
    const std::span<const float> expected = kept.step(inputs);
    const Given actual = give(given, inputs);
    // 2^25 bytes of rows of 4 * wide.
    EXPECT_GE(actual.pieces, 2u);
    ASSERT_EQ(actual.logits.size(), expected.size());
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), actual.logits.begin()));
    for (const std::size_t at : {std::size_t{0}, wide * 70 + 5})
      EXPECT_EQ(actual.logits[at], actual.logits[at + rows]);
  }
}

TEST(SinkTest, WhatItThrowsTakesTheTokensBack) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const Model model = quantized_model("Q8_0");
  const std::vector<std::int32_t> ids = reference_tokens("quantized/micro-llama-Q8_0");
  SessionOptions options;
  options.batch = 7;
  Session session(model, options);
  session.feed(std::span(ids).first(5));
  const SequenceInput input{0, std::span(ids).subspan(5), Logits::kAll};
  std::size_t calls = 0;
  EXPECT_THROW(session.step_to({&input, 1},
                               [&](std::size_t, std::span<const float>) {
                                 if (++calls == 2) throw std::runtime_error("enough");
                               }),
               std::runtime_error);
  EXPECT_EQ(session.position(), 5u);
  const std::vector<float> again = give(session, {&input, 1}).logits;
  Session fresh(model, options);
  fresh.feed(std::span(ids).first(5));
  const std::span<const float> expected = fresh.step({&input, 1});
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), again.begin(), again.end()));
}

TEST(SinkTest, ProductsAreObservedOnTheCpuOnly) {
  BRINK_REQUIRE_REFERENCE_DATA();
  SessionOptions options;
  options.backend = BackendKind::kVulkan;
  options.observer = [](const ProductInput&) {};
  EXPECT_THROW(Session(quantized_model("Q8_0"), options), Error);
}

}  // namespace
}  // namespace brink::testing
