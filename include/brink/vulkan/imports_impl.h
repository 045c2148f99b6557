// Definitions of vulkan/imports.h.
#ifndef BRINK_VULKAN_IMPORTS_IMPL_H_
#define BRINK_VULKAN_IMPORTS_IMPL_H_

#include <algorithm>
#include <utility>

#include "brink/vulkan/imports.h"

namespace brink::vulkan {

Imports::Imports(Device& device, const Weights& weights) {
  const std::uintptr_t unit = device.import_alignment();
  if (unit == 0) return;
  struct Range {
    std::uintptr_t begin, end;  // whole units
  };
  std::vector<Range> ranges;
  for_each_matrix(weights, [&](const WeightMatrix& matrix) {
    const auto begin = reinterpret_cast<std::uintptr_t>(matrix.data);
    const std::uintptr_t end = begin + matrix.rows * matrix.bytes_per_row();
    ranges.push_back({begin / unit * unit, (end + unit - 1) / unit * unit});
  });
  std::sort(ranges.begin(), ranges.end(),
            [](const Range& a, const Range& b) { return a.begin < b.begin; });
  // Neighbours are imported together. What lies between others may not be mapped at all.
  std::vector<Range> joined;
  for (const Range& range : ranges) {
    if (!joined.empty() && range.begin <= joined.back().end &&
        range.end - joined.back().begin <= device.info().largest_buffer)
      joined.back().end = std::max(joined.back().end, range.end);
    else
      joined.push_back(range);
  }
  for (const Range& range : joined) {
    Buffer buffer =
        device.import_host(reinterpret_cast<const void*>(range.begin), range.end - range.begin);
    if (buffer) windows_.push_back({range.begin, range.end, std::move(buffer)});
  }
}

std::uint64_t Imports::address(const void* data, std::uint64_t bytes) const {
  const auto begin = reinterpret_cast<std::uintptr_t>(data);
  // The last window that starts at or before it; where two overlap the one before may hold it.
  auto window = std::upper_bound(windows_.begin(), windows_.end(), begin,
                                 [](std::uintptr_t at, const Window& w) { return at < w.begin; });
  while (window != windows_.begin()) {
    --window;
    if (begin + bytes > window->end) {
      if (window->end <= begin) return 0;
      continue;
    }
    const std::uint64_t address = window->buffer.address() + (begin - window->begin);
    return address % kAlignment == 0 ? address : 0;
  }
  return 0;
}

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_IMPORTS_IMPL_H_
