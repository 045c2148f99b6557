// What cannot be run is refused with an error that says what and why; misuse of a session leaves
// it as it was.
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "brink/model/kv_cache.h"
#include "brink/model/session.h"
#include "brink/text/tokenizer.h"
#include "tests/support/reference_data.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/variant_model.h"

namespace brink::testing {
namespace {

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

class ModelErrors : public ::testing::Test {
 protected:
  void SetUp() override { BRINK_REQUIRE_REFERENCE_DATA(); }

  static VariantModel base(const std::string& name) {
    return VariantModel(reference_data("models/" + name + "-f16.gguf"));
  }

  std::string open_error(const VariantModel& variant) {
    const std::string path = variant.write(folder_.path("variant.gguf"));
    return error_of([&] { Model::open(path); });
  }

  /// The error names the file and contains all of `parts`.
  void expect_refused(const VariantModel& variant, const std::vector<std::string>& parts) {
    const std::string error = open_error(variant);
    EXPECT_NE(error.find("variant.gguf"), std::string::npos) << error;
    for (const std::string& part : parts)
      EXPECT_NE(error.find(part), std::string::npos) << "'" << part << "' is not in: " << error;
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
  }

  static VariantModel with_text(const std::string& key, const std::string& value) {
    return base("tiny-llama").edit([=](GgufWriter& w) { w.set(key, std::string_view(value)); });
  }

