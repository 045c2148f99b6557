// Products on a Vulkan device: every weight type and form of activations, against float64 sums over
// the scalar decoders' weights and the stated rounding of activations.
#include "brink/vulkan/products.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "brink/cpu/product.h"
#include "tests/support/tested_kernels.h"
#include "tests/support/vulkan_products.h"

namespace brink::testing {
namespace {

TEST_P(VulkanProducts, AgreeWithFloat64) {
  constexpr u32 kMost = 130;
  // How tiles and workgroups are filled does not depend on the width: all ways with the narrower
  // ones only. Rows fill them whatever the tokens do, and the other way round: all numbers of one
  // with few of the other.
  const std::vector<u32> all_rows = {1, 2, 3, 63, 64, 65, kMost}, few_rows = {3, kMost};
  const std::vector<u32> all_tokens = {1, 2, 3, 5, 8, 9, 64, 65, kMost};
  const std::vector<u32> few_tokens = {1, 2, 5, 8, 9, kMost}, fewest_tokens = {1, 9, 65};
  const auto tokens_with = [&](u32 rows, bool narrow) -> const std::vector<u32>& {
    if (!narrow) return few_tokens;
    return rows == few_rows[0] || rows == few_rows[1] ? all_tokens : fewest_tokens;
  };
  constexpr float kScale = 0.37f;
  const auto own_shape = vulkan::MatvecShape::for_device(device().info());
  double worst[3] = {};
  for (const u32 columns : widths()) {
    std::mt19937_64 random(static_cast<std::uint64_t>(type()) * 1000 + columns);
    TestMatrix matrix(type(), kMost, columns, random);
    matrix.on_device.scale = kScale;
    const Buffer weights = upload(matrix);
    // Rows side by side, except for the widest ones.
    const u32 stride = columns >= 896 ? columns + 4 : columns;
    const std::vector<float> x = random_activations(kMost, columns, stride, random);
    const Buffer input = filled(x);
    for (const Activations form : kForms) {
      // Each number of rows and tokens in turn, with outputs of its own.
      struct Case {
        vulkan::DeviceMatrix matrix;
        vulkan::MatvecShape shape;
        u32 tokens, y, y_stride;
      };
      std::vector<Case> cases;
      u32 count = 0;
      const bool narrow = columns <= 256;
      for (const u32 rows : narrow ? all_rows : few_rows)
        for (const u32 tokens : tokens_with(rows, narrow))
          for (const bool gpu : {false, true}) {
            // Tiles have one shape.
            if (gpu && tokens > vulkan::Products::kMatvecRows) continue;
            const auto shape = gpu ? vulkan::MatvecShape() : own_shape;
            cases.push_back({matrix.on_device, shape, tokens, count, rows + 5});
            cases.back().matrix.rows = cases.back().matrix.parts.front().rows = rows;
            count += tokens * (rows + 5) + 3;
          }
      const Buffer y = outputs(count);
      vulkan::Products all = products(form, kMost, stride);
      Recording recording(device());
      recording.begin();
      for (const Case& c : cases) {
        const vulkan::DeviceProduct product{&c.matrix, y.address() + c.y * 4, c.y_stride};
        all.set_matvec_shape(c.shape);
        all.multiply(recording, {input.address(), stride, c.tokens}, columns, {&product, 1});
        recording.barrier();
      }
      recording.end();
      device().run(recording);

      const Sums stated = float64_product(matrix, x, kMost, stride, form);
      Sums as_f16;
      if (cooperates(form)) as_f16 = float64_product(matrix, x, kMost, stride, form, true);
      double& most = worst[static_cast<int>(form)];
      for (const Case& c : cases) {
        const u32 rows = c.matrix.rows;
        const bool f16 = cooperates(form) && c.tokens > vulkan::Products::kMatvecRows;
        const Sums& sums = f16 ? as_f16 : stated;
        const double bound = bound_of(type(), form, f16);
        for (u32 t = 0; t < c.tokens; ++t) {
          const float* const row = y.as<float>() + c.y + t * c.y_stride;
          for (u32 r = 0; r < rows; ++r) {
            const double exact = double{kScale} * sums.exact[t * kMost + r];
            const double magnitude = double{kScale} * sums.magnitude[t * kMost + r];
            const double error = std::fabs(row[r] - exact);
            ASSERT_LE(error, bound * magnitude)
                << name_of(form) << " columns " << columns << " rows " << rows << " tokens "
                << c.tokens << ": " << row[r] << " of row " << r << " token " << t << ", expected "
                << exact << ", sum of magnitudes " << magnitude;
            if (magnitude > 0) most = std::max(most, error / magnitude);
          }
          for (u32 r = rows; r < c.y_stride; ++r) ASSERT_EQ(row[r], kUntouched);
        }
        const float* const end = y.as<float>() + c.y + c.tokens * c.y_stride;
        for (u32 i = 0; i < 3; ++i) ASSERT_EQ(end[i], kUntouched);
      }
    }
  }
  std::printf("worst error in sums of |w x|: f32 %.1e, bf16 %.1e, q8 %.1e\n", worst[0], worst[1],
              worst[2]);
}

// Bit for bit, as long as there are few tokens.
TEST_P(VulkanProducts, DoNotDependOnTheOtherTokens) {
  std::mt19937_64 random(7);
  TestMatrix matrix(type(), 67, one_width(), random);
  const Buffer weights = upload(matrix);
  const u32 columns = matrix.columns, most = vulkan::Products::kMatvecRows;
  const std::vector<float> x = random_activations(most, columns, columns, random);
  for (const Activations form : kForms) {
    const std::vector<float> whole = multiply(matrix.on_device, x, most, form);
    for (const u32 count : {1, 2, 3, 7})
      for (u32 first = 0; first + count <= most; first += count) {
        const auto from = x.begin() + static_cast<std::ptrdiff_t>(first * columns);
        const std::vector<float> some(from, from + static_cast<std::ptrdiff_t>(count * columns));
        const std::vector<float> y = multiply(matrix.on_device, some, count, form);
        ASSERT_EQ(std::memcmp(y.data(), whole.data() + first * matrix.rows, y.size() * 4), 0)
            << name_of(form) << " tokens " << first << " to " << first + count;
      }
  }
}

// Nothing is lost of a number that has gone wrong, and it spoils no other token.
TEST_P(VulkanProducts, NanAndInfinityReachTheOutputsOfTheirTokenOnly) {
  std::mt19937_64 random(8);
  TestMatrix matrix(type(), 65, one_width(), random);
  const Buffer weights = upload(matrix);
  const u32 columns = matrix.columns;
  const std::vector<float> clean = random_activations(66, columns, columns, random);
  for (const Activations form : kForms)
    for (const u32 tokens : {1, 5, 66}) {
      const std::vector<float> expected = multiply(matrix.on_device, clean, tokens, form);
      for (const float bad :
           {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN(),
            std::numeric_limits<float>::infinity()})
        for (const u32 column : {u32{0}, columns - 1}) {
          const u32 token = tokens * 4 / 5;
          std::vector<float> x = clean;
          x[token * columns + column] = bad;
          const std::vector<float> y = multiply(matrix.on_device, x, tokens, form);
          for (std::size_t i = 0; i < y.size(); ++i) {
            const bool good = i / matrix.rows == token
                                  ? !std::isfinite(y[i])
                                  : std::memcmp(&y[i], &expected[i], sizeof y[i]) == 0;
            ASSERT_TRUE(good) << name_of(form) << " " << bad << " in column " << column
                              << " of token " << token << " of " << tokens << ": " << y[i]
                              << " of row " << i % matrix.rows << " token " << i / matrix.rows;
          }
        }
    }
}

// A matrix in several buffers, in one Products call with others that want other activations.
TEST_P(VulkanProducts, PartsOfAMatrixAreOne) {
  std::mt19937_64 random(9);
  TestMatrix matrix(type(), 130, one_width(), random);
  matrix.on_device.scale = -1.5f;
  const Buffer whole = upload(matrix);
  const vulkan::DeviceMatrix one = matrix.on_device;
  const u32 rows[] = {1, 66, 2, 61};
  const Buffer cut = upload(matrix, rows);
  ASSERT_EQ(matrix.on_device.parts.size(), 4u);
  for (const Activations form : kForms)
    for (const u32 tokens : {1, 8, 9}) {
      const std::vector<float> x =
          random_activations(tokens, matrix.columns, matrix.columns, random);
      const std::vector<float> expected = multiply(one, x, tokens, form);
      const std::vector<float> y = multiply(matrix.on_device, x, tokens, form);
      ASSERT_EQ(std::memcmp(y.data(), expected.data(), y.size() * 4), 0)
          << name_of(form) << " tokens " << tokens;
    }
}

TEST_P(VulkanProducts, EmbedGivesRows) {
  std::mt19937_64 random(11);
  for (const u32 columns : widths()) {
    TestMatrix matrix(type(), 130, columns, random);
    matrix.on_device.scale = 1.7f;
    const u32 part_rows[] = {63, 2, 65};
    const Buffer weights = upload(matrix, part_rows);
    const std::vector<u32> ids = {129, 0, 62, 63, 64, 65, 128, 63, 130, 7};  // 130: none
    const Buffer id_buffer = filled(ids);
    const auto tokens = static_cast<u32>(ids.size());
    for (const u32 stride : {columns, columns + 3}) {
      const Buffer x = outputs(tokens * stride);
      Recording recording(device());
      recording.begin();
      products(Activations::kF32, tokens, columns)
          .embed(recording, matrix.on_device, id_buffer.address(), {x.address(), stride, tokens});
      recording.end();
      device().run(recording);
      for (u32 t = 0; t < tokens; ++t)
        for (u32 k = 0; k < stride; ++k) {
          const bool written = ids[t] < matrix.rows && k < columns;
          const float expected = written ? 1.7f * matrix.values[ids[t] * columns + k] : kUntouched;
          ASSERT_EQ(x.as<float>()[t * stride + k], expected)
              << "columns " << columns << " token " << t << " value " << k;
        }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, VulkanProducts,
                         ::testing::ValuesIn(sanitized_sample(shader_types(), 4)),
                         [](const auto& info) { return std::string(format_of(info.param).name); });

// --- Rounding of activations --------------------------------------------------------------------

using VulkanActivations = VulkanTest;

// Push constants of quantize_q8.comp.
struct QuantizePush {
  std::uint64_t x, q, scales;
  u32 columns, x_stride, q_stride;
};

TEST_F(VulkanActivations, RoundAsOnTheCpu) {
  constexpr u32 kTokens = 3;
  // A driver on the CPU divides as the CPU does; others may be wrong by 2.5 units in the last
  // place, which moves values near a tie to the other side.
  const bool exact = device().info().kind == "CPU";
  const Kernels& kernels = *available_kernels().front();
  std::mt19937_64 random(12);
  std::normal_distribution<float> normal;
  for (const u32 block : {32u, 256u})
    for (const u32 blocks : {1, 2, 3, 7}) {
      const u32 columns = blocks * block, stride = columns + 4;
      std::vector<float> x(kTokens * stride, std::numeric_limits<float>::quiet_NaN());
      for (u32 t = 0; t < kTokens; ++t)
        for (u32 k = 0; k < columns; ++k) {
          float& v = x[t * stride + k];
          v = normal(random);
          if (k % 61 == 5) v *= 100.0f;
          // Ties with both neighbours even and odd, zeros, and values that are as good as zero.
          if (t == 1) v = static_cast<float>(k % 32) * 0.5f - 8.0f;
          if (t == 1 && k % block == block - 1) v = 127.0f;
          if (t == 2 && k / block % 3 == 0) v = 0.0f;
          if (t == 2 && k / block % 3 == 1) v = 1e-40f;
          if (t == 2 && k / block % 3 == 2) v *= 1e36f;
        }
      const Buffer input = filled(x);
      const u32 q_stride = columns + 32;
      Buffer q = empty<std::int8_t>(kTokens * q_stride);
      Buffer scales = empty<float>(kTokens * q_stride / 16 * 2);
      std::fill_n(q.as<std::int8_t>(), kTokens * q_stride, std::int8_t{55});
      std::fill_n(scales.as<float>(), kTokens * q_stride / 16 * 2, kUntouched);
      Recording recording(device());
      recording.begin();
      recording.dispatch(
          device().pipeline("quantize_q8", {32, block}),
          QuantizePush{input.address(), q.address(), scales.address(), columns, stride, q_stride},
          blocks, kTokens);
      recording.end();
      device().run(recording);

      ActivationBuffer cpu;
      cpu.assign(x.data(), stride, kTokens, columns, Activations::kQ8);
      const ActivationRows& expected = cpu.rows_q8(kernels, block);
      for (u32 t = 0; t < kTokens; ++t) {
        const std::int8_t* const row = q.as<std::int8_t>() + t * q_stride;
        const float* const pairs = scales.as<float>() + t * q_stride / 16 * 2;
        for (u32 k = 0; k < columns; ++k) {
          const int wanted = expected.q8.q[t * columns + k];
          ASSERT_LE(std::abs(row[k] - wanted), exact ? 0 : 1)
              << "block " << block << " token " << t << " value " << k;
        }
        for (u32 g = 0; g < columns / 16; ++g) {
          const float scale = expected.q8.scales[(t * columns + 16 * g) / block];
          int sum = 0;
          for (u32 i = 0; i < 16; ++i) sum += row[16 * g + i];
          ASSERT_LE(std::fabs(pairs[2 * g] - scale), exact ? 0.0f : 3 * 0x1p-23f * scale)
              << "block " << block << " token " << t << " group " << g;
          ASSERT_EQ(pairs[2 * g + 1], pairs[2 * g] * static_cast<float>(sum));
        }
        for (u32 k = columns; k < q_stride; ++k) ASSERT_EQ(row[k], 55);
        for (u32 i = columns / 8; i < q_stride / 8; ++i) ASSERT_EQ(pairs[i], kUntouched);
      }
    }
}

}  // namespace
}  // namespace brink::testing
