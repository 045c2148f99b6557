// Definitions of model/weights.h.
#ifndef BRINK_MODEL_WEIGHTS_IMPL_H_
#define BRINK_MODEL_WEIGHTS_IMPL_H_

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <string>

#include "brink/model/weights.h"

namespace brink {
namespace weights_detail {

inline std::string shape_text(std::span<const std::uint64_t> shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i)
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

/// Looks tensors up, checks them and counts their bytes.
class Finder {
 public:
  Finder(const Gguf& gguf, std::uint64_t& bytes) : gguf_(gguf), bytes_(bytes) {}

  [[noreturn]] void fail(const GgufTensor& tensor, const std::string& message) const {
    throw Error(message, {gguf_.paths()[tensor.file], std::string(tensor.name), tensor.offset});
  }

  /// nullptr when absent and optional. `shape` is in GGUF's order: row length first.
  const GgufTensor* find(const std::string& name, std::initializer_list<std::uint64_t> shape,
                         bool required) {
    const GgufTensor* tensor = gguf_.find_tensor(name);
    if (tensor == nullptr) {
      if (required) throw Error("tensor is missing", {gguf_.path(), name, std::nullopt});
      return nullptr;
    }
    std::array<std::uint64_t, 4> expected{1, 1, 1, 1};
    std::copy(shape.begin(), shape.end(), expected.begin());
    if (tensor->shape != expected) {
      const std::size_t shown = std::max<std::size_t>(tensor->dimensions, 1);
      fail(*tensor, "shape " + shape_text(std::span(tensor->shape).first(shown)) + ", expected " +
                        shape_text({shape.begin(), shape.size()}));
    }
    switch (tensor->type) {
      case TensorType::kI8:
      case TensorType::kI16:
      case TensorType::kI32:
      case TensorType::kI64:
        fail(*tensor,
             std::string("type ") + size_of(tensor->type).name + " cannot be used for weights");
      default:
        break;
    }
    bytes_ += tensor->bytes;
    return tensor;
  }

  WeightVector vector(const std::string& name, std::size_t size, bool required) {
    const GgufTensor* tensor = find(name, {size}, required);
    return tensor == nullptr ? WeightVector() : decode(*tensor);
  }

  /// A matrix; its scale is that of the tensor `base`.scale, if there is one.
  WeightMatrix matrix(const std::string& base, std::size_t rows, std::size_t columns,
                      bool required = true) {
    const GgufTensor* tensor = find(base + ".weight", {columns, rows}, required);
    if (tensor == nullptr) return {};
    WeightMatrix matrix = view(*tensor, rows, columns);
    if (const WeightVector scale = vector(base + ".scale", 1, false); !scale.empty())
      matrix.scale = scale[0];
    return matrix;
  }

  Linear linear(const std::string& base, std::size_t rows, std::size_t columns) {
    return {matrix(base, rows, columns), vector(base + ".bias", rows, false)};
  }

  ExpertMatrices experts(const std::string& base, std::size_t count, std::size_t rows,
                         std::size_t columns) {
    const GgufTensor* tensor = find(base + ".weight", {columns, rows, count}, true);
    const WeightVector scales = vector(base + ".scale", count, false);
    ExpertMatrices matrices(count, view(*tensor, rows, columns));
    const std::size_t bytes = matrices[0].bytes_per_row() * rows;
    for (std::size_t e = 0; e < count; ++e) {
      matrices[e].data += e * bytes;
      if (!scales.empty()) matrices[e].scale = scales[e];
    }
    return matrices;
  }

 private:
  static WeightMatrix view(const GgufTensor& tensor, std::size_t rows, std::size_t columns) {
    WeightMatrix matrix;
    matrix.data = reinterpret_cast<const std::uint8_t*>(tensor.data);
    matrix.type = tensor.type;
    matrix.rows = rows;
    matrix.columns = columns;
    return matrix;
  }

  WeightVector decode(const GgufTensor& tensor) const {
    WeightVector values(static_cast<std::size_t>(tensor.elements()));
    format_of(tensor.type)
        .decode(reinterpret_cast<const std::uint8_t*>(tensor.data), values.data(), values.size());
    for (const float value : values)
      if (!std::isfinite(value)) fail(tensor, "holds a value that is not finite");
    return values;
  }

