// Bytes of the buffers that the Vulkan backend works in; no header of Vulkan's is needed here.
#ifndef BRINK_VULKAN_SIZES_H_
#define BRINK_VULKAN_SIZES_H_

#include <algorithm>
#include <cstdint>

#include "brink/model/layout.h"
#include "brink/vulkan/backend.h"

namespace brink::vulkan {

/// Positions that a workgroup of attention.comp takes at once.
inline constexpr std::uint32_t kTileKeys = 32;

/// How many workgroups share the positions of a row. The same for all rows and steps of a session:
/// results must not depend on what else is computed.
inline std::uint32_t attention_splits(std::size_t context) {
  return static_cast<std::uint32_t>(std::clamp<std::size_t>(context / (8 * kTileKeys), 1, 16));
}

/// Offsets in the buffer of what differs from step to step.
struct StepLayout {
  StepLayout(const Config& config, const VulkanBackendOptions& options) {
    const auto align = [](std::uint64_t at) { return (at + 255) / 256 * 256; };
    const std::uint64_t batch = options.batch;
    // Sequences are few, but each may be as long as the context.
    const std::uint64_t table =
        std::uint64_t{options.sequences} * ((options.context + kKvPage - 1) / kKvPage);
    places = align(tokens + batch * 4);
    pages = align(places + batch * 8);
    tiles = align(pages + table * 4);
    rotations = align(tiles + batch * 8);
    bytes = align(rotations + batch * config.rope.dimensions * 4);
  }

  std::uint64_t tokens = 0;     ///< [batch] int
  std::uint64_t places = 0;     ///< [batch] uvec2, see shaders/kv.glsl
  std::uint64_t pages = 0;      ///< page tables of all sequences
  std::uint64_t tiles = 0;      ///< [tiles] uvec2, see shaders/attention_prompt.comp
  std::uint64_t rotations = 0;  ///< [batch][rope.dimensions] f32: cosines, then sines
  std::uint64_t bytes = 0;
};

/// Bytes of the forms that activations are rounded to, for so many rows of so many values.
struct ActivationBytes {
  ActivationBytes(Activations activations, std::uint64_t rows, std::uint64_t columns) {
    const std::uint64_t values = rows * ((columns + 31) / 32 * 32);  // whole blocks
    if (activations == Activations::kF32) return;
    f16 = 2 * values;
    first_f16 = activations == Activations::kQ8 ? 0 : 2;
    if (activations == Activations::kQ8) {
      q8 = values;
      q8_scales = values / 2;
    } else {
      bf16 = 4 * values;
    }
    total = 2 * (q8 + q8_scales) + bf16 + (3 - first_f16) * (f16 + 4 * rows);
  }

  std::uint64_t q8 = 0, q8_scales = 0;  ///< for blocks of 32, and again for blocks of 256
  std::uint64_t bf16 = 0;
  std::uint64_t f16 = 0;  ///< of each kind from `first_f16` to 2, for cooperative matrices
  std::uint32_t first_f16 = 3;
  std::uint64_t total = 0;  ///< on a device with cooperative matrices
};

/// Bytes of each buffer but the KV cache and the weights.
struct BufferSizes {
  BufferSizes(const Config& config, const VulkanBackendOptions& options)
      : step(StepLayout(config, options).bytes) {
    const ActivationWidths w(config);
    const std::uint64_t row = std::uint64_t{options.batch} * 4;
    const std::uint64_t used = config.experts > 0 ? config.experts_used : 1;
    x = norm = out = row * config.embedding;
    q = row * w.q;
    k = row * w.k;
    v = row * w.v;
    attention = row * w.attention;
    const std::uint64_t splits = attention_splits(options.context);
    stats = row * w.heads * splits * 2;
    partials = row * w.attention * splits;
    hidden = row * used * w.hidden;
    if (config.experts > 0) {
      routes = row * config.experts;
      choices = row * used;
      expert_out = row * used * config.embedding;
      shared = row * w.shared;
    }
    logits = options.sequences * std::uint64_t{config.vocabulary} * 4;
    rounded =
        ActivationBytes(options.activations, std::uint64_t{options.batch} * used, w.activation)
            .total;
  }

  std::uint64_t total() const {
    return 2 * step + x + norm + out + q + k + v + attention + stats + partials + 2 * hidden +
           routes + 2 * choices + expert_out + 2 * shared + 2 * logits + rounded;
  }

  /// The same of a backend whose layers others follow: rows in place of logits.
  std::uint64_t total_without_head() const { return total() - 2 * logits + x; }

  std::uint64_t step = 0;  // once for the host, once for the device; so are the logits
  std::uint64_t x = 0, norm = 0, out = 0, q = 0, k = 0, v = 0, attention = 0;
  std::uint64_t stats = 0, partials = 0;  // of attention's splits
  std::uint64_t hidden = 0;               // gate, and up
  std::uint64_t routes = 0, choices = 0, expert_out = 0, shared = 0;
  std::uint64_t logits = 0;  // of one row per sequence
  std::uint64_t rounded = 0;
};

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_SIZES_H_
