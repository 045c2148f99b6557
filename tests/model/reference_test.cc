// The engine against float64: every reference model, every weight type, every instruction set.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "brink/model/session.h"
#include "tests/support/engine_logits.h"
#include "tests/support/float64_model.h"
#include "tests/support/npy.h"
#include "tests/support/reference_data.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tested_kernels.h"
#include "tests/support/variant_model.h"

namespace brink::testing {
namespace {

// The yardstick itself: the references are rounded to f32 (6e-8 per value at most).
TEST(Float64Model, ReproducesEveryReference) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const std::vector<std::string> names = reference_models();
  ASSERT_EQ(names.size(), 24u);
  for (const std::string& name : testing::sanitized_sample(names, 3)) {
    const Gguf gguf = Gguf::open(name + ".gguf");
    const auto tokens = read_npy<std::int32_t>(name + ".tokens.npy");
    const auto expected = read_npy<float>(name + ".logits.npy");
    const Vector logits = Float64Model(gguf).logits(tokens.values, {});
    EXPECT_LT(relative_distance(logits, expected.values), 1e-6) << label(name);
  }
}

// What must hold is 1e-4; f32 sums of a few hundred terms measure 3e-7 to 1e-6, so that anything
// above 1e-5 is a mistake, not rounding.
TEST(Model, F32ActivationsMatchEveryReferenceOnEveryInstructionSet) {
  BRINK_REQUIRE_REFERENCE_DATA();
  for (const std::string& name : testing::sanitized_sample(reference_models(), 3)) {
    const Model model = Model::open(name + ".gguf");
    const auto tokens = read_npy<std::int32_t>(name + ".tokens.npy");
    auto expected = read_npy<float>(name + ".logits.npy");
    for (const Kernels* kernels : testing::tested_kernels()) {
      const SessionOptions options{.activations = Activations::kF32,
                                   .kv_type = KvType::kF32,
                                   .threads = 2,
                                   .kernels = kernels};
      const std::vector<float> many = engine_logits(model, tokens.values, options);
      EXPECT_LT(relative_distance(many, expected.values), 1e-5) << label(name) << kernels->name;
      const std::span<const std::int32_t> first =
          std::span(tokens.values).first(std::min<std::size_t>(tokens.values.size(), 40));
      const std::vector<float> few = engine_logits_one_by_one(model, first, options);
      const std::span<const float> rows = std::span(expected.values).first(few.size());
      EXPECT_LT(relative_distance(few, rows), 1e-5) << label(name) << kernels->name;
    }
  }
}

struct Truth {
  Truth(const Model& model, std::span<const std::int32_t> ids, Float64Model::Rounding how)
      : rounding(how), tokens(ids.begin(), ids.end()) {
    Float64Model reference(model.gguf());
    exact = reference.logits(tokens, {});
    simulated = reference.logits(tokens, rounding);
  }
  Float64Model::Rounding rounding;
  std::vector<std::int32_t> tokens;
  Vector exact;
  Vector simulated;
};

struct Distances {
  double simulated;
  double many;
  double few;
};

/// Distances to the float64 truth: of the float64 simulation of the rounding, and of the engine.
Distances measure(const Model& model, const Truth& truth, const Kernels* kernels) {
  const SessionOptions options{.activations = truth.rounding.activations,
                               .kv_type = truth.rounding.kv,
                               .threads = 2,
                               .kernels = kernels};
  return {relative_distance(truth.simulated, truth.exact),
          relative_distance(engine_logits(model, truth.tokens, options), truth.exact),
          relative_distance(engine_logits_one_by_one(model, truth.tokens, options), truth.exact)};
}

void print_row(const std::string& name, const char* kernels, const Distances& d) {
  std::printf("%-28s %-12s %10.3e %10.3e %10.3e  %.3f %.3f\n", name.c_str(), kernels, d.simulated,
              d.many, d.few, d.many / d.simulated, d.few / d.simulated);
}

void print_head(const char* what) {
  std::printf("%-28s %-12s %10s %10s %10s  many few / simulated\n", what, "", "simulated", "many",
              "few");
}

// Rounded activations cost what the stated rounding costs and no more. Two runs of the same
// rounding differ a little, since a value near the middle of two steps may go either way.
TEST(Model, Q8ActivationsCostNoMoreThanTheStatedRounding) {
  BRINK_REQUIRE_REFERENCE_DATA();
  print_head("q8 activations");
  for (const std::string& name : testing::sanitized_sample(reference_models(), 3)) {
    if (name.find("quantized") == std::string::npos) continue;  // F16 weights: not rounded
    const Model model = Model::open(name + ".gguf");
    const auto tokens = read_npy<std::int32_t>(name + ".tokens.npy");
    const Truth truth(model, tokens.values, {Activations::kQ8, KvType::kF32});
    for (const Kernels* kernels : testing::tested_kernels()) {
      const Distances d = measure(model, truth, kernels);
      EXPECT_LE(d.many, 1.1 * d.simulated) << label(name) << kernels->name;
      EXPECT_LE(d.few, 1.1 * d.simulated) << label(name) << kernels->name;
      if (kernels == available_kernels().back()) print_row(label(name), kernels->name, d);
    }
  }
}

TEST(Model, Bf16ActivationsCostNoMoreThanTheStatedRounding) {
  BRINK_REQUIRE_REFERENCE_DATA();
  print_head("bf16 activations");
  for (const char* name : {"models/tiny-llama-f16", "models/tiny-qwen2-f16",
                           "quantized/micro-llama-Q4_K_M", "quantized/micro-llama-Q8_0"}) {
    const Model model = Model::open(reference_data(std::string(name) + ".gguf"));
    const auto tokens = read_npy<std::int32_t>(reference_data(std::string(name) + ".tokens.npy"));
    const Truth truth(model, tokens.values, {Activations::kBf16, KvType::kF32});
    for (const Kernels* kernels : testing::tested_kernels()) {
      const Distances d = measure(model, truth, kernels);
      // The simulation rounds weights too, as products of many tokens do; few tokens do better.
      EXPECT_LE(d.many, 1.1 * d.simulated) << name << kernels->name;
      EXPECT_LE(d.few, 1.1 * d.simulated) << name << kernels->name;
      if (kernels == available_kernels().back()) print_row(label(name), kernels->name, d);
    }
  }
}

TEST(Model, KvTypesCostNoMoreThanTheStatedRounding) {
  BRINK_REQUIRE_REFERENCE_DATA();
  print_head("KV cache, activations");
  const std::vector<const char*> names = {
      "models/tiny-llama-f16",       "models/tiny-qwen3-f16",        "quantized/micro-llama-Q8_0",
      "quantized/micro-llama-Q4_0",  "quantized/micro-llama-Q4_K_M", "quantized/micro-llama-Q6_K",
      "quantized/micro-llama-IQ4_XS"};
  for (const char* name : testing::sanitized_sample(names, 3)) {
    const Model model = Model::open(reference_data(std::string(name) + ".gguf"));
    const auto tokens = read_npy<std::int32_t>(reference_data(std::string(name) + ".tokens.npy"));
    for (const KvType kv : {KvType::kF16, KvType::kQ8_0, KvType::kQ4_0}) {
      // With q8 activations attention may compute in bf16.
      for (const Activations activations :
           {Activations::kF32, Activations::kBf16, Activations::kQ8}) {
        const Truth truth(model, tokens.values, {activations, kv});
        for (const Kernels* kernels : testing::tested_kernels()) {
          const Distances d = measure(model, truth, kernels);
          EXPECT_LE(d.many, 1.1 * d.simulated) << name << kernels->name;
          EXPECT_LE(d.few, 1.1 * d.simulated) << name << kernels->name;
          EXPECT_GT(d.many, 0.5 * d.simulated) << name << kernels->name << ": not rounded at all?";
          if (kernels != available_kernels().back()) continue;
          const char* of_activations = activations == Activations::kF32    ? " f32"
                                       : activations == Activations::kBf16 ? " bf16"
                                                                           : " q8";
          const char* of_cache = kv == KvType::kF16    ? " f16"
                                 : kv == KvType::kQ8_0 ? " q8_0"
                                                       : " q4_0";
          print_row(label(name) + of_cache + of_activations, kernels->name, d);
        }
      }
    }
  }
}

/// The reference blocks of a type, `repeats` times over, and the factor that brings their root mean
/// square to 0.05, about that of the models' own weights.
struct Blocks {
  Blocks(const std::string& type_name, std::uint64_t weights) {
    const Gguf gguf = Gguf::open(reference_data("quant/" + type_name + ".gguf"));
    const GgufTensor& source = *gguf.find_tensor("blocks");
    const GgufTensor& decoded = *gguf.find_tensor("expected");
    const float* values = reinterpret_cast<const float*>(decoded.data);
    double squares = 0.0;
    for (std::uint64_t i = 0; i < decoded.elements(); ++i)
      squares += static_cast<double>(values[i]) * static_cast<double>(values[i]);
    scale = static_cast<float>(0.05 / std::sqrt(squares / static_cast<double>(decoded.elements())));
    type = source.type;
    const std::string once(reinterpret_cast<const char*>(source.data), source.bytes);
    for (std::uint64_t i = 0; i < weights / source.elements(); ++i) bytes += once;
  }
  TensorType type;
  std::string bytes;
  float scale;
};

/// tiny-llama with both ffn_down matrices (768 columns) made of blocks of a type.
std::string model_with_type(const std::string& type, const std::string& path) {
  VariantModel variant(reference_data("models/tiny-llama-f16.gguf"));
  const Blocks blocks(type, 768 * 256);
  for (const char* layer : {"blk.0.", "blk.1."}) {
    const std::string name = std::string(layer) + "ffn_down";
    variant.put_bytes(name + ".weight", blocks.type, {768, 256}, blocks.bytes);
    variant.put(name + ".scale", {1}, {blocks.scale});
  }
  return variant.write(path);
}

/// A mixture of experts with all experts made of blocks of a type, each expert of another scale.
std::string experts_with_type(const std::string& base, std::uint64_t experts,
                              const std::string& type, const std::string& path) {
  VariantModel variant(reference_data("models/" + base + "-f16.gguf"));
  const Blocks blocks(type, 256 * 256 * experts);
  std::vector<float> scales;
  for (std::uint64_t e = 0; e < experts; ++e)
    scales.push_back(blocks.scale * (1.0f + 0.1f * static_cast<float>(e)));
  for (const char* layer : {"blk.0.", "blk.1."})
    for (const char* part : {"ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"}) {
      const std::string name = std::string(layer) + part;
      variant.put_bytes(name + ".weight", blocks.type, {256, 256, experts}, blocks.bytes);
      variant.put(name + ".scale", {experts}, scales);
    }
  return variant.write(path);
}

TEST(Model, EveryWeightTypeInAProduct) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const TemporaryFolder folder;
  std::vector<std::int32_t> tokens;
  for (std::int32_t i = 0; i < 16; ++i) tokens.push_back(i * 37 % 320);
  print_head("q8 activations, ffn_down");
  std::size_t types = 0;
  for (const auto& entry : std::filesystem::directory_iterator(reference_data("quant"))) {
    const std::string type = entry.path().stem();
    const Model model = Model::open(model_with_type(type, folder.path(type + ".gguf")));
    const Truth truth(model, tokens, {Activations::kQ8, KvType::kF32});
    for (const Kernels* kernels : testing::tested_kernels()) {
      const SessionOptions options{.activations = Activations::kF32,
                                   .kv_type = KvType::kF32,
                                   .threads = 1,
                                   .kernels = kernels};
      EXPECT_LT(relative_distance(engine_logits(model, tokens, options), truth.exact), 1e-5)
          << type << kernels->name;
      EXPECT_LT(relative_distance(engine_logits_one_by_one(model, tokens, options), truth.exact),
                1e-5)
          << type << kernels->name;
      const Distances d = measure(model, truth, kernels);
      if (format_of(Gguf::open(entry.path()).find_tensor("blocks")->type).q8_block != 0) {
        EXPECT_LE(d.many, 1.1 * d.simulated) << type << kernels->name;
        EXPECT_LE(d.few, 1.1 * d.simulated) << type << kernels->name;
        if (kernels == available_kernels().back()) print_row(type, kernels->name, d);
      } else {
        EXPECT_LT(d.many, 1e-5) << type << kernels->name;
        EXPECT_LT(d.few, 1e-5) << type << kernels->name;
      }
    }
    ++types;
  }
  EXPECT_EQ(types, 27u);
}