  TemporaryFolder folder_;
};

TEST_F(ModelErrors, OtherArchitecturesAreNamedWithTheSupportedOnes) {
  for (const char* name : {"qwen35", "qwen3next", "smollm3", "mistral3", "gemma3", "falcon"})
    expect_refused(with_text("general.architecture", name),
                   {"architecture '" + std::string(name) + "' is not supported",
                    "llama, qwen2, qwen3, qwen2moe, qwen3moe"});
  expect_refused(base("tiny-llama").edit([](GgufWriter& w) { w.erase("general.architecture"); }),
                 {"general.architecture", "missing"});
}

TEST_F(ModelErrors, FilesThatAreNoModelsAreNamed) {
  expect_refused(with_text("general.architecture", "clip"), {"projector", "llama, qwen2"});
  expect_refused(with_text("general.type", "mmproj"), {"projector"});
  expect_refused(with_text("general.type", "adapter"), {"adapter", "llama, qwen2"});
  expect_refused(with_text("adapter.type", "lora"), {"adapter"});
  expect_refused(with_text("general.type", "imatrix"), {"imatrix"});
  expect_refused(with_text("general.type", "dataset"), {"'dataset'"});
}

TEST_F(ModelErrors, AVocabularyIsOnlyGoodForItsTokenizer) {
  const std::string path = reference_data("vocab/llama-bpe.gguf");
  const std::string error = error_of([&] { Model::open(path); });
  EXPECT_NE(error.find("vocabulary and no weights"), std::string::npos) << error;
  EXPECT_EQ(Tokenizer::load(Gguf::open(path)).vocabulary_size(), 128256u);
}

TEST_F(ModelErrors, MissingTensorsAreNamed) {
  for (const char* name :
       {"token_embd.weight", "output_norm.weight", "blk.0.attn_norm.weight", "blk.1.attn_q.weight",
        "blk.0.attn_output.weight", "blk.1.ffn_norm.weight", "blk.1.ffn_down.weight"})
    expect_refused(base("tiny-llama").remove(name), {"'" + std::string(name) + "'", "missing"});
  for (const char* name : {"blk.0.attn_q_norm.weight", "blk.1.attn_k_norm.weight"})
    expect_refused(base("tiny-qwen3").remove(name), {"'" + std::string(name) + "'", "missing"});
  for (const char* name : {"blk.0.ffn_gate_inp.weight", "blk.0.ffn_up_exps.weight",
                           "blk.1.ffn_gate_inp_shexp.weight", "blk.1.ffn_down_shexp.weight"})
    expect_refused(base("tiny-qwen2moe").remove(name), {"'" + std::string(name) + "'", "missing"});
}

TEST_F(ModelErrors, WrongShapesAreNamedWithBoth) {
  expect_refused(base("tiny-llama").crop("blk.1.ffn_up.weight", 256, 700),
                 {"'blk.1.ffn_up.weight'", "[256, 700]", "[256, 768]"});
  expect_refused(base("tiny-llama").crop("token_embd.weight", 256, 319),
                 {"'token_embd.weight'", "[256, 319]", "[256, 320]"});
  expect_refused(base("tiny-qwen2").put_noise("blk.0.attn_q.bias", {255}, 1.0f),
                 {"'blk.0.attn_q.bias'", "[255]", "[256]"});
  expect_refused(base("tiny-llama3").put_noise("rope_freqs.weight", {15}, 1.0f),
                 {"'rope_freqs.weight'", "[15]", "[16]"});
  expect_refused(base("tiny-mixtral").put_noise("blk.0.ffn_up_exps.weight", {256, 256, 3}, 1.0f),
                 {"'blk.0.ffn_up_exps.weight'", "[256, 256, 3]", "[256, 256, 4]"});
  expect_refused(base("tiny-mixtral").put_noise("blk.0.ffn_up_exps.scale", {1}, 1.0f),
                 {"'blk.0.ffn_up_exps.scale'", "[1]", "[4]"});
  expect_refused(base("tiny-llama").set("attention.head_count_kv", 4u),
                 {"'blk.0.attn_k.weight'", "[256, 128]", "[256, 256]"});
}

TEST_F(ModelErrors, WrongTypesAndValuesAreNamed) {
  expect_refused(
      base("tiny-llama")
          .put_bytes("blk.0.attn_q.weight", TensorType::kI8, {256, 256}, std::string(65536, '\1')),
      {"'blk.0.attn_q.weight'", "I8"});
  std::vector<float> norm(256, 1.0f);
  norm[3] = std::numeric_limits<float>::quiet_NaN();
  expect_refused(base("tiny-llama").put("output_norm.weight", {256}, norm),
                 {"'output_norm.weight'", "not finite"});
  expect_refused(base("tiny-llama3").put("rope_freqs.weight", {16}, std::vector<float>(16, 0.0f)),
                 {"'rope_freqs.weight'", "0"});
}

TEST_F(ModelErrors, MetadataAreCheckedByName) {
  for (const char* key : {"block_count", "embedding_length", "attention.head_count",
                          "attention.layer_norm_rms_epsilon", "feed_forward_length"})
    expect_refused(base("tiny-llama").erase(key), {"llama." + std::string(key), "missing"});
  for (const char* key :
       {"block_count", "embedding_length", "attention.head_count", "attention.head_count_kv",
        "attention.key_length", "attention.value_length", "rope.dimension_count"})
    expect_refused(base("tiny-llama").set(key, 0u), {"llama." + std::string(key)});
  for (const char* key : {"block_count", "embedding_length", "attention.head_count",
                          "attention.key_length", "feed_forward_length"}) {
    expect_refused(base("tiny-llama").set(key, 4000000000u), {"llama." + std::string(key)});
    expect_refused(base("tiny-llama").set(key, ~std::uint64_t{0}), {"llama." + std::string(key)});
    expect_refused(base("tiny-llama").set(key, -1), {"llama." + std::string(key)});
    expect_refused(base("tiny-llama").set(key, "four"), {"llama." + std::string(key)});
  }
  expect_refused(base("tiny-llama").set("block_count", 3u), {"'blk.2.attn_norm.weight'"});
  expect_refused(base("tiny-llama").set("attention.head_count_kv", 3u),
                 {"llama.attention.head_count_kv", "4 query heads", "3"});
  expect_refused(
      base("tiny-llama").set_array("attention.head_count", std::vector<std::uint32_t>{4}),
      {"llama.attention.head_count", "array of 1", "expected 2"});
  expect_refused(base("tiny-llama").set("rope.dimension_count", 63u),
                 {"llama.rope.dimension_count", "63"});
  expect_refused(base("tiny-llama").set("rope.dimension_count", 66u),
                 {"llama.rope.dimension_count", "66"});
  expect_refused(base("tiny-llama").set("rope.scaling.type", "dynamic"),
                 {"llama.rope.scaling.type", "'dynamic'", "yarn"});
  expect_refused(base("tiny-llama").set("rope.freq_base", -1.0f), {"llama.rope.freq_base"});
  expect_refused(base("tiny-llama").set("attention.causal", false), {"llama.attention.causal"});
  expect_refused(base("tiny-mixtral").set("expert_used_count", 5u),
                 {"llama.expert_used_count", "5", "4"});
  expect_refused(base("tiny-qwen3moe").erase("expert_count"), {"qwen3moe.expert_count"});
  expect_refused(base("tiny-qwen3moe").set("expert_gating_func", 2u),
                 {"qwen3moe.expert_gating_func", "2"});
  expect_refused(base("tiny-qwen3moe").set("expert_group_count", 2u),
                 {"qwen3moe.expert_group_count"});
  expect_refused(base("tiny-qwen2").set("expert_count", 2u), {"qwen2.expert_count"});
}

class SessionErrors : public ModelErrors {
 protected:
  static Model model() { return Model::open(reference_data("models/tiny-llama-f16.gguf")); }

