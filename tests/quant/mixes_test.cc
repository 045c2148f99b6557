// The rules of quantization mixes, against files that llama-quantize made and known cases.
#include "brink/quant/mixes.h"

#include <gtest/gtest.h>

#include <string>

#include "brink/gguf/reader.h"
#include "tests/support/reference_data.h"

namespace brink {
namespace {

MixModel llama_1b() {
  MixModel model;
  model.layers = 16;
  model.heads = 32;
  model.kv_heads = 8;
  model.tied_output = true;
  return model;
}

std::string type(const char* mix, const MixModel& model, const std::string& tensor,
                 std::uint64_t columns = 2048) {
  return size_of(mixed_type(find_mix(mix).value(), model, tensor, columns)).name;
}

TEST(Mixes, TypesOfPublishedFiles) {
  BRINK_REQUIRE_REFERENCE_DATA();
  std::size_t tensors = 0;
  for (const char* name : {"IQ3_S", "IQ4_NL", "IQ4_XS", "Q2_K", "Q3_K_M", "Q4_0", "Q4_1", "Q4_K_M",
                           "Q5_0", "Q5_1", "Q5_K_M", "Q6_K", "Q8_0", "TQ1_0", "TQ2_0"}) {
    const Gguf gguf =
        Gguf::open(testing::reference_data(std::string("quantized/micro-llama-") + name + ".gguf"));
    MixModel model;
    model.layers = gguf.get_uint("llama.block_count").value();
    model.heads = gguf.get_uint("llama.attention.head_count").value();
    model.kv_heads = gguf.get_uint("llama.attention.head_count_kv").value();
    model.tied_output = gguf.find_tensor("output.weight") == nullptr;
    const Mix mix = find_mix(name).value();
    EXPECT_EQ(gguf.get_uint("general.file_type"), mix.file_type) << name;
    for (const GgufTensor& tensor : gguf.tensors()) {
      if (!is_quantizable(tensor.name, tensor.dimensions)) {
        EXPECT_EQ(tensor.type, TensorType::kF32) << tensor.name;
        continue;
      }
      ++tensors;
      const TensorType expected = mixed_type(mix, model, tensor.name, tensor.shape[0]);
      EXPECT_EQ(size_of(tensor.type).name, std::string(size_of(expected).name))
          << name << ' ' << tensor.name;
    }
  }
  EXPECT_GT(tensors, 15u * 8);
}

TEST(Mixes, MoreBitsForTheFirstTheLastAndEveryThirdLayer) {
  const MixModel model = llama_1b();
  std::string sixes;
  for (int layer = 0; layer < 16; ++layer)
    sixes += type("Q4_K_M", model, "blk." + std::to_string(layer) + ".ffn_down.weight", 8192)[1];
  EXPECT_EQ(sixes, "6644644644644666");
  EXPECT_EQ(type("Q4_K_M", model, "blk.4.attn_v.weight"), "Q6_K");
  EXPECT_EQ(type("Q4_K_M", model, "blk.3.attn_v.weight"), "Q4_K");
  EXPECT_EQ(type("Q4_K_M", model, "blk.0.attn_q.weight"), "Q4_K");
}

TEST(Mixes, EmbeddingsThatServeAsTheHeadAreTypedAsIt) {
  MixModel model = llama_1b();
  EXPECT_EQ(type("Q4_K_M", model, "token_embd.weight"), "Q6_K");
  EXPECT_EQ(type("IQ2_XXS", model, "token_embd.weight"), "Q5_K");
  model.tied_output = false;
  EXPECT_EQ(type("Q4_K_M", model, "token_embd.weight"), "Q4_K");
  EXPECT_EQ(type("IQ2_XXS", model, "token_embd.weight"), "Q2_K");
  EXPECT_EQ(type("Q4_K_M", model, "output.weight"), "Q6_K");
  EXPECT_EQ(type("Q8_0", model, "output.weight"), "Q8_0");
  EXPECT_EQ(type("F16", model, "output.weight"), "F16");
}

TEST(Mixes, RowsThatFitNoSuperBlock) {
  // 896 columns, as in Qwen 2.5 0.5B.
  for (const auto& [wanted, fitting] : {std::pair{"Q4_K", "Q5_0"},
                                        {"Q5_K", "Q5_1"},
                                        {"Q6_K", "Q8_0"},
                                        {"Q2_K", "Q4_0"},
                                        {"Q3_K", "Q4_0"},
                                        {"IQ4_XS", "IQ4_NL"},
                                        {"IQ1_S", "IQ4_NL"},
                                        {"TQ1_0", "Q4_0"},
                                        {"Q8_0", "Q8_0"},
                                        {"F16", "F16"}})
    EXPECT_EQ(size_of(fitting_type(find_tensor_type(wanted)->type, 896)).name, std::string(fitting))
        << wanted;
  EXPECT_EQ(fitting_type(TensorType::kQ4_K, 100), TensorType::kF16);
  EXPECT_EQ(type("Q4_K_M", llama_1b(), "token_embd.weight", 896), "Q8_0");
}

TEST(Mixes, SpecialModels) {
  MixModel mixtral = llama_1b();
  mixtral.layers = 32;
  mixtral.experts = 8;
  EXPECT_EQ(type("Q4_K_M", mixtral, "blk.9.attn_v.weight"), "Q8_0");
  EXPECT_EQ(type("Q4_K_M", mixtral, "blk.9.attn_k.weight"), "Q8_0");
  EXPECT_EQ(type("Q4_K_M", mixtral, "blk.9.attn_output.weight"), "Q5_K");
  EXPECT_EQ(type("IQ2_XS", mixtral, "blk.9.attn_v.weight"), "Q4_K");
  MixModel big = llama_1b();
  big.layers = 80;
  big.heads = 64;
  EXPECT_EQ(type("Q3_K_S", big, "blk.20.attn_v.weight"), "Q5_K");
  EXPECT_EQ(type("IQ3_XXS", big, "blk.20.attn_v.weight"), "Q5_K");
  EXPECT_EQ(type("IQ2_XXS", big, "blk.20.attn_v.weight"), "Q4_K");
}

TEST(Mixes, AnImportanceMatrixChangesSomeRules) {
  MixModel model = llama_1b();
  EXPECT_EQ(type("IQ4_XS", model, "blk.0.ffn_down.weight", 8192), "Q5_K");
  EXPECT_EQ(type("Q4_0", model, "blk.0.ffn_down.weight", 8192), "Q4_0");
  model.importance_matrix = true;
  EXPECT_EQ(type("IQ4_XS", model, "blk.0.ffn_down.weight", 8192), "IQ4_XS");
  EXPECT_EQ(type("Q4_0", model, "blk.0.ffn_down.weight", 8192), "Q4_1");
}

TEST(Mixes, Names) {
  EXPECT_EQ(find_mix("Q4_K")->name, "Q4_K_M");
  EXPECT_TRUE(find_mix("pure:Q4_K")->pure);
  EXPECT_TRUE(find_mix("NVFP4")->pure);
  EXPECT_FALSE(find_mix("Q8_0")->pure);
  EXPECT_FALSE(find_mix("q4_k_m"));
  for (const std::string_view name : mix_names())
    EXPECT_EQ(mix_of_file_type(find_mix(name)->file_type.value())->name, name);
  EXPECT_FALSE(mix_of_file_type(4));
}

TEST(Mixes, WhatIsQuantizedAtAll) {
  EXPECT_TRUE(is_quantizable("blk.0.attn_q.weight", 2));
  EXPECT_TRUE(is_quantizable("blk.0.ffn_gate_exps.weight", 3));
  EXPECT_FALSE(is_quantizable("blk.0.attn_q.bias", 1));
  EXPECT_FALSE(is_quantizable("blk.0.attn_norm.weight", 1));
  EXPECT_FALSE(is_quantizable("rope_freqs.weight", 1));
  EXPECT_FALSE(is_quantizable("blk.0.ffn_gate_inp.weight", 2));
}

}  // namespace
}  // namespace brink
