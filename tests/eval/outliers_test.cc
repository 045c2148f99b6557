// What simulated activations are there to show, on the shipped model: channels with large
// activations that change nothing of what a model computes ruin int8 with one scale for a row or a
// matrix, and leave FP8, which has an exponent for each value, as it was.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "brink/eval/base_logits.h"
#include "brink/eval/calibration.h"
#include "brink/eval/divergence.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/variant_model.h"

namespace brink::testing {
namespace {

const std::filesystem::path kModels = std::filesystem::path(BRINK_SOURCE_DIR) / "models";
const std::filesystem::path kFile = kModels / "brink-skills-f16.gguf";

// The shipped model with F32 matrices, and some channels of what norms give multiplied with a power
// of two: nothing is rounded (models/outliers.py does the same with files).
std::string with_outliers(float factor, const std::string& path) {
  constexpr std::size_t kEvery = 64;  // 4 of 256 channels
  VariantModel variant(kFile.string());
  for (std::size_t layer = 0; variant.has("blk." + std::to_string(layer) + ".attn_q.weight");
       ++layer) {
    const std::string block = "blk." + std::to_string(layer) + ".";
    using Readers = std::vector<std::string>;
    for (const auto& [norm, readers] :
         {std::pair<std::string, Readers>{"attn_norm.weight", {"attn_q", "attn_k", "attn_v"}},
          {"ffn_norm.weight", {"ffn_gate", "ffn_up"}}}) {
      std::vector<float> weights = variant.values(block + norm);
      const std::size_t width = weights.size();
      for (std::size_t i = layer; i < width; i += kEvery) weights[i] *= factor;
      variant.put(block + norm, {width}, weights);
      for (const std::string& reader : readers) {
        const std::string name = block + reader + ".weight";
        std::vector<float> matrix = variant.values(name);
        for (std::size_t i = 0; i < matrix.size(); ++i)
          if (i % width % kEvery == layer % kEvery) matrix[i] /= factor;
        variant.put(name, {width, matrix.size() / width}, matrix);
      }
    }
  }
  return variant.write(path);
}

TEST(Outliers, HurtSharedScalesAndNotFp8) {
  if (!std::filesystem::exists(kFile)) GTEST_SKIP() << kFile << " is not there";
  const TemporaryFolder folder;
  const Model plain = Model::open(with_outliers(1.0f, folder.path("plain.gguf")));
  const Model outliers = Model::open(with_outliers(64.0f, folder.path("outliers.gguf")));
  std::ifstream file(kModels / "text" / "heldout.txt", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const TokenWindows windows = TokenWindows::of_text(plain.tokenizer(), text, 128, 6);
  SessionOptions options;
  options.threads = 2;
  options.kv_type = KvType::kF32;
  const BaseLogits base(plain, windows, folder.path("base.logits"), options);
  const auto divergence = [&](const Model& model, Activations activations) {
    options.activations = activations;
    options.activation_scales = calibrate_activations(model, windows, options);
    return measure_divergence(base, model, options).kl_mean.value;
  };
  // The same function: any difference is from stored gaps of the base.
  EXPECT_LE(divergence(plain, Activations::kF32), 1e-6);
  EXPECT_LE(divergence(outliers, Activations::kF32), 1e-6);

  std::map<Activations, std::pair<double, double>> measured;
  for (const Activations how :
       {Activations::kInt8Token, Activations::kInt8Tensor, Activations::kFp8}) {
    measured[how] = {divergence(plain, how), divergence(outliers, how)};
    std::printf("%d: %.5f, with outliers %.5f\n", static_cast<int>(how), measured[how].first,
                measured[how].second);
    EXPECT_GT(measured[how].first, 1e-4);
  }
  const auto [token, token_outliers] = measured[Activations::kInt8Token];
  const auto [tensor, tensor_outliers] = measured[Activations::kInt8Tensor];
  const auto [fp8, fp8_outliers] = measured[Activations::kFp8];
  EXPECT_LT(token, tensor);  // a scale that follows the token is the better one
  EXPECT_GT(token_outliers, 20 * token);
  EXPECT_GT(tensor_outliers, 20 * tensor);
  EXPECT_LT(fp8_outliers, 1.5 * fp8);
}

}  // namespace
}  // namespace brink::testing
