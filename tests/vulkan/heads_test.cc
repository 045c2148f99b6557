// heads.comp: biases, head norms and rotation against float64; what lands in the KV cache, and
// where.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include "brink/cpu/ops_reference.h"
#include "brink/vulkan/push.h"
#include "tests/support/shader_cache.h"
#include "tests/support/shader_test.h"

namespace brink::testing {
namespace {

constexpr float kEpsilon = 1e-6f;

struct HeadsCase {
  AttentionShape shape;
  u32 rotary;
  CacheType type;
  u32 rows, size;  // of the workgroup
  bool bias, norm, neox;
};

// In units of a head's largest value. Of a rotated value two products and their sum are rounded
// (6e-8 each), before that norm and bias. Measured: 2.6e-7.
constexpr double kBound = 4e-7;

class Heads : public ShaderTest {
 protected:
  static void check(const HeadsCase& c, Random& random, Distance& distance);
};

// Bytes stay as they were except where k and v of the rows belong.
class Inputs {
 public:
  Inputs(const HeadsCase& c, Random& random)
      : c_(c),
        q(random.normal(c.rows * c.shape.heads * c.shape.k_dim)),
        k(random.normal(c.rows * c.shape.kv_heads * c.shape.k_dim)),
        v(random.normal(c.rows * c.shape.kv_heads * c.shape.v_dim)),
        q_bias(random.normal(c.shape.heads * c.shape.k_dim)),
        k_bias(random.normal(c.shape.kv_heads * c.shape.k_dim)),
        v_bias(random.normal(c.shape.kv_heads * c.shape.v_dim)),
        q_norm(random.normal(c.shape.k_dim)),
        k_norm(random.normal(c.shape.k_dim)),
        cos_sin(random.normal(c.rows * c.rotary)) {
    const u32 pairs = c.rotary / 2;
    for (u32 row = 0; row < c.rows; ++row) {
      float* const turn = &cos_sin[row * c.rotary];
      for (u32 i = 0; i < pairs; ++i) {
        const float angle = 10.0f * turn[i];
        turn[i] = std::cos(angle);
        turn[pairs + i] = std::sin(angle);
      }
    }
    if (c.bias || c.rows < 7) return;
    // Values that the quantized types have to think about: zeros, NaN, infinity, more than f16
    // holds, scales that f16 has few bits for.
    const std::size_t row = c.shape.kv_heads * c.shape.v_dim;
    std::fill_n(v.begin() + c.shape.v_dim, c.shape.v_dim, 0.0f);
    v[3 * row + 5] = std::numeric_limits<float>::quiet_NaN();
    v[4 * row + 6] = -std::numeric_limits<float>::infinity();
    v[5 * row + 7] = 3e7f;
    for (u32 i = 0; i < c.shape.v_dim; ++i) v[6 * row + i] *= 1e-5f;
  }

  // Head `h` of q (of k) when all is done.
  std::vector<double> finished(bool is_q, u32 row, u32 h) const {
    const u32 dim = c_.shape.k_dim;
    const u32 heads = is_q ? c_.shape.heads : c_.shape.kv_heads;
    const float* const from = (is_q ? q : k).data() + (row * heads + h) * dim;
    const float* const bias = (is_q ? q_bias : k_bias).data() + h * dim;
    std::vector<double> y(dim);
    double squares = 0.0;
    for (u32 i = 0; i < dim; ++i) {
      y[i] = static_cast<double>(c_.bias ? from[i] + bias[i] : from[i]);
      squares += y[i] * y[i];
    }
    const double factor = 1 / std::sqrt(squares / dim + static_cast<double>(kEpsilon));
    for (u32 i = 0; i < dim && c_.norm; ++i)
      y[i] *= factor * static_cast<double>((is_q ? q_norm : k_norm)[i]);
    const float* const turn = &cos_sin[row * c_.rotary];
    const u32 pairs = c_.rotary / 2;
    for (u32 i = 0; i < pairs; ++i) {
      const double cosine = static_cast<double>(turn[i]);
      const double sine = static_cast<double>(turn[pairs + i]);
      double& a = y[c_.neox ? i : 2 * i];
      double& b = y[c_.neox ? i + pairs : 2 * i + 1];
      const double before = a;
      a = before * cosine - b * sine;
      b = before * sine + b * cosine;
    }
    return y;
  }

