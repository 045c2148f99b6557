// Encoders of the IQ1, IQ2 and IQ3 types: the search of the codebooks against all points, the
// choice of scales against many more of them, and what must not matter.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "brink/cpu/kernels.h"
#include "brink/quant/encode_includes.h"
#include "brink/quant/format.h"
#include "tests/support/weight_rows.h"

// The scalar pass once more, for its inner steps.
#define BRINK_ENCODE_NAMESPACE encode_tested
#define BRINK_ENCODE_BEFORE()
#define BRINK_ENCODE_AFTER()
// clang-format off
#include "brink/quant/encode_lanes_scalar-inl.h"
#include "brink/quant/encode_common-inl.h"
#include "brink/quant/encode_grid_search-inl.h"
#include "brink/quant/encode_grid_scales-inl.h"
#include "brink/quant/encode_grids-inl.h"
// clang-format on

namespace brink {
namespace {

using encode_tested::GridBlock;
using encode_tested::GridFormat;
using encode_tested::GridGroup;
using encode_tested::GridPoint;
using encode_tested::GridSigns;

struct Case {
  GridFormat format;
  // Measured on normal weights, as the root mean square of errors over that of weights; the
  // sequence of weights is fixed, so that only another search would change them.
  double default_error, high_error;
};

const Case kCases[] = {
    {encode_tested::GridPacking<quant::BlockIQ1_S>::kFormat, 0.4449, 0.4447},
    {encode_tested::GridPacking<quant::BlockIQ1_M>::kFormat, 0.4128, 0.4126},
    {encode_tested::GridPacking<quant::BlockIQ2_XXS>::kFormat, 0.3272, 0.3269},
    {encode_tested::GridPacking<quant::BlockIQ2_XS>::kFormat, 0.2855, 0.2850},
    {encode_tested::GridPacking<quant::BlockIQ2_S>::kFormat, 0.2392, 0.2387},
    {encode_tested::GridPacking<quant::BlockIQ3_XXS>::kFormat, 0.1769, 0.1761},
    {encode_tested::GridPacking<quant::BlockIQ3_S>::kFormat, 0.1302, 0.1292},
};

EncodeFn encoder(TensorType type) { return best_kernels().encode[static_cast<std::size_t>(type)]; }

std::vector<std::uint8_t> encode(TensorType type, const std::vector<float>& weights,
                                 const float* importance, Effort effort) {
  std::vector<std::uint8_t> blocks(row_bytes(type, weights.size()));
  encoder(type)(weights.data(), importance, weights.size(), effort, blocks.data());
  return blocks;
}

std::vector<float> decode(TensorType type, const std::vector<std::uint8_t>& blocks,
                          std::size_t count) {
  std::vector<float> weights(count);
  format_of(type).decode(blocks.data(), weights.data(), count);
  return weights;
}

double squared_error(const std::vector<float>& want, const std::vector<float>& got,
                     const float* importance) {
  double sum = 0.0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double e = static_cast<double>(want[i]) - static_cast<double>(got[i]);
    sum += (importance != nullptr ? static_cast<double>(importance[i]) : 1.0) * e * e;
  }
  return sum;
}

std::vector<float> normal_row(std::size_t count, std::mt19937_64& random) {
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<float> weights(count);
  for (float& w : weights) w = normal(random);
  return weights;
}

class GridEncoders : public ::testing::TestWithParam<Case> {
 protected:
  const GridFormat& format() const { return GetParam().format; }
  TensorType type() const { return format().type; }
};

// Coordinate i of the point that has code `code`: as stored, IQ1 less its bias.
int coordinate(TensorType type, std::size_t code, std::size_t i) {
  const auto byte = [&](auto point) { return static_cast<int>(point >> (8 * i) & 255); };
  switch (type) {
    case TensorType::kIQ1_S:
    case TensorType::kIQ1_M:
      return byte(quant::kIq1Grid[code]) - 8;
    case TensorType::kIQ2_XXS:
      return byte(quant::kIq2XxsGrid[code]);
    case TensorType::kIQ2_XS:
      return byte(quant::kIq2XsGrid[code]);
    case TensorType::kIQ2_S:
      return byte(quant::kIq2SGrid[code]);
    case TensorType::kIQ3_XXS:
      return byte(quant::kIq3XxsGrid[code]);
    default:
      return byte(quant::kIq3SGrid[code]);
  }
}

std::size_t codes_of(TensorType type) {
  switch (type) {
    case TensorType::kIQ1_S:
    case TensorType::kIQ1_M:
      return 2048;
    case TensorType::kIQ2_S:
      return 1024;
    case TensorType::kIQ2_XXS:
    case TensorType::kIQ3_XXS:
      return 256;
    default:
      return 512;
  }
}

// All codes, all signs: the least sum of w (x - scale p)^2 over one group of the super-block,
// [odd number of minus signs, or delta].
void least_errors(const GridFormat& format, const float* x, const float* w, double scale,
                  double* least) {
  const bool delta = format.signs == GridSigns::kDelta || format.signs == GridSigns::kSharedDelta;
  const std::size_t dims = 2 * quant::codebook_of(format.type).half_group;
  least[0] = least[1] = std::numeric_limits<double>::infinity();
  for (std::size_t code = 0; code < codes_of(format.type); ++code) {
    double odd_even[2] = {0.0, std::numeric_limits<double>::infinity()};
    double deltas[2] = {0.0, 0.0};
    for (std::size_t i = 0; i < dims; ++i) {
      const double level = coordinate(format.type, code, i);
      const auto error = [&](double q) {
        const double e = static_cast<double>(x[i]) - scale * q;
        return static_cast<double>(w[i]) * e * e;
      };
      if (delta) {
        deltas[0] += error(level + 1.0);
        deltas[1] += error(level - 1.0);
      } else {
        const double plus = error(level), minus = error(-level);
        const double even = std::min(odd_even[0] + plus, odd_even[1] + minus);
        odd_even[1] = std::min(odd_even[0] + minus, odd_even[1] + plus);
        odd_even[0] = even;
      }
    }
    for (int i = 0; i < 2; ++i) least[i] = std::min(least[i], delta ? deltas[i] : odd_even[i]);
  }
}

double least_error_of_octet(const GridFormat& format, const float* x, const float* w, double scale,
                            double* deltas) {
  double first[2], second[2];
  least_errors(format, x, w, scale, first);
  deltas[0] = first[0];
  deltas[1] = first[1];
  const bool even = format.signs == GridSigns::kEven;
  if (quant::codebook_of(format.type).half_group == 4) {
    return even ? first[0] : std::min(first[0], first[1]);
  }
  least_errors(format, x + 4, w + 4, scale, second);
  if (!even) return std::min(first[0], first[1]) + std::min(second[0], second[1]);
  return std::min(first[0] + second[0], first[1] + second[1]);
}

// Normal, uniform and heavy-tailed weights, near points and far from them.
TEST_P(GridEncoders, FindTheBestPointsAndSigns) {
  std::mt19937_64 random(3);
  GridBlock block;
  block.book = &quant::codebook_of(type());
  encode_tested::GridSolution solution{};
  const std::size_t width = 8 * format().octets;
  for (const bool weighted : {false, true}) {
    for (const testing::WeightRow& row : testing::weight_rows(256, random)) {
      std::vector<float> importance = testing::column_importance(256, random);
      if (!encode_tested::PrepareBlock(format(), row.weights.data(),
                                       weighted ? importance.data() : nullptr, block)) {
        continue;
      }
      for (std::size_t sub = 0; sub < 256 / width; sub += 5) {
        const float* x = block.weights + sub * width;
        const float* w = block.importance + sub * width;
        double norm = 0.0;
        for (std::size_t i = 0; i < width; ++i) {
          norm += static_cast<double>(w[i]) * static_cast<double>(x[i]) * static_cast<double>(x[i]);
        }
        const float typical = std::exp2(std::uniform_real_distribution<float>(-3.0f, 1.0f)(random));
        const float scale = typical / format().typical;
        double want = 0.0, deltas[2] = {0.0, 0.0};
        for (std::size_t octet = 0; octet < format().octets; ++octet) {
          double of_octet[2];
          const double least = least_error_of_octet(format(), x + 8 * octet, w + 8 * octet,
                                                    static_cast<double>(scale), of_octet);
          want += least;
          deltas[0] += of_octet[0];
          deltas[1] += of_octet[1];
        }
        if (format().signs == GridSigns::kSharedDelta) want = std::min(deltas[0], deltas[1]);

        float cost;
        encode_tested::SubBlockCosts(format(), block, sub, &scale, 1, &cost);
        encode_tested::ChoosePoints(format(), block, sub, scale, solution);
        double got = 0.0;
        for (std::size_t i = 0; i < width; ++i) {
          const double e =
              static_cast<double>(x[i]) -
              static_cast<double>(scale) * static_cast<double>(solution.levels[sub * width + i]);
          got += static_cast<double>(w[i]) * e * e;
        }
        // What f32 loses of the sums that the error is a difference of.
        const double rounding = 1e-6 * (norm + got);
        EXPECT_NEAR(got, want, rounding) << row.name << ", scale " << scale;
        EXPECT_NEAR(norm + static_cast<double>(cost) * static_cast<double>(scale), want, rounding)
            << row.name << ", scale " << scale;
      }
    }
  }
}

// The error of the super-block for all scales from half to twice the found one in steps of 1/64,
// all multipliers, and the best points of each.
TEST_P(GridEncoders, ChooseNearlyTheBestScales) {
  std::mt19937_64 random(17);
  GridBlock block;
  block.book = &quant::codebook_of(type());
  double found[2] = {0.0, 0.0}, best = 0.0;
  for (int repetition = 0; repetition < 3; ++repetition) {
    const std::vector<float> weights = normal_row(256, random);
    const std::vector<float> importance = testing::column_importance(256, random);
    const float* columns = repetition == 0 ? nullptr : importance.data();
    encode_tested::GridSolution solution;
    ASSERT_TRUE(encode_tested::PrepareBlock(format(), weights.data(), columns, block));
    for (const Effort effort : {Effort::kDefault, Effort::kHigh}) {
      ASSERT_TRUE(encode_tested::SearchGridBlock(format(), weights.data(), columns, effort, block,
                                                 solution));
      found[static_cast<int>(effort)] += static_cast<double>(solution.error);
    }
    double norm = 0.0;
    for (std::size_t i = 0; i < 256; ++i) {
      norm += static_cast<double>(block.importance[i]) * static_cast<double>(block.weights[i]) *
              static_cast<double>(block.weights[i]);
    }
    double least = norm;
    for (int step = -64; step <= 64; ++step) {
      const float scale = solution.scale * std::exp2(static_cast<float>(step) / 64.0f);
      double sum = norm;
      for (std::size_t sub = 0; sub < 32 / format().octets; ++sub) {
        float scales[16], costs[16];
        std::size_t count = 0;
        for (float m = 1.0f; m <= format().largest; m += 2.0f) scales[count++] = m * scale;
        encode_tested::SubBlockCosts(format(), block, sub, scales, count, costs);
        double of_sub = 0.0;
        for (std::size_t i = 0; i < count; ++i) {
          of_sub = std::min(of_sub, static_cast<double>(costs[i]) * static_cast<double>(scales[i]));
        }
        sum += of_sub;
      }
      least = std::min(least, sum);
    }
    best += least;
  }
  std::printf("squared error over the best: default %.4f, high %.4f\n", found[0] / best,
              found[1] / best);
  // Measured: up to 1.024 and 1.022, of few blocks.
  EXPECT_LT(found[0] / best, 1.05);
  EXPECT_LT(found[1] / best, 1.03);
}

TEST_P(GridEncoders, HaveTheMeasuredErrorOnNormalWeights) {
  std::mt19937_64 random(23);
  const std::vector<float> weights = normal_row(256 * 256, random);
  const std::vector<float> zeros(weights.size(), 0.0f);
  const double norm = squared_error(weights, zeros, nullptr);
  for (const Effort effort : {Effort::kDefault, Effort::kHigh}) {
    const auto got = decode(type(), encode(type(), weights, nullptr, effort), weights.size());
    const double error = std::sqrt(squared_error(weights, got, nullptr) / norm);
    const double want =
        effort == Effort::kDefault ? GetParam().default_error : GetParam().high_error;
    EXPECT_NEAR(error, want, 0.005 * want) << "effort " << static_cast<int>(effort);
  }
}

TEST_P(GridEncoders, WeighErrorsByImportance) {
  std::mt19937_64 random(29);
  const std::vector<float> weights = normal_row(64 * 256, random);
  const std::vector<float> importance = testing::column_importance(weights.size(), random);
  const auto plain =
      decode(type(), encode(type(), weights, nullptr, Effort::kDefault), weights.size());
  const auto weighted =
      decode(type(), encode(type(), weights, importance.data(), Effort::kDefault), weights.size());
  EXPECT_LT(squared_error(weights, weighted, importance.data()),
            0.8 * squared_error(weights, plain, importance.data()));
  EXPECT_LT(squared_error(weights, plain, nullptr), squared_error(weights, weighted, nullptr));
}

TEST_P(GridEncoders, TakeNoNoticeOfWeightsWithoutImportance) {
  std::mt19937_64 random(31);
  std::vector<float> weights = normal_row(4 * 256, random);
  std::vector<float> importance = testing::column_importance(weights.size(), random);
  const auto want = encode(type(), weights, importance.data(), Effort::kHigh);
  int changed = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (importance[i] != 0.0f) continue;
    weights[i] = i % 2 == 0 ? 3e38f : -1.0f;
    ++changed;
  }
  ASSERT_GT(changed, 10);
  EXPECT_EQ(encode(type(), weights, importance.data(), Effort::kHigh), want);
}

