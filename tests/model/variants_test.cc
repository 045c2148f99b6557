// Every optional feature of the architectures, on variants of the reference models: the engine must
// follow float64 on the variant, and the variant must differ from its base, so that a feature that
// is ignored shows. Where a variant only says the same in another way, the bits must be the same.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "brink/model/session.h"
#include "tests/support/float64_model.h"
#include "tests/support/reference_data.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/variant_model.h"

namespace brink::testing {
namespace {

constexpr std::size_t kTokens = 40;

std::vector<std::int32_t> test_tokens() {
  std::vector<std::int32_t> tokens;
  for (std::size_t i = 0; i < kTokens; ++i)
    tokens.push_back(static_cast<std::int32_t>(i * 71 % 320));
  return tokens;
}

std::vector<float> engine_logits(const Model& model, std::size_t context = 4096) {
  Session session(model, {.context = context,
                          .activations = Activations::kF32,
                          .kv_type = KvType::kF32,
                          .threads = 2});
  const std::vector<std::int32_t> tokens = test_tokens();
  const std::span<const float> logits = session.feed(tokens, Logits::kAll);
  return {logits.begin(), logits.end()};
}

class Variants : public ::testing::Test {
 protected:
  void SetUp() override { BRINK_REQUIRE_REFERENCE_DATA(); }

  static VariantModel base(const std::string& name) {
    return VariantModel(reference_data("models/" + name + "-f16.gguf"));
  }

  Model open(const VariantModel& variant) {
    return Model::open(variant.write(folder_.path(std::to_string(files_++) + ".gguf")));
  }

  /// The engine agrees with float64 on `variant` (measured: 1e-6 and less).
  std::vector<float> check(const VariantModel& variant, std::size_t context = 4096) {
    const Model model = open(variant);
    const std::vector<float> logits = engine_logits(model, context);
    const Vector truth = Float64Model(model.gguf(), context).logits(test_tokens(), {});
    EXPECT_LT(relative_distance(logits, truth), 1e-5);
    return logits;
  }

  /// And the variation makes a difference far beyond rounding.
  void check_changes(const VariantModel& variant, std::size_t context = 4096) {
    const std::vector<float> changed = check(variant, context);
    EXPECT_GT(relative_distance(changed, engine_logits(Model::open(variant.base().path()))), 1e-3);
  }

  void check_same_bits(const VariantModel& variant) {
    EXPECT_EQ(engine_logits(open(variant)), engine_logits(Model::open(variant.base().path())));
  }

