// The hyper-parameters of a model, read from GGUF metadata and checked.
#ifndef BRINK_MODEL_CONFIG_H_
#define BRINK_MODEL_CONFIG_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "brink/gguf/reader.h"

namespace brink {

/// How positions beyond those of training are reached.
enum class RopeScaling : std::uint8_t {
  kNone,
  kLinear,    ///< positions divided by `factor`
  kYarn,      ///< https://arxiv.org/abs/2309.00071
  kLongRope,  ///< a factor per dimension, one set for short and one for long contexts
};

/// Rotary position embedding. A pair's angle is position * base^(-2i / dimensions), before scaling.
struct RopeConfig {
  std::size_t dimensions = 0;  ///< values of a head that are rotated; even
  bool neox = false;           ///< pairs (i, i + dimensions/2) instead of (2i, 2i + 1)
  double base = 10000.0;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1.0;
  std::size_t original_context = 0;  ///< context of training, before scaling
  double extrapolation = 1.0;        ///< YaRN: share of the unscaled angle in fast dimensions
  double beta_fast = 32.0;           ///< YaRN: rotations over the original context, upper bound
  double beta_slow = 1.0;            ///< YaRN: the same, lower bound
  double magnitude = 1.0;            ///< multiplies cosine and sine (YaRN's attention factor)
};

struct LayerConfig {
  std::size_t heads = 0;
  std::size_t kv_heads = 0;
  std::size_t feed_forward = 0;  ///< width of the dense feed-forward network
};

struct Config {
  std::string architecture;  ///< "llama", "qwen2", ...
  std::string name;          ///< general.name, may be empty
  std::vector<LayerConfig> layers;
  std::size_t embedding = 0;       ///< width of the residual stream
  std::size_t vocabulary = 0;      ///< tokens
  std::size_t context_length = 0;  ///< trained for; 0 when the file does not say
  std::size_t key_length = 0;      ///< values per query and key head
  std::size_t value_length = 0;    ///< values per value head
  float norm_epsilon = 0.0f;       ///< of every RMS norm
  float attention_scale = 0.0f;    ///< multiplies q . k
  RopeConfig rope;
  std::size_t experts = 0;         ///< 0: dense feed-forward networks
  std::size_t experts_used = 0;    ///< per token
  std::size_t expert_width = 0;    ///< feed-forward width of one expert
  std::size_t shared_width = 0;    ///< feed-forward width of the shared expert, 0 when none
  bool normalize_experts = false;  ///< the chosen experts' weights are scaled to sum to one
  float expert_weights_scale = 1.0f;

  // What the architecture's tensors are.
  bool head_norms = false;  ///< RMS norm of each query and key head (Qwen 3)

  /// Reads and checks the metadata. Throws Error, naming the key, for what is missing, out of
  /// range or not supported: other architectures, adapters, projectors, files without weights.
  static Config from_gguf(const Gguf& gguf);
};

/// Architectures that can be run, in the order in which errors list them.
std::span<const std::string_view> supported_architectures();

}  // namespace brink

#endif  // BRINK_MODEL_CONFIG_H_
