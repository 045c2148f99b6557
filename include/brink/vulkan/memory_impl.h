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
#include "brink/vulkan/device_impl.h"
#include "brink/vulkan/sizes.h"

namespace brink::vulkan {
namespace memory_detail {

inline constexpr VkExternalMemoryHandleTypeFlagBits kHostMemory =
    VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT;
inline constexpr VkBufferUsageFlags kImportedUsage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT |
                                                     VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT |
                                                     VK_BUFFER_USAGE_TRANSFER_SRC_BIT;

}  // namespace memory_detail

std::uint64_t Device::free_memory() const {
  if (info_.kind == "CPU") return std::numeric_limits<std::uint64_t>::max();
  // For what drivers keep themselves: pipelines, command buffers, rounding of each allocation.
  constexpr std::uint64_t kReserve = std::uint64_t{64} << 20;
  const DeviceHeaps heaps(instance_functions_, physical_);
  std::uint64_t free = 0;
  for (std::uint32_t i = 0; i < heaps.types.memoryHeapCount; ++i) {
    const VkMemoryHeapFlags flags = heaps.types.memoryHeaps[i].flags;
    // Elsewhere than on a discrete GPU all heaps are the same memory, and allocate() uses them.
    if (info_.kind == "discrete GPU" && !(flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)) continue;
    free += heaps.budget[i] - std::min(heaps.budget[i], heaps.used[i]);
  }
  return free - std::min(free, kReserve);
}

bool Device::can_import_host() const {
  if (info_.kind != "CPU" && info_.kind != "integrated GPU") return false;
  if (!has_extension(instance_functions_, physical_, VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME))
    return false;
  VkPhysicalDeviceExternalBufferInfo info{};
  info.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_BUFFER_INFO;
  info.usage = memory_detail::kImportedUsage;
  info.handleType = memory_detail::kHostMemory;
  VkExternalBufferProperties properties{};
  properties.sType = VK_STRUCTURE_TYPE_EXTERNAL_BUFFER_PROPERTIES;
  instance_functions_.vkGetPhysicalDeviceExternalBufferProperties(physical_, &info, &properties);
  const VkExternalMemoryFeatureFlags has =
      properties.externalMemoryProperties.externalMemoryFeatures;
  return (has & VK_EXTERNAL_MEMORY_FEATURE_IMPORTABLE_BIT) &&
         !(has & VK_EXTERNAL_MEMORY_FEATURE_DEDICATED_ONLY_BIT);
}

Buffer Device::import_host(const void* data, std::uint64_t bytes) {
  using namespace memory_detail;
  if (import_alignment_ == 0 || bytes == 0 || bytes > info_.largest_buffer ||
      reinterpret_cast<std::uintptr_t>(data) % import_alignment_ != 0 ||
      bytes % import_alignment_ != 0)
    return {};
  // The interface has no pointers to const; nothing is written.
  void* const pointer = const_cast<void*>(data);
  VkMemoryHostPointerPropertiesEXT host{};
  host.sType = VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT;
  if (functions_.vkGetMemoryHostPointerPropertiesEXT(device_, kHostMemory, pointer, &host) !=
      VK_SUCCESS)
    return {};
  Buffer result;
  result.device_ = this;
  result.size_ = bytes;
  VkExternalMemoryBufferCreateInfo external{};
  external.sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO;
  external.handleTypes = kHostMemory;
  VkBufferCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
  info.pNext = &external;
  info.size = bytes;
  info.usage = kImportedUsage;
  if (functions_.vkCreateBuffer(device_, &info, nullptr, &result.buffer_) != VK_SUCCESS) return {};
  VkMemoryRequirements needs{};
  functions_.vkGetBufferMemoryRequirements(device_, result.buffer_, &needs);
  VkMemoryAllocateFlagsInfo flags{};
  flags.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO;
  flags.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
  VkImportMemoryHostPointerInfoEXT import{};
  import.sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT;
  import.pNext = &flags;
  import.handleType = kHostMemory;
  import.pHostPointer = pointer;
  VkMemoryAllocateInfo allocate{};
  allocate.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
  allocate.pNext = &import;
  allocate.allocationSize = bytes;
  for (std::uint32_t i = 0; i < memory_.memoryTypeCount && needs.size <= bytes; ++i) {
    if (!(needs.memoryTypeBits & host.memoryTypeBits & 1u << i)) continue;
    allocate.memoryTypeIndex = i;
    if (functions_.vkAllocateMemory(device_, &allocate, nullptr, &result.memory_) != VK_SUCCESS)
      continue;
    if (functions_.vkBindBufferMemory(device_, result.buffer_, result.memory_, 0) != VK_SUCCESS)
      return {};
    VkBufferDeviceAddressInfo address{};
    address.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO;
    address.buffer = result.buffer_;
    result.address_ = functions_.vkGetBufferDeviceAddress(device_, &address);
    return result;
  }
  return {};
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
