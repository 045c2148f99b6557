// Attention and mixtures of experts on a Vulkan device: part of the definitions of
// vulkan/backend_class.h.
#ifndef BRINK_VULKAN_BACKEND_LAYERS_IMPL_H_
#define BRINK_VULKAN_BACKEND_LAYERS_IMPL_H_

#include <algorithm>
#include <array>
#include <cstring>

#include "brink/vulkan/backend_class.h"
#include "brink/vulkan/backend_impl.h"
#include "brink/vulkan/push.h"

namespace brink::vulkan {
namespace backend_detail {

inline std::uint32_t heads_together(std::uint32_t group) {
  std::uint32_t heads = std::min(group, kMostHeads);
  while (group % heads != 0) --heads;
  return heads;
}

}  // namespace backend_detail

void VulkanBackend::project_heads(std::size_t layer) {
  using namespace backend_detail;
  if (replaying_) return;
  const Layer& w = layers_[layer];
  const LayerConfig& shape = config_.layers[layer];
  norm(w.attention_norm);
  const std::array<DeviceProduct, 3> products{{{&w.q.matrix, q_.address(), w.q.matrix.rows},
                                               {&w.k.matrix, k_.address(), w.k.matrix.rows},
                                               {&w.v.matrix, v_.address(), w.v.matrix.rows}}};
  multiply(norm_, config_.embedding, products);
  const RopeConfig& rope = config_.rope;
  recording_.dispatch(
      device_->pipeline("heads", {kHeadLocal, u32(config_.key_length), u32(config_.value_length),
                                  u32(rope.dimensions), rope.neox ? 1u : 0u,
                                  static_cast<std::uint32_t>(options_.kv_type)}),
      HeadsPush{q_.address(), k_.address(), v_.address(), w.q.bias, w.k.bias, w.v.bias, w.q_norm,
                w.k_norm, step_.address() + step_layout_.rotations,
                step_.address() + step_layout_.places, step_.address() + step_layout_.pages,
                kv_.address(), u32(layout_.page), u32(layout_.layers[layer].k),
                u32(layout_.layers[layer].v), u32(shape.heads), u32(shape.kv_heads),
                config_.norm_epsilon},
      u32(shape.heads + 2 * shape.kv_heads), rows());
  recording_.barrier();
}

// Sequences with several tokens are cut into tiles of queries; those with one are gathered in runs,
// unless all are to be computed alike.
void VulkanBackend::plan_attention() {
  using namespace backend_detail;
  auto* tiles = reinterpret_cast<std::uint32_t*>(step_host_.mapped() + step_layout_.tiles);
  tiles_ = 0;
  singles_.clear();
  for (const BatchSequence& sequence : batch_.sequences) {
    const std::uint32_t first = u32(sequence.first), count = u32(sequence.count);
    if (count == 1 && !options_.same_kernels) {
      if (singles_.empty() || singles_.back().first + singles_.back().count != first)
        singles_.push_back({first, 0});
      ++singles_.back().count;
      continue;
    }
    for (std::uint32_t i = 0; i < count; i += kTileQueries) {
      tiles[2 * tiles_] = first + i;
      tiles[2 * tiles_ + 1] = std::min(kTileQueries, count - i);
      ++tiles_;
    }
  }
}

void VulkanBackend::attend(std::size_t layer) {
  using namespace backend_detail;
  if (replaying_) return;
  const std::uint32_t heads = u32(config_.layers[layer].heads);
  const std::uint32_t kv_heads = u32(config_.layers[layer].kv_heads);
  const std::uint32_t k_dim = u32(config_.key_length), v_dim = u32(config_.value_length);
  const std::uint32_t kv_type = static_cast<std::uint32_t>(options_.kv_type);
  const std::uint32_t k_offset = u32(layout_.layers[layer].k);
  const std::uint32_t v_offset = u32(layout_.layers[layer].v);
  const std::uint64_t places = step_.address() + step_layout_.places;
  const std::uint64_t pages = step_.address() + step_layout_.pages;
  if (tiles_ > 0)
    recording_.dispatch(
        device_->pipeline("attention_prompt", {kAttentionLocal, k_dim, v_dim, kv_type}),
        PromptPush{q_.address(), attention_.address(), places, pages, kv_.address(),
                   step_.address() + step_layout_.tiles, u32(layout_.page), k_offset, v_offset,
                   heads, kv_heads, config_.attention_scale},
        heads, tiles_);
  const std::uint32_t together = heads_together(heads / kv_heads);
  const Pipeline& single =
      device_->pipeline("attention", {kAttentionLocal, k_dim, v_dim, kv_type, together, kTileKeys});
  const std::uint64_t q_row = std::uint64_t{heads} * k_dim * sizeof(float);
  const std::uint64_t out_row = std::uint64_t{heads} * v_dim * sizeof(float);
  const std::uint64_t stats_row = std::uint64_t{heads} * splits_ * 2 * sizeof(float);
  const std::uint64_t partials_row = out_row * splits_;
  for (const RowRun& run : singles_)
    recording_.dispatch(
        single,
        AttentionPush{q_.address() + run.first * q_row, attention_.address() + run.first * out_row,
                      places + run.first * std::uint64_t{8}, pages, kv_.address(),
                      stats_.address() + run.first * stats_row,
                      partials_.address() + run.first * partials_row, u32(layout_.page), k_offset,
                      v_offset, heads, kv_heads, config_.attention_scale},
        splits_, heads / together, run.count);
  recording_.barrier();
  if (splits_ == 1 || singles_.empty()) return;
  for (const RowRun& run : singles_)
    recording_.dispatch(device_->pipeline("attention_combine", {32}),
                        CombinePush{stats_.address() + run.first * stats_row,
                                    partials_.address() + run.first * partials_row,
                                    attention_.address() + run.first * out_row, splits_, v_dim},
                        heads, run.count);
  recording_.barrier();
}

void VulkanBackend::experts(std::size_t layer) {
  using namespace backend_detail;
  if (replaying_) return;
  const Layer& w = layers_[layer];
  const std::uint32_t used = u32(config_.experts_used);
  const std::uint32_t slots = rows() * used;
  const std::uint32_t width = u32(config_.expert_width), n = u32(config_.embedding);
  norm(w.feed_forward_norm);
  const std::array<DeviceProduct, 4> products{
      {{&w.router, routes_.address(), u32(config_.experts)},
       {&w.shared_router, shared_routes_.address(), 1},
       {&w.shared_gate, shared_gate_.address(), u32(config_.shared_width)},
       {&w.shared_up, shared_up_.address(), u32(config_.shared_width)}}};
  const bool shared = config_.shared_width > 0;
  multiply(norm_, n, std::span(products).first(shared ? 4 : 1));
  recording_.dispatch(
      device_->pipeline("route", {64, u32(config_.experts)}),
      RoutePush{routes_.address(), choices_.address(), choice_weights_.address(), used,
                config_.normalize_experts ? 1u : 0u, config_.expert_weights_scale},
      rows());
  recording_.barrier();
  const std::array<ExpertProduct, 2> gate_up{
      {{&w.expert_gate, w.gate_scales, choices_.address(), slots, used, gate_.address()},
       {&w.expert_up, w.up_scales, choices_.address(), slots, used, up_.address()}}};
  products_->multiply(recording_, {norm_.address(), n, rows()}, n, gate_up);
  recording_.barrier();
  swiglu(gate_, up_, 0, 0, width, slots);
  const ExpertProduct down{&w.expert_down,       w.down_scales, choices_.address(), slots, 1,
                           expert_out_.address()};
  products_->multiply(recording_, {gate_.address(), width, slots}, width,
                      std::span<const ExpertProduct>(&down, 1));
  recording_.barrier();
  if (shared) {
    swiglu(shared_gate_, shared_up_, 0, 0, config_.shared_width, rows());
    multiply(shared_gate_, w.shared_down, out_);
  }
  recording_.dispatch(
      device_->pipeline("expert_combine", {kLocal}),
      ExpertCombinePush{x_.address(), expert_out_.address(), choice_weights_.address(),
                        shared_routes_.address(), shared ? out_.address() : 0, n, used},
      (n + 4 * kLocal - 1) / (4 * kLocal), rows());
  recording_.barrier();
}

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_BACKEND_LAYERS_IMPL_H_
