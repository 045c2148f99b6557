// The best types for a number of bytes: what each tensor costs in quality at each type, and the
// choice that costs least.
//
// Quality is D(base || model), the divergence of next-token distributions in nats. Small errors of
// different tensors add up in it, and that of one tensor grows with the energy of its error. So one
// measurement a tensor is enough: its divergence when it alone is quantized to one type
// (measure_sensitivities); other types are scaled by the ratio of their squared errors, weighed by
// the importance of the columns. docs/quantizing.md says how well that predicts, and every type can
// be measured instead.
#ifndef BRINK_QUANTIZE_BUDGET_H_
#define BRINK_QUANTIZE_BUDGET_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "brink/eval/base_logits.h"
#include "brink/model/model.h"
#include "brink/model/session.h"
#include "brink/quant/importance.h"
#include "brink/quantize/plan.h"
#include "brink/quantize/quantize.h"

namespace brink {

/// What a tensor would be in one type.
struct TypeCost {
  TensorType type = TensorType::kF16;
  std::uint64_t bytes = 0;
  double error = 0;  ///< squared error over squared weights, both weighed by importance
  /// Nats a token with this tensor alone in this type, where it was measured.
  std::optional<double> divergence = {};
};

struct TensorSensitivity {
  std::string tensor;
  TensorType reference = TensorType::kQ3_K;  ///< the type of the measurement
  double reference_error = 0;                ///< as TypeCost::error
  double divergence = 0;                     ///< nats a token with this tensor alone in `reference`
  std::vector<TypeCost> costs;

  /// Divergence that a type of the tensor adds, by its error.
  double estimated(const TypeCost& cost) const {
    return reference_error > 0 ? divergence * cost.error / reference_error : 0;
  }
  /// As measured, where it was.
  double predicted(const TypeCost& cost) const { return cost.divergence.value_or(estimated(cost)); }
};

struct SensitivityOptions {
  /// Candidates; empty: default_candidates(). Those that fit no row of a tensor are left out for
  /// it, and so are those that need importance where there is none.
  std::vector<TensorType> types = {};
  TensorType reference = TensorType::kQ3_K;
  /// Measure the divergence of every candidate: exact, and as many times the work.
  bool measure_types = false;
  /// Of each tensor about so many weights, in whole rows spread evenly, tell the errors of types.
  std::uint64_t sample_weights = std::uint64_t{1} << 18;
  QuantizeOptions quantize = {};  ///< effort, importance, threads
  /// Of the measurements. Base logits are exact: where activations or KV cache here are not f32,
  /// what that costs the model itself is measured too and taken off.
  SessionOptions session = {};
  /// Tensors measured before, in any order: they are taken as they are.
  std::vector<TensorSensitivity> known = {};
  /// Called after every tensor with all that is known so far; what it throws ends the work.
  std::function<void(std::span<const TensorSensitivity> known, std::size_t total)> on_tensor = {};
};

/// The types that a search chooses from when it is not told.
std::span<const TensorType> default_candidates();

/// Sensitivities of all quantizable tensors of the model's file, in its order. `base`: the model's
/// own distributions over the text of the search.
std::vector<TensorSensitivity> measure_sensitivities(const Model& model, const BaseLogits& base,
                                                     const SensitivityOptions& options);

/// Takes from the candidates of each tensor those whose cost a short text cannot tell:
///
/// - of an embedding that is the output too, types below four bits: the rows of tokens that the
/// text
///   lacks are never seen as inputs;
/// - of a stack of experts, types that need importance when an expert of it had no tokens of its
/// own
///   in `importance`, or fewer than 16.
///
/// A tensor that would be left without any keeps its largest.
void leave_out_untold_types(std::vector<TensorSensitivity>& sensitivities, const Gguf& gguf,
                            const ImportanceMatrix* importance);

/// Tokens of text that a search of this model wants: as many as `work` multiplications (weights x
/// matrices x tokens) allow, but 64 for each expert, between `least` and `most`.
std::uint64_t search_tokens(const Gguf& gguf, std::uint64_t least, std::uint64_t most,
                            double work = 1.5e14);

struct BudgetChoice {
  std::vector<TensorType> types;  ///< one for each sensitivity
  std::uint64_t bytes = 0;        ///< of these tensors
  double divergence = 0;          ///< predicted: the sum over the tensors
};

/// The types that a tensor can become, with their bytes. Throws Error where there is none, or a
/// type of the options cannot be encoded.
std::vector<TypeCost> candidates(const GgufTensor& tensor, const SensitivityOptions& options);

/// Bytes of all quantizable tensors in their smallest candidates: a budget below cannot be met.
std::uint64_t least_bytes(const Gguf& gguf, const SensitivityOptions& options);
/// The same of what was measured. Throws Error where a tensor has none.
std::uint64_t least_bytes(std::span<const TensorSensitivity> sensitivities);

/// The types of least predicted divergence in at most `bytes`: exact up to 1/65536 of the bytes.
/// Throws Error, naming the least that is possible, when the smallest types do not fit.
BudgetChoice choose_types(std::span<const TensorSensitivity> sensitivities, std::uint64_t bytes);

}  // namespace brink

#endif  // BRINK_QUANTIZE_BUDGET_H_
