// The scalar decoders: bit for bit the reference data, the type table, and the statements that the
// formats' documentation makes.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "brink/gguf/reader.h"
#include "brink/quant/format.h"
#include "brink/quant/fp4.h"
#include "brink/quant/i_quants.h"
#include "brink/quant/ternary.h"
#include "tests/support/reference_data.h"

namespace brink {
namespace {

std::string hex(float v) {
  char text[64];
  std::snprintf(text, sizeof(text), "%a (0x%08x)", static_cast<double>(v),
                std::bit_cast<std::uint32_t>(v));
  return text;
}

/// Fails at the first value whose bits differ.
void expect_same_bits(const float* got, const float* expected, std::size_t count) {
  if (std::memcmp(got, expected, count * sizeof(float)) == 0) return;
  for (std::size_t i = 0; i < count; ++i)
    ASSERT_EQ(std::bit_cast<std::uint32_t>(got[i]), std::bit_cast<std::uint32_t>(expected[i]))
        << "weight " << i << ": " << hex(got[i]) << ", expected " << hex(expected[i]);
}

class ReferenceData : public ::testing::TestWithParam<const char*> {};

TEST_P(ReferenceData, DecodesBitForBit) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const Gguf file =
      Gguf::open(testing::reference_data(std::string("quant/") + GetParam() + ".gguf"));
  const GgufTensor* blocks = file.find_tensor("blocks");
  const GgufTensor* expected = file.find_tensor("expected");
  ASSERT_NE(blocks, nullptr);
  ASSERT_NE(expected, nullptr);
  const Format& format = format_of(blocks->type);
  ASSERT_STREQ(format.name, GetParam());
  ASSERT_EQ(expected->type, TensorType::kF32);
  const std::size_t count = blocks->elements();
  ASSERT_EQ(count, 16u * 512u);
  ASSERT_EQ(expected->elements(), count);
  std::vector<float> truth(count);
  std::memcpy(truth.data(), expected->data, count * sizeof(float));

  const auto* bytes = reinterpret_cast<const std::uint8_t*>(blocks->data);
  std::vector<float> out(count);
  format.decode(bytes, out.data(), count);
  expect_same_bits(out.data(), truth.data(), count);

