// Synthetic models: the spread of random weights in every type, and files that run.
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "brink/brink.h"
#include "tests/tools/tool_fixture.h"
#include "tools/support/synthetic_blocks.h"

namespace brink::testing {
namespace {

using SyntheticTest = ToolTest;

bool holds_weights(const Format& format) {
  return find_mix("pure:" + std::string(format.name)).has_value();
}

TEST_F(SyntheticTest, WeightsHaveTheWantedSpread) {
  for (const Format& format : formats()) {
    if (!holds_weights(format)) continue;
    for (const double wanted : {0.008, 0.02, 0.1}) {
      tools::BlockFiller filler(format.type, wanted, 7);
      std::vector<std::uint8_t> blocks(format.block_bytes * 4096);
      filler.fill(blocks);
      std::vector<float> weights(format.block_size * 4096);
      format.decode(blocks.data(), weights.data(), weights.size());
      double sum = 0, squares = 0;
      for (const float w : weights) {
        ASSERT_TRUE(std::isfinite(w)) << format.name;
        sum += double{w};
        squares += double{w} * double{w};
      }
      const double mean = sum / static_cast<double>(weights.size());
      const double deviation = std::sqrt(squares / static_cast<double>(weights.size()));
      // Scales that are powers of two (MXFP4, and the exponents of floats) come within half an
      // octave, NVFP4's three mantissa bits within 1/8; f16 scales of small deviations are
      // subnormal, with two or three digits.
      EXPECT_LT(std::fabs(std::log2(deviation / wanted)), 0.51) << format.name << ' ' << wanted;
      // Codes of 2 bits centred on 1 have a mean of 0.41 deviations.
      EXPECT_LT(std::fabs(mean), 0.45 * deviation) << format.name << ' ' << wanted;
    }
  }
}

TEST_F(SyntheticTest, SameSeedSameBytes) {
  std::vector<std::uint8_t> a(210 * 100), b(a), c(a);
  tools::BlockFiller(TensorType::kQ6_K, 0.02, 1).fill(a);
  tools::BlockFiller(TensorType::kQ6_K, 0.02, 1).fill(b);
  tools::BlockFiller(TensorType::kQ6_K, 0.02, 2).fill(c);
  EXPECT_EQ(a, b);
  EXPECT_NE(a, c);
}

TEST_F(SyntheticTest, EveryTypeRuns) {
  std::vector<std::string> types;
  for (const std::string_view name : mix_names()) types.emplace_back(name);
  for (const Format& format : formats())
    if (holds_weights(format)) types.push_back("pure:" + std::string(format.name));
  for (const std::string& type : types) {
    const std::string file = tiny_model(type);
    Session session(Model::open(file), {.context = 64, .threads = 1});
    const std::vector<std::int32_t> tokens = {510, 1, 2, 3, 100, 200, 300, 400, 5, 6};
    for (const float logit : session.feed(tokens)) ASSERT_TRUE(std::isfinite(logit)) << type;
    std::filesystem::remove(file);
  }
}

TEST_F(SyntheticTest, EveryShapeRunsWhenMadeSmall) {
  for (tools::SyntheticShape shape : tools::synthetic_shapes()) {
    shape.layers = 2;
    shape.vocabulary = 512;
    shape.bos = 510;
    shape.eos = 511;
    const std::string file =
        tools::synthetic_model(shape, find_mix("Q2_K").value(), path("cache"), true);
    const Model model = Model::open(file);
    EXPECT_EQ(model.config().architecture, shape.architecture);
    EXPECT_EQ(model.config().embedding, shape.width);
    EXPECT_EQ(model.gguf().find_tensor("output.weight") == nullptr, shape.tied_output);
    Session session(model, {.context = 64, .threads = 1});
    for (const float logit : session.feed(model.tokenizer().encode("Hello")))
      ASSERT_TRUE(std::isfinite(logit)) << shape.name;
    std::filesystem::remove(file);
  }
}

TEST_F(SyntheticTest, FilesAreBuiltOnceAndKept) {
  const std::string file = tiny_model();
  const auto time = std::filesystem::last_write_time(file);
  EXPECT_EQ(tiny_model(), file);
  EXPECT_EQ(std::filesystem::last_write_time(file), time);
  EXPECT_NE(tiny_model("Q4_0"), file);
}

TEST_F(SyntheticTest, UnknownNamesAreErrors) {
  EXPECT_THROW(tools::find_shape("llama-9"), Error);
  EXPECT_FALSE(find_mix("Q4_X"));
  EXPECT_FALSE(find_mix("pure:I32"));
  EXPECT_FALSE(find_mix(""));
}

}  // namespace
}  // namespace brink::testing
