// Definitions of eval/importance.h.
#ifndef BRINK_EVAL_IMPORTANCE_IMPL_H_
#define BRINK_EVAL_IMPORTANCE_IMPL_H_

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "brink/core/error.h"
#include "brink/eval/importance.h"

namespace brink {
namespace importance_detail {

/// Sums of squares for each tensor that is multiplied.
class Collector {
 public:
  explicit Collector(const Gguf& gguf) : gguf_(gguf) {
    for (const GgufTensor& tensor : gguf.tensors()) {
      const std::size_t matrices = static_cast<std::size_t>(tensor.shape[2]);
      tensors_.push_back({&tensor, {}, std::vector<double>(matrices)});
    }
    std::sort(tensors_.begin(), tensors_.end(),
              [](const Sums& a, const Sums& b) { return a.tensor->data < b.tensor->data; });
  }

  void add(const ProductInput& input) {
    Sums* previous = nullptr;
    for (const WeightMatrix* matrix : input.matrices) {
      if (matrix->data == nullptr) continue;
      Sums& sums = find(matrix->data);
      // Rows of one tensor, such as q, k and v in one, are multiplied with the same input once.
      if (&sums == previous) continue;
      previous = &sums;
      const std::size_t matrices = sums.counts.size();
      const auto offset = static_cast<std::uint64_t>(
          reinterpret_cast<const std::byte*>(matrix->data) - sums.tensor->data);
      const auto which = static_cast<std::size_t>(offset / (sums.tensor->bytes / matrices));
      sums.squares.resize(matrices * input.columns);
      double* squares = sums.squares.data() + which * input.columns;
      for (std::size_t r = 0; r < input.count; ++r) {
        const float* row = input.rows + r * input.columns;
        for (std::size_t c = 0; c < input.columns; ++c) {
          const double x = static_cast<double>(row[c]);
          squares[c] += x * x;
        }
      }
      sums.counts[which] += static_cast<double>(input.count);
    }
  }

  void write_to(ImportanceMatrix& matrix) const {
    for (const Sums& sums : tensors_) {
      if (sums.squares.empty()) continue;
      const std::string name(sums.tensor->name);
      for (const double square : sums.squares)
        if (!std::isfinite(square))
          throw Error("an input of this matrix is not finite on this text",
                      {gguf_.paths()[sums.tensor->file], name, {}});
      matrix.set(name, sums.squares, sums.counts);
    }
  }

 private:
  struct Sums {
    const GgufTensor* tensor;
    std::vector<double> squares;  // [matrices * columns] once there are any
    std::vector<double> counts;   // [matrices]
  };

  // The tensor that this byte is part of.
  Sums& find(const std::uint8_t* data) {
    const auto* byte = reinterpret_cast<const std::byte*>(data);
    const auto after =
        std::upper_bound(tensors_.begin(), tensors_.end(), byte,
                         [](const std::byte* b, const Sums& s) { return b < s.tensor->data; });
    return *(after - 1);
  }

  const Gguf& gguf_;
  std::vector<Sums> tensors_;  // by address
};

}  // namespace importance_detail

ImportanceMatrix measure_importance(const Model& model, const TokenWindows& windows,
                                    SessionOptions options,
                                    const std::function<void(std::size_t)>& on_window) {
  importance_detail::Collector collector(model.gguf());
  options = window_options(std::move(options), windows);
  options.activations = Activations::kF32;
  options.kv_type = KvType::kF32;
  options.observer = [&](const ProductInput& input) { collector.add(input); };
  Session session(model, options);
  // With the logits of all tokens, so that all go through the last layer and the output.
  std::vector<SequenceInput> inputs;
  for (std::size_t w = 0; w < windows.size(); w += inputs.size()) {
    inputs.clear();
    for (std::size_t s = 0; s < options.sequences && w + s < windows.size(); ++s)
      inputs.push_back({s, windows[w + s], Logits::kAll});
    session.step_to(inputs, [](std::size_t, std::span<const float>) {});
    for (std::size_t s = 0; s < inputs.size(); ++s) session.clear(s);
    if (on_window) on_window(w + inputs.size());
  }
  ImportanceMatrix matrix;
  collector.write_to(matrix);
  matrix.chunks = static_cast<std::uint32_t>(windows.size());
  matrix.chunk_size = static_cast<std::uint32_t>(windows.context());
  return matrix;
}

}  // namespace brink

#endif  // BRINK_EVAL_IMPORTANCE_IMPL_H_
