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

#include "brink/core/half.h"
#include "brink/cpu/product.h"
#include "brink/vulkan/format_tables.h"
#include "tests/support/random_blocks.h"
#include "tests/support/vulkan.h"

namespace brink::testing {
namespace {

using vulkan::Buffer;
using vulkan::Recording;
using vulkan::Rows;
using u32 = std::uint32_t;

constexpr Activations kForms[] = {Activations::kF32, Activations::kBf16, Activations::kQ8};
const char* name_of(Activations form) {
  return form == Activations::kF32 ? "f32" : form == Activations::kBf16 ? "bf16" : "q8";
}

constexpr float kUntouched = -12345.0f;

// Bound of |y - exact| in sums of |w x|. A sum of n products in f32 may be wrong by n 2^-24 of
// that, in tiles, which add up a whole row one after the other, by 1280 2^-24 = 8e-5. Roundings are
// as good as random, so that it comes out near the square root, 2e-6: the worst that was measured
// is 1.5e-6. Sums of 16 int8 products are exact, which leaves a sixteenth of the roundings: 4.0e-7
// was measured.
double bound_of(TensorType type, Activations form) {
  return form == Activations::kQ8 && format_of(type).q8_block != 0 ? 8e-7 : 2e-6;
}

// A matrix here and on the device, there in parts of the given numbers of rows. Parts lie in
// descending order, so that reading on from one does not find the next.
struct TestMatrix {
  TestMatrix(TensorType type, u32 row_count, u32 column_count, std::mt19937_64& random)
      : rows(row_count), columns(column_count) {
    const Format& format = format_of(type);
    bytes = random_blocks(type, rows * columns, random);
    values.resize(rows * columns);
    format.decode(bytes.data(), values.data(), values.size());
    on_device.type = type;
    on_device.rows = rows;
    on_device.columns = columns;
    on_device.row_bytes = static_cast<u32>(row_bytes(type, columns));
  }

  // The bytes for a buffer; addresses of the parts are offsets in it.
  std::vector<std::uint8_t> cut(std::span<const u32> part_rows) {
    std::vector<std::uint8_t> all;
    on_device.parts.clear();
    u32 end = on_device.rows;
    for (std::size_t p = part_rows.size(); p-- > 0;) {
      end -= part_rows[p];
      all.resize((all.size() + 255) / 256 * 256);
      on_device.parts.insert(on_device.parts.begin(), {all.size(), end, part_rows[p]});
      const auto from = bytes.begin() + std::ptrdiff_t{end} * on_device.row_bytes;
      all.insert(all.end(), from, from + std::ptrdiff_t{part_rows[p]} * on_device.row_bytes);
    }
    EXPECT_EQ(end, 0u);
    return all;
  }

  u32 rows, columns;
  std::vector<std::uint8_t> bytes;
  std::vector<float> values;
  vulkan::DeviceMatrix on_device;
};

// Activations of ordinary size with outliers, as real ones have them, a stretch of zeros and, among
// eight tokens, one of zeros, one of huge and one of tiny values.
std::vector<float> random_activations(u32 tokens, u32 columns, u32 stride,
                                      std::mt19937_64& random) {
  std::normal_distribution<float> normal;
  // What is between rows must not matter.
  std::vector<float> x(tokens * stride, std::numeric_limits<float>::quiet_NaN());
  for (u32 t = 0; t < tokens; ++t) {
    constexpr float kSizes[] = {1, 1, 1, 0, 1e30f, 1e-30f, 1, 1};
    for (u32 k = 0; k < columns; ++k) {
      float& v = x[t * stride + k];
      v = normal(random) * kSizes[t % 8];
      if ((k + 13 * t) % 311 == 7) v *= 40.0f;
      if (k >= 64 && k < 96 && t % 2 == 0) v = 0.0f;
    }
  }
  return x;
}

// One row of activations as a product is documented to see it.
std::vector<double> rounded(const float* x, u32 count, Activations form, u32 block) {
  std::vector<double> out(x, x + count);
  if (form == Activations::kBf16) {
    for (double& v : out) v = bf16_to_f32(f32_to_bf16(static_cast<float>(v)));
  } else if (form == Activations::kQ8 && block != 0) {
    for (u32 b = 0; b < count; b += block) {
      float most = 0;
      for (u32 i = b; i < b + block; ++i) most = std::max(most, std::fabs(x[i]));
      const float scale = most / 127.0f;
      const float inverse = most == 0 ? 0.0f : 127.0f / most;
      for (u32 i = b; i < b + block; ++i)
        out[i] = double{std::nearbyint(x[i] * inverse)} * double{scale};
    }
  }
  return out;
}

struct Sums {
  std::vector<double> exact, magnitude;  // [tokens][rows]
};

Sums float64_product(const TestMatrix& matrix, const std::vector<float>& x, u32 tokens, u32 stride,
                     Activations form) {
  const u32 rows = matrix.rows, columns = matrix.columns;
  std::vector<double> transposed(rows * columns);
  for (u32 r = 0; r < rows; ++r)
    for (u32 k = 0; k < columns; ++k) transposed[k * rows + r] = matrix.values[r * columns + k];
  Sums sums{std::vector<double>(tokens * rows), std::vector<double>(tokens * rows)};
  const u32 block = format_of(matrix.on_device.type).q8_block;
  for (u32 t = 0; t < tokens; ++t) {
    const std::vector<double> xs = rounded(x.data() + t * stride, columns, form, block);
    double* const exact = sums.exact.data() + t * rows;
    double* const magnitude = sums.magnitude.data() + t * rows;
    for (u32 k = 0; k < columns; ++k)
      for (u32 r = 0; r < rows; ++r) {
        const double product = transposed[k * rows + r] * xs[k];
        exact[r] += product;
        magnitude[r] += std::fabs(product);
      }
  }
  return sums;
}

class VulkanProducts : public VulkanTest, public ::testing::WithParamInterface<TensorType> {
 protected:
  void SetUp() override {
    VulkanTest::SetUp();
    if (!IsSkipped() && !HasFatalFailure()) tables_ = filled(vulkan::format_tables());
  }

