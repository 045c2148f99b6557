// Importance matrices from running a model over a text.
#ifndef BRINK_EVAL_IMPORTANCE_H_
#define BRINK_EVAL_IMPORTANCE_H_

#include <cstddef>
#include <functional>

#include "brink/eval/windows.h"
#include "brink/model/model.h"
#include "brink/model/session.h"
#include "brink/quant/importance.h"

namespace brink {

/// Mean squares of what every matrix of the model is multiplied with, over all tokens of all
/// windows, from the exact f32 activations; sums in f64. Of experts only the tokens sent to them
/// count. Named after the tensors of the file: where q, k and v are one tensor they have one entry,
/// and where the embedding serves as output it has that of the output. `options` says what computes
/// (the CPU, with f32 activations and KV cache whatever it says of those). Throws Error when an
/// activation is not finite.
ImportanceMatrix measure_importance(const Model& model, const TokenWindows& windows,
                                    SessionOptions options,
                                    const std::function<void(std::size_t)>& on_window = {});

}  // namespace brink

#endif  // BRINK_EVAL_IMPORTANCE_H_
