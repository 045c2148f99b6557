// Definitions of budget.h.
#ifndef BRINK_QUANTIZE_BUDGET_IMPL_H_
#define BRINK_QUANTIZE_BUDGET_IMPL_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "brink/core/error.h"
#include "brink/cpu/kernels.h"
#include "brink/cpu/thread_pool.h"
#include "brink/eval/divergence.h"
#include "brink/quant/format.h"
#include "brink/quantize/budget.h"
#include "brink/quantize/row_encoder.h"

namespace brink {
namespace budget_detail {

/// Squared errors of a tensor's types on rows spread evenly over it.
class ErrorSample {
 public:
  ErrorSample(const Gguf& gguf, const GgufTensor& tensor, const SensitivityOptions& options,
              const Kernels& kernels, ThreadPool& pool)
      : columns_(tensor.shape[0]),
        kernels_(kernels),
        pool_(pool),
        effort_(options.quantize.effort) {
    if (options.quantize.importance)
      columns_importance_ =
          column_importance(gguf, tensor, options.quantize.importance(tensor.name));
    const std::uint64_t wanted =
        std::clamp<std::uint64_t>(options.sample_weights / columns_, 1, tensor.rows());
    for (std::uint64_t i = 0; i < wanted; ++i) {
      const std::uint64_t row = i * tensor.rows() / wanted;
      std::vector<float> values(columns_);
      kernels.decode[static_cast<std::size_t>(tensor.type)](
          reinterpret_cast<const std::uint8_t*>(tensor.data) +
              row * row_bytes(tensor.type, columns_),
          values.data(), columns_);
      rows_.push_back(std::move(values));
      importance_.push_back(columns_importance_.empty()
                                ? nullptr
                                : columns_importance_.data() + row / tensor.shape[1] * columns_);
    }
  }

  double error(TensorType type) const {
    std::vector<double> squared(rows_.size()), energy(rows_.size());
    pool_.run(rows_.size(), [&](std::size_t r, unsigned) {
      std::vector<std::uint8_t> blocks(row_bytes(type, columns_));
      std::vector<float> decoded(columns_);
      RowEncoder(kernels_, type, effort_)
          .encode(rows_[r].data(), importance_[r], columns_, blocks.data());
      kernels_.decode[static_cast<std::size_t>(type)](blocks.data(), decoded.data(), columns_);
      for (std::size_t i = 0; i < columns_; ++i) {
        const double weight = importance_[r] == nullptr ? 1 : double{importance_[r][i]};
        const double w = rows_[r][i], d = double{decoded[i]} - w;
        squared[r] += weight * d * d;
        energy[r] += weight * w * w;
      }
    });
    double sum = 0, all = 0;
    for (std::size_t r = 0; r < rows_.size(); ++r) {
      sum += squared[r];
      all += energy[r];
    }
    return all > 0 ? sum / all : 0;
  }

