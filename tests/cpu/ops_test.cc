// Row operations of every instruction set against float64 references, at every length around the
// vector widths, at any alignment, in place; conversions bit for bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "brink/core/half.h"
#include "brink/cpu/kernels.h"
#include "brink/cpu/ops_reference.h"

namespace brink {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
// Half a unit in the last place, relative: the error of one rounding.
constexpr double kRounding = 0x1p-24;

const std::vector<std::size_t>& lengths() {
  static const std::vector<std::size_t> list = [] {
    std::vector<std::size_t> all = {100, 127, 128, 129, 896, 1000, 2048, 4096};
    for (std::size_t n = 1; n <= 70; ++n) all.push_back(n);
    return all;
  }();
  return list;
}

std::vector<float> normal(std::size_t n, unsigned seed, float size = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> distribution;
  std::vector<float> x(n);
  for (float& v : x) v = distribution(random) * size;
  return x;
}

// Runs `op` on copies of x at all offsets from a 64-byte boundary, each copy with guards of NaN and
// a marker around it; all results must be the same bits and the guards untouched. `op` works in
// place on n values.
std::vector<float> in_place(const std::vector<float>& x, const std::function<void(float*)>& op) {
  std::vector<float> first;
  for (const std::size_t offset : {0u, 1u, 3u, 8u, 13u}) {
    std::vector<float> memory(x.size() + 64, kNaN);
    const std::size_t skip =
        (64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64) % 64 / 4 + offset;
    std::copy(x.begin(), x.end(), memory.begin() + static_cast<std::ptrdiff_t>(skip));
    op(memory.data() + skip);
    const std::vector<float> result(memory.begin() + static_cast<std::ptrdiff_t>(skip),
                                    memory.begin() + static_cast<std::ptrdiff_t>(skip + x.size()));
    for (std::size_t i = 0; i < memory.size(); ++i) {
      if (i >= skip && i < skip + x.size()) continue;
      EXPECT_TRUE(std::isnan(memory[i])) << "guard " << i;
    }
    if (first.empty()) first = result;
    EXPECT_EQ(std::memcmp(first.data(), result.data(), x.size() * sizeof(float)), 0)
        << "alignment changes the result";
  }
  return first;
}

double distance(float actual, double expected) {
  return std::fabs(static_cast<double>(actual) - expected);
}

class OpsTest : public ::testing::TestWithParam<const Kernels*> {
 protected:
  const Kernels& kernels() const { return *GetParam(); }
};

TEST_P(OpsTest, RmsNorm) {
  double worst = 0;
  for (const std::size_t n : lengths()) {
    const std::vector<float> x = normal(n, 1, 30.0f);
    const std::vector<float> weight = normal(n, 2);
    const std::vector<float> out =
        in_place(x, [&](float* p) { kernels().rms_norm(p, weight.data(), 1e-5f, n, p); });
    const std::vector<double> expected = reference::rms_norm(x, weight, 1e-5f);
    for (std::size_t i = 0; i < n; ++i) {
      worst = std::max(worst, distance(out[i], expected[i]) / std::fabs(expected[i]));
    }
  }
  // Two products, square root, quotient, and the rounding errors of sums of squares, which average
  // out over four accumulators; measured at most 3.6 roundings.
  EXPECT_LT(worst, 4.5 * kRounding);
  // A row of zeros stays zero: eps keeps the factor finite.
  std::vector<float> zeros(40, 0.0f);
  kernels().rms_norm(zeros.data(), zeros.data(), 1e-6f, zeros.size(), zeros.data());
  for (const float v : zeros) EXPECT_EQ(v, 0.0f);
}

TEST_P(OpsTest, Add) {
  for (const std::size_t n : lengths()) {
    const std::vector<float> x = normal(n, 1);
    const std::vector<float> y = normal(n, 2);
    const std::vector<float> sum = in_place(x, [&](float* p) { kernels().add(p, y.data(), n); });
    const std::vector<float> scaled =
        in_place(x, [&](float* p) { kernels().add_scaled(p, y.data(), 0.3f, n); });
    for (std::size_t i = 0; i < n; ++i) {
      ASSERT_EQ(sum[i], x[i] + y[i]);
      // One rounding (FMA) or two of the parts.
      const double part = 0.3 * std::fabs(static_cast<double>(y[i]));
      const double exact =
          static_cast<double>(x[i]) + static_cast<double>(0.3f) * static_cast<double>(y[i]);
      ASSERT_LE(distance(scaled[i], exact), kRounding * (part + std::fabs(exact)) * 1.01);
    }
  }
}

TEST_P(OpsTest, SwiGlu) {
  double worst = 0;
  for (const std::size_t n : lengths()) {
    const std::vector<float> gate = normal(n, 1, 12.0f);
    const std::vector<float> up = normal(n, 2);
    const std::vector<float> out =
        in_place(gate, [&](float* p) { kernels().swiglu(p, up.data(), n, p); });
    for (std::size_t i = 0; i < n; ++i) {
      const double expected =
          reference::swiglu(static_cast<double>(gate[i]), static_cast<double>(up[i]));
      worst = std::max(worst, distance(out[i], expected) / std::fabs(expected));
    }
  }
  EXPECT_LT(worst, 4 * kRounding);  // measured at most 3.2

  // Far out: e^-v overflows or vanishes, silu does neither. Below -87.3 it is flushed to zero,
  // where the true value is under 1e-36.
  const std::vector<float> gates = {-kInfinity, -1e30f,  -1000.0f, -88.0f,    -87.0f,
                                    -1e-30f,    -0.0f,   0.0f,     1e-30f,    87.0f,
                                    88.0f,      1000.0f, 1e30f,    kInfinity, kNaN};
  const std::vector<float> ones(gates.size(), 1.0f);
  std::vector<float> out(gates.size());
  kernels().swiglu(gates.data(), ones.data(), gates.size(), out.data());
  for (std::size_t i = 1; i + 2 < gates.size(); ++i) {
    const double expected =
        gates[i] < -700.0f ? 0 : reference::swiglu(static_cast<double>(gates[i]), 1.0);
    EXPECT_LE(distance(out[i], expected), 1e-36 + 4 * kRounding * std::fabs(expected)) << gates[i];
  }
  EXPECT_EQ(out[gates.size() - 2], kInfinity);
  EXPECT_TRUE(std::isnan(out.back()));
}

TEST_P(OpsTest, Softmax) {
  double worst = 0;
  for (const std::size_t n : lengths()) {
    for (const float size : {0.1f, 3.0f, 30.0f}) {
      const std::vector<float> x = normal(n, 5, size);
      const std::vector<float> out = in_place(x, [&](float* p) { kernels().softmax(p, n); });
      const std::vector<double> expected =
          reference::softmax(std::vector<double>(x.begin(), x.end()));
      for (std::size_t i = 0; i < n; ++i) {
        if (expected[i] < 1e-30) {
          ASSERT_LE(out[i], 1e-30f);
          continue;
        }
        // The subtraction of the largest value rounds: an absolute error of the exponent.
        const double exponent = std::fabs(std::log(expected[i]));
        worst = std::max(worst, distance(out[i], expected[i]) / expected[i] / (4 + exponent));
      }
    }
  }
  EXPECT_LT(worst, 1.25 * kRounding);  // measured at most 1.02

  // No overflow at either end; a huge spread gives exact zeros.
  std::vector<float> x = {3e38f, -3e38f, -kInfinity, 3e38f, 0.0f};
  kernels().softmax(x.data(), x.size());
  EXPECT_EQ(x, (std::vector<float>{0.5f, 0.0f, 0.0f, 0.5f, 0.0f}));
}

TEST_P(OpsTest, ExponentialOverItsRange) {
  // softmax(0, x) = e^x / (1 + e^x): below x = -17 that is e^x but for its sum's rounding, so the
  // relative error of the exponential shows.
  double worst = 0;
  for (float x = -17.5f; x > -87.3f; x -= 0.00137f) {
    float pair[2] = {0.0f, x};
    kernels().softmax(pair, 2);
    const double expected = std::exp(static_cast<double>(x));
    worst = std::max(worst, distance(pair[1], expected / (1 + expected)) / expected);
  }
  EXPECT_LT(worst, 1.7 * kRounding);  // measured at most 1.4
}

TEST_P(OpsTest, Rope) {
  for (const bool neox : {false, true}) {
    for (std::size_t rotary = 2; rotary <= 130; rotary += 2) {
      const std::size_t dim = rotary + 5;
      const std::vector<float> x = normal(dim, 3);
      std::vector<float> cos_sin(rotary);
      for (std::size_t i = 0; i < rotary / 2; ++i) {
        cos_sin[i] = std::cos(0.37f * static_cast<float>(i + 1));
        cos_sin[rotary / 2 + i] = std::sin(0.37f * static_cast<float>(i + 1));
      }
      const std::vector<float> out =
          in_place(x, [&](float* p) { kernels().rope(p, cos_sin.data(), rotary, neox); });
      const std::vector<double> expected = reference::rope(x, cos_sin, rotary, neox);
      for (std::size_t i = 0; i < dim; ++i) {
        // Two products of at most 5 in size, each rounded, and their sum.
        ASSERT_LE(distance(out[i], expected[i]), 15 * kRounding) << rotary << ' ' << neox;
        if (i >= rotary) {
          ASSERT_EQ(out[i], x[i]);
        }
      }
    }
  }
}

// Every exponent, with mantissas at and around the ties of 10-bit and 7-bit rounding; all special
// values.
std::vector<float> patterns() {
  std::vector<float> x;
  std::mt19937 random(9);
  for (std::uint32_t sign = 0; sign < 2; ++sign) {
    for (std::uint32_t exponent = 0; exponent < 256; ++exponent) {
      const auto push = [&](std::uint32_t mantissa) {
        x.push_back(std::bit_cast<float>(sign << 31 | exponent << 23 | (mantissa & 0x7fffffu)));
      };
      for (const std::uint32_t tie : {0x1000u, 0x8000u}) {
        for (std::uint32_t k = 0; k < 6; ++k) {
          const std::uint32_t at = tie * (2 * k + 1);
          push(at - 1);
          push(at);
          push(at + 1);
        }
      }
      for (const std::uint32_t m : {0u, 1u, 0x400000u, 0x7fffffu, 0x7fefffu, 0x7ff000u}) push(m);
      for (int k = 0; k < 60; ++k) push(static_cast<std::uint32_t>(random()));
      // Ties at every place, for the subnormals of f16.
      for (std::uint32_t shift = 0; shift < 23; ++shift) {
        push(1u << shift);
        push(3u << shift);
        push((1u << shift) + 1);
        push(5u << shift);
      }
    }
  }
  return x;
}

TEST_P(OpsTest, RoundsToBf16) {
  const std::vector<float> x = patterns();
  for (const std::size_t drop : {0u, 1u, 5u, 11u}) {
    const std::size_t n = x.size() - drop;
    std::vector<std::uint16_t> out(n + 1, 0xabcd);
    kernels().round_bf16(x.data(), n, out.data());
    for (std::size_t i = 0; i < n; ++i) {
      ASSERT_EQ(out[i], f32_to_bf16(x[i])) << std::bit_cast<std::uint32_t>(x[i]);
    }
    ASSERT_EQ(out[n], 0xabcd);
  }
}

TEST_P(OpsTest, StoresF16) {
  const std::vector<float> x = patterns();
  for (const std::size_t drop : {0u, 1u, 5u, 11u}) {
    const std::size_t n = x.size() - drop;
    std::vector<std::uint16_t> out(n + 1, 0xabcd);
    kernels().kv_store(x.data(), n, KvType::kF16, out.data());
    for (std::size_t i = 0; i < n; ++i) {
      ASSERT_EQ(out[i], f32_to_f16(x[i])) << std::bit_cast<std::uint32_t>(x[i]);
    }
    ASSERT_EQ(out[n], 0xabcd);
  }
}

TEST_P(OpsTest, ReadsEveryF16) {
  // Attention over one position returns its V: every finite half, exactly, infinities and NaN too.
  std::vector<std::uint16_t> page(kKvPage * 512, 0);
  const float query = 1.0f;
  const std::uint32_t visible = 1;
  const float key[kKvPage] = {};
  const void* k_page = key;
  const void* v_page = page.data();
  for (std::uint32_t begin = 0; begin < 0x10000; begin += 512) {
    for (std::uint32_t i = 0; i < 512; ++i) page[i] = static_cast<std::uint16_t>(begin + i);
    std::vector<float> out(512);
    AttentionArgs args;
    args.queries = &query;
    args.count = 1;
    args.visible = &visible;
    args.k_pages = &k_page;
    args.v_pages = &v_page;
    args.k_type = KvType::kF32;
    args.v_type = KvType::kF16;
    args.k_dim = 1;
    args.v_dim = 512;
    args.out = out.data();
    kernels().attention(args);
    for (std::uint32_t i = 0; i < 512; ++i) {
      const float expected = f16_to_f32(page[i]);
      if (std::isnan(expected)) {
        ASSERT_TRUE(std::isnan(out[i])) << begin + i;
      } else {
        ASSERT_EQ(out[i], expected) << begin + i;
      }
    }
  }
}

TEST_P(OpsTest, StoresF32AndQ8) {
  const std::vector<float> x = normal(96, 4);
  std::vector<float> copy(96);
  kernels().kv_store(x.data(), 96, KvType::kF32, copy.data());
  EXPECT_EQ(copy, x);

  for (const float size : {1.0f, 1e-3f, 1e-6f, 3e-8f, 1e4f, 7e6f}) {
    std::vector<float> values = normal(96, 6, size);
    std::fill(values.begin() + 32, values.begin() + 64, 0.0f);
    std::vector<std::uint8_t> row(kv_row_bytes(KvType::kQ8_0, 96) + 1, 0xcc);
    kernels().kv_store(values.data(), 96, KvType::kQ8_0, row.data());
    EXPECT_EQ(row.back(), 0xcc);
    for (std::size_t block = 0; block < 3; ++block) {
      float largest = 0;
      for (std::size_t i = 0; i < 32; ++i) {
        largest = std::max(largest, std::fabs(values[32 * block + i]));
      }
      std::uint16_t bits;
      std::memcpy(&bits, row.data() + 34 * block, 2);
      ASSERT_EQ(bits, f32_to_f16(std::min(largest / 127.0f, 65504.0f)));
      const float scale = f16_to_f32(bits);
      for (std::size_t i = 0; i < 32; ++i) {
        const int q = static_cast<std::int8_t>(row[34 * block + 2 + i]);
        const float ratio = scale == 0.0f ? 0.0f : values[32 * block + i] / scale;
        ASSERT_EQ(q, static_cast<int>(std::nearbyint(std::clamp(ratio, -127.0f, 127.0f))));
      }
    }
  }

  // What is not a number must not turn into one.
  for (const float bad : {kNaN, kInfinity, -kInfinity}) {
    std::vector<float> values = normal(32, 6);
    values[17] = bad;
    std::uint8_t block[34];
    kernels().kv_store(values.data(), 32, KvType::kQ8_0, block);
    EXPECT_TRUE(std::isnan(reference::kv_value(KvType::kQ8_0, block, 17)));
  }
}

// As ggml makes Q4_0: the first value of the largest magnitude becomes -8 times the scale.
TEST_P(OpsTest, StoresQ4) {
  constexpr std::size_t kBytes = kv_block_bytes(KvType::kQ4_0);
  ASSERT_EQ(kBytes, 18u);
  for (const float size : {1.0f, 1e-3f, 1e-6f, 3e-8f, 1e4f, 4e5f, 7e6f}) {
    std::vector<float> values = normal(128, 8, size);
    std::fill(values.begin() + 32, values.begin() + 64, 0.0f);
    // Two of the largest magnitude, of either sign, the positive one first.
    values[64 + 5] = 9 * size;
    values[64 + 21] = -9 * size;
    std::vector<std::uint8_t> row(kv_row_bytes(KvType::kQ4_0, 128) + 1, 0xcc);
    kernels().kv_store(values.data(), 128, KvType::kQ4_0, row.data());
    EXPECT_EQ(row.back(), 0xcc);
    for (std::size_t block = 0; block < 4; ++block) {
      const float* x = values.data() + 32 * block;
      float most = 0;
      for (std::size_t i = 0; i < 32; ++i)
        if (std::fabs(x[i]) > std::fabs(most)) most = x[i];
      std::uint16_t bits;
      std::memcpy(&bits, row.data() + kBytes * block, 2);
      ASSERT_EQ(bits, f32_to_f16(std::clamp(most / -8.0f, -65504.0f, 65504.0f)));
      const float scale = f16_to_f32(bits);
      for (std::size_t i = 0; i < 32; ++i) {
        const float ratio = scale == 0.0f ? 0.0f : x[i] / scale;
        const double q = static_cast<double>(std::nearbyint(std::clamp(ratio, -8.0f, 7.0f)));
        ASSERT_EQ(reference::kv_value(KvType::kQ4_0, row.data(), 32 * block + i),
                  static_cast<double>(scale) * q)
            << "size " << size << " value " << i;
      }
    }
    if (size == 1.0f) {  // 9 / 8 is exact
      EXPECT_EQ(reference::kv_value(KvType::kQ4_0, row.data(), 64 + 5), 9.0);
      EXPECT_EQ(reference::kv_value(KvType::kQ4_0, row.data(), 64 + 21), -9.0 / 8 * 7);
    }
  }
  for (const float bad : {kNaN, kInfinity, -kInfinity}) {
    std::vector<float> values = normal(32, 6);
    values[17] = bad;
    std::uint8_t block[kBytes];
    kernels().kv_store(values.data(), 32, KvType::kQ4_0, block);
    EXPECT_TRUE(std::isnan(reference::kv_value(KvType::kQ4_0, block, 17)));
  }
}

TEST_P(OpsTest, NothingIsNothing) {
  kernels().rms_norm(nullptr, nullptr, 1e-5f, 0, nullptr);
  kernels().add(nullptr, nullptr, 0);
  kernels().add_scaled(nullptr, nullptr, 1.0f, 0);
  kernels().swiglu(nullptr, nullptr, 0, nullptr);
  kernels().softmax(nullptr, 0);
  kernels().rope(nullptr, nullptr, 0, true);
  kernels().round_bf16(nullptr, 0, nullptr);
  kernels().attention(AttentionArgs());
}

INSTANTIATE_TEST_SUITE_P(EveryIsa, OpsTest,
                         ::testing::ValuesIn(available_kernels().begin(),
                                             available_kernels().end()),
                         [](const auto& info) { return std::string(info.param->name); });

}  // namespace
}  // namespace brink
