// The forward pass, stated once for all architectures and all backends.
//
// Llama, Qwen 2, Qwen 3 and their mixtures of experts are the same pre-norm transformer: RMS norm,
// grouped-query attention with rotary positions, SwiGLU. They differ in tables: which tensors a
// layer has (biases, head norms, experts; model/weights.h) and in numbers (model/config.h). A new
// architecture adds a row to the table in config_impl.h, names in weights_impl.h and, where its
// layers have another shape, a branch here.
#ifndef BRINK_MODEL_TRANSFORMER_H_
#define BRINK_MODEL_TRANSFORMER_H_

#include <cstddef>
#include <span>

#include "brink/model/backend.h"
#include "brink/model/config.h"

namespace brink {

/// Runs `batch` through the model: its k and v are in the cache afterwards. What it returns is
/// valid until the next run.
inline Outputs forward(const Config& config, Backend& backend, const Batch& batch) {
  backend.begin(batch);
  backend.embed();
  const std::size_t layers = config.layers.size();
  for (std::size_t layer = 0; layer < layers; ++layer) {
    backend.project_heads(layer);
    if (layer + 1 == layers) {
      // Nothing after the last cache write matters to tokens without logits.
      if (batch.outputs.empty()) break;
      backend.attend(layer);
      backend.keep_outputs();
    } else {
      backend.attend(layer);
    }
    backend.project_attention(layer);
    if (config.experts > 0) {
      backend.experts(layer);
    } else {
      backend.gate_up(layer);
      backend.down(layer);
    }
  }
  if (!batch.outputs.empty()) backend.head();
  return backend.end();
}

}  // namespace brink

#endif  // BRINK_MODEL_TRANSFORMER_H_
