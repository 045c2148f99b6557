#include "tools/qbench/work.h"

#include <algorithm>

namespace brink::tools {
namespace {

// `tokens` tokens times a matrix that is read once.
Work multiply(const WeightMatrix& matrix, double tokens) {
  if (!matrix) return {};
  const auto rows = static_cast<double>(matrix.rows);
  return {rows * static_cast<double>(matrix.bytes_per_row()),
          2 * rows * static_cast<double>(matrix.columns) * tokens};
}

// Each token uses `used` of the matrices; together they read at most all of them.
Work multiply_experts(const ExpertMatrices& matrices, std::size_t used, double tokens) {
  if (matrices.empty()) return {};
  const double choices = static_cast<double>(used) * tokens;
  const double read = std::min(choices, static_cast<double>(matrices.size()));
  const Work one = multiply(matrices.front(), 1);
  return {one.bytes * read, one.ops * choices};
}

Work layers_work(const Model& model, double tokens) {
  Work work;
  const std::size_t used = model.config().experts_used;
  for (const LayerWeights& layer : model.weights().layers) {
    for (const Linear* linear : {&layer.q, &layer.k, &layer.v, &layer.attention_output, &layer.gate,
                                 &layer.up, &layer.down})
      work += multiply(linear->matrix, tokens);
    for (const WeightMatrix* matrix : {&layer.router, &layer.shared_router, &layer.shared_gate,
                                       &layer.shared_up, &layer.shared_down})
      work += multiply(*matrix, tokens);
    for (const ExpertMatrices* experts : {&layer.expert_gate, &layer.expert_up, &layer.expert_down})
      work += multiply_experts(*experts, used, tokens);
  }
  return work;
}

}  // namespace

Work prompt_work(const Model& model, std::size_t tokens, std::size_t batch) {
  Work work = multiply(model.weights().output.matrix, 1);
  for (std::size_t done = 0; done < tokens; done += batch)
    work += layers_work(model, static_cast<double>(std::min(batch, tokens - done)));
  return work;
}

Work generation_work(const Model& model, std::size_t tokens) {
  Work one = layers_work(model, 1);
  one += multiply(model.weights().output.matrix, 1);
  return {one.bytes * static_cast<double>(tokens), one.ops * static_cast<double>(tokens)};
}

}  // namespace brink::tools
