// Attention of few rows (attention.comp, attention_combine.comp) against float64: shapes, splits,
// tiles; a recording that is run again with larger positions.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "brink/vulkan/push.h"
#include "tests/support/shader_attention.h"
#include "tests/support/shader_cache.h"
#include "tests/support/shader_test.h"

namespace brink::testing {
namespace {

// Constants of attention.comp; the defaults are those of the backend, but for `heads`, which has to
// divide the group.
struct Split {
  u32 splits = 1;
  u32 heads = 1;  // together in a workgroup
  u32 tile = 32;
  u32 size = 128;
};

u32 heads_together(const AttentionShape& shape) {
  u32 heads = std::min(shape.heads / shape.kv_heads, 4u);
  while (shape.heads / shape.kv_heads % heads != 0) --heads;
  return heads;
}

class Attention : public ShaderTest {
 protected:
  static std::vector<float> few(const TestCache& cache, const std::vector<float>& q, float scale,
                                const Split& split) {
    const AttentionShape& s = cache.shape();
    const DeviceCache on_device(device(), cache);
    const u32 results = cache.rows() * s.heads;
    const Floats on_q(device(), q), out(device(), results * s.v_dim);
    const Floats stats(device(), results * split.splits * 2);
    const Floats partials(device(), results * split.splits * s.v_dim);
    run("attention",
        {split.size, s.k_dim, s.v_dim, static_cast<u32>(cache.type()), split.heads, split.tile},
        vulkan::AttentionPush{on_q.address(), out.address(), on_device.places.address(),
                              on_device.pages.address(), on_device.pool.address(), stats.address(),
                              partials.address(), cache.page_bytes, cache.k_offset, cache.v_offset,
                              s.heads, s.kv_heads, scale},
        split.splits, s.heads / split.heads, cache.rows());
    if (split.splits > 1)
      run("attention_combine", {32},
          vulkan::CombinePush{stats.address(), partials.address(), out.address(), split.splits,
                              s.v_dim},
          s.heads, cache.rows());
    return out.values();
  }
};

TEST_F(Attention, IsCloseToFloat64) {
  std::vector<std::vector<BatchPart>> batches = {
      {{0, 1}, {300, 1}, {63, 1}, {64, 1}, {65, 1}, {31, 1}, {32, 1}}, {{5, 3}, {100, 2}}, {}};
  for (u32 i = 0; i < 65; ++i) batches.back().push_back({i * 37 % 301, 1});
  double worst = 0.0;
  for (const AttentionCase& c : kAttentionCases) {
    for (const std::vector<BatchPart>& batch : batches) {
      if (batch.size() == 65 && c.shape.k_dim != 80) continue;  // time
      TestCache cache(c.shape, c.type, batch, random_);
      cache.fill(random_, 2.0f);
      const std::vector<float> q = queries(cache, random_);
      const std::vector<double> wanted = cache.attention(q, scale_of(c.shape));
      for (const u32 splits : {1u, 2u, 5u, 16u}) {
        const std::vector<float> got =
            few(cache, q, scale_of(c.shape), {.splits = splits, .heads = heads_together(c.shape)});
        const double distance = distance_of(cache, wanted, got);
        ASSERT_LT(distance, kAttentionBound) << label(cache) << ", splits " << splits;
        worst = std::max(worst, distance);
      }
    }
  }
  std::printf("attention: largest distance %.2e\n", worst);
}

// Constants other than the backend's, also more lanes than positions of a tile.
TEST_F(Attention, InOtherTilesAndWorkgroups) {
  constexpr AttentionShape kShape{8, 1, 64, 128};
  struct Case {
    CacheType type;
    Split split;
  };
  for (const auto& [type, split] : {Case{CacheType::kF16, {1, 8, 16, 64}},
                                    {CacheType::kF16, {16, 1, 64, 32}},
                                    {CacheType::kF16, {5, 2, 32, 256}},
                                    {CacheType::kQ4_0, {3, 4, 8, 256}}}) {
    TestCache cache(kShape, type, {{300, 1}, {0, 1}, {64, 1}, {95, 1}}, random_);
    cache.fill(random_, 2.0f);
    const std::vector<float> q = queries(cache, random_);
    ASSERT_LT(distance_of(cache, q, 0.125f, few(cache, q, 0.125f, split)), kAttentionBound)
        << label(cache) << ", splits " << split.splits << ", together " << split.heads << ", tile "
        << split.tile << ", size " << split.size;
  }
}

TEST_F(Attention, LaterPositionsDoNotMatter) {
  for (const u32 i : {0u, 6u, 10u}) {
    const Split split{.splits = 2, .heads = heads_together(kAttentionCases[i].shape)};
    expect_later_positions_do_not_matter(
        kAttentionCases[i], {41, 71}, random_,
        [&](const auto& cache, const auto& q, float scale) { return few(cache, q, scale, split); });
  }
}

TEST_F(Attention, InfiniteAndHugeScores) {
  for (const u32 splits : {1u, 4u, 16u}) {
    const auto attend = [&](const auto& cache, const auto& q, float scale) {
      return few(cache, q, scale, {.splits = splits, .heads = 4});
    };
    expect_minus_infinity_has_no_weight(random_, attend);
    expect_huge_scores_do_not_overflow(random_, attend);
  }
}

// A step of generation is recorded once and then run with places that move on, over the ends of
// tiles, splits and pages: what is recorded must not know them.
TEST_F(Attention, RecordingServesLargerPositions) {
  constexpr AttentionShape kShape{14, 2, 64, 64};
  constexpr u32 kSplits = 4, kSteps = 70;
  const u32 together = heads_together(kShape);
  for (const CacheType type : {CacheType::kF16, CacheType::kQ4_0}) {
    TestCache cache(kShape, type, {{0, 1}, {60, 1}, {130, 1}}, random_, kSteps);
    cache.fill(random_, 1.0f);
    DeviceCache on_device(device(), cache);
    const u32 rows = cache.rows(), results = rows * kShape.heads;
    Floats q(device(), rows * kShape.heads * kShape.k_dim);
    Floats k(device(), rows * kShape.kv_heads * kShape.k_dim);
    Floats v(device(), rows * kShape.kv_heads * kShape.v_dim);
    const Floats out(device(), results * kShape.v_dim);
    const Floats stats(device(), results * kSplits * 2);
    const Floats partials(device(), results * kSplits * kShape.v_dim);
    const Floats norm(device(), random_.normal(kShape.k_dim));
    std::vector<float> turns;  // by 0.6 + 0.8i
    for (u32 i = 0; i < rows * kShape.k_dim; ++i)
      turns.push_back(i % kShape.k_dim < kShape.k_dim / 2 ? 0.6f : 0.8f);
    const Floats cos_sin(device(), turns);
    const u32 number = static_cast<u32>(type);
    const std::uint64_t places = on_device.places.address(), pages = on_device.pages.address();
    const std::uint64_t pool = on_device.pool.address();
    vulkan::Recording recording(device());
    recording.begin();
    recording.dispatch(
        device().pipeline("heads", {64, kShape.k_dim, kShape.v_dim, kShape.k_dim, 1, number}),
        vulkan::HeadsPush{q.address(), k.address(), v.address(), 0, 0, 0, norm.address(),
                          norm.address(), cos_sin.address(), places, pages, pool, cache.page_bytes,
                          cache.k_offset, cache.v_offset, kShape.heads, kShape.kv_heads, 1e-6f},
        kShape.heads + 2 * kShape.kv_heads, rows);
    recording.barrier();
    recording.dispatch(
        device().pipeline("attention", {128, kShape.k_dim, kShape.v_dim, number, together, 32}),
        vulkan::AttentionPush{q.address(), out.address(), places, pages, pool, stats.address(),
                              partials.address(), cache.page_bytes, cache.k_offset, cache.v_offset,
                              kShape.heads, kShape.kv_heads, 0.125f},
        kSplits, kShape.heads / together, rows);
    recording.barrier();
    recording.dispatch(device().pipeline("attention_combine", {32}),
                       vulkan::CombinePush{stats.address(), partials.address(), out.address(),
                                           kSplits, kShape.v_dim},
                       kShape.heads, rows);
    recording.end();
    double worst = 0.0;
    for (u32 step = 0; step < kSteps; ++step) {
      q = random_.normal(q.size());
      k = random_.normal(k.size(), 2.0f);
      v = random_.normal(v.size());
      on_device.places = cache.places;
      device().run(recording);
      cache.pool = on_device.pool.values();  // heads_test.cc has what is stored
      const double distance = distance_of(cache, q.values(), 0.125f, out.values());
      ASSERT_LT(distance, kAttentionBound) << name_of(type) << ", step " << step;
      worst = std::max(worst, distance);
      for (u32 row = 0; row < rows; ++row) ++cache.places[2 * row + 1];
    }
    std::printf("replayed, %s: largest distance %.2e\n", name_of(type), worst);
  }
}

}  // namespace
}  // namespace brink::testing