 private:
  std::size_t columns_;
  const Kernels& kernels_;
  ThreadPool& pool_;
  Effort effort_;
  std::vector<float> columns_importance_;
  std::vector<std::vector<float>> rows_;
  std::vector<const float*> importance_;  // of each row, into columns_importance_
};

/// Of the model itself in the settings of the measurements from what its base logits hold.
double own_divergence(const Model& model, const BaseLogits& base, const SessionOptions& session) {
  if (session.activations == Activations::kF32 && session.kv_type == KvType::kF32) return 0;
  return measure_divergence(base, model, session).kl_mean.value;
}

bool smaller(const TypeCost& a, const TypeCost& b) { return a.bytes < b.bytes; }

const TypeCost& smallest(const TensorSensitivity& sensitivity) {
  return *std::min_element(sensitivity.costs.begin(), sensitivity.costs.end(), smaller);
}

}  // namespace budget_detail

std::span<const TensorType> default_candidates() {
  using T = TensorType;
  static constexpr T kTypes[] = {
      T::kIQ2_XXS, T::kIQ2_XS, T::kIQ2_S, T::kQ2_K, T::kIQ3_XXS, T::kIQ3_S, T::kQ3_K, T::kIQ4_XS,
      T::kIQ4_NL,  T::kQ4_K,   T::kQ4_0,  T::kQ5_K, T::kQ5_0,    T::kQ5_1,  T::kQ6_K, T::kQ8_0};
  return kTypes;
}

std::vector<TypeCost> candidates(const GgufTensor& tensor, const SensitivityOptions& options) {
  const bool importance =
      options.quantize.importance && !options.quantize.importance(tensor.name).empty();
  std::vector<TypeCost> costs;
  for (const TensorType type :
       options.types.empty() ? default_candidates() : std::span<const TensorType>(options.types)) {
    if (best_kernels().encode[static_cast<std::size_t>(type)] == nullptr)
      throw Error(std::string("no weights can be made ") + size_of(type).name);
    if (tensor.shape[0] % size_of(type).block_size != 0) continue;
    if (needs_importance(type) && !importance) continue;
    costs.push_back({type, row_bytes(type, tensor.shape[0]) * tensor.rows(), 0, {}});
  }
  if (costs.empty())
    throw Error("no type of the search fits its rows", {.tensor = std::string(tensor.name)});
  return costs;
}

std::vector<TensorSensitivity> measure_sensitivities(const Model& model, const BaseLogits& base,
                                                     const SensitivityOptions& options) {
  namespace d = budget_detail;
  const Gguf& gguf = model.gguf();
  const Kernels& kernels =
      options.quantize.kernels != nullptr ? *options.quantize.kernels : best_kernels();
  ThreadPool pool(options.quantize.threads);
  std::vector<const GgufTensor*> tensors;
  for (const GgufTensor& tensor : gguf.tensors())
    if (is_quantizable(tensor.name, tensor.dimensions)) tensors.push_back(&tensor);
  // What rounding the activations costs by itself adds to that of a tensor, so it is taken off.
  double own = -1;
  const auto measured = [&](const GgufTensor& tensor, TensorType type) {
    if (own < 0) own = d::own_divergence(model, base, options.session);
    std::vector<TensorBlocks> replaced(1);
    replaced[0] = encode_tensor(gguf, tensor, type, options.quantize);
    const double all =
        measure_divergence(base, model.with_tensors(std::move(replaced)), options.session)
            .kl_mean.value;
    return std::max(all - own, all / 64);  // where nothing is left it is not nothing
  };
  std::vector<TensorSensitivity> result;
  for (const GgufTensor* tensor : tensors) {
    const auto known = std::find_if(options.known.begin(), options.known.end(),
                                    [&](const auto& k) { return k.tensor == tensor->name; });
    if (known != options.known.end()) {
      result.push_back(*known);
      continue;
    }
    TensorSensitivity sensitivity;
    sensitivity.tensor = tensor->name;
    sensitivity.reference = fitting_type(options.reference, tensor->shape[0]);
    const d::ErrorSample sample(gguf, *tensor, options, kernels, pool);
    sensitivity.reference_error = sample.error(sensitivity.reference);
    sensitivity.divergence = measured(*tensor, sensitivity.reference);
    for (TypeCost& cost : candidates(*tensor, options)) {
      cost.error = sample.error(cost.type);
      if (options.measure_types)
        cost.divergence = cost.type == sensitivity.reference ? sensitivity.divergence
                                                             : measured(*tensor, cost.type);
      sensitivity.costs.push_back(cost);
    }
    result.push_back(std::move(sensitivity));
    if (options.on_tensor) options.on_tensor(result, tensors.size());
  }
  return result;
}

void leave_out_untold_types(std::vector<TensorSensitivity>& sensitivities, const Gguf& gguf,
                            const ImportanceMatrix* importance) {
  constexpr double kTokensOfExpert = 16;
  for (TensorSensitivity& s : sensitivities) {
    const GgufTensor* tensor = gguf.find_tensor(s.tensor);
    if (tensor == nullptr) throw Error("the model has no such tensor", {.tensor = s.tensor});
    if (s.costs.empty()) continue;
    const bool tied =
        s.tensor == "token_embd.weight" && gguf.find_tensor("output.weight") == nullptr;
    bool strange_experts = false;
    if (tensor->dimensions == 3 && importance != nullptr)
      for (const float count : importance->counts(s.tensor))
        strange_experts = strange_experts || double{count} < kTokensOfExpert;
    const auto untold = [&](const TypeCost& cost) {
      return (tied && size_of(cost.type).block_bytes * 8 < size_of(cost.type).block_size * 4) ||
             (strange_experts && needs_importance(cost.type));
    };
    const TypeCost largest =
        *std::max_element(s.costs.begin(), s.costs.end(), budget_detail::smaller);
    std::erase_if(s.costs, untold);
    if (s.costs.empty()) s.costs.push_back(largest);
  }
}

std::uint64_t search_tokens(const Gguf& gguf, std::uint64_t least, std::uint64_t most,
                            double work) {
  double weights = 0, matrices = 0;
  for (const GgufTensor& tensor : gguf.tensors()) {
    if (!is_quantizable(tensor.name, tensor.dimensions)) continue;
    weights += static_cast<double>(tensor.elements());
    matrices += 1;
  }
  double tokens = matrices > 0 ? work / (weights * matrices) : 0;
  const std::string prefix(gguf.get_string("general.architecture").value_or(""));
  const double experts = static_cast<double>(gguf.get_uint(prefix + ".expert_count").value_or(0));
  const double used = static_cast<double>(gguf.get_uint(prefix + ".expert_used_count").value_or(1));
  if (experts > 0 && used > 0) tokens = std::max(tokens, 64 * experts / used);
  return static_cast<std::uint64_t>(
      std::clamp(tokens, static_cast<double>(least), static_cast<double>(most)));
}

std::uint64_t least_bytes(const Gguf& gguf, const SensitivityOptions& options) {
  std::uint64_t least = 0;
  for (const GgufTensor& tensor : gguf.tensors()) {
    if (!is_quantizable(tensor.name, tensor.dimensions)) continue;
    const std::vector<TypeCost> costs = candidates(tensor, options);
    least += std::min_element(costs.begin(), costs.end(), budget_detail::smaller)->bytes;
  }
  return least;
}

std::uint64_t least_bytes(std::span<const TensorSensitivity> sensitivities) {
  std::uint64_t least = 0;
  for (const TensorSensitivity& s : sensitivities) {
    if (s.costs.empty()) throw Error("no type of the search fits its rows", {.tensor = s.tensor});
    least += budget_detail::smallest(s).bytes;
  }
  return least;
}

BudgetChoice choose_types(std::span<const TensorSensitivity> sensitivities, std::uint64_t bytes) {
  // Dynamic programming over the bytes in units; what a type takes is rounded up, so that the sum
  // never exceeds the budget.
  constexpr std::uint64_t kUnits = 65536;
  constexpr double kNever = std::numeric_limits<double>::infinity();
  const std::uint64_t least = least_bytes(sensitivities);
  if (least > bytes)
    throw Error("the budget leaves " + std::to_string(bytes) +
                " bytes for the matrices; the smallest types take " + std::to_string(least));
  const std::uint64_t unit = std::max<std::uint64_t>(1, (bytes + kUnits - 1) / kUnits);
  const std::size_t units = static_cast<std::size_t>(bytes / unit);
  std::vector<double> best(units + 1, 0), next(units + 1);
  std::vector<std::vector<std::uint8_t>> chosen(sensitivities.size());
  for (std::size_t t = 0; t < sensitivities.size(); ++t) {
    const TensorSensitivity& s = sensitivities[t];
    std::fill(next.begin(), next.end(), kNever);
    chosen[t].assign(units + 1, 0);
    for (std::size_t c = 0; c < s.costs.size(); ++c) {
      const auto takes = static_cast<std::size_t>((s.costs[c].bytes + unit - 1) / unit);
      const double adds = s.predicted(s.costs[c]);
      for (std::size_t u = takes; u <= units; ++u) {
        const double sum = best[u - takes] + adds;
        if (sum >= next[u]) continue;
        next[u] = sum;
        chosen[t][u] = static_cast<std::uint8_t>(c);
      }
    }
    std::swap(best, next);
  }
  if (best[units] == kNever) {
    // Only the rounding to units stood in the way: nothing but the smallest types fits.
    BudgetChoice smallest;
    for (const TensorSensitivity& s : sensitivities) {
      const TypeCost& cost = budget_detail::smallest(s);
      smallest.types.push_back(cost.type);
      smallest.bytes += cost.bytes;
      smallest.divergence += s.predicted(cost);
    }
    return smallest;
  }
  BudgetChoice choice;
  choice.types.resize(sensitivities.size());
  choice.divergence = best[units];
  std::size_t left = units;
  for (std::size_t t = sensitivities.size(); t-- > 0;) {
    const TypeCost& cost = sensitivities[t].costs[chosen[t][left]];
    choice.types[t] = cost.type;
    choice.bytes += cost.bytes;
    left -= static_cast<std::size_t>((cost.bytes + unit - 1) / unit);
  }
  return choice;
}

}  // namespace brink

#endif  // BRINK_QUANTIZE_BUDGET_IMPL_H_
