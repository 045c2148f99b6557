// Products of every weight type, on every instruction set, against float64 sums over the scalar
// decoders' weights and the stated rounding of activations.
#include "brink/cpu/product.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "brink/core/half.h"
#include "tests/support/random_blocks.h"

namespace brink {
namespace {

struct Shape {
  std::size_t rows, columns, tokens;
};

bool is_number_type(TensorType type) { return !format_of(type).quantized; }

bool has_products(TensorType type) {
  return !is_number_type(type) || type == TensorType::kF32 || type == TensorType::kF16 ||
         type == TensorType::kBF16;
}

std::vector<float> random_activations(std::size_t count, std::mt19937_64& random) {
  std::normal_distribution<float> normal;
  std::vector<float> x(count);
  for (float& v : x) v = normal(random);
  // Outliers, as real activations have them, and a stretch of zeros.
  for (std::size_t i = 7; i < count; i += 311) x[i] *= 40.0f;
  for (std::size_t i = 64; i < std::min<std::size_t>(count, 96); ++i) x[i] = 0.0f;
  return x;
}

/// The activations as the product is documented to see them.
std::vector<double> rounded(const float* x, std::size_t count, Activations activations,
                            std::uint32_t block) {
  std::vector<double> out(x, x + count);
  if (activations == Activations::kBf16) {
    for (std::size_t i = 0; i < count; ++i) out[i] = bf16_to_f32(f32_to_bf16(x[i]));
  } else if (activations == Activations::kQ8 && block != 0) {
    for (std::size_t b = 0; b < count; b += block) {
      float max = 0;
      for (std::size_t i = b; i < b + block; ++i) max = std::max(max, std::fabs(x[i]));
      // In f32 as documented: a tie decided otherwise would be a whole step.
      const float scale = max / 127.0f;
      const float inverse = max == 0 ? 0.0f : 127.0f / max;
      for (std::size_t i = b; i < b + block; ++i) {
        out[i] = double{std::nearbyint(x[i] * inverse)} * double{scale};
      }
    }
  }
  return out;
}

class ProductTest : public ::testing::TestWithParam<TensorType> {};

// The bound is that of f32 accumulation in several partial sums.
void check(const Kernels& kernels, TensorType type, const Shape& shape, Activations activations,
           unsigned threads) {
  std::mt19937_64 random(static_cast<std::uint64_t>(type) * 1000 + shape.columns + shape.tokens);
  const Format& format = format_of(type);
  std::vector<std::uint8_t> blocks;
  if (format.quantized) {
    blocks = testing::random_blocks(type, shape.rows * shape.columns, random);
  } else {
    const std::vector<float> w = random_activations(shape.rows * shape.columns, random);
    for (const float v : w) {
      const std::uint16_t half = type == TensorType::kF16 ? f32_to_f16(v) : f32_to_bf16(v);
      const auto* from = type == TensorType::kF32 ? reinterpret_cast<const std::uint8_t*>(&v)
                                                  : reinterpret_cast<const std::uint8_t*>(&half);
      blocks.insert(blocks.end(), from, from + format.block_bytes);
    }
  }
  std::vector<float> weights(shape.rows * shape.columns);
  format.decode(blocks.data(), weights.data(), weights.size());
  const std::size_t stride = shape.columns + 3;
  const std::vector<float> x = random_activations(stride * shape.tokens, random);

  ThreadPool pool(threads);
  ActivationBuffer buffer;
  ProductScratch scratch;
  buffer.assign(x.data(), stride, shape.tokens, shape.columns, activations);
  const std::size_t y_stride = shape.rows + 5;
  std::vector<float> y(y_stride * shape.tokens, -1.0f);
  const Product product{{blocks.data(), type, shape.rows, shape.columns, 0.5f}, y.data(), y_stride};
  multiply(pool, kernels, {&product, 1}, buffer, scratch);

  const bool bf16_weights = activations == Activations::kBf16 && shape.tokens > kMatvecTokens;
  for (std::size_t t = 0; t < shape.tokens; ++t) {
    const std::vector<double> xs =
        rounded(x.data() + t * stride, shape.columns, activations, format.q8_block);
    for (std::size_t r = 0; r < shape.rows; ++r) {
      double sum = 0, magnitude = 0;
      for (std::size_t k = 0; k < shape.columns; ++k) {
        double w = weights[r * shape.columns + k];
        if (bf16_weights) w = bf16_to_f32(f32_to_bf16(static_cast<float>(w)));
        sum += w * xs[k];
        magnitude += std::fabs(w * xs[k]);
      }
      const double bound = 2e-6 * magnitude + 1e-6;
      ASSERT_NEAR(y[t * y_stride + r], 0.5 * sum, bound)
          << kernels.name << " " << format.name << " rows " << shape.rows << " columns "
          << shape.columns << " tokens " << shape.tokens << " row " << r << " token " << t;
    }
    for (std::size_t r = shape.rows; r < y_stride; ++r) ASSERT_EQ(y[t * y_stride + r], -1.0f);
  }
}

TEST_P(ProductTest, AgreesWithFloat64) {
  const TensorType type = GetParam();
  const std::size_t block = format_of(type).block_size;
  for (const Kernels* kernels : available_kernels()) {
    for (const Activations activations :
         {Activations::kF32, Activations::kBf16, Activations::kQ8}) {
      for (const std::size_t blocks : {std::size_t{1}, std::size_t{3}, 1024 / block + 1}) {
        std::size_t columns = blocks * block;
        // Quantized rows are made of blocks; F32, F16 and BF16 may have any length.
        if (block == 1) columns = blocks == 1025 ? 517 : blocks;
        for (const std::size_t tokens : {1, 2, 5, 8, 9, 21}) {
          for (const std::size_t rows : {1, 37}) {
            check(*kernels, type, {rows, columns, tokens}, activations, 2);
            if (HasFatalFailure()) return;
          }
        }
      }
    }
  }
}

// Every way to cut tokens into register tiles, with panels of rows that are not whole.
TEST_P(ProductTest, AgreesForAnyNumberOfTokens) {
  const TensorType type = GetParam();
  const std::size_t block = format_of(type).block_size;
  const std::size_t columns = (2 * kUnit + block - 1) / block * block + (block < 256 ? block : 0);
  for (const Kernels* kernels : available_kernels()) {
    for (const std::size_t rows : {16, 49}) {
      for (const std::size_t tokens : {3, 4, 6, 7, 10, 11, 12, 13, 14, 40}) {
        check(*kernels, type, {rows, columns, tokens}, Activations::kQ8, 2);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(ProductTest, DoesNotDependOnThreadsOrBatch) {
  const TensorType type = GetParam();
  const Format& format = format_of(type);
  const std::size_t columns = 512, rows = 67, tokens = 20;
  std::mt19937_64 random(5);
  std::vector<std::uint8_t> blocks;
  if (format.quantized) {
    blocks = testing::random_blocks(type, rows * columns, random);
  } else {
    blocks.assign(rows * columns * format.block_bytes, 0x3c);
  }
  const std::vector<float> x = random_activations(columns * tokens, random);
  for (const Kernels* kernels : available_kernels()) {
    for (const Activations activations :
         {Activations::kF32, Activations::kBf16, Activations::kQ8}) {
      const auto run = [&](unsigned threads, std::size_t first, std::size_t count,
                           std::vector<float>& y, std::size_t alike = 0) {
        ThreadPool pool(threads);
        ActivationBuffer buffer;
        ProductScratch scratch;
        buffer.assign(x.data() + first * columns, columns, count, columns, activations, alike);
        const Product p{{blocks.data(), type, rows, columns, 1.0f}, y.data() + first * rows, rows};
        multiply(pool, *kernels, {&p, 1}, buffer, scratch);
      };
      std::vector<float> whole(rows * tokens), parts(rows * tokens);
      run(1, 0, tokens, whole);
      for (const unsigned threads : {2u, 3u}) {
        run(threads, 0, tokens, parts);
        ASSERT_EQ(std::memcmp(whole.data(), parts.data(), whole.size() * 4), 0)
            << kernels->name << " threads " << threads;
      }
      run(2, 0, 9, parts);
      run(2, 9, 11, parts);
      ASSERT_EQ(std::memcmp(whole.data(), parts.data(), whole.size() * 4), 0)
          << kernels->name << " prompt in two pieces";
      for (const std::size_t count : {2, 8, 20}) {
        run(1, 0, count, whole);
        for (std::size_t t = 0; t < count; ++t) run(1, t, 1, parts, count);
        ASSERT_EQ(std::memcmp(whole.data(), parts.data(), count * rows * 4), 0)
            << kernels->name << " tokens one by one";
      }
    }
  }
}

std::vector<TensorType> product_types() {
  std::vector<TensorType> types;
  for (const Format& f : formats()) {
    if (has_products(f.type)) types.push_back(f.type);
  }
  return types;
}

INSTANTIATE_TEST_SUITE_P(Types, ProductTest, ::testing::ValuesIn(product_types()),
                         [](const auto& info) { return std::string(format_of(info.param).name); });

// Sums at the ends of the number ranges: every q8 value at +-127 and every quant at its extreme
// must not overflow any intermediate.
TEST(Products, ExtremesDoNotOverflow) {
  const std::size_t columns = 256;
  for (const Kernels* kernels : available_kernels()) {
    for (const Format& format : formats()) {
      if (format.q8_block == 0) continue;
      for (const std::uint8_t fill :
           {std::uint8_t{0x00}, std::uint8_t{0x77}, std::uint8_t{0x80}, std::uint8_t{0xff}}) {
        std::vector<std::uint8_t> block(columns / format.block_size * format.block_bytes, fill);
        std::vector<float> w(columns);
        // A scale that is NaN or infinite says nothing about overflow: blocks whose scale fields
        // come out so are left out.
        format.decode(block.data(), w.data(), columns);
        bool finite = true;
        for (const float v : w) finite = finite && std::isfinite(v) && std::fabs(v) < 1e30f;
        if (!finite) continue;
        std::vector<float> x(columns * 9);
        for (std::size_t i = 0; i < x.size(); ++i) {
          const bool negative = i / columns % 2 == 1 || std::signbit(w[i % columns]);
          x[i] = negative ? -127.0f : 127.0f;
        }
        for (const std::size_t tokens : {std::size_t{1}, std::size_t{9}}) {
          ThreadPool pool(1);
          ActivationBuffer buffer;
          ProductScratch scratch;
          std::vector<float> y(tokens);
          buffer.assign(x.data(), columns, tokens, columns, Activations::kQ8);
          const Product p{{block.data(), format.type, 1, columns, 1.0f}, y.data(), 1};
          multiply(pool, *kernels, {&p, 1}, buffer, scratch);
          for (std::size_t t = 0; t < tokens; ++t) {
            double sum = 0, magnitude = 0;
            for (std::size_t k = 0; k < columns; ++k) {
              sum += double{w[k]} * x[t * columns + k];
              magnitude += std::fabs(double{w[k]} * x[t * columns + k]);
            }
            ASSERT_NEAR(y[t], sum, 1e-5 * magnitude)
                << kernels->name << " " << format.name << " fill " << int{fill};
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace brink
