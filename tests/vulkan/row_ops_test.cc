// Shaders that work on rows one by one, against float64: rms_norm, swiglu, round_bf16,
// expert_combine.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdio>
#include <limits>
#include <span>
#include <vector>

#include "brink/core/half.h"
#include "brink/cpu/ops_reference.h"
#include "brink/vulkan/push.h"
#include "tests/support/shader_test.h"

namespace brink::testing {
namespace {

using RowOps = ShaderTest;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct RoundPush {  // of round_bf16.comp
  std::uint64_t x, y;
  u32 count;
};

// Sums of squares are off by few roundings of f32 (6e-8 each), as they are made from short sums;
// half of that comes through the square root, and three products add theirs. Measured: 2.6e-7.
constexpr double kNormBound = 3.5e-7;

TEST_F(RowOps, RmsNormIsCloseToFloat64) {
  Distance distance;
  // More and less than what invocations keep in registers (16 values); no multiples of 4.
  for (const u32 width : {1u, 100u, 896u, 1023u, 4096u, 5120u, 12289u}) {
    for (const u32 rows : {1u, 7u, 65u}) {
      if (width > 5120 && rows > 7) continue;  // time
      for (const u32 size : {8u, 64u, 256u}) {
        for (const bool adds : {false, true}) {
          for (const bool biased : {false, true}) {
            const std::vector<float> x = random_.normal(rows * width, 3.0f);
            const std::vector<float> residual = random_.normal(rows * width, 2.0f);
            const std::vector<float> bias = random_.normal(width);
            const std::vector<float> weight = random_.normal(width);
            const Floats on_x(device(), x), on_residual(device(), residual);
            const Floats on_bias(device(), bias), on_weight(device(), weight);
            const Floats norm(device(), x.size());
            run("rms_norm", {size},
                vulkan::NormPush{on_x.address(), adds ? on_residual.address() : 0,
                                 biased ? on_bias.address() : 0, on_weight.address(),
                                 norm.address(), width, 1e-6f},
                rows);
            for (u32 row = 0; row < rows; ++row) {
              std::vector<float> sum(width);
              for (u32 i = 0; i < width; ++i) {
                sum[i] = x[row * width + i];
                if (adds) sum[i] += residual[row * width + i];
                if (biased) sum[i] += bias[i];
                ASSERT_EQ(on_x[row * width + i], sum[i]) << "the residual stream";
              }
              const std::vector<double> wanted = reference::rms_norm(sum, weight, 1e-6);
              for (u32 i = 0; i < width; ++i)
                distance.add(norm[row * width + i], wanted[i], std::abs(wanted[i]));
            }
            ASSERT_LT(distance.largest(), kNormBound)
                << width << " values, " << rows << " rows, workgroups of " << size;
          }
        }
      }
    }
  }
  std::printf("rms_norm: largest distance %.2e\n", distance.largest());
}

// Relative to each result, down to 1e-30: there the exponential function's argument is near 65, and
// one rounding of it (6e-8) counts as often. Measured: 3.7e-6.
constexpr double kSwigluBound = 6e-6;

TEST_F(RowOps, SwigluIsCloseToFloat64AndDoesNotOverflow) {
  Distance distance;
  for (const u32 width : {1u, 100u, 896u, 4865u}) {
    for (const u32 rows : {1u, 7u, 65u}) {
      for (const u32 size : {64u, 256u}) {
        for (u32 biases = 0; biases < 4; ++biases) {
          std::vector<float> gate = random_.normal(rows * width, 20.0f);
          for (std::size_t i = 0; i < gate.size(); i += 5) gate[i] *= i % 2 == 0 ? 1e30f : 1e4f;
          const std::vector<float> up = random_.normal(rows * width);
          const std::vector<float> gate_bias = random_.normal(width);
          const std::vector<float> up_bias = random_.normal(width);
          const Floats on_gate(device(), gate), on_up(device(), up);
          const Floats on_gate_bias(device(), gate_bias), on_up_bias(device(), up_bias);
          run("swiglu", {size},
              vulkan::SwigluPush{on_gate.address(), on_up.address(),
                                 biases & 1 ? on_gate_bias.address() : 0,
                                 biases & 2 ? on_up_bias.address() : 0, width},
              ceil_div(width, 4 * size), rows);
          for (u32 i = 0; i < rows * width; ++i) {
            float g = gate[i], u = up[i];
            if (biases & 1) g += gate_bias[i % width];
            if (biases & 2) u += up_bias[i % width];
            const double wanted = reference::swiglu(static_cast<double>(g), static_cast<double>(u));
            if (std::abs(wanted) < 1e-30) {  // on its way to what f32 cannot hold
              ASSERT_LT(std::abs(on_gate[i]), 1e-29f) << g << ' ' << u;
            } else {
              distance.add(on_gate[i], wanted, std::abs(wanted));
            }
          }
          ASSERT_LT(distance.largest(), kSwigluBound) << width << " values, " << rows << " rows";
        }
      }
    }
  }
  std::printf("swiglu: largest distance %.2e\n", distance.largest());
}

TEST_F(RowOps, Bf16IsRoundedAsOnTheCpu) {
  std::vector<float> x(100003);
  for (std::size_t i = 0; i < x.size(); ++i) {
    u32 bits = random_.word();
    if (i % 3 == 0) bits = (bits & 0xffff0000u) | 0x8000u;                   // ties
    if (i % 1000 == 1) bits = 0x7f800000u | (random_.word() & 0x8000ffffu);  // NaN
    if (i % 1000 == 2) bits |= 0x7f7fff00u;  // beyond the largest, infinity, NaN
    x[i] = std::bit_cast<float>(bits);
  }
  x[0] = kInfinity;
  x[3] = -kInfinity;
  const u32 count = static_cast<u32>(x.size());
  const Floats on_x(device(), x), y(device(), x.size());
  run("round_bf16", {256}, RoundPush{on_x.address(), y.address(), count}, ceil_div(count, 1024));
  run("round_bf16", {64}, RoundPush{on_x.address(), on_x.address(), count}, ceil_div(count, 256));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float wanted = bf16_to_f32(f32_to_bf16(x[i]));
    if (std::isnan(wanted)) {
      ASSERT_TRUE(std::isnan(y[i]) && std::isnan(on_x[i])) << i;
    } else {
      ASSERT_EQ(std::bit_cast<u32>(y[i]), std::bit_cast<u32>(wanted)) << x[i];
      ASSERT_EQ(std::bit_cast<u32>(on_x[i]), std::bit_cast<u32>(wanted)) << x[i] << " in place";
    }
  }
}

// In units of the sum of the terms' magnitudes: roundings (6e-8 each) of up to ten sums, which are
// smaller, and of products. Measured: 2.1e-7.
constexpr double kCombineBound = 3e-7;

TEST_F(RowOps, ExpertsAreAddedUp) {
  Distance distance;
  for (const u32 width : {1u, 100u, 896u, 2049u}) {
    for (const u32 used : {1u, 4u, 8u}) {
      for (const u32 rows : {1u, 7u, 65u}) {
        for (const bool shared : {false, true}) {
          const std::vector<float> x = random_.normal(rows * width);
          const std::vector<float> y = random_.normal(rows * used * width);
          const std::vector<float> weights = random_.normal(rows * used);
          const std::vector<float> shared_gate = random_.normal(rows, 30.0f);
          const std::vector<float> shared_y = random_.normal(rows * width);
          const Floats on_x(device(), x), on_y(device(), y), on_weights(device(), weights);
          const Floats on_shared_gate(device(), shared_gate), on_shared_y(device(), shared_y);
          run("expert_combine", {64},
              vulkan::ExpertCombinePush{on_x.address(), on_y.address(), on_weights.address(),
                                        on_shared_gate.address(),
                                        shared ? on_shared_y.address() : 0, width, used},
              ceil_div(width, 256), rows);
          for (u32 row = 0; row < rows; ++row) {
            for (u32 i = 0; i < width; ++i) {
              double sum = 0.0, size = 0.0;
              const auto add = [&](double factor, float value) {
                sum += factor * static_cast<double>(value);
                size += std::abs(factor * static_cast<double>(value));
              };
              add(1.0, x[row * width + i]);
              for (u32 slot = row * used; slot < (row + 1) * used; ++slot)
                add(static_cast<double>(weights[slot]), y[slot * width + i]);
              if (shared)
                add(1 / (1 + std::exp(-static_cast<double>(shared_gate[row]))),
                    shared_y[row * width + i]);
              distance.add(on_x[row * width + i], sum, size);
            }
          }
          ASSERT_LT(distance.largest(), kCombineBound)
              << width << " values, " << rows << " rows, " << used << " experts";
        }
      }
    }
  }
  std::printf("expert_combine: largest distance %.2e\n", distance.largest());
}

}  // namespace
}  // namespace brink::testing
