// A weight matrix as it lies in a mapped file.
#ifndef BRINK_QUANT_WEIGHT_MATRIX_H_
#define BRINK_QUANT_WEIGHT_MATRIX_H_

#include <cstddef>
#include <cstdint>

#include "brink/quant/format.h"

namespace brink {

/// `rows` x `columns` weights of one type, row-major, rows contiguous. y = x W^T has one output per
/// row. `scale` multiplies every output (1 unless the file has a ".scale" tensor, as NVFP4 does).
struct WeightMatrix {
  const std::uint8_t* data = nullptr;
  TensorType type = TensorType::kF32;
  std::size_t rows = 0;
  std::size_t columns = 0;
  float scale = 1.0f;

  std::size_t bytes_per_row() const { return row_bytes(type, columns); }
  const std::uint8_t* row(std::size_t r) const { return data + r * bytes_per_row(); }
  explicit operator bool() const { return data != nullptr; }
};

}  // namespace brink

#endif  // BRINK_QUANT_WEIGHT_MATRIX_H_
