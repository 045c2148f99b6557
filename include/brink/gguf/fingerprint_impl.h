// Implementation of gguf/fingerprint.h.
#ifndef BRINK_GGUF_FINGERPRINT_IMPL_H_
#define BRINK_GGUF_FINGERPRINT_IMPL_H_

#include <algorithm>
#include <vector>

#include "brink/core/fingerprint_impl.h"
#include "brink/gguf/fingerprint.h"

namespace brink {

std::string fingerprint(const Gguf& gguf) {
  std::vector<const GgufTensor*> tensors;
  for (const GgufTensor& tensor : gguf.tensors()) tensors.push_back(&tensor);
  std::sort(tensors.begin(), tensors.end(),
            [](const GgufTensor* a, const GgufTensor* b) { return a->name < b->name; });
  Fingerprint result;
  for (const GgufTensor* tensor : tensors) {
    // The length before the name keeps two names from running into each other.
    const std::uint64_t numbers[] = {tensor->name.size(), static_cast<std::uint64_t>(tensor->type),
                                     tensor->shape[0],    tensor->shape[1],
                                     tensor->shape[2],    tensor->shape[3]};
    result.add(std::as_bytes(std::span(numbers)));
    result.add(tensor->name);
    result.add(std::span(tensor->data, static_cast<std::size_t>(tensor->bytes)));
  }
  return result.hex();
}

}  // namespace brink

#endif  // BRINK_GGUF_FINGERPRINT_IMPL_H_