  TensorType type() const { return GetParam(); }
  bool plain() const { return !format_of(type()).quantized; }

  // One block, an odd number of them, and many; rows of plain numbers can have any width.
  std::vector<u32> widths() const {
    const u32 block = format_of(type()).block_size;
    if (plain()) return {1, 16, 100, 333, 896};
    return {block, 3 * block, block == 256 ? 1280u : 896u};
  }
  // Some width for tests that need only one: not a multiple of 4 where that is possible.
  u32 one_width() const { return plain() ? 333 : 768; }

  vulkan::Products products(Activations form, u32 rows, u32 columns) {
    return {device(), form, rows, columns, tables_.address()};
  }

  // Moves the parts of a matrix into a buffer.
  Buffer upload(TestMatrix& matrix, std::span<const u32> part_rows) {
    Buffer buffer = filled(matrix.cut(part_rows));
    for (vulkan::MatrixPart& part : matrix.on_device.parts) part.address += buffer.address();
    return buffer;
  }
  Buffer upload(TestMatrix& matrix) {
    const u32 rows[] = {matrix.on_device.rows};
    return upload(matrix, rows);
  }

  static Buffer outputs(u32 count) {
    Buffer buffer = empty<float>(count);
    std::fill_n(buffer.as<float>(), count, kUntouched);
    return buffer;
  }

  // The product of all rows of x, [tokens][rows].
  std::vector<float> multiply(const vulkan::DeviceMatrix& matrix, const std::vector<float>& x,
                              u32 tokens, Activations form) {
    vulkan::Products all = products(form, tokens, matrix.columns);
    const Buffer input = filled(x);
    const Buffer y = outputs(tokens * matrix.rows);
    Recording recording(device());
    recording.begin();
    const vulkan::DeviceProduct product{&matrix, y.address(), matrix.rows};
    all.multiply(recording, {input.address(), matrix.columns, tokens}, matrix.columns,
                 {&product, 1});
    recording.end();
    device().run(recording);
    return {y.as<float>(), y.as<float>() + tokens * matrix.rows};
  }

  Buffer tables_;
};

TEST_P(VulkanProducts, AgreeWithFloat64) {
  constexpr u32 kMost = 130;
  // How tiles and workgroups are filled does not depend on the width: all ways with the narrower
  // ones only.
  const std::vector<u32> all_rows = {1, 2, 3, 63, 64, 65, kMost}, few_rows = {3, kMost};
  const std::vector<u32> all_tokens = {1, 2, 3, 5, 8, 9, 64, 65, kMost};
  const std::vector<u32> few_tokens = {1, 2, 5, 8, 9, kMost};
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
        for (const u32 tokens : narrow ? all_tokens : few_tokens)
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

      const Sums sums = float64_product(matrix, x, kMost, stride, form);
      double& most = worst[static_cast<int>(form)];
      const double bound = bound_of(type(), form);
      for (const Case& c : cases) {
        const u32 rows = c.matrix.rows;
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

TEST_P(VulkanProducts, ExpertsTakeTheirSlots) {
  constexpr u32 kExperts = 5, kRows = 37;
  std::mt19937_64 random(10);
  for (const u32 columns : widths()) {
    TestMatrix matrix(type(), kExperts * kRows, columns, random);
    const Buffer weights = upload(matrix);
    const vulkan::DeviceExperts experts{matrix.on_device, kRows, {}};
    const std::vector<float> scales = {0.5f, -2.0f, 1.0f, 3e-3f, 700.0f};
    const Buffer scale_buffer = filled(scales);
    const std::vector<u32> ids = {4, 0, 0, 3, 1, 2, 4, 4, 1, 3, 2, 0};
    const Buffer id_buffer = filled(ids);
    const auto slots = static_cast<u32>(ids.size());
    const std::vector<float> x = random_activations(slots, columns, columns, random);
    const Buffer input = filled(x);
    for (const Activations form : kForms) {
      const Sums sums = float64_product(matrix, x, slots, columns, form);
      vulkan::Products all = products(form, slots, columns);
      for (const u32 per_row : {1u, 4u})
        for (const bool scaled : {false, true}) {
          const u32 count = slots * kRows;
          const Buffer y = outputs(count + 8);
          Recording recording(device());
          recording.begin();
          const vulkan::ExpertProduct product{
              &experts,   scaled ? scale_buffer.address() : 0, id_buffer.address(), slots, per_row,
              y.address()};
          const auto width = columns;
          all.multiply(recording, Rows{input.address(), width, slots / per_row}, width,
                       std::span(&product, 1));
          recording.end();
          device().run(recording);
          for (u32 i = 0; i < count; ++i) {
            const u32 slot = i / kRows, row = ids[slot] * kRows + i % kRows;
            const u32 at = slot / per_row * matrix.rows + row;
            const double scale = scaled ? double{scales[ids[slot]]} : 1.0;
            ASSERT_NEAR(y.as<float>()[i], scale * sums.exact[at],
                        bound_of(type(), form) * std::fabs(scale) * sums.magnitude[at])
                << name_of(form) << " columns " << columns << " slot " << slot << " row "
                << i % kRows;
          }
          for (u32 i = count; i < count + 8; ++i) ASSERT_EQ(y.as<float>()[i], kUntouched);
        }
    }
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

INSTANTIATE_TEST_SUITE_P(Types, VulkanProducts, ::testing::ValuesIn(shader_types()),
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
