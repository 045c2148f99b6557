// What holds for the encoders of all types: the same bytes from the scalar pass and from every
// instruction set, finite weights, zeros from zeros, and no larger error for more effort.
#include "brink/quant/encode.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "brink/cpu/kernels.h"
#include "brink/quant/format.h"
#include "tests/support/tested_kernels.h"
#include "tests/support/weight_rows.h"

namespace brink {
namespace {

constexpr Effort kEfforts[] = {Effort::kDefault, Effort::kHigh};

EncodeFn encoder(const Kernels& kernels, TensorType type) {
  return kernels.encode[static_cast<std::size_t>(type)];
}

// Every bit is written: encoding over zeros and over ones gives the same.
std::vector<std::uint8_t> encode(EncodeFn function, TensorType type, const float* weights,
                                 const float* importance, std::size_t count, Effort effort) {
  const std::size_t bytes = row_bytes(type, count);
  std::vector<std::uint8_t> blocks(bytes + 2, 0x00), again(bytes + 2, 0xff);
  // Off alignment, with guards.
  function(weights, importance, count, effort, blocks.data() + 1);
  function(weights, importance, count, effort, again.data() + 1);
  EXPECT_EQ(std::memcmp(blocks.data() + 1, again.data() + 1, bytes), 0) << "unwritten bits";
  EXPECT_EQ(blocks.front(), 0x00);
  EXPECT_EQ(blocks.back(), 0x00);
  EXPECT_EQ(again.front(), 0xff);
  EXPECT_EQ(again.back(), 0xff);
  return {blocks.begin() + 1, blocks.end() - 1};
}

std::vector<float> decode(TensorType type, const std::vector<std::uint8_t>& blocks,
                          std::size_t count) {
  std::vector<float> weights(count);
  format_of(type).decode(blocks.data(), weights.data(), count);
  return weights;
}

double squared_error(const float* want, const float* got, const float* importance,
                     std::size_t count) {
  double sum = 0.0;
  for (std::size_t i = 0; i < count; ++i) {
    const double e = static_cast<double>(want[i]) - static_cast<double>(got[i]);
    sum += (importance != nullptr ? static_cast<double>(importance[i]) : 1.0) * e * e;
  }
  return sum;
}

class Encoders : public ::testing::TestWithParam<TensorType> {};

TEST_P(Encoders, OfEveryInstructionSetWriteTheSameBytes) {
  const TensorType type = GetParam();
  const Format& format = format_of(type);
  std::mt19937_64 random(static_cast<std::uint64_t>(type) + 5);
  for (const std::size_t blocks : {1, 2, 3, 5}) {
    const std::size_t count = blocks * format.block_size;
    const std::vector<float> importance = testing::column_importance(count, random);
    std::size_t row_index = 0;
    for (const testing::WeightRow& row : testing::weight_rows(count, random)) {
      ++row_index;
      for (const float* columns : {static_cast<const float*>(nullptr), importance.data()}) {
        for (const Effort effort : kEfforts) {
          // The scalar pass takes long, and with sanitizers very long.
          if (testing::kSanitized && effort == Effort::kHigh && row_index % 4 != 0) continue;
          if (blocks > (effort == Effort::kDefault ? 5u : 2u) / (testing::kSanitized ? 2 : 1)) {
            continue;
          }
          const auto want =
              encode(reference_encoder(type), type, row.weights.data(), columns, count, effort);
          for (const Kernels* kernels : available_kernels()) {
            const auto got =
                encode(encoder(*kernels, type), type, row.weights.data(), columns, count, effort);
            for (std::size_t i = 0; i < want.size(); ++i) {
              ASSERT_EQ(got[i], want[i])
                  << kernels->name << ", " << row.name << ", " << blocks << " blocks, "
                  << (columns != nullptr ? "importance, " : "") << "effort "
                  << static_cast<int>(effort) << ", byte " << i;
            }
          }
        }
      }
    }
  }
}

TEST_P(Encoders, GiveFiniteWeightsAndZerosForZeros) {
  const TensorType type = GetParam();
  const Format& format = format_of(type);
  std::mt19937_64 random(7);
  const std::size_t count = 3 * format.block_size;
  const std::vector<float> none(count, 0.0f);
  const std::vector<float> importance = testing::column_importance(count, random);
  const std::vector<float> large(count, std::numeric_limits<float>::max());
  for (const testing::WeightRow& row : testing::weight_rows(count, random)) {
    for (const std::vector<float>* columns : {&none, &importance, &large}) {
      for (const Effort effort : kEfforts) {
        const auto got = decode(type,
                                encode(best_kernels().encode[static_cast<std::size_t>(type)], type,
                                       row.weights.data(), columns->data(), count, effort),
                                count);
        // Floats have infinity for what is too large for them.
        if (format.quantized) {
          for (const float w : got) ASSERT_TRUE(std::isfinite(w)) << row.name;
        }
        // Q1_0 has no zero, but a scale of zero.
        if (row.name == "zero" || row.name == "negative zero") {
          for (const float w : got) ASSERT_EQ(w, 0.0f) << row.name;
        }
      }
    }
  }
}

TEST_P(Encoders, GiveNoLargerErrorForMoreEffort) {
  const TensorType type = GetParam();
  const Format& format = format_of(type);
  const EncodeFn function = encoder(best_kernels(), type);
  std::mt19937_64 random(11);
  for (int repetition = 0; repetition < (testing::kSanitized ? 10 : 40); ++repetition) {
    const std::size_t count = format.block_size;
    const std::vector<float> importance = testing::column_importance(count, random);
    for (const testing::WeightRow& row : testing::weight_rows(count, random)) {
      for (const float* columns : {static_cast<const float*>(nullptr), importance.data()}) {
        double error[2];
        for (const Effort effort : kEfforts) {
          const auto got = decode(
              type, encode(function, type, row.weights.data(), columns, count, effort), count);
          error[static_cast<int>(effort)] =
              squared_error(row.weights.data(), got.data(), columns, count);
        }
        // The encoders add up in f32, whose rounding decides between nearly equal candidates.
        ASSERT_LE(error[1], error[0] * (1.0 + 2e-6))
            << row.name << (columns != nullptr ? ", importance" : "");
      }
    }
  }
}

std::vector<TensorType> encoded_types() {
  std::vector<TensorType> types;
  for (const Format& format : formats()) {
    if (reference_encoder(format.type) != nullptr) types.push_back(format.type);
  }
  return types;
}

INSTANTIATE_TEST_SUITE_P(AllTypes, Encoders, ::testing::ValuesIn(encoded_types()),
                         [](const auto& info) { return std::string(format_of(info.param).name); });

}  // namespace
}  // namespace brink
