// Definitions of eval/importance.h.
#ifndef BRINK_EVAL_IMPORTANCE_IMPL_H_
#define BRINK_EVAL_IMPORTANCE_IMPL_H_

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "brink/core/error.h"
#include "brink/eval/importance.h"
#include "brink/gguf/tensor_map.h"

namespace brink {
namespace importance_detail {

/// Sums of squares for each tensor that is multiplied.
class Collector {
 public:
  explicit Collector(const Gguf& gguf) : gguf_(gguf), map_(gguf), tensors_(map_.size()) {
    for (std::size_t i = 0; i < map_.size(); ++i)
      tensors_[i].counts.resize(static_cast<std::size_t>(map_[i].shape[2]));
  }

  void add(const ProductInput& input) {
    Sums* previous = nullptr;
    for (const WeightMatrix* matrix : input.matrices) {
      if (matrix->data == nullptr) continue;
      const std::size_t tensor = map_.index_of(matrix->data);
      Sums& sums = tensors_[tensor];
      // Rows of one tensor, such as q, k and v in one, are multiplied with the same input once.
      if (&sums == previous) continue;
      previous = &sums;
      const std::size_t matrices = sums.counts.size();
      const auto offset = static_cast<std::uint64_t>(
          reinterpret_cast<const std::byte*>(matrix->data) - map_[tensor].data);
      const auto which = static_cast<std::size_t>(offset / (map_[tensor].bytes / matrices));
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
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      const Sums& sums = tensors_[i];
      if (sums.squares.empty()) continue;
      const std::string name(map_[i].name);
      for (const double square : sums.squares)
        if (!std::isfinite(square))
          throw Error("an input of this matrix is not finite on this text",
                      {gguf_.paths()[map_[i].file], name, {}});
      matrix.set(name, sums.squares, sums.counts);
    }
  }

 private:
  struct Sums {
    std::vector<double> squares;  // [matrices * columns] once there are any
    std::vector<double> counts;   // [matrices]
  };

  const Gguf& gguf_;
  const TensorMap map_;
  std::vector<Sums> tensors_;  // in the order of map_
};

}  // namespace importance_detail

ImportanceMatrix measure_importance(const Model& model, const TokenWindows& windows,
                                    SessionOptions options,
                                    const std::function<void(std::size_t)>& on_window) {
  importance_detail::Collector collector(model.gguf());
  run_observed(
      model, windows, std::move(options), [&](const ProductInput& input) { collector.add(input); },
      on_window);
  ImportanceMatrix matrix;
  collector.write_to(matrix);
  matrix.chunks = static_cast<std::uint32_t>(windows.size());
  matrix.chunk_size = static_cast<std::uint32_t>(windows.context());
  return matrix;
}

}  // namespace brink

#endif  // BRINK_EVAL_IMPORTANCE_IMPL_H_
