// Definitions of vulkan/api.h.
#ifndef BRINK_VULKAN_API_IMPL_H_
#define BRINK_VULKAN_API_IMPL_H_

#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "brink/core/error.h"
#include "brink/vulkan/api.h"

namespace brink::vulkan {
namespace api_detail {

inline Loader load() {
  void* library = nullptr;
  for (const char* name : {"libvulkan.so.1", "libvulkan.so", "libvulkan.1.dylib"})
    if (library == nullptr) library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    throw Error("no Vulkan on this machine: the loader libvulkan.so.1 was not found");
  Loader loader;
  loader.vkGetInstanceProcAddr =
      reinterpret_cast<PFN_vkGetInstanceProcAddr>(::dlsym(library, "vkGetInstanceProcAddr"));
  if (loader.vkGetInstanceProcAddr == nullptr)
    throw Error("the Vulkan loader has no vkGetInstanceProcAddr");
#define BRINK_VULKAN_LOAD(name) \
  loader.name = reinterpret_cast<PFN_##name>(loader.vkGetInstanceProcAddr(VK_NULL_HANDLE, #name));
  BRINK_VULKAN_GLOBAL_FUNCTIONS(BRINK_VULKAN_LOAD)
#undef BRINK_VULKAN_LOAD
  std::uint32_t version = VK_API_VERSION_1_0;
  if (loader.vkEnumerateInstanceVersion != nullptr) loader.vkEnumerateInstanceVersion(&version);
  if (version < VK_API_VERSION_1_3)
    throw Error("the Vulkan loader is version " + std::to_string(VK_API_VERSION_MAJOR(version)) +
                "." + std::to_string(VK_API_VERSION_MINOR(version)) + ", 1.3 is needed");
  return loader;
}

}  // namespace api_detail

const Loader& Loader::get() {
  static const Loader loader = api_detail::load();
  return loader;
}

bool has_extension(const InstanceFunctions& vk, VkPhysicalDevice device, const char* name) {
  std::uint32_t count = 0;
  vk.vkEnumerateDeviceExtensionProperties(device, nullptr, &count, nullptr);
  std::vector<VkExtensionProperties> extensions(count);
  vk.vkEnumerateDeviceExtensionProperties(device, nullptr, &count, extensions.data());
  return std::any_of(extensions.begin(), extensions.end(),
                     [&](const auto& e) { return std::strcmp(e.extensionName, name) == 0; });
}

DeviceHeaps::DeviceHeaps(const InstanceFunctions& vk, VkPhysicalDevice device) {
  const bool tells = has_extension(vk, device, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  VkPhysicalDeviceMemoryBudgetPropertiesEXT budgets{};
  budgets.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT;
  VkPhysicalDeviceMemoryProperties2 memory{};
  memory.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2;
  if (tells) memory.pNext = &budgets;
  vk.vkGetPhysicalDeviceMemoryProperties2(device, &memory);
  types = memory.memoryProperties;
  for (std::uint32_t i = 0; i < types.memoryHeapCount; ++i) {
    budget[i] = tells ? budgets.heapBudget[i] : types.memoryHeaps[i].size;
    used[i] = tells ? budgets.heapUsage[i] : 0;
  }
}

const char* result_name(VkResult result) {
  switch (result) {
    case VK_SUCCESS:
      return "success";
    case VK_TIMEOUT:
      return "timeout";
    case VK_ERROR_OUT_OF_HOST_MEMORY:
      return "out of host memory";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
      return "out of device memory";
    case VK_ERROR_INITIALIZATION_FAILED:
      return "initialization failed";
    case VK_ERROR_DEVICE_LOST:
      return "device lost";
    case VK_ERROR_MEMORY_MAP_FAILED:
      return "memory cannot be mapped";
    case VK_ERROR_LAYER_NOT_PRESENT:
      return "layer not present";
    case VK_ERROR_EXTENSION_NOT_PRESENT:
      return "extension not present";
    case VK_ERROR_FEATURE_NOT_PRESENT:
      return "feature not present";
    case VK_ERROR_INCOMPATIBLE_DRIVER:
      return "incompatible driver";
    case VK_ERROR_TOO_MANY_OBJECTS:
      return "too many objects";
    case VK_ERROR_FRAGMENTED_POOL:
      return "fragmented pool";
    default:
      return "unknown error";
  }
}

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_API_IMPL_H_
