// Definitions of model/activation_scales.h.
#ifndef BRINK_MODEL_ACTIVATION_SCALES_IMPL_H_
#define BRINK_MODEL_ACTIVATION_SCALES_IMPL_H_

#include <cmath>
#include <initializer_list>
#include <string>

#include "brink/core/error.h"
#include "brink/gguf/tensor_map.h"
#include "brink/model/activation_scales.h"

namespace brink {

std::unordered_map<const std::uint8_t*, float> scales_by_matrix(const Gguf& gguf,
                                                                const Weights& weights,
                                                                const ActivationScales& scales) {
  const TensorMap tensors(gguf);
  const auto fail = [&](const WeightMatrix& matrix, const std::string& what) {
    throw Error("int8-tensor activations: " + what,
                {gguf.path(), std::string(tensors.of(matrix.data).name), {}});
  };
  std::unordered_map<const std::uint8_t*, float> found;
  for_each_rounded_matrix(weights, [&](const WeightMatrix& matrix) {
    const auto entry = scales.find(tensors.of(matrix.data).name);
    if (entry == scales.end()) fail(matrix, "no scale for this matrix; calibrate on a text");
    if (!std::isfinite(entry->second) || entry->second < 0)
      fail(matrix, "the scale is " + std::to_string(entry->second));
    found[matrix.data] = entry->second;
  });
  // Their input is rounded once.
  const auto check_alike = [&](std::initializer_list<const WeightMatrix*> matrices) {
    const WeightMatrix* first = nullptr;
    for (const WeightMatrix* matrix : matrices) {
      if (!*matrix) continue;
      if (first == nullptr) first = matrix;
      if (found[matrix->data] != found[first->data])
        fail(*matrix, "another scale than that of " + std::string(tensors.of(first->data).name) +
                          ", which has the same input");
    }
  };
  for (const LayerWeights& w : weights.layers) {
    check_alike({&w.q.matrix, &w.k.matrix, &w.v.matrix});
    check_alike({&w.gate.matrix, &w.up.matrix});
    check_alike({&w.shared_gate, &w.shared_up});
    for (std::size_t e = 0; e < w.expert_gate.size(); ++e)
      check_alike({&w.expert_gate[e], &w.expert_up[e]});
  }
  return found;
}

}  // namespace brink

#endif  // BRINK_MODEL_ACTIVATION_SCALES_IMPL_H_
