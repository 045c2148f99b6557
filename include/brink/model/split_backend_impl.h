// Definitions of model/split_backend.h.
#ifndef BRINK_MODEL_SPLIT_BACKEND_IMPL_H_
#define BRINK_MODEL_SPLIT_BACKEND_IMPL_H_

#include <algorithm>

#include "brink/model/split_backend.h"

namespace brink {
namespace split_detail {

// As stored, where vectors are f32.
inline std::uint64_t bytes_of(const Weights& weights) {
  std::uint64_t sum = 0;
  for_each_matrix(weights, [&](const WeightMatrix& matrix) {
    sum += std::uint64_t{matrix.rows} * matrix.bytes_per_row();
  });
  std::size_t values = weights.output_norm.size() + weights.output.bias.size();
  for (const LayerWeights& l : weights.layers) {
    for (const WeightVector* v : {&l.attention_norm, &l.q_norm, &l.k_norm, &l.feed_forward_norm})
      values += v->size();
    for (const Linear* m : {&l.q, &l.k, &l.v, &l.attention_output, &l.gate, &l.up, &l.down})
      values += m->bias.size();
  }
  return sum + values * sizeof(float);
}

}  // namespace split_detail

ModelPart::ModelPart(const Config& whole, const Weights& all, std::size_t first, std::size_t count)
    : config(whole) {
  const auto layer = [&](const auto& layers, std::size_t index) {
    return layers.begin() + static_cast<std::ptrdiff_t>(index);
  };
  config.layers.assign(layer(whole.layers, first), layer(whole.layers, first + count));
  weights.layers.assign(layer(all.layers, first), layer(all.layers, first + count));
  weights.rope_factors = all.rope_factors;
  weights.rope_factors_long = all.rope_factors_long;
  weights.rope_factors_short = all.rope_factors_short;
  if (first == 0) weights.embedding = all.embedding;
  if (first + count == whole.layers.size()) {
    weights.output_norm = all.output_norm;
    weights.output = all.output;
  }
  weights.bytes = split_detail::bytes_of(weights);
}

SplitBackend::SplitBackend(const Config& config, const Weights& weights, std::size_t border,
                           const Make& first, const Make& second)
    : border_(border),
      first_part_(config, weights, 0, border),
      second_part_(config, weights, border, config.layers.size() - border),
      first_(first(first_part_.config, first_part_.weights)),
      second_(second(second_part_.config, second_part_.weights)),
      name_(std::string(first_->name()) + ", " + std::to_string(border) + " of " +
            std::to_string(config.layers.size()) + " layers, then " + second_->name()) {}

void SplitBackend::begin(const Batch& batch) {
  first_->begin(batch);
  second_->begin(batch);
}

void SplitBackend::project_heads(std::size_t layer) {
  if (layer == border_) second_->take_rows(first_->give_rows());
  of(layer).project_heads(own(layer));
}

void SplitBackend::copy_page(std::uint32_t from, std::uint32_t to) {
  first_->copy_page(from, to);
  second_->copy_page(from, to);
}

std::vector<Backend::Work> SplitBackend::profile() const {
  std::vector<Work> all = first_->profile();
  for (const Work& work : second_->profile()) {
    const auto same = std::find_if(all.begin(), all.end(),
                                   [&](const Work& known) { return known.name == work.name; });
    if (same == all.end()) {
      all.push_back(work);
      continue;
    }
    same->calls += work.calls;
    same->seconds += work.seconds;
  }
  std::sort(all.begin(), all.end(),
            [](const Work& a, const Work& b) { return a.seconds > b.seconds; });
  return all;
}

void SplitBackend::reset_profile() {
  first_->reset_profile();
  second_->reset_profile();
}

}  // namespace brink

#endif  // BRINK_MODEL_SPLIT_BACKEND_IMPL_H_
