// Definitions of model/config.h. Key names:
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#ifndef BRINK_MODEL_CONFIG_IMPL_H_
#define BRINK_MODEL_CONFIG_IMPL_H_

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>

#include "brink/model/config.h"

namespace brink {
namespace config_detail {

/// Everything in which the architectures differ before their tensors are looked at.
struct Architecture {
  std::string_view name;
  bool neox;               ///< kind of rotary pairs
  bool head_norms;         ///< query and key heads are normalised
  bool experts_required;   ///< always a mixture of experts
  bool experts_allowed;    ///< a mixture when expert_count says so
  bool normalize_experts;  ///< unless expert_weights_norm says otherwise
  bool shared_expert;
};

inline constexpr std::array<Architecture, 5> kArchitectures{{
    {"llama", false, false, false, true, true, false},
    {"qwen2", true, false, false, false, false, false},
    {"qwen3", true, true, false, false, false, false},
    {"qwen2moe", true, false, true, true, false, true},
    {"qwen3moe", true, true, true, true, true, false},
}};

// Wider than any model; keeps every product of a few sizes far from overflow.
inline constexpr std::uint64_t kMaxSize = std::uint64_t{1} << 24;

inline std::string supported_list() {
  std::string list;
  for (const Architecture& a : kArchitectures) {
    if (!list.empty()) list += ", ";
    list += a.name;
  }
  return list;
}

/// Reads keys below "ARCHITECTURE." with errors that name them.
class Keys {
 public:
  Keys(const Gguf& gguf, std::string_view architecture)
      : gguf_(gguf), prefix_(std::string(architecture) + ".") {}

  [[noreturn]] void fail(std::string_view key, const std::string& message) const {
    throw Error(message, {gguf_.path(), prefix_ + std::string(key), std::nullopt});
  }

  bool has(std::string_view key) const { return gguf_.find(prefix_ + std::string(key)) != nullptr; }

  std::optional<std::size_t> size(std::string_view key) const {
    const std::optional<std::uint64_t> value = gguf_.get_uint(prefix_ + std::string(key));
    if (!value) return std::nullopt;
    if (*value > kMaxSize) fail(key, "out of range: " + std::to_string(*value));
    return static_cast<std::size_t>(*value);
  }

  std::size_t positive(std::string_view key) const {
    const std::optional<std::size_t> value = size(key);
    if (!value) fail(key, "required metadata key is missing");
    if (*value == 0) fail(key, "must not be 0");
    return *value;
  }

  std::optional<double> number(std::string_view key) const {
    const std::optional<double> value = gguf_.get_float(prefix_ + std::string(key));
    if (value && !std::isfinite(*value)) fail(key, "is not a finite number");
    return value;
  }

  std::optional<bool> flag(std::string_view key) const {
    return gguf_.get_bool(prefix_ + std::string(key));
  }

  std::optional<std::string_view> text(std::string_view key) const {
    return gguf_.get_string(prefix_ + std::string(key));
  }

  /// One value per layer, from a number or an array of at least that many; empty when absent.
  std::vector<std::size_t> per_layer(std::string_view key, std::size_t layers) const {
    const GgufValue* value = gguf_.find(prefix_ + std::string(key));
    if (value == nullptr) return {};
    if (!value->is_array()) return std::vector<std::size_t>(layers, *size(key));
    const std::vector<std::int64_t> values = value->ints();
    if (values.size() < layers)
      fail(key, "array of " + std::to_string(values.size()) + " integers, expected " +
                    std::to_string(layers) + " (one per layer)");
    std::vector<std::size_t> sizes(layers);
    for (std::size_t i = 0; i < layers; ++i) {
      if (values[i] < 0 || static_cast<std::uint64_t>(values[i]) > kMaxSize)
        fail(key, "out of range: " + std::to_string(values[i]));
      sizes[i] = static_cast<std::size_t>(values[i]);
    }
    return sizes;
  }

