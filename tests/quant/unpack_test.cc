// The vector unpack steps of every instruction set that this machine can run, at every vector
// length they support, against the scalar decoders: the same floats, bit for bit, on random blocks.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "brink/core/half.h"
#include "brink/quant/format.h"
#include "hwy/targets.h"

namespace brink {

struct UnpackCase {
  const char* isa;
  bool (*runnable)();
  TensorType type;
  std::size_t lanes;
  void (*decode)(const std::uint8_t* block, float* out);
};

// Filled by unpack_test-inl.h before main().
std::vector<UnpackCase>& unpack_cases() {
  static std::vector<UnpackCase> cases;
  return cases;
}

}  // namespace brink

#define BRINK_TEST_UNPACKED_TYPES(X) \
  X(Q4_0)                            \
  X(Q4_1)                            \
  X(Q5_0)                            \
  X(Q5_1)                            \
  X(Q8_0)                            \
  X(Q2_K)                            \
  X(Q3_K)                            \
  X(Q4_K)                            \
  X(Q5_K)                            \
  X(Q6_K)                            \
  X(IQ1_S)                           \
  X(IQ1_M)                           \
  X(IQ2_XXS)                         \
  X(IQ2_XS)                          \
  X(IQ2_S)                           \
  X(IQ3_XXS)                         \
  X(IQ3_S)                           \
  X(IQ4_NL)                          \
  X(IQ4_XS)                          \
  X(TQ1_0)                           \
  X(TQ2_0)                           \
  X(MXFP4)                           \
  X(NVFP4)                           \
  X(Q1_0)                            \
  X(Q2_0)

#define BRINK_PASS_INCLUDE "tests/quant/unpack_test-inl.h"
#include "brink/cpu/passes.h"

namespace brink {
namespace {

class Unpacking : public ::testing::TestWithParam<UnpackCase> {};

TEST_P(Unpacking, GivesTheScalarDecodersFloats) {
  const UnpackCase& c = GetParam();
  if (!c.runnable()) GTEST_SKIP() << "this machine cannot run " << c.isa;
  const Format& format = format_of(c.type);
  constexpr int kBlocks = 10000;
  // Exactly a block, on the heap, so that the address sanitizer sees reads past it.
  std::vector<std::uint8_t> block(format.block_bytes);
  std::vector<float> expected(format.block_size), got(format.block_size);
  std::mt19937_64 random(static_cast<std::uint64_t>(c.type) + 1);
  for (int n = 0; n < kBlocks; ++n) {
    for (std::uint8_t& byte : block) byte = static_cast<std::uint8_t>(random());
    format.decode(block.data(), expected.data(), expected.size());
    c.decode(block.data(), got.data());
    if (std::memcmp(got.data(), expected.data(), got.size() * sizeof(float)) == 0) continue;
    for (std::size_t i = 0; i < got.size(); ++i) {
      // An f16 scale may be NaN; which NaN comes out is left to the processor.
      if (std::isnan(expected[i]) && std::isnan(got[i])) continue;
      ASSERT_EQ(std::bit_cast<std::uint32_t>(got[i]), std::bit_cast<std::uint32_t>(expected[i]))
          << "block " << n << ", weight " << i << ": " << got[i] << ", expected " << expected[i];
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Unpacking, ::testing::ValuesIn(unpack_cases()), [](const auto& info) {
  return std::string(info.param.isa) + "_" + size_of(info.param.type).name + "_" +
         std::to_string(info.param.lanes);
});

// All quantized types of the table have their cases, on every instruction set.
TEST(UnpackCases, CoverAllQuantizedTypes) {
  std::size_t quantized = 0, covered = 0, instruction_sets = 0;
  for (const Format& format : formats()) quantized += format.quantized;
  for (const UnpackCase& c : unpack_cases()) {
    covered += c.lanes == 16;
    instruction_sets += c.lanes == 16 && c.type == TensorType::kQ8_0;
  }
  EXPECT_GE(instruction_sets, 1u);
  EXPECT_EQ(covered, quantized * instruction_sets);
}

}  // namespace
}  // namespace brink
