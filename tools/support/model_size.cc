#include "tools/support/model_size.h"

namespace brink::tools {

std::uint64_t data_bytes(const Gguf& gguf) {
  std::uint64_t bytes = 0;
  for (const GgufTensor& tensor : gguf.tensors()) bytes += tensor.bytes;
  return bytes;
}

double bits_per_weight(std::uint64_t bytes, std::uint64_t weights) {
  return weights == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
}

double bits_per_weight(const Gguf& gguf) {
  std::uint64_t weights = 0;
  for (const GgufTensor& tensor : gguf.tensors()) weights += tensor.elements();
  return bits_per_weight(data_bytes(gguf), weights);
}

}  // namespace brink::tools