  std::vector<float> finished_v(u32 row, u32 h) const {
    const u32 dim = c_.shape.v_dim;
    const std::size_t first = (row * c_.shape.kv_heads + h) * dim;
    std::vector<float> y(v.begin() + static_cast<std::ptrdiff_t>(first),
                         v.begin() + static_cast<std::ptrdiff_t>(first + dim));
    for (u32 i = 0; i < dim && c_.bias; ++i) y[i] += v_bias[h * dim + i];
    return y;
  }

 private:
  HeadsCase c_;

 public:
  std::vector<float> q, k, v, q_bias, k_bias, v_bias, q_norm, k_norm, cos_sin;
};

double largest_of(std::span<const double> x) {
  double most = 0.0;
  for (const double v : x) most = std::max(most, std::abs(v));
  return most;
}

// A cached key of what may differ from `wanted` in the last bits: the stored value may be one step
// of its type further on.
void expect_close(CacheType type, const std::uint8_t* row, const std::vector<double>& wanted,
                  Distance& distance) {
  const double most = largest_of(wanted);
  const std::vector<float> values(wanted.begin(), wanted.end());
  std::vector<std::uint8_t> stored(cache_row_bytes(type, static_cast<u32>(wanted.size())));
  store_row(type, values, stored.data());
  // Steps at the largest value: half a unit in f16's last place, quants of 1/127 and 1/8 of the
  // largest, each with a margin for the scale's own last place.
  const double step = most * (type == CacheType::kF16    ? 1.0 / 1024
                              : type == CacheType::kQ8_0 ? 1.0 / 100
                                                         : 1.0 / 6);
  for (u32 i = 0; i < wanted.size(); ++i) {
    const double got = reference::kv_value(type, row, i);
    if (type == CacheType::kF32) {
      distance.add(static_cast<float>(got), wanted[i], most);
    } else {
      ASSERT_NEAR(got, reference::kv_value(type, stored.data(), i), step) << i;
    }
  }
}

// No arithmetic comes before a value is stored but that of the bias: the bytes are those of the
// CPU, NaN aside, which has many.
void expect_same(CacheType type, const std::uint8_t* row, std::span<const float> x) {
  const u32 dim = static_cast<u32>(x.size());
  std::vector<std::uint8_t> stored(cache_row_bytes(type, dim));
  store_row(type, x, stored.data());
  if (std::memcmp(row, stored.data(), stored.size()) == 0) return;
  for (u32 i = 0; i < dim; ++i) {
    const double got = reference::kv_value(type, row, i);
    const double wanted = reference::kv_value(type, stored.data(), i);
    ASSERT_TRUE(got == wanted || (std::isnan(got) && std::isnan(wanted)))
        << i << ": " << x[i] << " is stored as " << got << ", not " << wanted;
  }
}

void Heads::check(const HeadsCase& c, Random& random, Distance& distance) {
  const AttentionShape& shape = c.shape;
  const std::vector<BatchPart> batch =
      c.rows == 1 ? std::vector<BatchPart>{{97, 1}}
                  : std::vector<BatchPart>{{0, 1}, {300, 2}, {62, c.rows - 3}};
  const TestCache cache(shape, c.type, batch, random);
  const Inputs in(c, random);
  const DeviceCache on_device(device(), cache);
  const Floats q(device(), in.q), k(device(), in.k), v(device(), in.v);
  const Floats q_bias(device(), in.q_bias), k_bias(device(), in.k_bias);
  const Floats v_bias(device(), in.v_bias), q_norm(device(), in.q_norm);
  const Floats k_norm(device(), in.k_norm), cos_sin(device(), in.cos_sin);
  const auto given = [](bool is, const Floats& buffer) { return is ? buffer.address() : 0; };
  run("heads",
      {c.size, shape.k_dim, shape.v_dim, c.rotary, c.neox ? 1u : 0u, static_cast<u32>(c.type)},
      vulkan::HeadsPush{q.address(), k.address(), v.address(), given(c.bias, q_bias),
                        given(c.bias, k_bias), given(c.bias, v_bias), given(c.norm, q_norm),
                        given(c.norm, k_norm), cos_sin.address(), on_device.places.address(),
                        on_device.pages.address(), on_device.pool.address(), cache.page_bytes,
                        cache.k_offset, cache.v_offset, shape.heads, shape.kv_heads, kEpsilon},
      shape.heads + 2 * shape.kv_heads, c.rows);
  std::vector<std::uint8_t> expected = cache.pool;
  for (u32 row = 0; row < c.rows; ++row) {
    for (u32 h = 0; h < shape.heads; ++h) {
      const std::vector<double> wanted = in.finished(true, row, h);
      const double most = largest_of(wanted);
      for (u32 i = 0; i < shape.k_dim; ++i)
        distance.add(q[(row * shape.heads + h) * shape.k_dim + i], wanted[i], most);
    }
    for (u32 h = 0; h < shape.kv_heads; ++h) {
      const u32 sequence = cache.sequence_of(row), position = cache.position(row);
      const std::size_t k_at = cache.at(false, sequence, h, position);
      const std::size_t v_at = cache.at(true, sequence, h, position);
      const std::uint8_t* const got = on_device.pool.data();
      expect_close(c.type, got + k_at, in.finished(false, row, h), distance);
      expect_same(c.type, got + v_at, in.finished_v(row, h));
      std::memcpy(&expected[k_at], got + k_at, cache_row_bytes(c.type, shape.k_dim));
      std::memcpy(&expected[v_at], got + v_at, cache_row_bytes(c.type, shape.v_dim));
    }
  }
  EXPECT_TRUE(on_device.pool.values() == expected) << "something else in the cache was written";
  EXPECT_LT(distance.largest(), kBound);
}

TEST_F(Heads, AreFinishedAndStored) {
  struct Shape {
    AttentionShape shape;
    u32 rotary;
  };
  Distance distance;
  u32 variant = 0;
  for (const Shape& s : {Shape{{14, 2, 64, 64}, 64},
                         {{4, 4, 80, 80}, 32},
                         {{8, 2, 96, 64}, 96},
                         {{16, 8, 128, 128}, 128},
                         {{8, 1, 256, 256}, 64},
                         {{6, 2, 72, 40}, 70}}) {
    for (const CacheType type : kCacheTypes) {
      if (!fits(type, s.shape)) continue;
      // The backend's size, and one with more or fewer invocations than values; every other time
      // pairs are neighbours. Biases and norms come and go, which needs no other pipeline.
      ++variant;
      for (const u32 size : {64u, variant % 3 == 0 ? 8u : variant % 3 == 1 ? 32u : 128u}) {
        for (const u32 rows : {1u, 7u, 65u}) {
          for (const u32 given : {0u, 1u, 2u, 3u}) {
            if (rows == 65 && given != variant % 4) continue;  // time
            const HeadsCase c{s.shape,          s.rotary,        type, rows, size, (given & 1) != 0,
                              (given & 2) != 0, variant % 2 == 0};
            SCOPED_TRACE(::testing::Message()
                         << name_of(type) << ", heads " << s.shape.heads << '/' << s.shape.kv_heads
                         << " of " << s.shape.k_dim << ", " << s.shape.v_dim << "; " << rows
                         << " rows, size " << size << ", bias " << c.bias << ", norm " << c.norm);
            check(c, random_, distance);
            if (HasFailure()) return;
          }
        }
      }
    }
  }
  std::printf("heads: largest distance %.2e\n", distance.largest());
}

}  // namespace
}  // namespace brink::testing
