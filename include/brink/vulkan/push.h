// Push constants of the row operations and of attention, as their shaders declare them: addresses
// first, 0 for an operand that is absent. (Those of products are in products_impl.h.)
#ifndef BRINK_VULKAN_PUSH_H_
#define BRINK_VULKAN_PUSH_H_

#include <cstdint>

namespace brink::vulkan {

struct NormPush {
  std::uint64_t x, residual, bias, weight, norm;
  std::uint32_t width;
  float eps;
};
struct BiasPush {
  std::uint64_t x, bias;
  std::uint32_t width;
};
struct SwigluPush {
  std::uint64_t gate, up, gate_bias, up_bias;
  std::uint32_t width;
};
struct HeadsPush {
  std::uint64_t q, k, v, q_bias, k_bias, v_bias, q_norm, k_norm, cos_sin, places, pages, pool;
  std::uint32_t page_bytes, k_offset, v_offset, heads, kv_heads;
  float eps;
};
struct AttentionPush {
  std::uint64_t q, out, places, pages, pool, stats, partials;
  std::uint32_t page_bytes, k_offset, v_offset, heads, kv_heads;
  float scale;
};
struct CombinePush {
  std::uint64_t stats, partials, out;
  std::uint32_t splits, v_dim;
};
struct PromptPush {
  std::uint64_t q, out, places, pages, pool, tiles;
  std::uint32_t page_bytes, k_offset, v_offset, heads, kv_heads;
  float scale;
};
struct ArgmaxPush {
  std::uint64_t logits, ids;
  std::uint32_t width;
};
struct TopKPush {
  std::uint64_t logits, ids, values;
  std::uint32_t width, k;
};
struct RoutePush {
  std::uint64_t logits, ids, weights;
  std::uint32_t used, normalize;
  float scale;
};
struct ExpertCombinePush {
  std::uint64_t x, y, weights, shared_gate, shared_y;
  std::uint32_t width, used;
};

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_PUSH_H_
