// The tensors of a model under the names the forward pass uses.
#ifndef BRINK_MODEL_WEIGHTS_H_
#define BRINK_MODEL_WEIGHTS_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "brink/gguf/reader.h"
#include "brink/model/config.h"
#include "brink/quant/weight_matrix.h"

namespace brink {

/// Norm weights and biases, decoded to f32. Empty when the file has no such tensor.
using WeightVector = std::vector<float>;

/// y = W x + bias.
struct Linear {
  WeightMatrix matrix;
  WeightVector bias;  ///< [rows] or empty
};

/// One matrix per expert, all of the same type and shape.
using ExpertMatrices = std::vector<WeightMatrix>;

struct LayerWeights {
  WeightVector attention_norm;  ///< [embedding]
  Linear q;                     ///< [heads * key_length][embedding]
  Linear k;                     ///< [kv_heads * key_length][embedding]
  Linear v;                     ///< [kv_heads * value_length][embedding]
  WeightVector q_norm;          ///< [key_length] or empty
  WeightVector k_norm;          ///< [key_length] or empty
  Linear attention_output;      ///< [embedding][heads * value_length]

  WeightVector feed_forward_norm;  ///< [embedding]
  Linear gate;                     ///< [feed_forward][embedding]
  Linear up;                       ///< [feed_forward][embedding]
  Linear down;                     ///< [embedding][feed_forward]

  WeightMatrix router;         ///< [experts][embedding]; set in layers with experts
  ExpertMatrices expert_gate;  ///< [expert_width][embedding]
  ExpertMatrices expert_up;    ///< [expert_width][embedding]
  ExpertMatrices expert_down;  ///< [embedding][expert_width]

  WeightMatrix shared_router;  ///< [1][embedding]; set with a shared expert
  WeightMatrix shared_gate;    ///< [shared_width][embedding]
  WeightMatrix shared_up;      ///< [shared_width][embedding]
  WeightMatrix shared_down;    ///< [embedding][shared_width]
};

/// Matrices point into the mapped file and are valid as long as its Gguf.
struct Weights {
  WeightMatrix embedding;     ///< [vocabulary][embedding]
  WeightVector output_norm;   ///< [embedding]
  Linear output;              ///< [vocabulary][embedding]; the embedding when the file has none
  WeightVector rope_factors;  ///< [rope.dimensions / 2] divide the frequencies, or empty
  WeightVector rope_factors_long;   ///< the same for contexts beyond the original one
  WeightVector rope_factors_short;  ///< the same within the original context
  std::vector<LayerWeights> layers;
  std::uint64_t bytes = 0;  ///< of all tensors used, as stored

  /// Finds and checks every tensor. Throws Error naming a tensor that is missing, has another
  /// shape than the metadata say (with both shapes), or a type that weights cannot have.
  static Weights from_gguf(const Gguf& gguf, const Config& config);
};

/// fn(matrix) for every matrix of a layer or a model (const or not) that there is; all experts one
/// by one, an output that is the embedding only once.
template <class Layer, class F>
requires std::same_as<std::remove_const_t<Layer>, LayerWeights>
void for_each_matrix(Layer& l, F&& fn) {
  const auto visit = [&](auto& matrix) {
    if (matrix) fn(matrix);
  };
  for (auto* m : {&l.q, &l.k, &l.v, &l.attention_output, &l.gate, &l.up, &l.down}) visit(m->matrix);
  for (auto* m : {&l.router, &l.shared_router, &l.shared_gate, &l.shared_up, &l.shared_down})
    visit(*m);
  for (auto* m : {&l.expert_gate, &l.expert_up, &l.expert_down})
    for (auto& expert : *m) visit(expert);
}
template <class AnyWeights, class F>
requires std::same_as<std::remove_const_t<AnyWeights>, Weights>
void for_each_matrix(AnyWeights& weights, F&& fn) {
  const bool tied = weights.output.matrix.data == weights.embedding.data;
  if (weights.embedding) fn(weights.embedding);
  if (weights.output.matrix && !tied) fn(weights.output.matrix);
  for (auto& layer : weights.layers) for_each_matrix(layer, fn);
}

}  // namespace brink

#endif  // BRINK_MODEL_WEIGHTS_H_