  TemporaryFolder folder_;
  int files_ = 0;
};

// --- Rotary positions ----------------------------------------------------------------------------

TEST_F(Variants, RopeFreqs) {
  check_changes(base("tiny-llama3").remove("rope_freqs.weight"));
  check_changes(base("tiny-llama").put("rope_freqs.weight", {32}, std::vector<float>(32, 3.0f)));
}

TEST_F(Variants, LinearScaling) {
  check_changes(base("tiny-linear").set("rope.scaling.type", "none"));
  check_changes(base("tiny-linear").set("rope.scaling.factor", 3.0f));
  check_same_bits(base("tiny-linear").erase("rope.scaling.type"));
  // The key of old files, alone.
  check_same_bits(base("tiny-linear")
                      .erase("rope.scaling.type")
                      .erase("rope.scaling.factor")
                      .set("rope.scale_linear", 2.0f));
  check_changes(base("tiny-llama").set("rope.scale_linear", 2.0f));
  check_same_bits(base("tiny-llama").set("rope.scale_linear", 0.0f));  // 0: none
}

TEST_F(Variants, Yarn) {
  check_changes(base("tiny-yarn").set("rope.scaling.type", "none"));
  check_changes(base("tiny-yarn").set("rope.scaling.type", "linear"));
  check_changes(base("tiny-yarn").set("rope.scaling.factor", 2.0f));
  check_changes(base("tiny-yarn").set("rope.scaling.original_context_length", 64u));
  check_changes(base("tiny-yarn").set("rope.scaling.yarn_ext_factor", 0.0f));
  check_changes(base("tiny-yarn").set("rope.scaling.yarn_ext_factor", 0.5f));
  check_changes(base("tiny-yarn").set("rope.scaling.yarn_beta_fast", 4.0f));
  check_changes(base("tiny-yarn").set("rope.scaling.yarn_beta_slow", 4.0f));
  check_changes(base("tiny-yarn").set("rope.scaling.yarn_attn_factor", 1.2f));
  check_changes(base("tiny-yarn").set("rope.scaling.attn_factor", 1.2f));
  check_changes(base("tiny-yarn").set("rope.scaling.yarn_log_multiplier", 0.7f));
  // The original context is the trained one where the file does not say (1024 there, 256 here).
  check_changes(base("tiny-yarn").erase("rope.scaling.original_context_length"));
}

TEST_F(Variants, LongRope) {
  VariantModel variant = base("tiny-llama");
  variant.set("rope.scaling.type", "longrope")
      .set("rope.scaling.original_context_length", 128u)
      .put("rope_factors_short.weight", {32}, std::vector<float>(32, 1.5f))
      .put("rope_factors_long.weight", {32}, std::vector<float>(32, 4.0f));
  check_changes(variant, 128);   // short
  check_changes(variant, 4096);  // long
  const Model model = open(variant);
  EXPECT_GT(relative_distance(engine_logits(model, 128), engine_logits(model, 129)), 1e-3);
  check_changes(variant.set("rope.scaling.attn_factor", 1.3f));
}

TEST_F(Variants, RopeBaseAndDimensions) {
  check_same_bits(base("tiny-llama").erase("rope.freq_base"));  // default 10000
  check_changes(base("tiny-llama").set("rope.freq_base", 500.0f));
  check_same_bits(base("tiny-llama").erase("rope.dimension_count"));  // default: the whole head
  check_changes(base("tiny-llama").set("rope.dimension_count", 32u));
  check_changes(base("tiny-qwen2").set("rope.dimension_count", 32u));
}

// --- Attention -----------------------------------------------------------------------------------

TEST_F(Variants, DefaultsOfAttention) {
  check_same_bits(base("tiny-llama")
                      .erase("attention.key_length")
                      .erase("attention.value_length")
                      .erase("rope.dimension_count"));
  check_same_bits(base("tiny-linear").erase("attention.head_count_kv"));  // as many as heads
}

TEST_F(Variants, AttentionScale) {
  check_changes(base("tiny-llama").set("attention.scale", 0.25f));
  check_same_bits(base("tiny-llama").set("attention.scale", 0.125f));  // 1 / sqrt(64)
  check_same_bits(base("tiny-llama").set("attention.scale", 0.0f));    // not set
}

TEST_F(Variants, Biases) {
  check_changes(base("tiny-qwen2").remove("blk.0.attn_q.bias"));
  check_changes(base("tiny-qwen2").remove("blk.1.attn_v.bias"));
  // A bias of k turns with the position, so it matters although a softmax cancels constants.
  check_changes(base("tiny-qwen2").put_noise("blk.0.attn_k.bias", {64}, 2.0f));
  check_changes(base("tiny-llama").put_noise("blk.0.attn_q.bias", {256}, 0.5f));
  check_changes(base("tiny-llama").put_noise("blk.0.attn_k.bias", {128}, 0.5f));
  check_changes(base("tiny-llama").put_noise("blk.0.attn_v.bias", {128}, 0.5f));
  check_changes(base("tiny-llama").put_noise("blk.1.attn_output.bias", {256}, 0.5f));
  check_changes(base("tiny-llama").put_noise("blk.0.ffn_gate.bias", {768}, 0.5f));
  check_changes(base("tiny-llama").put_noise("blk.0.ffn_up.bias", {768}, 0.5f));
  check_changes(base("tiny-llama").put_noise("blk.1.ffn_down.bias", {256}, 0.5f));
  check_changes(base("tiny-qwen2").put_noise("output.bias", {320}, 0.5f));
}

TEST_F(Variants, FusedQkv) {
  for (const char* name : {"tiny-llama", "tiny-qwen2", "tiny-qwen3"}) {
    VariantModel variant = base(name);
    for (const std::string layer : {"blk.0.", "blk.1."}) {
      for (const std::string part : {".weight", ".bias"}) {
        const std::string q = layer + "attn_q" + part;
        if (variant.has(q))
          variant.fuse({q, layer + "attn_k" + part, layer + "attn_v" + part},
                       layer + "attn_qkv" + part);
      }
    }
    EXPECT_FALSE(variant.has("blk.0.attn_q.weight"));
    check_same_bits(variant);
    check(variant);
    check_changes(variant.put_noise("blk.0.attn_qkv.scale", {1}, 3.0f));
  }
}

TEST_F(Variants, HeadNorms) {
  check_changes(base("tiny-qwen3").put_noise("blk.0.attn_q_norm.weight", {128}, 2.0f));
  check_changes(base("tiny-qwen3").put_noise("blk.1.attn_k_norm.weight", {128}, 2.0f));
}

TEST_F(Variants, KeyAndValueLengthDiffer) {
  VariantModel variant = base("tiny-llama");
  variant.set("attention.value_length", 32u);
  for (const std::string layer : {"blk.0.", "blk.1."})
    variant.crop(layer + "attn_v.weight", 256, 64).crop(layer + "attn_output.weight", 128, 256);
  check_changes(variant);
}

TEST_F(Variants, HeadsOfAnOddSize) {
  // 20 is no multiple of any vector; head_count 12 does not divide the width, so it must be given.
  VariantModel variant = base("tiny-llama");
  variant.set("attention.head_count", 12u)
      .set("attention.head_count_kv", 4u)
      .set("attention.key_length", 20u)
      .set("attention.value_length", 20u)
      .erase("rope.dimension_count");
  for (const std::string layer : {"blk.0.", "blk.1."})
    variant.crop(layer + "attn_q.weight", 256, 240)
        .crop(layer + "attn_k.weight", 256, 80)
        .crop(layer + "attn_v.weight", 256, 80)
        .crop(layer + "attn_output.weight", 240, 256);
  check_changes(variant);
}

TEST_F(Variants, PerLayerArrays) {
  check_same_bits(base("tiny-llama")
                      .set_array("attention.head_count", std::vector<std::uint32_t>{4, 4})
                      .set_array("attention.head_count_kv", std::vector<std::int32_t>{2, 2})
                      .set_array("feed_forward_length", std::vector<std::uint32_t>{768, 768}));
  VariantModel variant = base("tiny-llama");
  variant.set_array("attention.head_count", std::vector<std::uint32_t>{4, 3})
      .set_array("attention.head_count_kv", std::vector<std::uint32_t>{2, 1})
      .set_array("feed_forward_length", std::vector<std::uint32_t>{768, 512})
      .crop("blk.1.attn_q.weight", 256, 192)
      .crop("blk.1.attn_k.weight", 256, 64)
      .crop("blk.1.attn_v.weight", 256, 64)
      .crop("blk.1.attn_output.weight", 192, 256)
      .crop("blk.1.ffn_gate.weight", 256, 512)
      .crop("blk.1.ffn_up.weight", 256, 512)
      .crop("blk.1.ffn_down.weight", 512, 256);
  check_changes(variant);
}

// --- Head and scales -----------------------------------------------------------------------------

TEST_F(Variants, TiedOutput) {
  check_changes(base("tiny-llama").remove("output.weight"));
  VariantModel untied = base("tiny-qwen2");  // comes without an output matrix
  const std::vector<float> embedding = untied.values("token_embd.weight");
  check_same_bits(untied.put("output.weight", {256, 320}, embedding));
  check_changes(untied.put_noise("output.weight", {256, 320}, 0.1f));
}

TEST_F(Variants, TensorScales) {
  for (const std::string name :
       {"blk.0.attn_q", "blk.0.attn_k", "blk.1.attn_v", "blk.1.attn_output", "blk.0.ffn_gate",
        "blk.1.ffn_up", "blk.0.ffn_down", "output"})
    check_changes(base("tiny-llama").put(name + ".scale", {1}, {0.5f}));
  for (const std::string name : {"ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"})
    check_changes(base("tiny-mixtral").put("blk.0." + name + ".scale", {4}, {0.5f, 2, 1, 3}));
  for (const std::string name : {"ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp"})
    check_changes(base("tiny-qwen2moe").put("blk.0." + name + ".scale", {1}, {0.5f}));
  // A bias is added after the scale.
  check_changes(base("tiny-qwen2").put("blk.0.attn_q.scale", {1}, {0.5f}));
}

// --- Experts -------------------------------------------------------------------------------------

TEST_F(Variants, ExpertWeights) {
  for (const char* name : {"tiny-mixtral", "tiny-qwen2moe", "tiny-qwen3moe"}) {
    const bool normalised = std::string(name) != "tiny-qwen2moe";
    check_changes(base(name).set("expert_weights_scale", 2.5f));
    check_same_bits(base(name).set("expert_weights_scale", 0.0f));  // not set
    check_same_bits(base(name).set("expert_weights_norm", normalised));
    check_changes(base(name).set("expert_weights_norm", !normalised));
    check_changes(base(name).set("expert_used_count", 3u));
  }
}

TEST_F(Variants, ExpertWidthDefaults) {
  check_same_bits(base("tiny-mixtral").erase("expert_feed_forward_length"));
  // Qwen: the width of all experts used together.
  check_same_bits(base("tiny-qwen3moe").erase("expert_feed_forward_length"));
  check_same_bits(base("tiny-qwen2moe").erase("expert_shared_feed_forward_length"));
}

TEST_F(Variants, SharedExpert) {
  VariantModel without = base("tiny-qwen2moe");
  const std::vector<float> zeros(512 * 256, 0.0f);
  for (const std::string layer : {"blk.0.", "blk.1."})
    without.put(layer + "ffn_down_shexp.weight", {512, 256}, zeros);
  check_changes(without);
  check_changes(base("tiny-qwen2moe").put_noise("blk.0.ffn_gate_inp_shexp.weight", {256}, 2.0f));
}

}  // namespace
}  // namespace brink::testing