TEST_P(GridEncoders, ScaleWithPowersOfTwo) {
  std::mt19937_64 random(37);
  std::vector<float> weights = normal_row(4 * 256, random);
  for (float& w : weights) w *= 64.0f;  // no subnormal f16 scales
  std::vector<float> importance = testing::column_importance(weights.size(), random);
  const auto want =
      decode(type(), encode(type(), weights, importance.data(), Effort::kDefault), weights.size());
  for (const float power : {0.25f, 2.0f, 1024.0f}) {
    std::vector<float> scaled = weights, scaled_importance = importance;
    for (float& w : scaled) w *= power;
    for (float& w : scaled_importance) w *= 0x1p60f * power;
    const auto got = decode(
        type(), encode(type(), scaled, scaled_importance.data(), Effort::kDefault), scaled.size());
    for (std::size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], power * want[i]) << i;
  }
}

// Weights beyond what the scale reaches get the largest levels, all of the right sign.
TEST_P(GridEncoders, ClampWhatNoScaleReaches) {
  std::mt19937_64 random(41);
  std::vector<float> weights(256);
  for (float& w : weights) w = random() % 2 ? 2e38f : -2e38f;
  const auto got = decode(type(), encode(type(), weights, nullptr, Effort::kDefault), 256);
  const double norm = squared_error(weights, std::vector<float>(256, 0.0f), nullptr);
  EXPECT_LE(squared_error(weights, got, nullptr), norm);
  float largest = 0.0f;
  for (const float w : got) {
    ASSERT_TRUE(std::isfinite(w));
    largest = std::max(largest, std::fabs(w));
  }
  EXPECT_GT(largest, 65504.0f * 0.5f);
}

// Only a scale very near the one that a row was made with gives no error, so that the samples may
// miss it.
TEST_P(GridEncoders, MostlyRestoreWhatTheyDecoded) {
  std::mt19937_64 random(43);
  const std::size_t blocks = 64;
  const auto once =
      decode(type(), encode(type(), normal_row(blocks * 256, random), nullptr, Effort::kHigh),
             blocks * 256);
  for (const Effort effort : {Effort::kDefault, Effort::kHigh}) {
    const auto twice = decode(type(), encode(type(), once, nullptr, effort), once.size());
    std::size_t same = 0;
    for (std::size_t block = 0; block < blocks; ++block) {
      same += std::equal(once.begin() + static_cast<std::ptrdiff_t>(256 * block),
                         once.begin() + static_cast<std::ptrdiff_t>(256 * (block + 1)),
                         twice.begin() + static_cast<std::ptrdiff_t>(256 * block));
    }
    EXPECT_GE(same, effort == Effort::kDefault ? 45u : 61u);
  }
}

INSTANTIATE_TEST_SUITE_P(AllTypes, GridEncoders, ::testing::ValuesIn(kCases), [](const auto& info) {
  return std::string(format_of(info.param.format.type).name);
});

}  // namespace
}  // namespace brink
