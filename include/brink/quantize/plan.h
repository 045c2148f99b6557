// Which type each tensor of a file gets when it is quantized: a mix, and exceptions from it.
#ifndef BRINK_QUANTIZE_PLAN_H_
#define BRINK_QUANTIZE_PLAN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "brink/gguf/reader.h"
#include "brink/gguf/tensor_types.h"
#include "brink/quant/mixes.h"

namespace brink {

/// An exception from the mix: quantizable tensors in whose name the pattern is found.
struct TensorTypeRule {
  std::string pattern;  ///< ECMAScript regular expression, found anywhere in the name
  TensorType type = TensorType::kF16;
};

/// "ffn_down=Q6_K" as a rule; the type in any case. Throws Error on an unknown type, a type that
/// holds no weights, an empty or invalid pattern.
TensorTypeRule parse_tensor_type_rule(std::string_view text);

/// A type of weights by its name in any case ("q4_k"). Throws Error naming the known ones.
TensorType parse_weight_type(std::string_view name);

struct TypeRequest {
  Mix mix;
  std::vector<TensorTypeRule> rules;  ///< of several that match, the first decides
  bool importance_matrix = false;     ///< there is one: some mixes then spend fewer bits
};

struct PlannedTensor {
  const GgufTensor* source = nullptr;
  TensorType type = TensorType::kF32;  ///< that it gets
  bool quantizable = false;            ///< false: norms, biases and routers stay as they are
  bool fallback = false;               ///< rows are no multiple of the block of the type asked for

  std::uint64_t bytes() const;
};

/// What the mixes' rules ask, from a file's metadata and tensors. `importance` is left false.
MixModel mix_model_of(const Gguf& gguf);

/// All tensors of the file in its order. Throws Error when the file is no model (no architecture or
/// number of layers) or a rule matches nothing.
std::vector<PlannedTensor> plan_types(const Gguf& gguf, const TypeRequest& request);

/// Of all tensors together: 8 x bytes / weights.
double bits_per_weight(const std::vector<PlannedTensor>& plan);

/// Bytes of all tensors.
std::uint64_t data_bytes(const std::vector<PlannedTensor>& plan);

}  // namespace brink

#endif  // BRINK_QUANTIZE_PLAN_H_