  const Gguf& gguf_;
  std::uint64_t& bytes_;
};

inline Linear rows_of(const Linear& fused, std::size_t begin, std::size_t count) {
  Linear part;
  part.matrix = fused.matrix;
  part.matrix.data = fused.matrix.row(begin);
  part.matrix.rows = count;
  if (!fused.bias.empty()) {
    const auto first = fused.bias.begin() + static_cast<std::ptrdiff_t>(begin);
    part.bias.assign(first, first + static_cast<std::ptrdiff_t>(count));
  }
  return part;
}

inline void find_attention(Finder& find, const Gguf& gguf, const Config& config,
                           const LayerConfig& shape, const std::string& block,
                           LayerWeights& layer) {
  const std::size_t q_rows = shape.heads * config.key_length;
  const std::size_t k_rows = shape.kv_heads * config.key_length;
  const std::size_t v_rows = shape.kv_heads * config.value_length;
  layer.attention_norm = find.vector(block + "attn_norm.weight", config.embedding, true);
  if (gguf.find_tensor(block + "attn_qkv.weight") != nullptr) {
    const Linear fused =
        find.linear(block + "attn_qkv", q_rows + k_rows + v_rows, config.embedding);
    layer.q = rows_of(fused, 0, q_rows);
    layer.k = rows_of(fused, q_rows, k_rows);
    layer.v = rows_of(fused, q_rows + k_rows, v_rows);
  } else {
    layer.q = find.linear(block + "attn_q", q_rows, config.embedding);
    layer.k = find.linear(block + "attn_k", k_rows, config.embedding);
    layer.v = find.linear(block + "attn_v", v_rows, config.embedding);
  }
  if (config.head_norms) {
    layer.q_norm = find.vector(block + "attn_q_norm.weight", config.key_length, true);
    layer.k_norm = find.vector(block + "attn_k_norm.weight", config.key_length, true);
  }
  layer.attention_output =
      find.linear(block + "attn_output", config.embedding, shape.heads * config.value_length);
}

inline void find_feed_forward(Finder& find, const Config& config, const LayerConfig& shape,
                              const std::string& block, LayerWeights& layer) {
  const std::size_t width = config.embedding;
  layer.feed_forward_norm = find.vector(block + "ffn_norm.weight", width, true);
  if (config.experts == 0) {
    layer.gate = find.linear(block + "ffn_gate", shape.feed_forward, width);
    layer.up = find.linear(block + "ffn_up", shape.feed_forward, width);
    layer.down = find.linear(block + "ffn_down", width, shape.feed_forward);
    return;
  }
  layer.router = find.matrix(block + "ffn_gate_inp", config.experts, width);
  layer.expert_gate =
      find.experts(block + "ffn_gate_exps", config.experts, config.expert_width, width);
  layer.expert_up = find.experts(block + "ffn_up_exps", config.experts, config.expert_width, width);
  layer.expert_down =
      find.experts(block + "ffn_down_exps", config.experts, width, config.expert_width);
  if (config.shared_width == 0) return;
  layer.shared_router = find.matrix(block + "ffn_gate_inp_shexp", 1, width);
  layer.shared_gate = find.matrix(block + "ffn_gate_shexp", config.shared_width, width);
  layer.shared_up = find.matrix(block + "ffn_up_shexp", config.shared_width, width);
  layer.shared_down = find.matrix(block + "ffn_down_shexp", width, config.shared_width);
}

inline WeightVector find_rope_factors(Finder& find, const Gguf& gguf, const std::string& name,
                                      std::size_t pairs) {
  WeightVector factors = find.vector(name, pairs, false);
  if (std::find(factors.begin(), factors.end(), 0.0f) != factors.end())
    find.fail(*gguf.find_tensor(name), "holds a factor of 0");
  return factors;
}

}  // namespace weights_detail

Weights Weights::from_gguf(const Gguf& gguf, const Config& config) {
  using weights_detail::find_rope_factors;
  Weights weights;
  weights_detail::Finder find(gguf, weights.bytes);
  weights.embedding = find.matrix("token_embd", config.vocabulary, config.embedding);
  weights.output_norm = find.vector("output_norm.weight", config.embedding, true);
  weights.output.matrix = find.matrix("output", config.vocabulary, config.embedding, false);
  if (!weights.output.matrix) weights.output.matrix = weights.embedding;
  weights.output.bias = find.vector("output.bias", config.vocabulary, false);

  const std::size_t pairs = config.rope.dimensions / 2;
  if (config.rope.scaling == RopeScaling::kLongRope) {
    weights.rope_factors_long = find_rope_factors(find, gguf, "rope_factors_long.weight", pairs);
    weights.rope_factors_short = find_rope_factors(find, gguf, "rope_factors_short.weight", pairs);
  }
  weights.rope_factors = find_rope_factors(find, gguf, "rope_freqs.weight", pairs);

  weights.layers.resize(config.layers.size());
  for (std::size_t i = 0; i < weights.layers.size(); ++i) {
    const std::string block = "blk." + std::to_string(i) + ".";
    weights_detail::find_attention(find, gguf, config, config.layers[i], block, weights.layers[i]);
    weights_detail::find_feed_forward(find, config, config.layers[i], block, weights.layers[i]);
  }
  return weights;
}

}  // namespace brink

#endif  // BRINK_MODEL_WEIGHTS_IMPL_H_
