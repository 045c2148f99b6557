// Static scales of activations from running a model over a text.
#ifndef BRINK_EVAL_CALIBRATION_H_
#define BRINK_EVAL_CALIBRATION_H_

#include <cstddef>
#include <functional>

#include "brink/eval/windows.h"
#include "brink/model/activation_scales.h"
#include "brink/model/model.h"
#include "brink/model/session.h"

namespace brink {

/// For every matrix that the int8-tensor activations concern: the magnitude that `percentile` % of
/// the values of its input, over all tokens of all windows, do not exceed, divided by 127. 100: the
/// largest; below that from a histogram with bins of 2^-7 of a value, upper ends. The inputs are
/// those of the exact f32 activations and KV cache; of experts only the tokens sent to them count,
/// and a matrix that saw none gets 0. `options` says what else computes. Throws Error when an
/// activation is not finite or `percentile` is not above 0 and at most 100.
ActivationScales calibrate_activations(const Model& model, const TokenWindows& windows,
                                       SessionOptions options, double percentile = 100,
                                       const std::function<void(std::size_t)>& on_window = {});

}  // namespace brink

#endif  // BRINK_EVAL_CALIBRATION_H_