  static void expect_error(const std::function<void()>& action, const std::string& part) {
    const std::string error = error_of(action);
    EXPECT_NE(error.find(part), std::string::npos) << "'" << part << "' is not in: " << error;
  }
};

TEST_F(SessionErrors, OptionsOutOfRange) {
  expect_error([] { Session(model(), {.context = 0}); }, "'context'");
  expect_error([] { Session(model(), {.context = std::size_t{1} << 60}); }, "'context'");
  expect_error([] { Session(model(), {.batch = 0}); }, "'batch'");
  expect_error([] { Session(model(), {.sequences = 0}); }, "'sequences'");
  expect_error([] { Session(model(), {.context = 1 << 28, .sequences = 60000}); }, "too many");
  EXPECT_EQ(Session(model()).options().context, 4096u);  // and not what the file was trained for
}

TEST_F(SessionErrors, KvTypeMustFitTheHeads) {
  VariantModel variant = base("tiny-llama");
  variant.set("attention.value_length", 48u);
  for (const std::string layer : {"blk.0.", "blk.1."})
    variant.crop(layer + "attn_v.weight", 256, 96).crop(layer + "attn_output.weight", 192, 256);
  const Model odd = Model::open(variant.write(folder_.path("odd.gguf")));
  expect_error([&] { Session(odd, {.kv_type = KvType::kQ8_0}); }, "q8_0 needs a value length");
  expect_error([&] { Session(odd, {.kv_type = KvType::kQ4_0}); }, "q4_0 needs a value length");
  Session(odd, {.kv_type = KvType::kF16});
}

TEST_F(SessionErrors, MisuseChangesNothing) {
  Session session(model(), {.context = 100, .threads = 1, .sequences = 2});
  const std::vector<std::int32_t> prompt(90, 17), more(11, 5);
  session.feed(prompt);
  const std::vector<std::int32_t> negative = {1, -1}, large = {1, 320};
  expect_error([&] { session.feed(negative); }, "token id -1");
  expect_error([&] { session.feed(large); }, "token id 320 is not in the vocabulary of 320");
  expect_error([&] { session.feed(prompt, Logits::kLast, 2); }, "sequence 2 does not exist");
  expect_error([&] { session.feed(more); }, "90 of 100 positions");
  const std::vector<SequenceInput> twice = {{0, std::span(more).first(2)},
                                            {0, std::span(more).first(2)}};
  expect_error([&] { session.step(twice); }, "twice");
  // The first input would fit, the second does not: neither is taken.
  const std::vector<SequenceInput> partly = {{1, more}, {0, more}};
  expect_error([&] { session.step(partly); }, "no room");
  for (const std::vector<std::uint32_t>& chosen :
       {std::vector<std::uint32_t>{2}, std::vector<std::uint32_t>{1, 0},
        std::vector<std::uint32_t>{1, 1}}) {
    const SequenceInput input{0, std::span(more).first(2), Logits::kChosen, chosen};
    expect_error([&] { session.step({&input, 1}); }, "must ascend");
  }
  expect_error([&] { session.truncate(0, 91); }, "it holds 90");
  expect_error([&] { session.truncate(2, 0); }, "sequence 2");
  expect_error([&] { session.fork(0, 2); }, "sequence 2");
  expect_error([&] { session.position(7); }, "sequence 7");
  EXPECT_EQ(session.position(0), 90u);
  EXPECT_EQ(session.position(1), 0u);

  // Exactly full is allowed, and the result is that of a session that saw no errors.
  const auto logits = session.feed(std::span(more).first(10));
  Session clean(model(), {.context = 100, .threads = 1});
  clean.feed(prompt);
  const auto expected = clean.feed(std::span(more).first(10));
  EXPECT_TRUE(std::equal(logits.begin(), logits.end(), expected.begin(), expected.end()));
  expect_error([&] { session.feed(std::span(more).first(1)); }, "raise the context");
}

TEST(KvPages, ShareAndCopyOnWrite) {
  KvPages pages(3, 2 * kKvPage);
  EXPECT_EQ(KvPages::pages_for(3, 2 * kKvPage), 6u);
  EXPECT_EQ(KvPages::pages_for(1, kKvPage + 1), 2u);
  EXPECT_FALSE(pages.extend(0, kKvPage + 10));
  EXPECT_EQ(pages.pages_in_use(), 2u);
  pages.fork(0, 1);
  EXPECT_EQ(pages.pages_in_use(), 2u);
  const auto copy = pages.extend(1, 1);  // into the page that is shared
  ASSERT_TRUE(copy);
  EXPECT_EQ(copy->from, pages.pages(0)[1]);
  EXPECT_EQ(copy->to, pages.pages(1)[1]);
  EXPECT_NE(copy->from, copy->to);
  EXPECT_EQ(pages.pages(0)[0], pages.pages(1)[0]);
  EXPECT_FALSE(pages.extend(0, 1));  // no longer shared
  EXPECT_EQ(pages.pages_in_use(), 3u);
  pages.truncate(0, kKvPage);
  EXPECT_EQ(pages.pages_in_use(), 2u);
  pages.fork(0, 2);
  EXPECT_FALSE(pages.extend(2, kKvPage));  // a new page: nothing to copy
  EXPECT_THROW(pages.extend(2, 1), Error);
  EXPECT_EQ(pages.length(2), 2 * kKvPage);
  pages.truncate(0, 0);
  pages.truncate(1, 0);
  pages.truncate(2, 0);
  EXPECT_EQ(pages.pages_in_use(), 0u);
}

// With every sequence forked, full and rewritten there are just enough pages.
TEST(KvPages, NeverRunsOut) {
  KvPages pages(8, 100);
  for (int round = 0; round < 50; ++round) {
    pages.truncate(0, 0);
    pages.extend(0, 70);
    for (std::size_t s = 1; s < 8; ++s) pages.fork(0, s);
    EXPECT_EQ(pages.pages_in_use(), 2u);
    for (std::size_t s = 0; s < 8; ++s) pages.extend(s, 30);
    EXPECT_EQ(pages.pages_in_use(), 9u);  // the first page is shared by all
  }
}

}  // namespace
}  // namespace brink::testing
