// Rounding of activations to int8, in the forms for few and for many tokens.
#include "brink/cpu/activations.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "brink/cpu/kernels.h"

namespace brink {
namespace {

struct Unit {
  std::vector<std::int8_t> q = std::vector<std::int8_t>(kUnit, 55);
  std::vector<float> scales = std::vector<float>(kUnit / 32, 55.0f);
  std::vector<std::int32_t> starts16 = std::vector<std::int32_t>(kUnit / 16, 55);
  std::vector<std::int32_t> starts32 = std::vector<std::int32_t>(kUnit / 32, 55);
  std::vector<std::int16_t> sums16 = std::vector<std::int16_t>(kUnit / 16, 55);
  std::vector<std::int16_t> sums32 = std::vector<std::int16_t>(kUnit / 32, 55);

  Q8Unit out() {
    return {q.data(),        scales.data(), starts16.data(),
            starts32.data(), sums16.data(), sums32.data()};
  }
};

std::vector<float> values(std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(count);
  for (float& v : x) v = normal(random);
  for (std::size_t i = 5; i < count; i += 61) x[i] *= 100.0f;
  // Ties, a block of zeros and one of values next to nothing.
  for (std::size_t i = 0; i < 32; ++i) x[i] = static_cast<float>(i) * 0.5f - 8.0f;
  x[31] = 127.0f;
  for (std::size_t i = 32; i < std::min<std::size_t>(count, 64); ++i) x[i] = 0.0f;
  for (std::size_t i = 64; i < std::min<std::size_t>(count, 96); ++i) x[i] = 1e-40f;
  return x;
}

TEST(Activations, RoundAsDocumented) {
  for (const Kernels* kernels : available_kernels()) {
    for (const std::uint32_t block : {32u, 256u}) {
      for (std::size_t count = block; count <= kUnit; count += block) {
        const std::vector<float> x = values(count, count);
        Unit unit;
        kernels->pack_q8(x.data(), count, block, unit.out());
        for (std::size_t b = 0; b < kUnit; b += block) {
          float max = 0.0f;
          for (std::size_t i = b; i < std::min<std::size_t>(count, b + block); ++i) {
            max = std::max(max, std::fabs(x[i]));
          }
          const float inverse = max > 1e-35f ? 127.0f / max : 0.0f;
          ASSERT_EQ(unit.scales[b / block], inverse > 0.0f ? max / 127.0f : 0.0f)
              << kernels->name << " block " << block << " count " << count;
          for (std::size_t i = b; i < b + block; ++i) {
            const float q = i < count ? std::nearbyint(x[i] * inverse) : 0.0f;
            ASSERT_EQ(unit.q[i], static_cast<int>(q)) << kernels->name << " value " << i;
          }
        }
        for (std::size_t size : {std::size_t{16}, std::size_t{32}}) {
          for (std::size_t i = 0; i < kUnit / size; ++i) {
            int sum = 0;
            for (std::size_t k = 0; k < size; ++k) sum += unit.q[i * size + k];
            ASSERT_EQ((size == 16 ? unit.sums16 : unit.sums32)[i], sum) << kernels->name;
            ASSERT_EQ((size == 16 ? unit.starts16 : unit.starts32)[i], -128 * sum);
          }
        }
      }
    }
  }
}

TEST(Activations, RowsAndUnitsAgree) {
  for (const Kernels* kernels : available_kernels()) {
    for (const std::uint32_t block : {32u, 256u}) {
      const std::vector<float> x = values(kUnit, 9);
      Unit unit;
      kernels->pack_q8(x.data(), kUnit, block, unit.out());
      std::vector<std::int8_t> q(kUnit);
      std::vector<float> scales(kUnit / block), sums16(kUnit / 16), sums32(kUnit / 32);
      std::vector<std::int32_t> sums4(kUnit / 4);
      std::vector<std::int16_t> integer_sums16(kUnit / 16), integer_sums32(kUnit / 32);
      kernels->quantize_q8(x.data(), kUnit, block,
                           {q.data(), scales.data(), sums16.data(), sums32.data(), sums4.data(),
                            integer_sums16.data(), integer_sums32.data()});
      ASSERT_EQ(q, unit.q) << kernels->name;
      for (std::size_t i = 0; i < scales.size(); ++i) ASSERT_EQ(scales[i], unit.scales[i]);
      for (std::size_t i = 0; i < kUnit / 16; ++i) ASSERT_EQ(sums16[i], unit.sums16[i]);
      for (std::size_t i = 0; i < kUnit / 32; ++i) ASSERT_EQ(sums32[i], unit.sums32[i]);
      ASSERT_EQ(integer_sums16, unit.sums16) << kernels->name;
      ASSERT_EQ(integer_sums32, unit.sums32) << kernels->name;
    }
  }
}

}  // namespace
}  // namespace brink
