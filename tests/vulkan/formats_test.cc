// Every weight type decoded on a Vulkan device: the numbers of brink's own decoder.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "brink/quant/format.h"
#include "brink/vulkan/format_tables.h"
#include "tests/support/vulkan.h"

namespace brink::testing {
namespace {

namespace embedded {
#include "brink_test_shaders.inc"
}  // namespace embedded

// Push constants of decode.comp.
struct DecodePush {
  std::uint64_t weights, out, tables;
  std::uint32_t groups;
};

// `count` blocks of random bytes, drawn again while any weight is infinite or NaN.
std::vector<std::uint8_t> finite_blocks(const Format& format, std::size_t count,
                                        std::mt19937_64& random) {
  std::vector<std::uint8_t> bytes(count * format.block_bytes);
  std::vector<float> weights(format.block_size);
  for (std::size_t b = 0; b < count; ++b) {
    std::uint8_t* const block = bytes.data() + b * format.block_bytes;
    do {
      for (std::size_t i = 0; i < format.block_bytes; ++i)
        block[i] = static_cast<std::uint8_t>(random());
      format.decode(block, weights.data(), format.block_size);
    } while (
        !std::all_of(weights.begin(), weights.end(), [](float w) { return std::isfinite(w); }));
  }
  return bytes;
}

// Products of scale and quant are exact in f32 and the addition rounds once, on a device as here,
// so that all are equal but for what a device may take for zero: subnormal results, and those of
// MXFP4's two subnormal scales, of which 12 / 2 * 2^-126 is the largest.
bool agrees(float got, float expected) {
  constexpr float kFlushed = 6 * std::numeric_limits<float>::min();
  return got == expected || (got == 0.0f && std::fabs(expected) <= kFlushed);
}

class VulkanFormats : public VulkanTest, public ::testing::WithParamInterface<TensorType> {
 protected:
  const Format& format() const { return format_of(GetParam()); }

  // Runs a form of decode.comp; its words.
  std::span<const std::uint32_t> decode(const std::string& form, std::uint64_t weights,
                                        std::uint64_t tables, std::size_t values,
                                        vulkan::Buffer& out) {
    const std::string name = format().name + ("." + form);
    const auto* shader =
        std::find_if(std::begin(embedded::kEmbeddedShaders), std::end(embedded::kEmbeddedShaders),
                     [&](const auto& s) { return s.name == name; });
    if (shader == std::end(embedded::kEmbeddedShaders)) {
      ADD_FAILURE() << "no shader " << name;
      return {};
    }
    std::fill_n(out.as<std::uint32_t>(), out.size() / 4, ~0u);
    const auto groups = static_cast<std::uint32_t>(values / 16);
    vulkan::Recording recording(device());
    recording.begin();
    recording.dispatch(device().pipeline("test." + name, shader->code),
                       DecodePush{weights, out.address(), tables, groups}, (groups + 63) / 64);
    recording.end();
    device().run(recording);
    return {out.as<std::uint32_t>(), values / 16 * (form == "int8" ? 18 : 16)};
  }

  void compare(std::span<const float> got, std::span<const float> expected, const char* form) {
    ASSERT_EQ(got.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i)
      ASSERT_TRUE(agrees(got[i], expected[i])) << format().name << " " << form << " value " << i
                                               << ": " << got[i] << ", expected " << expected[i];
  }
};

TEST_P(VulkanFormats, DecodeAsOnTheCpu) {
  const std::vector<std::uint32_t> table_words = vulkan::format_tables();
  const vulkan::Buffer tables = filled(table_words);
  std::mt19937_64 random(static_cast<std::uint64_t>(GetParam()));
  const bool plain = !format().quantized;
  // Odd numbers, so that groups, blocks and bytes do not fill workgroups and words.
  const std::size_t blocks = plain ? 16 * 4095 : 2047;
  const std::size_t values = blocks * format().block_size;
  // Tensors start at multiples of 16 bytes, but rows of plain numbers wherever the last one ended.
  const std::vector<std::size_t> offsets =
      plain ? std::vector<std::size_t>{0, format().block_bytes, 3 * format().block_bytes}
            : std::vector<std::size_t>{0, 16};
  vulkan::Buffer out = empty<std::uint32_t>(values / 16 * 18);
  for (const std::size_t offset : offsets) {
    std::vector<std::uint8_t> bytes(offset);
    const std::vector<std::uint8_t> weights = finite_blocks(format(), blocks, random);
    bytes.insert(bytes.end(), weights.begin(), weights.end());
    std::vector<float> expected(values);
    format().decode(weights.data(), expected.data(), values);
    const vulkan::Buffer buffer = filled(bytes);
    const auto run = [&](const char* form) {
      return decode(form, buffer.address() + offset, tables.address(), values, out);
    };
    const auto floats = [](std::span<const std::uint32_t> words) {
      return std::span(reinterpret_cast<const float*>(words.data()), words.size());
    };

    compare(floats(run("values")), expected, "values");
    if (plain) {
      compare(floats(run("one")), expected, "one by one");
      continue;
    }
    const std::span<const std::uint32_t> words = run("int8");
    std::vector<float> products;
    for (std::size_t g = 0; g + 18 <= words.size(); g += 18) {
      const std::span<const float> scale = floats(words.subspan(g + 16, 2));
      for (std::size_t i = 0; i < 16; ++i) {
        const auto q = static_cast<std::int32_t>(words[g + i]);
        ASSERT_TRUE(q >= -128 && q <= 127);
        products.push_back(scale[0] * static_cast<float>(q) + scale[1]);
      }
    }
    compare(products, expected, "int8");
  }
}

INSTANTIATE_TEST_SUITE_P(Types, VulkanFormats, ::testing::ValuesIn(shader_types()),
                         [](const auto& info) { return std::string(format_of(info.param).name); });

TEST(VulkanFormatsTable, KnowsAllTypes) { EXPECT_EQ(shader_types().size(), 28u); }

}  // namespace
}  // namespace brink::testing
