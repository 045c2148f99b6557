// What the tests of products on a Vulkan device share: matrices of random blocks, activations, and
// float64 sums over the scalar decoders' weights with the stated rounding of operands.
#ifndef BRINK_TESTS_SUPPORT_VULKAN_PRODUCTS_H_
#define BRINK_TESTS_SUPPORT_VULKAN_PRODUCTS_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "brink/core/half.h"
#include "brink/quant/format.h"
#include "brink/vulkan/format_tables.h"
#include "brink/vulkan/products.h"
#include "tests/support/random_blocks.h"
#include "tests/support/vulkan.h"

namespace brink::testing {

using vulkan::Buffer;
using vulkan::Recording;
using vulkan::Rows;
using u32 = std::uint32_t;

inline constexpr Activations kForms[] = {Activations::kF32, Activations::kBf16, Activations::kQ8};
inline const char* name_of(Activations form) {
  return form == Activations::kF32 ? "f32" : form == Activations::kBf16 ? "bf16" : "q8";
}

inline constexpr float kUntouched = -12345.0f;

// Bound of |y - exact| in sums of |w x|. A sum of n products in f32 may be wrong by n 2^-24 of
// that, in tiles, which add up a whole row one after the other, by 1280 2^-24 = 8e-5. Roundings are
// as good as random, so that it comes out near the square root, 2e-6: the worst that was measured
// is 1.5e-6. Sums of 16 int8 products are exact, which leaves a sixteenth of the roundings: 4.0e-7
// was measured.
inline double bound_of(TensorType type, Activations form, bool f16 = false) {
  return !f16 && form == Activations::kQ8 && format_of(type).q8_block != 0 ? 8e-7 : 2e-6;
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
    on_device.parts.clear();
    std::vector<std::uint8_t> all;
    all.reserve(bytes.size() + 256 * part_rows.size());
    u32 end = on_device.rows;
    for (std::size_t p = part_rows.size(); p-- > 0;) {
      end -= part_rows[p];
      all.insert(all.end(), (256 - all.size() % 256) % 256, 0);
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
inline std::vector<float> random_activations(u32 tokens, u32 columns, u32 stride,
                                             std::mt19937_64& random) {
  std::normal_distribution<float> normal;
  // What is between rows must not matter.
  std::vector<float> x(tokens * stride, std::numeric_limits<float>::quiet_NaN());
  for (u32 t = 0; t < tokens; ++t) {
    constexpr float kSizes[] = {1, 1, 1, 0, 1e30f, 1e-20f, 1, 1};
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
inline std::vector<double> rounded(const float* x, u32 count, Activations form, u32 block) {
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

// Nearest f16.
inline double to_f16(double v) { return f16_to_f32(f32_to_f16(static_cast<float>(v))); }

// One row of activations as cooperative matrices see it: f16 times the power of two that puts the
// largest between 2^14 and 2^15.
inline void round_to_f16(std::vector<double>& row) {
  double most = 0;
  for (double& v : row) {
    v = static_cast<float>(v);
    most = std::max(most, std::fabs(v));
  }
  if (most == 0) return;
  const double factor = std::ldexp(1.0, std::max(std::ilogb(most) - 14, -126));
  for (double& v : row) v = factor * to_f16(v / factor);
}

struct Sums {
  std::vector<double> exact, magnitude;  // [tokens][rows]
};

// With `f16` both operands are f16, as with cooperative matrices.
inline Sums float64_product(const TestMatrix& matrix, const std::vector<float>& x, u32 tokens,
                            u32 stride, Activations form, bool f16 = false) {
  const u32 rows = matrix.rows, columns = matrix.columns;
  std::vector<double> transposed(rows * columns);
  for (u32 r = 0; r < rows; ++r)
    for (u32 k = 0; k < columns; ++k) {
      const double w = matrix.values[r * columns + k];
      transposed[k * rows + r] = f16 ? to_f16(w) : w;
    }
  Sums sums{std::vector<double>(tokens * rows), std::vector<double>(tokens * rows)};
  const u32 block = format_of(matrix.on_device.type).q8_block;
  for (u32 t = 0; t < tokens; ++t) {
    std::vector<double> xs = rounded(x.data() + t * stride, columns, form, block);
    if (f16) round_to_f16(xs);
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
  // Whether tiles of this type are cooperative matrices.
  bool cooperates(Activations form) const {
    return device().cooperative() && form != Activations::kF32 && type() != TensorType::kF32;
  }
  bool plain() const { return !format_of(type()).quantized; }

  // One block, an odd number of them, and many; rows of plain numbers can have any width.
  std::vector<u32> widths() const {
    const u32 block = format_of(type()).block_size;
    if (plain()) return {1, 16, 100, 333, 896};
    return {block, 3 * block, block == 256 ? 1280u : 896u};
  }
  // Some width for tests that need only one: not a multiple of 4 where that is possible.
  u32 one_width() const { return plain() ? 333 : 768; }

  vulkan::Products products(Activations form, u32 rows, u32 columns, u32 experts = 0) {
    return {device(), form, rows, columns, tables_.address(), experts};
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

}  // namespace brink::testing

#endif  // BRINK_TESTS_SUPPORT_VULKAN_PRODUCTS_H_
