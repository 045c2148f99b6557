// What a Vulkan device has room for: part of the definitions of vulkan/device.h and
// vulkan/backend_class.h.
#ifndef BRINK_VULKAN_MEMORY_IMPL_H_
#define BRINK_VULKAN_MEMORY_IMPL_H_

#include <algorithm>
#include <limits>
#include <string>

#include "brink/core/error.h"
#include "brink/vulkan/backend_class.h"
#include "brink/vulkan/device.h"
#include "brink/vulkan/sizes.h"

namespace brink::vulkan {

std::uint64_t Device::free_memory() const {
  if (info_.kind == "CPU") return std::numeric_limits<std::uint64_t>::max();
  // For what drivers keep themselves: pipelines, command buffers, rounding of each allocation.
  constexpr std::uint64_t kReserve = std::uint64_t{64} << 20;
  VkPhysicalDeviceMemoryBudgetPropertiesEXT budgets{};
  budgets.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT;
  VkPhysicalDeviceMemoryProperties2 memory{};
  memory.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2;
  if (has_budget_) memory.pNext = &budgets;
  instance_functions_.vkGetPhysicalDeviceMemoryProperties2(physical_, &memory);
  std::uint64_t free = 0;
  for (std::uint32_t i = 0; i < memory.memoryProperties.memoryHeapCount; ++i) {
    const VkMemoryHeap& heap = memory.memoryProperties.memoryHeaps[i];
    // Elsewhere than on a discrete GPU all heaps are the same memory, and allocate() uses them.
    if (info_.kind == "discrete GPU" && !(heap.flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)) continue;
    const std::uint64_t budget = has_budget_ ? budgets.heapBudget[i] : heap.size;
    free += budget - std::min(budget, has_budget_ ? budgets.heapUsage[i] : 0);
  }
  return free - std::min(free, kReserve);
}

// Says that a model does not fit before gigabytes are copied, and what would.
void VulkanBackend::check_memory(const Uploader& plan) const {
  const std::uint64_t free = options_.memory != 0 ? options_.memory : device_->free_memory();
  const std::uint64_t largest = device_->info().largest_buffer;
  struct Needs {
    std::uint64_t weights, kv, working;
    std::uint64_t total() const { return weights + kv + working; }
  };
  const auto fits = [&](const Needs& needs) {
    return needs.total() <= free && needs.kv <= largest;
  };
  const BufferSizes sizes(config_, options_);
  const Needs all{plan.placed(), layout_.bytes(options_.pages),
                  output_.matrix ? sizes.total() : sizes.total_without_head()};
  if (fits(all)) return;

  std::size_t layers = layers_.size() - 1;
  Config part = config_;
  for (; layers > 0; --layers) {
    part.layers.resize(layers);
    if (fits({weight_bytes_[layers], KvLayout(part, options_.kv_type).bytes(options_.pages),
              BufferSizes(part, options_).total_without_head()}))
      break;
  }
  const auto mib = [](std::uint64_t bytes) {
    return std::to_string((bytes + (std::uint64_t{1} << 20) - 1) >> 20) + " MiB";
  };
  std::string why = "it may take " + mib(free);
  if (all.total() <= free)
    why = "its largest buffer, of which the KV cache takes one, is " + mib(largest);
  const std::string count = std::to_string(layers_.size());
  throw Error("the Vulkan device " + device_->info().name + " has no room for " + count +
              " layers: they need " + mib(all.total()) + " (weights " + mib(all.weights) +
              ", KV cache " + mib(all.kv) + ", working set " + mib(all.working) + "), " + why +
              (layers == 0 ? "; not even one layer would fit"
                           : "; the first " + std::to_string(layers) + " would fit (--gpu-layers " +
                                 std::to_string(layers) + ")"));
}

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_MEMORY_IMPL_H_