  // Odd numbers of blocks at an odd address; the float after the last must stay.
  for (const std::size_t n : {std::size_t{1}, std::size_t{3}, count / format.block_size - 1}) {
    if (n * format.block_size >= count) continue;
    std::vector<std::uint8_t> moved(n * format.block_bytes + 1);
    std::memcpy(moved.data() + 1, bytes, n * format.block_bytes);
    out.assign(count, -7.0f);
    format.decode(moved.data() + 1, out.data(), n * format.block_size);
    expect_same_bits(out.data(), truth.data(), n * format.block_size);
    EXPECT_EQ(out[n * format.block_size], -7.0f);
  }
}

INSTANTIATE_TEST_SUITE_P(AllTypes, ReferenceData,
                         ::testing::Values("F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0",
                                           "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ1_S", "IQ1_M",
                                           "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S",
                                           "IQ4_NL", "IQ4_XS", "TQ1_0", "TQ2_0", "MXFP4", "NVFP4",
                                           "Q1_0", "Q2_0"),
                         [](const auto& info) { return std::string(info.param); });

template <class Stored>
std::vector<float> decode_plain(TensorType type, const std::vector<Stored>& values) {
  std::vector<float> out(values.size());
  format_of(type).decode(reinterpret_cast<const std::uint8_t*>(values.data()), out.data(),
                         values.size());
  return out;
}

TEST(PlainTypes, IntegersRoundToNearestEven) {
  EXPECT_EQ(decode_plain<std::int8_t>(TensorType::kI8, {-128, -1, 0, 127}),
            (std::vector<float>{-128.0f, -1.0f, 0.0f, 127.0f}));
  EXPECT_EQ(decode_plain<std::int16_t>(TensorType::kI16, {-32768, 256, 32767}),
            (std::vector<float>{-32768.0f, 256.0f, 32767.0f}));
  // 2^24 + 1 and 2^24 + 3 lie halfway between two floats.
  EXPECT_EQ(decode_plain<std::int32_t>(TensorType::kI32, {16777217, 16777219, -2147483647}),
            (std::vector<float>{16777216.0f, 16777220.0f, -2147483648.0f}));
  EXPECT_EQ(decode_plain<std::int64_t>(TensorType::kI64, {std::numeric_limits<std::int64_t>::min(),
                                                          -16777217, (std::int64_t{1} << 53) + 1}),
            (std::vector<float>{-9223372036854775808.0f, -16777216.0f, 9007199254740992.0f}));
}

TEST(PlainTypes, FloatsKeepTheirBits) {
  const std::vector<float> values = {0.0f,
                                     -0.0f,
                                     1.0f,
                                     std::numeric_limits<float>::denorm_min(),
                                     -std::numeric_limits<float>::max(),
                                     std::numeric_limits<float>::infinity()};
  const std::vector<float> copy = decode_plain(TensorType::kF32, values);
  expect_same_bits(copy.data(), values.data(), values.size());

  const std::vector<float> rounded = decode_plain<double>(
      TensorType::kF64, {-0.0, 0.1, 0x1p-149, 1.0 + 0x1p-24, 1.0 + 0x1p-24 + 0x1p-50});
  const std::vector<float> expected = {-0.0f, 0.1f, 0x1p-149f, 1.0f, 1.0f + 0x1p-23f};
  expect_same_bits(rounded.data(), expected.data(), expected.size());
}

TEST(FormatTable, HoldsEveryTypeOnce) {
  ASSERT_EQ(formats().size(), std::size(kTensorTypeSizes));
  for (std::size_t i = 0; i < formats().size(); ++i) {
    const Format& format = formats()[i];
    const TensorTypeSize& size = kTensorTypeSizes[i];
    EXPECT_EQ(format.type, size.type);
    EXPECT_STREQ(format.name, size.name);
    EXPECT_EQ(format.block_size, size.block_size);
    EXPECT_EQ(format.block_bytes, size.block_bytes);
    EXPECT_NE(format.decode, nullptr);
    EXPECT_EQ(&format_of(format.type), &format);
    // A q8 block never straddles two weight blocks of a super-block type, nor ends inside a row.
    if (format.q8_block != 0) {
      EXPECT_EQ(format.block_size % format.q8_block, 0u) << format.name;
    }
    EXPECT_EQ(format.quantized, format.q8_block != 0) << format.name;
  }
  EXPECT_EQ(format_of(TensorType::kQ4_K).q8_block, 256u);
  EXPECT_EQ(format_of(TensorType::kQ8_0).q8_block, 32u);
  EXPECT_EQ(format_of(TensorType::kNVFP4).q8_block, 32u);
  EXPECT_EQ(format_of(TensorType::kBF16).q8_block, 0u);
  EXPECT_DOUBLE_EQ(format_of(TensorType::kQ6_K).bits_per_weight(), 6.5625);
  EXPECT_DOUBLE_EQ(format_of(TensorType::kIQ1_S).bits_per_weight(), 1.5625);
  EXPECT_THROW(format_of(static_cast<TensorType>(4)), Error);
  EXPECT_THROW(format_of(static_cast<TensorType>(43)), Error);
  EXPECT_THROW(format_of(static_cast<TensorType>(0xffffffff)), Error);
}

// The premise of load.h's note on FMA: the products that a decoder forms are exact in f32. With
// the f16 scales at their most precise and the largest factors, in double and in float alike.
TEST(Decoders, ProductsAreExact) {
  for (std::uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const float d = f16_to_f32(static_cast<std::uint16_t>(bits));
    for (const int scale : {127, 63, 61, 31}) {
      for (const int quant : {43, 31, 29, 17}) {
        if (scale > 63 && quant > 31) continue;  // Q6_K has the large scales, not such quants
        const float product = d * static_cast<float>(scale) * static_cast<float>(quant);
        ASSERT_EQ(static_cast<double>(product), static_cast<double>(d) * scale * quant);
      }
    }
  }
}

// Every E8M0 and E4M3 code against arithmetic in double.
TEST(Fp4, Scales) {
  for (int code = 0; code < 255; ++code)
    EXPECT_EQ(static_cast<double>(quant::e8m0_half(static_cast<std::uint8_t>(code))),
              std::ldexp(1.0, code - 128));
  for (int code = 0; code < 127; ++code) {
    const int exponent = code >> 3, mantissa = code & 7;
    const double value =
        exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(1.0 + mantissa / 8.0, exponent - 7);
    EXPECT_EQ(static_cast<double>(quant::ue4m3_half(static_cast<std::uint8_t>(code))), value / 2);
  }
  EXPECT_EQ(quant::ue4m3_half(0x7f), 0.0f);
}

// All 243 fillings of a byte come back from the fraction that the format's encoder stores.
TEST(Ternary, DigitsOfAByte) {
  for (int value = 0; value < 243; ++value) {
    const auto byte = static_cast<std::uint8_t>((value * 256 + 242) / 243);
    int digits = value;
    for (std::size_t n = 5; n-- > 0; digits /= 3)
      EXPECT_EQ(quant::ternary_digit(byte, n), digits % 3) << value << ", digit " << n;
  }
}

TEST(IQuants, GridsAreDistinctPointsOfTheirLevels) {
  const auto check = [](const auto& grid, const auto& levels) {
    const std::set<std::uint64_t> points(grid.begin(), grid.end());
    EXPECT_EQ(points.size(), grid.size());
    const std::set<std::uint8_t> allowed(levels.begin(), levels.end());
    for (const auto point : grid)
      for (std::size_t i = 0; i < sizeof(point); ++i)
        EXPECT_TRUE(allowed.contains(static_cast<std::uint8_t>(point >> (8 * i) & 255)));
  };
  check(quant::kIq1Grid, quant::kIq1Levels);
  check(quant::kIq2XxsGrid, quant::kIq2Levels);
  check(quant::kIq2XsGrid, quant::kIq2Levels);
  check(quant::kIq2SGrid, quant::kIq2Levels);
  check(quant::kIq3XxsGrid, quant::kIq3XxsLevels);
  check(quant::kIq3SGrid, quant::kIq3SLevels);
}

TEST(IQuants, StoredSevenSignsMakeAnEvenEight) {
  for (std::uint32_t seven = 0; seven < 128; ++seven) {
    EXPECT_EQ(std::popcount(quant::even_signs(seven)) % 2, 0);
    EXPECT_EQ(quant::even_signs(seven) & 127, seven);
  }
}

}  // namespace
}  // namespace brink