TEST(Model, QuantizedExperts) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const TemporaryFolder folder;
  std::vector<std::int32_t> tokens;
  for (std::int32_t i = 0; i < 24; ++i) tokens.push_back(i * 37 % 320);
  print_head("q8 activations, experts");
  const std::vector<std::pair<std::string, std::uint64_t>> bases = {
      {"tiny-mixtral", 4}, {"tiny-qwen2moe", 6}, {"tiny-qwen3moe", 8}};
  for (const auto& [base, experts] : bases)
    for (const char* type : {"Q4_0", "Q4_K", "Q6_K", "NVFP4", "BF16"}) {
      const Model model = Model::open(
          experts_with_type(base, experts, type, folder.path(base + "-" + type + ".gguf")));
      const Truth truth(model, tokens, {Activations::kQ8, KvType::kF32});
      const bool rounds = relative_distance(truth.simulated, truth.exact) > 1e-9;
      EXPECT_EQ(rounds, std::string(type) != "BF16");
      for (const Kernels* kernels : testing::tested_kernels()) {
        const SessionOptions options{.activations = Activations::kF32,
                                     .kv_type = KvType::kF32,
                                     .threads = 2,
                                     .kernels = kernels};
        EXPECT_LT(relative_distance(engine_logits(model, tokens, options), truth.exact), 1e-5)
            << base << type << kernels->name;
        EXPECT_LT(relative_distance(engine_logits_one_by_one(model, tokens, options), truth.exact),
                  1e-5)
            << base << type << kernels->name;
        const Distances d = measure(model, truth, kernels);
        const double bound = rounds ? 1.1 * d.simulated : 1e-5;
        EXPECT_LE(d.many, bound) << base << type << kernels->name;
        EXPECT_LE(d.few, bound) << base << type << kernels->name;
        if (rounds && kernels == available_kernels().back())
          print_row(base + " " + type, kernels->name, d);
      }
    }
}

}  // namespace
}  // namespace brink::testing
