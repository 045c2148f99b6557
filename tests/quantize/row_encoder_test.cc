// Rows by importance: what is weighed, and that nothing shrinks.
#include "brink/quantize/row_encoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "brink/gguf/writer.h"
#include "brink/quant/block_scales.h"
#include "brink/quant/format.h"
#include "tests/support/random_blocks.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tested_kernels.h"

namespace brink::testing {
namespace {

std::vector<TensorType> types_with_scales() {
  std::vector<TensorType> types;
  for (std::size_t id = 0; id < kTensorTypeIds; ++id)
    if (has_f16_scales(static_cast<TensorType>(id))) types.push_back(static_cast<TensorType>(id));
  return types;
}

std::vector<float> decoded(TensorType type, const std::vector<std::uint8_t>& blocks,
                           std::size_t count) {
  std::vector<float> values(count);
  format_of(type).decode(blocks.data(), values.data(), count);
  return values;
}

struct Row {
  explicit Row(unsigned seed, std::size_t count = 1024) : weights(count), importance(count) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (float& w : weights) w = normal(random);
    for (float& i : importance) i = std::exp(2 * normal(random));
  }
  std::vector<float> weights, importance;
};

std::vector<std::uint8_t> encoded(const Kernels& kernels, TensorType type, const Row& row,
                                  const float* importance) {
  std::vector<std::uint8_t> blocks(row_bytes(type, row.weights.size()));
  RowEncoder(kernels, type, Effort::kDefault)
      .encode(row.weights.data(), importance, row.weights.size(), blocks.data());
  return blocks;
}

TEST(BlockScales, AreThoseOfAllQuantizedTypesButFp4) {
  EXPECT_EQ(types_with_scales().size(), 23u);
  EXPECT_FALSE(has_f16_scales(TensorType::kF16));
  EXPECT_FALSE(has_f16_scales(TensorType::kMXFP4));
  EXPECT_FALSE(has_f16_scales(TensorType::kNVFP4));
}

TEST(BlockScales, APowerOfTwoMultipliesExactly) {
  for (const TensorType type : types_with_scales()) {
    // Encoded, not random bits: their scales are far from the ends of F16's range.
    const Row row(7);
    std::vector<std::uint8_t> blocks = encoded(best_kernels(), type, row, row.importance.data());
    const std::vector<float> before = decoded(type, blocks, 1024);
    scale_blocks(type, 8.0f, blocks.data(), blocks.size());
    const std::vector<float> after = decoded(type, blocks, 1024);
    for (std::size_t i = 0; i < 1024; ++i)
      ASSERT_EQ(after[i], 8 * before[i]) << size_of(type).name << ' ' << i;
  }
}

TEST(BlockScales, OneChangesNoBitAndHugeStaysFinite) {
  std::mt19937_64 random(2);
  for (const TensorType type : types_with_scales()) {
    const std::vector<std::uint8_t> blocks = random_blocks(type, 2048, random);
    std::vector<std::uint8_t> same = blocks;
    scale_blocks(type, 1.0f, same.data(), same.size());
    EXPECT_EQ(same, blocks) << size_of(type).name;
    scale_blocks(type, 1e30f, same.data(), same.size());
    for (const float value : decoded(type, same, 2048))
      ASSERT_TRUE(std::isfinite(value)) << size_of(type).name;
  }
}

TEST(RowEncoder, WithoutImportanceIsTheEncoder) {
  const Row row(3);
  for (const Kernels* kernels : tested_kernels())
    for (const TensorType type : types_with_scales()) {
      std::vector<std::uint8_t> expected(row_bytes(type, 1024));
      reference_encoder(type)(row.weights.data(), nullptr, 1024, Effort::kDefault, expected.data());
      EXPECT_EQ(encoded(*kernels, type, row, nullptr), expected) << size_of(type).name;
    }
}

// The error of a row is orthogonal to it, but for the rounding of scales to 11 bits (the weights
// are large enough that no scale is subnormal).
TEST(RowEncoder, DoesNotShrink) {
  for (const TensorType type : types_with_scales()) {
    double shrunk = 0, kept = 0;
    for (unsigned seed = 10; seed < 14; ++seed) {
      const Row row(seed);
      std::vector<std::uint8_t> plain(row_bytes(type, 1024));
      best_kernels().encode[static_cast<std::size_t>(type)](
          row.weights.data(), row.importance.data(), 1024, Effort::kDefault, plain.data());
      const auto share = [&](const std::vector<std::uint8_t>& blocks) {
        const std::vector<float> values = decoded(type, blocks, 1024);
        double own = 0, common = 0;
        for (std::size_t i = 0; i < 1024; ++i) {
          const double w = row.weights[i], m = row.importance[i];
          own += m * w * w;
          common += m * w * values[i];
        }
        return common / own - 1;
      };
      shrunk = std::min(shrunk, share(plain));
      kept = std::max(kept,
                      std::abs(share(encoded(best_kernels(), type, row, row.importance.data()))));
    }
    EXPECT_LT(kept, 5e-4) << size_of(type).name;
    if (format_of(type).bits_per_weight() < 4.2) {
      EXPECT_LT(shrunk, -2e-3) << size_of(type).name;
    }
  }
}

TEST(RowEncoder, TheSameBytesOnEveryInstructionSet) {
  const Row row(4);
  const auto kernels = tested_kernels();
  for (const TensorType type : types_with_scales())
    for (const Kernels* k : kernels)
      EXPECT_EQ(encoded(*k, type, row, row.importance.data()),
                encoded(*kernels.front(), type, row, row.importance.data()))
          << size_of(type).name << ' ' << k->name;
}

// Large weights count more: at equal importance they are met better than by least squares.
TEST(RowEncoder, LargeWeightsCountMore) {
  for (const TensorType type : {TensorType::kQ2_K, TensorType::kQ3_K, TensorType::kIQ2_S}) {
    double weighed = 0, plain = 0;
    for (unsigned seed = 20; seed < 28; ++seed) {
      Row row(seed);
      std::fill(row.importance.begin(), row.importance.end(), 1.0f);
      const auto error = [&](const float* importance) {
        const auto values = decoded(type, encoded(best_kernels(), type, row, importance), 1024);
        double sum = 0;
        for (std::size_t i = 0; i < 1024; ++i)
          if (std::abs(row.weights[i]) > 2.0f)
            sum += std::pow(double{values[i]} - double{row.weights[i]}, 2);
        return sum;
      };
      weighed += error(row.importance.data());
      plain += error(nullptr);
    }
    EXPECT_LT(weighed, 0.95 * plain) << size_of(type).name;
  }
}

TEST(RowEncoder, ExtremesStayFinite) {
  for (const TensorType type : types_with_scales())
    for (const float magnitude : {0.0f, 1e-45f, 1e-38f, 1e-20f, 60000.0f, 1e20f, 3e38f})
      for (const float importance : {0.0f, 1e-45f, 1.0f, 1e30f, 3e38f}) {
        Row row(5, 512);
        for (float& w : row.weights) w = std::copysign(magnitude, w);
        row.importance.assign(512, importance);
        for (const float value :
             decoded(type, encoded(best_kernels(), type, row, row.importance.data()), 512))
          ASSERT_TRUE(std::isfinite(value))
              << size_of(type).name << ' ' << magnitude << ' ' << importance;
      }
}

TEST(ColumnImportance, OfATiedEmbeddingIsThatOfBothUses) {
  const TemporaryFolder folder;
  const std::vector<float> matrix(2 * 4, 1.0f), mean_squares = {1, 2, 3, 10};
  for (const bool tied : {true, false}) {
    const std::string path = folder.path(tied ? "tied.gguf" : "untied.gguf");
    constexpr std::uint64_t kShape[] = {4, 2};
    GgufWriter writer(path);
    writer.declare("token_embd.weight", TensorType::kF32, kShape);
    writer.declare("blk.0.attn_q.weight", TensorType::kF32, kShape);
    if (!tied) writer.declare("output.weight", TensorType::kF32, kShape);
    for (const char* name : {"token_embd.weight", "blk.0.attn_q.weight", "output.weight"})
      if (!tied || std::string(name) != "output.weight")
        writer.append(name, std::as_bytes(std::span(matrix)));
    writer.finish();
    const Gguf gguf = Gguf::open(path);
    const auto of = [&](const char* name) {
      return column_importance(gguf, *gguf.find_tensor(name), mean_squares);
    };
    EXPECT_EQ(of("blk.0.attn_q.weight"), mean_squares);
    if (tied)
      EXPECT_EQ(of("token_embd.weight"), (std::vector<float>{1.25f, 1.5f, 1.75f, 3.5f}));
    else
      EXPECT_EQ(of("token_embd.weight"), mean_squares);
  }
  const Gguf gguf = Gguf::open(folder.path("tied.gguf"));
  EXPECT_TRUE(column_importance(gguf, *gguf.find_tensor("token_embd.weight"), {}).empty());
}

}  // namespace
}  // namespace brink::testing
