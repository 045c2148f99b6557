// The encoders of the k-quants: how near they come to the best blocks, and that what can be
// represented is. tests/quant/encode_test.cc has what holds for every type.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "brink/cpu/kernels.h"
#include "brink/gguf/reader.h"
#include "brink/quant/encode.h"
#include "brink/quant/format.h"
#include "brink/quant/k_quants.h"
#include "tests/support/random_blocks.h"
#include "tests/support/reference_data.h"
#include "tests/support/weight_rows.h"

namespace brink {
namespace {

constexpr TensorType kTypes[] = {TensorType::kQ2_K, TensorType::kQ3_K, TensorType::kQ4_K,
                                 TensorType::kQ5_K, TensorType::kQ6_K};

std::vector<std::uint8_t> encode(TensorType type, const std::vector<float>& weights, Effort effort,
                                 const float* importance = nullptr) {
  std::vector<std::uint8_t> blocks(row_bytes(type, weights.size()));
  best_kernels().encode[static_cast<std::size_t>(type)](weights.data(), importance, weights.size(),
                                                        effort, blocks.data());
  return blocks;
}

std::vector<float> decode(TensorType type, const std::vector<std::uint8_t>& blocks) {
  const Format& format = format_of(type);
  std::vector<float> weights(blocks.size() / format.block_bytes * format.block_size);
  format.decode(blocks.data(), weights.data(), weights.size());
  return weights;
}

double squared_error(const std::vector<float>& want, const std::vector<float>& got,
                     const float* importance = nullptr) {
  double sum = 0.0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double e = static_cast<double>(want[i]) - static_cast<double>(got[i]);
    sum += (importance != nullptr ? static_cast<double>(importance[i]) : 1.0) * e * e;
  }
  return sum;
}

std::vector<float> normal_row(std::size_t count, std::mt19937_64& random) {
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<float> row(count);
  for (float& w : row) w = normal(random);
  return row;
}

// The parts of a block: x = scale[g] q - min[g], and what scales and minima there are to choose
// from for its super-block scales.
struct Parts {
  std::size_t group;
  int lowest, highest;           // q
  int lowest_scale, most_scale;  // s
  int most_min;                  // m
  float d, dmin;
};

Parts parts_of(TensorType type, const std::uint8_t* block) {
  switch (type) {
    case TensorType::kQ2_K: {
      const auto& b = *reinterpret_cast<const quant::BlockQ2_K*>(block);
      return {16, 0, 3, 0, 15, 15, quant::load_f16(b.d), quant::load_f16(b.dmin)};
    }
    case TensorType::kQ3_K: {
      const auto& b = *reinterpret_cast<const quant::BlockQ3_K*>(block);
      return {16, -4, 3, -32, 31, 0, quant::load_f16(b.d), 0.0f};
    }
    case TensorType::kQ4_K: {
      const auto& b = *reinterpret_cast<const quant::BlockQ4_K*>(block);
      return {32, 0, 15, 0, 63, 63, quant::load_f16(b.d), quant::load_f16(b.dmin)};
    }
    case TensorType::kQ5_K: {
      const auto& b = *reinterpret_cast<const quant::BlockQ5_K*>(block);
      return {32, 0, 31, 0, 63, 63, quant::load_f16(b.d), quant::load_f16(b.dmin)};
    }
    default: {
      const auto& b = *reinterpret_cast<const quant::BlockQ6_K*>(block);
      return {16, -32, 31, -128, 127, 0, quant::load_f16(b.d), 0.0f};
    }
  }
}

double nearest_error(float x, float scale, float min, int lowest, int highest) {
  double q = scale == 0.0f ? 0.0 : std::nearbyint((static_cast<double>(x) + min) / scale);
  q = std::clamp(q, static_cast<double>(lowest), static_cast<double>(highest));
  return static_cast<double>(x) + min - scale * q;
}

// The least error that any choice of sub-block scales, minima and levels has, for the super-block
// scales of the block.
double least_error(const Parts& p, const float* weights) {
  double sum = 0.0;
  for (std::size_t first = 0; first < 256; first += p.group) {
    double least = INFINITY;
    for (int s = p.lowest_scale; s <= p.most_scale; ++s) {
      const float scale = p.d * static_cast<float>(s);
      for (int m = 0; m <= p.most_min; ++m) {
        const float min = p.dmin * static_cast<float>(m);
        double error = 0.0;
        for (std::size_t i = first; i < first + p.group && error < least; ++i) {
          const double e = nearest_error(weights[i], scale, min, p.lowest, p.highest);
          error += e * e;
        }
        least = std::min(least, error);
      }
    }
    sum += least;
  }
  return sum;
}

class KQuants : public ::testing::TestWithParam<TensorType> {};

// The exhaustive choice has 2^12 pairs of a scale and a minimum for each sub-block of Q4_K. What is
// lost to it was measured: by default at most 1.4 % of the squared error (Q5_K), with high effort
// 0.9 % (Q5_K), 0.3 % (Q2_K) and less than 0.1 %.
TEST_P(KQuants, AreNearTheBestForTheirSuperBlockScales) {
  const TensorType type = GetParam();
  std::mt19937_64 random(3);
  double got[2] = {}, best[2] = {};
  for (int n = 0; n < 12; ++n) {
    const std::vector<float> row = normal_row(256, random);
    for (const Effort effort : {Effort::kDefault, Effort::kHigh}) {
      const auto blocks = encode(type, row, effort);
      got[static_cast<int>(effort)] += squared_error(row, decode(type, blocks));
      best[static_cast<int>(effort)] += least_error(parts_of(type, blocks.data()), row.data());
    }
  }
  std::printf("%s: above the best %.2f %%, high effort %.2f %%\n", format_of(type).name,
              100.0 * (got[0] / best[0] - 1.0), 100.0 * (got[1] / best[1] - 1.0));
  EXPECT_LE(got[0], best[0] * 1.015);
  EXPECT_LE(got[1], best[1] * (type == TensorType::kQ5_K   ? 1.01
                               : type == TensorType::kQ2_K ? 1.004
                                                           : 1.001));
}

// Blocks that use the whole range of levels, scales and minima come back as they were.
TEST_P(KQuants, GiveRepresentableRowsBack) {
  const TensorType type = GetParam();
  const Format& format = format_of(type);
  std::mt19937_64 random(5);
  for (int n = 0; n < 200; ++n) {
    std::vector<std::uint8_t> block(format.block_bytes);
    for (std::uint8_t& byte : block) byte = static_cast<std::uint8_t>(random());
    const auto half = [&](std::uint8_t* p) {  // 2^-8 to 2^-4
      p[0] = static_cast<std::uint8_t>(random());
      p[1] = static_cast<std::uint8_t>(0x1c + random() % 16);
    };
    // The first sub-block has the largest scale and minimum; two of each sub-block's weights, the
    // outermost levels.
    const auto ends = [&](auto&& set) {
      for (std::size_t first = 0; first < 256; first += parts_of(type, block.data()).group) {
        set(first, false);
        set(first + 5, true);
      }
    };
    if (type == TensorType::kQ2_K) {
      auto& b = *reinterpret_cast<quant::BlockQ2_K*>(block.data());
      half(b.d);
      std::memcpy(b.dmin, b.d, 2);
      for (std::uint8_t& s : b.scales) s |= 0x01;
      b.scales[0] = 0xff;
      ends([&](std::size_t i, bool high) {
        std::uint8_t& q = b.qs[i / 128 * 32 + i % 32];
        const int shift = static_cast<int>(i % 128 / 32 * 2);
        q = static_cast<std::uint8_t>(high ? q | 3 << shift : q & ~(3 << shift));
      });
    } else if (type == TensorType::kQ3_K) {
      auto& b = *reinterpret_cast<quant::BlockQ3_K*>(block.data());
      half(b.d);
      b.scales[0] &= 0xf0;  // scale 0 is -32
      b.scales[8] &= 0xfc;
      ends([&](std::size_t i, bool high) {
        std::uint8_t& q = b.qs[i / 128 * 32 + i % 32];
        std::uint8_t& h = b.hmask[i % 32];
        const int shift = static_cast<int>(i % 128 / 32 * 2), bit = static_cast<int>(i / 32);
        q = static_cast<std::uint8_t>(high ? q | 3 << shift : q & ~(3 << shift));
        h = static_cast<std::uint8_t>(high ? h | 1 << bit : h & ~(1 << bit));
      });
    } else if (type == TensorType::kQ6_K) {
      auto& b = *reinterpret_cast<quant::BlockQ6_K*>(block.data());
      half(b.d);
      b.scales[0] = -128;
      ends([&](std::size_t i, bool high) {
        const std::size_t part = i % 128 / 32, l = i % 32;
        std::uint8_t& low = b.ql[i / 128 * 64 + part % 2 * 32 + l];
        std::uint8_t& top = b.qh[i / 128 * 32 + l];
        const int shift = static_cast<int>(part / 2 * 4), two = static_cast<int>(part * 2);
        low = static_cast<std::uint8_t>(high ? low | 15 << shift : low & ~(15 << shift));
        top = static_cast<std::uint8_t>(high ? top | 3 << two : top & ~(3 << two));
      });
    } else {
      auto& b4 = *reinterpret_cast<quant::BlockQ4_K*>(block.data());  // and the head of BlockQ5_K
      half(b4.d);
      std::memcpy(b4.dmin, b4.d, 2);
      for (std::size_t i = 0; i < 4; ++i) {
        b4.scales[i] |= 1;
        b4.scales[i + 8] |= 1;
      }
      b4.scales[0] |= 63;
      b4.scales[4] |= 63;
      std::uint8_t* qs = block.data() + format.block_bytes - 128;
      ends([&](std::size_t i, bool high) {
        std::uint8_t& q = qs[i / 64 * 32 + i % 32];
        const int shift = static_cast<int>(i % 64 / 32 * 4), bit = static_cast<int>(i / 32);
        q = static_cast<std::uint8_t>(high ? q | 15 << shift : q & ~(15 << shift));
        if (type == TensorType::kQ5_K) {
          std::uint8_t& h = block[16 + i % 32];
          h = static_cast<std::uint8_t>(high ? h | 1 << bit : h & ~(1 << bit));
        }
      });
    }
    const std::vector<float> weights = decode(type, block);
    for (const Effort effort : {Effort::kDefault, Effort::kHigh}) {
      const std::vector<float> again = decode(type, encode(type, weights, effort));
      for (std::size_t i = 0; i < 256; ++i) ASSERT_EQ(again[i], weights[i]) << n << ", " << i;
    }
  }
}

// A weight is at the level nearest to it, for all kinds of rows.
TEST_P(KQuants, ChooseTheNearestLevels) {
  const TensorType type = GetParam();
  const Format& format = format_of(type);
  std::mt19937_64 random(7);
  for (const testing::WeightRow& row : testing::weight_rows(256, random)) {
    for (const Effort effort : {Effort::kDefault, Effort::kHigh}) {
      auto blocks = encode(type, row.weights, effort);
      const std::vector<float> got = decode(type, blocks);
      // Every level of every weight, decoded: the block with all quants replaced, scales kept.
      std::vector<double> least(256, INFINITY);
      const std::size_t levels = type == TensorType::kQ2_K   ? 4
                                 : type == TensorType::kQ3_K ? 8
                                 : type == TensorType::kQ4_K ? 16
                                 : type == TensorType::kQ5_K ? 32
                                                             : 64;
      for (std::size_t q = 0; q < levels; ++q) {
        std::vector<std::uint8_t> other = blocks;
        const auto low2 = static_cast<std::uint8_t>((q & 3) * 0x55);
        const auto low4 = static_cast<std::uint8_t>((q & 15) * 0x11);
        if (type == TensorType::kQ2_K) {
          std::memset(other.data() + offsetof(quant::BlockQ2_K, qs), low2, 64);
        } else if (type == TensorType::kQ3_K) {
          std::memset(other.data() + offsetof(quant::BlockQ3_K, qs), low2, 64);
          std::memset(other.data() + offsetof(quant::BlockQ3_K, hmask), q & 4 ? 255 : 0, 32);
        } else if (type == TensorType::kQ6_K) {
          std::memset(other.data() + offsetof(quant::BlockQ6_K, ql), low4, 128);
          std::memset(other.data() + offsetof(quant::BlockQ6_K, qh),
                      static_cast<int>((q >> 4) * 0x55), 64);
        } else {
          std::memset(other.data() + format.block_bytes - 128, low4, 128);
          if (type == TensorType::kQ5_K) {
            std::memset(other.data() + offsetof(quant::BlockQ5_K, qh), q & 16 ? 255 : 0, 32);
          }
        }
        const std::vector<float> at = decode(type, other);
        for (std::size_t i = 0; i < 256; ++i) {
          const double e = std::fabs(static_cast<double>(row.weights[i]) - at[i]);
          least[i] = std::min(least[i], e);
        }
      }
      for (std::size_t i = 0; i < 256; ++i) {
        const double e = std::fabs(static_cast<double>(row.weights[i]) - got[i]);
        // Halfway between two levels either may be taken; f32 knows where that is to 2^-18 of the
        // largest term.
        const double slack = 4e-6 * std::max(std::fabs(row.weights[i]), std::fabs(got[i]));
        ASSERT_LE(e, least[i] + slack)
            << row.name << ", weight " << i << " of value " << row.weights[i];
      }
    }
  }
}

// What 11 significant bits of the super-block scale allow.
TEST_P(KQuants, HoldConstants) {
  const TensorType type = GetParam();
  for (const float value : {0.0371f, -0.0371f, 1.0f, -3.0f, 1000.0f}) {
    const std::vector<float> row(256, value);
    for (const float w : decode(type, encode(type, row, Effort::kDefault))) {
      ASSERT_NEAR(w, value, std::fabs(value) * 0x1p-11f);
    }
  }
}

TEST_P(KQuants, KeepPowersOfTwo) {
  const TensorType type = GetParam();
  std::mt19937_64 random(13);
  std::vector<float> row = normal_row(512, random);
  for (float& w : row) w *= 64.0f;  // so that no f16 is subnormal
  for (const Effort effort : {Effort::kDefault, Effort::kHigh}) {
    const std::vector<float> got = decode(type, encode(type, row, effort));
    for (const float factor : {8.0f, 1024.0f}) {
      std::vector<float> scaled = row;
      for (float& w : scaled) w *= factor;
      const std::vector<float> again = decode(type, encode(type, scaled, effort));
      for (std::size_t i = 0; i < row.size(); ++i) ASSERT_EQ(again[i], got[i] * factor);
    }
  }
}

TEST_P(KQuants, EncodeEverySuperBlockByItself) {
  const TensorType type = GetParam();
  std::mt19937_64 random(17);
  const std::vector<float> row = normal_row(3 * 256, random);
  const std::vector<float> importance = testing::column_importance(row.size(), random);
  const auto whole = encode(type, row, Effort::kDefault, importance.data());
  for (std::size_t n = 0; n < 3; ++n) {
    const auto at = static_cast<std::ptrdiff_t>(256 * n);
    const std::vector<float> part(row.begin() + at, row.begin() + at + 256);
    const auto alone = encode(type, part, Effort::kDefault, importance.data() + at);
    EXPECT_EQ(std::memcmp(whole.data() + n * alone.size(), alone.data(), alone.size()), 0);
  }
}

// Importances of log-normal size: at least a quarter less of the squared error weighted by them
// than without, and none of it depends on their unit.
TEST_P(KQuants, MakeTheErrorOfImportantColumnsSmaller) {
  const TensorType type = GetParam();
  std::mt19937_64 random(19);
  const std::vector<float> row = normal_row(40 * 256, random);
  const std::vector<float> importance = testing::column_importance(row.size(), random);
  const auto plain = decode(type, encode(type, row, Effort::kDefault));
  const auto blocks = encode(type, row, Effort::kDefault, importance.data());
  const double with = squared_error(row, decode(type, blocks), importance.data());
  const double without = squared_error(row, plain, importance.data());
  std::printf("%s: weighted error %.3f of that without\n", format_of(type).name, with / without);
  EXPECT_LE(with, without * 0.75);
  std::vector<float> scaled = importance;
  for (float& v : scaled) v *= 0x1p90f;
  EXPECT_EQ(encode(type, row, Effort::kDefault, scaled.data()), blocks);
  const std::vector<float> equal(row.size(), 0.25f);
  EXPECT_EQ(decode(type, encode(type, row, Effort::kDefault, equal.data())), plain);
}

// Against the model files of the reference data, whose matrices llama-quantize has encoded. The
// bounds are what was measured, rounded up to half a percent.
TEST(KQuantModels, HaveASmallerErrorThanTheReferenceFiles) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const Gguf original = Gguf::open(testing::reference_data("quantized/micro-llama-f32.gguf"));
  const struct {
    TensorType type;
    const char* file;
    double most[2];
  } cases[] = {{TensorType::kQ2_K, "Q2_K", {0.88, 0.875}},
               {TensorType::kQ3_K, "Q2_K", {0.955, 0.955}},
               {TensorType::kQ4_K, "Q3_K_M", {0.975, 0.97}},
               {TensorType::kQ5_K, "Q3_K_M", {0.95, 0.94}},
               {TensorType::kQ6_K, "IQ3_S", {0.925, 0.925}}};
  for (const auto& c : cases) {
    const Gguf file = Gguf::open(
        testing::reference_data(std::string("quantized/micro-llama-") + c.file + ".gguf"));
    double theirs = 0.0, ours[2] = {};
    for (const GgufTensor& tensor : file.tensors()) {
      if (tensor.type != c.type) continue;
      const GgufTensor& source = *original.find_tensor(tensor.name);
      std::vector<float> weights(source.elements());
      std::memcpy(weights.data(), source.data, source.bytes);
      std::vector<std::uint8_t> blocks(tensor.bytes);
      std::memcpy(blocks.data(), tensor.data, tensor.bytes);
      theirs += squared_error(weights, decode(c.type, blocks));
      for (const Effort effort : {Effort::kDefault, Effort::kHigh}) {
        ours[static_cast<int>(effort)] +=
            squared_error(weights, decode(c.type, encode(c.type, weights, effort)));
      }
    }
    ASSERT_GT(theirs, 0.0) << format_of(c.type).name;
    std::printf("%s: relative RMS error %.4f of the file's, high effort %.4f\n",
                format_of(c.type).name, std::sqrt(ours[0] / theirs), std::sqrt(ours[1] / theirs));
    for (const Effort effort : {Effort::kDefault, Effort::kHigh}) {
      const auto e = static_cast<std::size_t>(effort);
      EXPECT_LE(std::sqrt(ours[e] / theirs), c.most[e]) << format_of(c.type).name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, KQuants, ::testing::ValuesIn(kTypes),
                         [](const auto& info) { return std::string(format_of(info.param).name); });

}  // namespace
}  // namespace brink
