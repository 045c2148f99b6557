// Definitions of plan.h.
#ifndef BRINK_QUANTIZE_PLAN_IMPL_H_
#define BRINK_QUANTIZE_PLAN_IMPL_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "brink/core/error.h"
#include "brink/quant/format.h"
#include "brink/quantize/plan.h"

namespace brink {
namespace plan_detail {

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return out;
}

std::regex compiled(const std::string& pattern) {
  try {
    return std::regex(pattern);
  } catch (const std::regex_error& error) {
    throw Error("'" + pattern + "' is no regular expression: " + error.what());
  }
}

}  // namespace plan_detail

TensorType parse_weight_type(std::string_view name) {
  if (const TensorTypeSize* type = find_tensor_type(plan_detail::upper(name)))
    if (find_mix("pure:" + std::string(type->name))) return type->type;
  std::string known;
  for (const TensorTypeSize& type : kTensorTypeSizes)
    if (find_mix("pure:" + std::string(type.name)))
      known += (known.empty() ? "" : ", ") + std::string(type.name);
  throw Error("no type of weights '" + std::string(name) + "'; there are " + known);
}

TensorTypeRule parse_tensor_type_rule(std::string_view text) {
  const std::size_t equals = text.rfind('=');
  if (equals == std::string_view::npos || equals == 0)
    throw Error("'" + std::string(text) + "' is not PATTERN=TYPE");
  TensorTypeRule rule{std::string(text.substr(0, equals)),
                      parse_weight_type(text.substr(equals + 1))};
  plan_detail::compiled(rule.pattern);
  return rule;
}

std::uint64_t PlannedTensor::bytes() const {
  return row_bytes(type, source->shape[0]) * source->rows();
}

MixModel mix_model_of(const Gguf& gguf) {
  const auto architecture = gguf.get_string("general.architecture");
  if (!architecture)
    throw Error("required and missing", {.file = gguf.path(), .tensor = "general.architecture"});
  const std::string prefix = std::string(*architecture) + ".";
  MixModel model;
  const auto layers = gguf.get_uint(prefix + "block_count");
  if (!layers || *layers == 0)
    throw Error("required and missing or 0",
                {.file = gguf.path(), .tensor = prefix + "block_count"});
  model.layers = *layers;
  model.heads =
      std::max<std::uint64_t>(1, gguf.get_uint(prefix + "attention.head_count").value_or(1));
  model.kv_heads = std::max<std::uint64_t>(
      1, gguf.get_uint(prefix + "attention.head_count_kv").value_or(model.heads));
  model.experts = gguf.get_uint(prefix + "expert_count").value_or(0);
  model.tied_output = gguf.find_tensor("output.weight") == nullptr;
  return model;
}

std::vector<PlannedTensor> plan_types(const Gguf& gguf, const TypeRequest& request) {
  MixModel model = mix_model_of(gguf);
  model.importance_matrix = request.importance_matrix;
  std::vector<std::regex> patterns;
  for (const TensorTypeRule& rule : request.rules)
    patterns.push_back(plan_detail::compiled(rule.pattern));
  std::vector<bool> matched(patterns.size(), false);
  std::vector<PlannedTensor> plan;
  for (const GgufTensor& tensor : gguf.tensors()) {
    PlannedTensor planned{&tensor, tensor.type};
    planned.quantizable = is_quantizable(tensor.name, tensor.dimensions);
    if (planned.quantizable) {
      const std::string name(tensor.name);
      const std::uint64_t columns = tensor.shape[0];
      TensorType asked = mixed_type(request.mix, model, tensor.name, columns);
      bool ruled = false;
      for (std::size_t i = 0; i < patterns.size(); ++i) {
        if (!std::regex_search(name, patterns[i])) continue;
        matched[i] = true;
        if (!ruled) asked = request.rules[i].type;
        ruled = true;
      }
      // The mixes answer with what fits already; whether that is a fallback shows in the base.
      planned.type = fitting_type(asked, columns);
      planned.fallback = columns % size_of(ruled ? asked : request.mix.base).block_size != 0;
    }
    plan.push_back(planned);
  }
  for (std::size_t i = 0; i < matched.size(); ++i)
    if (!matched[i])
      throw Error("no quantizable tensor matches '" + request.rules[i].pattern + "'",
                  {.file = gguf.path()});
  return plan;
}

std::uint64_t data_bytes(const std::vector<PlannedTensor>& plan) {
  std::uint64_t bytes = 0;
  for (const PlannedTensor& tensor : plan) bytes += tensor.bytes();
  return bytes;
}

double bits_per_weight(const std::vector<PlannedTensor>& plan) {
  std::uint64_t weights = 0;
  for (const PlannedTensor& tensor : plan) weights += tensor.source->elements();
  return weights == 0 ? 0
                      : 8.0 * static_cast<double>(data_bytes(plan)) / static_cast<double>(weights);
}

}  // namespace brink

#endif  // BRINK_QUANTIZE_PLAN_IMPL_H_
