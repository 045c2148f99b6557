// Implementation of gguf/fingerprint.h.
#ifndef BRINK_GGUF_FINGERPRINT_IMPL_H_
#define BRINK_GGUF_FINGERPRINT_IMPL_H_

#include <algorithm>
#include <string_view>
#include <vector>

#include "brink/core/fingerprint_impl.h"
#include "brink/gguf/fingerprint.h"

namespace brink {
namespace fingerprint_detail {

inline bool decides_results(std::string_view key) {
  if (key == "general.architecture") return true;
  for (const std::string_view prefix : {"general.", "quantize.", "split."})
    if (key.starts_with(prefix)) return false;
  return true;
}

inline void add_metadata(const Gguf& gguf, Fingerprint& result) {
  std::vector<const GgufEntry*> entries;
  for (const GgufEntry& entry : gguf.metadata())
    if (decides_results(entry.key)) entries.push_back(&entry);
  std::sort(entries.begin(), entries.end(),
            [](const GgufEntry* a, const GgufEntry* b) { return a->key < b->key; });
  for (const GgufEntry* entry : entries) {
    const GgufValue& value = entry->value;
    const std::uint64_t numbers[] = {
        entry->key.size(), static_cast<std::uint64_t>(value.type()),
        value.is_array() ? static_cast<std::uint64_t>(value.element_type()) : 0,
        value.raw().size()};
    result.add(std::as_bytes(std::span(numbers)));
    result.add(entry->key);
    result.add(value.raw());
  }
}

}  // namespace fingerprint_detail

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
  fingerprint_detail::add_metadata(gguf, result);
  return result.hex();
}

}  // namespace brink

#endif  // BRINK_GGUF_FINGERPRINT_IMPL_H_
