// Attention of prompts (attention_prompt.comp) against float64.
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

class AttentionPrompt : public ShaderTest {
 protected:
  static std::vector<float> prompt(const TestCache& cache, const std::vector<float>& q, float scale,
                                   u32 size = 128) {
    const AttentionShape& s = cache.shape();
    std::vector<u32> tiles;  // first row, number of rows
    for (u32 row = 0; row < cache.rows(); ++row) {
      if (!tiles.empty() && tiles.back() < size / 4 &&
          cache.sequence_of(row) == cache.sequence_of(row - 1)) {
        ++tiles.back();
      } else {
        tiles.insert(tiles.end(), {row, 1});
      }
    }
    const DeviceCache on_device(device(), cache);
    const Uints on_tiles(device(), tiles);
    const Floats on_q(device(), q), out(device(), cache.rows() * s.heads * s.v_dim);
    run("attention_prompt", {size, s.k_dim, s.v_dim, static_cast<u32>(cache.type())},
        vulkan::PromptPush{on_q.address(), out.address(), on_device.places.address(),
                           on_device.pages.address(), on_device.pool.address(), on_tiles.address(),
                           cache.page_bytes, cache.k_offset, cache.v_offset, s.heads, s.kv_heads,
                           scale},
        s.heads, static_cast<u32>(tiles.size() / 2));
    return out.values();
  }
};

TEST_F(AttentionPrompt, IsCloseToFloat64) {
  const std::vector<std::vector<BatchPart>> batches = {
      {{0, 65}}, {{250, 20}, {0, 7}, {63, 2}, {0, 1}}, {{128, 33}, {200, 1}}};
  double worst = 0.0;
  std::size_t variant = 0;
  for (const AttentionCase& c : kAttentionCases) {
    ++variant;
    for (std::size_t b = 0; b < batches.size(); ++b) {
      if (c.shape.heads != 14 && b != variant % 3) continue;  // time
      TestCache cache(c.shape, c.type, batches[b], random_);
      cache.fill(random_, 2.0f);
      const std::vector<float> q = queries(cache, random_);
      const std::vector<double> wanted = cache.attention(q, scale_of(c.shape));
      for (const u32 size : {128u, 32u, 64u}) {  // 128: the backend's
        if (size != 128 && (c.shape.heads != 14 || c.type != CacheType::kF16)) continue;
        const std::vector<float> got = prompt(cache, q, scale_of(c.shape), size);
        const double distance = distance_of(cache, wanted, got);
        ASSERT_LT(distance, kAttentionBound)
            << label(cache) << ", batch " << b << ", size " << size;
        worst = std::max(worst, distance);
      }
    }
  }
  std::printf("attention_prompt: largest distance %.2e\n", worst);
}

TEST_F(AttentionPrompt, LaterPositionsDoNotMatter) {
  // Values are staged 64, 32 and 16 rows at a time.
  for (const u32 i : {0u, 6u, 2u, 10u})
    expect_later_positions_do_not_matter(
        kAttentionCases[i], {41, 42, 63, 64, 71, 109}, random_,
        [](const auto& cache, const auto& q, float scale) { return prompt(cache, q, scale); });
}

TEST_F(AttentionPrompt, InfiniteAndHugeScores) {
  const auto attend = [](const auto& cache, const auto& q, float scale) {
    return prompt(cache, q, scale);
  };
  expect_minus_infinity_has_no_weight(random_, attend);
  expect_huge_scores_do_not_overflow(random_, attend);
}

}  // namespace
}  // namespace brink::testing
