// Static scales of activations, for Activations::kInt8Tensor.
#ifndef BRINK_MODEL_ACTIVATION_SCALES_H_
#define BRINK_MODEL_ACTIVATION_SCALES_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>

#include "brink/gguf/reader.h"
#include "brink/model/weights.h"

namespace brink {

/// By the name of a matrix's tensor ("blk.0.attn_q.weight"; all experts of a tensor have one): the
/// f32 value of one int8 step of what the matrix is multiplied with. eval/calibration.h finds them.
using ActivationScales = std::map<std::string, float, std::less<>>;

/// fn(matrix) for the matrices whose input the simulated activations round: all of the layers but
/// the routers. The published 8-bit schemes leave these and the output (lm_head) in 16 bit.
template <class F>
void for_each_rounded_matrix(const Weights& weights, F&& fn) {
  for (const LayerWeights& layer : weights.layers)
    for_each_matrix(layer, [&](const WeightMatrix& matrix) {
      if (matrix.data != layer.router.data && matrix.data != layer.shared_router.data) fn(matrix);
    });
}

/// The scales of these matrices by their first byte. Throws Error, naming the tensor, where one is
/// missing, negative or not finite, or differs from that of a matrix with the same input.
std::unordered_map<const std::uint8_t*, float> scales_by_matrix(const Gguf& gguf,
                                                                const Weights& weights,
                                                                const ActivationScales& scales);

}  // namespace brink

#endif  // BRINK_MODEL_ACTIVATION_SCALES_H_
