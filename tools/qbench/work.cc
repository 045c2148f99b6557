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

// Bytes of the keys and values of one position, all layers.
double position_bytes(const Model& model, KvType kv_type) {
  const Config& config = model.config();
  const std::size_t head =
      kv_row_bytes(kv_type, config.key_length) + kv_row_bytes(kv_type, config.value_length);
  std::size_t heads = 0;
  for (const LayerConfig& layer : config.layers) heads += layer.kv_heads;
  return static_cast<double>(heads * head);
}

}  // namespace

Work prompt_work(const Model& model, KvType kv_type, std::size_t tokens, std::size_t depth,
                 std::size_t batch, std::size_t outputs) {
  const double kv = position_bytes(model, kv_type);
  Work work = multiply(model.weights().output.matrix, static_cast<double>(outputs));
  // Batches of nearly equal size, as Session makes them.
  const std::size_t batches = (tokens + batch - 1) / batch;
  for (std::size_t b = 0; b < batches; ++b) {
    const std::size_t begin = tokens * b / batches, end = tokens * (b + 1) / batches;
    work += layers_work(model, static_cast<double>(end - begin));
    work.bytes += kv * static_cast<double>(depth + end);
  }
  return work;
}

Work generation_work(const Model& model, KvType kv_type, std::size_t steps, std::size_t depth,
                     std::size_t sequences) {
  const auto n = static_cast<double>(steps), together = static_cast<double>(sequences);
  Work step = layers_work(model, together);
  step += multiply(model.weights().output.matrix, together);
  // The first step sees depth + 1 positions, the last one depth + steps.
  const double positions = n * static_cast<double>(depth) + n * (n + 1) / 2;
  return {step.bytes * n + position_bytes(model, kv_type) * positions * together, step.ops * n};
}

}  // namespace brink::tools
