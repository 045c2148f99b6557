// From bytes of mapped tensors back to the tensors.
#ifndef BRINK_GGUF_TENSOR_MAP_H_
#define BRINK_GGUF_TENSOR_MAP_H_

#include <algorithm>
#include <cstddef>
#include <vector>

#include "brink/gguf/reader.h"

namespace brink {

/// Tensors by address. Valid as long as its Gguf.
class TensorMap {
 public:
  explicit TensorMap(const Gguf& gguf) {
    for (const GgufTensor& tensor : gguf.tensors()) tensors_.push_back(&tensor);
    std::ranges::sort(tensors_, {}, &GgufTensor::data);
  }

  /// Number in the order of addresses, below size(), of the tensor that this byte, which must be
  /// one of a tensor's, is part of.
  std::size_t index_of(const void* byte) const {
    const auto after = std::ranges::upper_bound(tensors_, static_cast<const std::byte*>(byte), {},
                                                &GgufTensor::data);
    return static_cast<std::size_t>(after - tensors_.begin()) - 1;
  }
  const GgufTensor& operator[](std::size_t index) const { return *tensors_[index]; }
  const GgufTensor& of(const void* byte) const { return *tensors_[index_of(byte)]; }
  std::size_t size() const { return tensors_.size(); }

 private:
  std::vector<const GgufTensor*> tensors_;  // by address
};

}  // namespace brink

#endif  // BRINK_GGUF_TENSOR_MAP_H_