 private:
  const Gguf& gguf_;
  std::string prefix_;
};

/// Refuses by name what is a GGUF file but not a model that can be run.
inline const Architecture& check_kind(const Gguf& gguf) {
  const auto refuse = [&](const std::string& message) -> void {
    throw Error(message, {gguf.path(), "", std::nullopt});
  };
  const std::string type(gguf.get_string("general.type").value_or("model"));
  const std::string name(gguf.get_string("general.architecture").value_or(""));
  const std::string list = " (supported architectures: " + supported_list() + ")";
  if (type == "adapter" || gguf.find("adapter.type") != nullptr)
    refuse("this is an adapter (LoRA) file, not a model" + list);
  if (type == "mmproj" || name == "clip")
    refuse("this is a multimodal projector file (architecture 'clip'), not a model" + list);
  if (type == "imatrix" || gguf.find("imatrix.datasets") != nullptr)
    refuse("this is an importance-matrix (imatrix) file, not a model" + list);
  if (type != "model") refuse("this is a '" + type + "' file, not a model" + list);
  if (gguf.tensors().empty()) {
    if (gguf.find("tokenizer.ggml.tokens") != nullptr)
      refuse("this file holds a vocabulary and no weights: only its tokenizer can be used");
    refuse("this file holds no tensors");
  }
  if (name.empty())
    throw Error("required metadata key is missing",
                {gguf.path(), "general.architecture", std::nullopt});
  for (const Architecture& a : kArchitectures)
    if (a.name == name) return a;
  throw Error("architecture '" + name + "' is not supported" + list,
              {gguf.path(), "", std::nullopt});
}

/// YaRN's multiplier of attention logits' temperature, split between q and k: 0.1 m ln(s) + 1.
inline double yarn_magnitude(double factor, double multiplier) {
  return factor <= 1.0 ? 1.0 : 0.1 * multiplier * std::log(factor) + 1.0;
}

inline RopeConfig read_rope(const Keys& keys, const Architecture& architecture,
                            const Config& config) {
  RopeConfig rope;
  rope.neox = architecture.neox;
  rope.dimensions = keys.size("rope.dimension_count").value_or(config.key_length);
  if (rope.dimensions == 0 || rope.dimensions % 2 != 0 || rope.dimensions > config.key_length)
    keys.fail("rope.dimension_count", std::to_string(rope.dimensions) +
                                          " is not an even number from 2 to the key length " +
                                          std::to_string(config.key_length));
  rope.base = keys.number("rope.freq_base").value_or(10000.0);
  if (rope.base <= 0.0) keys.fail("rope.freq_base", "must be positive");
  rope.original_context =
      keys.size("rope.scaling.original_context_length").value_or(config.context_length);

  // Files older than rope.scaling.* have rope.scale_linear. A factor of 0 means none.
  const char* const factor_key =
      keys.has("rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear";
  rope.factor = keys.number(factor_key).value_or(1.0);
  if (rope.factor < 0.0) keys.fail(factor_key, "must not be negative");
  if (rope.factor == 0.0) rope.factor = 1.0;

  const std::string type(keys.text("rope.scaling.type").value_or("linear"));
  if (type == "none") {
    rope.scaling = RopeScaling::kNone;
    rope.factor = 1.0;
  } else if (type == "linear") {
    rope.scaling = rope.factor == 1.0 ? RopeScaling::kNone : RopeScaling::kLinear;
  } else if (type == "yarn") {
    rope.scaling = RopeScaling::kYarn;
  } else if (type == "longrope") {
    rope.scaling = RopeScaling::kLongRope;
  } else {
    keys.fail("rope.scaling.type",
              "'" + type + "' is not supported (supported: none, linear, yarn, longrope)");
  }
  rope.magnitude = keys.number("rope.scaling.attn_factor").value_or(1.0);
  if (rope.scaling != RopeScaling::kYarn) return rope;

  rope.extrapolation = keys.number("rope.scaling.yarn_ext_factor").value_or(1.0);
  rope.beta_fast = keys.number("rope.scaling.yarn_beta_fast").value_or(32.0);
  rope.beta_slow = keys.number("rope.scaling.yarn_beta_slow").value_or(1.0);
  if (rope.beta_fast <= 0.0) keys.fail("rope.scaling.yarn_beta_fast", "must be positive");
  if (rope.beta_slow <= 0.0) keys.fail("rope.scaling.yarn_beta_slow", "must be positive");
  if (rope.original_context == 0)
    keys.fail("rope.scaling.original_context_length", "required for YaRN and missing");
  rope.magnitude *= keys.number("rope.scaling.yarn_attn_factor").value_or(1.0);
  if (rope.extrapolation < 0.0) rope.extrapolation = 1.0;  // "not set"
  if (rope.extrapolation != 0.0) {
    rope.magnitude *= yarn_magnitude(rope.factor, 1.0);
    const double multiplier = keys.number("rope.scaling.yarn_log_multiplier").value_or(0.0);
    if (multiplier != 0.0) rope.magnitude /= yarn_magnitude(rope.factor, multiplier);
  }
  if (!std::isfinite(rope.magnitude))
    keys.fail("rope.scaling.yarn_log_multiplier", "gives no finite attention factor");
  return rope;
}

inline void read_experts(const Keys& keys, const Architecture& architecture, Config& config) {
  config.experts = keys.size("expert_count").value_or(0);
  config.experts_used = keys.size("expert_used_count").value_or(0);
  if (config.experts == 0) {
    if (architecture.experts_required) keys.fail("expert_count", "required and missing or 0");
    return;
  }
  if (!architecture.experts_allowed)
    keys.fail("expert_count", "experts are not supported in this architecture");
  if (config.experts_used == 0 || config.experts_used > config.experts)
    keys.fail("expert_used_count", std::to_string(config.experts_used) +
                                       " is not a number from 1 to the number of experts " +
                                       std::to_string(config.experts));
  if (keys.size("expert_group_count").value_or(0) > 1)
    keys.fail("expert_group_count", "groups of experts are not supported");
  if (const std::size_t gating = keys.size("expert_gating_func").value_or(0); gating > 1)
    keys.fail("expert_gating_func",
              std::to_string(gating) + " is not supported (supported: 1, softmax)");
  const std::size_t dense = config.layers.front().feed_forward;
  const std::size_t fallback = architecture.experts_required ? dense / config.experts_used : dense;
  config.expert_width = keys.size("expert_feed_forward_length").value_or(0);
  if (config.expert_width == 0) config.expert_width = fallback;
  if (config.expert_width == 0) keys.fail("expert_feed_forward_length", "required and missing");
  if (architecture.shared_expert) {
    config.shared_width = keys.size("expert_shared_feed_forward_length").value_or(0);
    if (config.shared_width == 0) config.shared_width = dense;
    if (config.shared_width == 0)
      keys.fail("expert_shared_feed_forward_length", "required and missing");
  }
  config.normalize_experts =
      keys.flag("expert_weights_norm").value_or(architecture.normalize_experts);
  config.expert_weights_scale =
      static_cast<float>(keys.number("expert_weights_scale").value_or(1.0));
  // Converters write 0 for models that have no such factor.
  if (config.expert_weights_scale == 0.0f) config.expert_weights_scale = 1.0f;
}

inline void read_layers(const Keys& keys, const Gguf& gguf, Config& config) {
  const std::size_t layers = keys.positive("block_count");
  // Every layer has tensors, so this bounds what a corrupt count can make us allocate.
  if (layers > gguf.tensors().size())
    keys.fail("block_count", std::to_string(layers) + " layers, but the file has only " +
                                 std::to_string(gguf.tensors().size()) + " tensors");
  const std::vector<std::size_t> heads = keys.per_layer("attention.head_count", layers);
  if (heads.empty()) keys.fail("attention.head_count", "required metadata key is missing");
  const std::vector<std::size_t> kv_heads = keys.per_layer("attention.head_count_kv", layers);
  const std::vector<std::size_t> widths = keys.per_layer("feed_forward_length", layers);
  config.layers.resize(layers);
  for (std::size_t i = 0; i < layers; ++i) {
    LayerConfig& layer = config.layers[i];
    layer.heads = heads[i];
    layer.kv_heads = kv_heads.empty() ? heads[i] : kv_heads[i];
    layer.feed_forward = widths.empty() ? 0 : widths[i];
    const std::string where = " in layer " + std::to_string(i);
    if (layer.heads == 0) keys.fail("attention.head_count", "must not be 0" + where);
    if (layer.kv_heads == 0) keys.fail("attention.head_count_kv", "must not be 0" + where);
    if (layer.heads % layer.kv_heads != 0)
      keys.fail("attention.head_count_kv", std::to_string(layer.heads) +
                                               " query heads do not divide among " +
                                               std::to_string(layer.kv_heads) + where);
  }
}

/// Tokens of the vocabulary: what the embedding matrix must have as rows.
inline std::size_t read_vocabulary(const Keys& keys, const Gguf& gguf) {
  if (const GgufValue* tokens = gguf.find("tokenizer.ggml.tokens");
      tokens != nullptr && tokens->is_array() && tokens->size() > 0 && tokens->size() <= kMaxSize)
    return static_cast<std::size_t>(tokens->size());
  if (const std::optional<std::size_t> size = keys.size("vocab_size"); size && *size > 0)
    return *size;
  const GgufTensor* embedding = gguf.find_tensor("token_embd.weight");
  return embedding == nullptr ? 0
                              : static_cast<std::size_t>(std::min(embedding->shape[1], kMaxSize));
}

}  // namespace config_detail

std::span<const std::string_view> supported_architectures() {
  static const auto names = [] {
    std::array<std::string_view, config_detail::kArchitectures.size()> list;
    for (std::size_t i = 0; i < list.size(); ++i) list[i] = config_detail::kArchitectures[i].name;
    return list;
  }();
  return names;
}

Config Config::from_gguf(const Gguf& gguf) {
  const config_detail::Architecture& architecture = config_detail::check_kind(gguf);
  const config_detail::Keys keys(gguf, architecture.name);
  Config config;
  config.architecture = architecture.name;
  config.name = gguf.get_string("general.name").value_or("");
  config.head_norms = architecture.head_norms;
  config_detail::read_layers(keys, gguf, config);
  config.embedding = keys.positive("embedding_length");
  config.vocabulary = config_detail::read_vocabulary(keys, gguf);
  config.context_length = keys.size("context_length").value_or(0);

  const std::size_t head = config.embedding / config.layers.front().heads;
  config.key_length = keys.size("attention.key_length").value_or(head);
  config.value_length = keys.size("attention.value_length").value_or(head);
  if (config.key_length == 0) keys.fail("attention.key_length", "must not be 0");
  if (config.value_length == 0) keys.fail("attention.value_length", "must not be 0");
  if (!keys.flag("attention.causal").value_or(true))
    keys.fail("attention.causal", "attention that is not causal is not supported");

  constexpr std::string_view kEpsilon = "attention.layer_norm_rms_epsilon";
  const std::optional<double> epsilon = keys.number(kEpsilon);
  if (!epsilon) keys.fail(kEpsilon, "required metadata key is missing");
  if (*epsilon < 0.0) keys.fail(kEpsilon, "must not be negative");
  config.norm_epsilon = static_cast<float>(*epsilon);

  // 0, which some converters write, means the usual 1 / sqrt(key length).
  config.attention_scale = static_cast<float>(keys.number("attention.scale").value_or(0.0));
  if (config.attention_scale == 0.0f)
    config.attention_scale =
        static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.key_length)));

  config_detail::read_experts(keys, architecture, config);
  if (config.experts == 0)
    for (const LayerConfig& layer : config.layers)
      if (layer.feed_forward == 0) keys.fail("feed_forward_length", "required and missing or 0");
  config.rope = config_detail::read_rope(keys, architecture, config);
  return config;
}

}  // namespace brink

#endif  // BRINK_MODEL_CONFIG_IMPL_H_
