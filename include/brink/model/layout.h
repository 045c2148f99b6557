// Sizes of what a backend keeps: activations per token and pages of the KV cache.
#ifndef BRINK_MODEL_LAYOUT_H_
#define BRINK_MODEL_LAYOUT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "brink/core/aligned.h"
#include "brink/core/error.h"
#include "brink/cpu/kernels.h"
#include "brink/model/config.h"

namespace brink {

/// Values per token of each buffer of the forward pass.
struct ActivationWidths {
  explicit ActivationWidths(const Config& config);

  std::size_t q = 0, k = 0, v = 0;  ///< all heads of the widest layer
  std::size_t heads = 0;            ///< query heads of that layer
  std::size_t attention = 0;        ///< what attention gives
  std::size_t hidden = 0;           ///< of gate and up: the widest feed-forward network
  std::size_t choices = 0;          ///< experts per token
  std::size_t routes = 0;           ///< router outputs
  std::size_t shared = 0;           ///< of the shared expert
  std::size_t activation = 0;       ///< the widest input of a product
};

/// Where keys and values lie in a page of the KV cache (kKvPage positions of every layer).
struct KvLayout {
  /// Bytes from the start of the page; kv_heads x kKvPage rows each.
  struct Layer {
    std::size_t k = 0;
    std::size_t v = 0;
  };

  /// Throws Error when `type` does not fit the heads.
  KvLayout(const Config& config, KvType type);

  /// Bytes of `pages` pages. Throws Error when no memory could hold them.
  std::uint64_t bytes(std::size_t pages) const;

  std::vector<Layer> layers;
  std::size_t k_row = 0;  ///< bytes of one key
  std::size_t v_row = 0;
  std::size_t page = 0;  ///< bytes of a page, all layers
};

inline ActivationWidths::ActivationWidths(const Config& config) {
  for (const LayerConfig& layer : config.layers) {
    heads = std::max(heads, layer.heads);
    q = std::max(q, layer.heads * config.key_length);
    k = std::max(k, layer.kv_heads * config.key_length);
    v = std::max(v, layer.kv_heads * config.value_length);
    attention = std::max(attention, layer.heads * config.value_length);
    if (config.experts == 0) hidden = std::max(hidden, layer.feed_forward);
  }
  if (config.experts > 0) {
    hidden = config.expert_width;
    choices = config.experts_used;
    routes = config.experts;
    shared = config.shared_width;
  }
  activation = std::max({config.embedding, attention, hidden, shared});
}

inline KvLayout::KvLayout(const Config& config, KvType type)
    : k_row(kv_row_bytes(type, config.key_length)), v_row(kv_row_bytes(type, config.value_length)) {
  const auto check = [&](const char* what, std::size_t dim) {
    if (dim % kv_block(type) != 0)
      throw Error(std::string("KV type ") + (type == KvType::kQ8_0 ? "q8_0" : "q4_0") +
                  " needs a " + what + " length that is a multiple of " +
                  std::to_string(kv_block(type)) + ", this model has " + std::to_string(dim));
  };
  check("key", config.key_length);
  check("value", config.value_length);
  const auto round_up = [](std::size_t bytes) {
    return (bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
  };
  for (const LayerConfig& layer : config.layers) {
    Layer place;
    place.k = page;
    page += round_up(layer.kv_heads * kKvPage * k_row);
    place.v = page;
    page += round_up(layer.kv_heads * kKvPage * v_row);
    layers.push_back(place);
  }
}

inline std::uint64_t KvLayout::bytes(std::size_t pages) const {
  if (page != 0 && pages > std::numeric_limits<std::size_t>::max() / 2 / page)
    throw Error("the KV cache of " + std::to_string(pages * kKvPage) +
                " positions does not fit any memory");
  return std::uint64_t{pages} * page;
}

}  // namespace brink

#endif  // BRINK_MODEL_LAYOUT_H_
