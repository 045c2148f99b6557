// Vulkan's functions, found at run time: a program that contains this backend starts on machines
// without a Vulkan driver or loader.
#ifndef BRINK_VULKAN_API_H_
#define BRINK_VULKAN_API_H_

#ifndef VK_NO_PROTOTYPES
#define VK_NO_PROTOTYPES
#endif
#include <vulkan/vulkan_core.h>

#include <array>
#include <cstdint>

namespace brink::vulkan {

#define BRINK_VULKAN_GLOBAL_FUNCTIONS(X) \
  X(vkCreateInstance)                    \
  X(vkEnumerateInstanceLayerProperties)  \
  X(vkEnumerateInstanceVersion)

#define BRINK_VULKAN_INSTANCE_FUNCTIONS(X) \
  X(vkCreateDevice)                        \
  X(vkDestroyInstance)                     \
  X(vkEnumerateDeviceExtensionProperties)  \
  X(vkEnumeratePhysicalDevices)            \
  X(vkGetDeviceProcAddr)                   \
  X(vkGetPhysicalDeviceFeatures2)          \
  X(vkGetPhysicalDeviceMemoryProperties2)  \
  X(vkGetPhysicalDeviceProperties2)        \
  X(vkGetPhysicalDeviceQueueFamilyProperties)

#define BRINK_VULKAN_DEVICE_FUNCTIONS(X) \
  X(vkAllocateCommandBuffers)            \
  X(vkAllocateMemory)                    \
  X(vkBeginCommandBuffer)                \
  X(vkBindBufferMemory)                  \
  X(vkCmdBindPipeline)                   \
  X(vkCmdCopyBuffer)                     \
  X(vkCmdDispatch)                       \
  X(vkCmdPipelineBarrier2)               \
  X(vkCmdPushConstants)                  \
  X(vkCmdResetQueryPool)                 \
  X(vkCmdWriteTimestamp2)                \
  X(vkCreateBuffer)                      \
  X(vkCreateCommandPool)                 \
  X(vkCreateComputePipelines)            \
  X(vkCreateFence)                       \
  X(vkCreatePipelineLayout)              \
  X(vkCreateQueryPool)                   \
  X(vkCreateShaderModule)                \
  X(vkDestroyBuffer)                     \
  X(vkDestroyCommandPool)                \
  X(vkDestroyDevice)                     \
  X(vkDestroyFence)                      \
  X(vkDestroyPipeline)                   \
  X(vkDestroyPipelineLayout)             \
  X(vkDestroyQueryPool)                  \
  X(vkDestroyShaderModule)               \
  X(vkDeviceWaitIdle)                    \
  X(vkEndCommandBuffer)                  \
  X(vkFreeMemory)                        \
  X(vkGetBufferDeviceAddress)            \
  X(vkGetBufferMemoryRequirements)       \
  X(vkGetDeviceQueue)                    \
  X(vkGetQueryPoolResults)               \
  X(vkMapMemory)                         \
  X(vkQueueSubmit2)                      \
  X(vkResetFences)                       \
  X(vkWaitForFences)

#define BRINK_VULKAN_DECLARE(name) PFN_##name name = nullptr;

/// Functions that need no instance, and the library that holds them.
struct Loader {
  PFN_vkGetInstanceProcAddr vkGetInstanceProcAddr = nullptr;
  BRINK_VULKAN_GLOBAL_FUNCTIONS(BRINK_VULKAN_DECLARE)

  /// Loads the Vulkan loader once per process. Throws Error, saying what is missing, where there is
  /// none or it is older than Vulkan 1.3.
  static const Loader& get();
};

struct InstanceFunctions {
  BRINK_VULKAN_INSTANCE_FUNCTIONS(BRINK_VULKAN_DECLARE)
  BRINK_VULKAN_DECLARE(vkGetPhysicalDeviceExternalBufferProperties)
  // Only with the validation layer's extension.
  PFN_vkCreateDebugUtilsMessengerEXT vkCreateDebugUtilsMessengerEXT = nullptr;
  PFN_vkDestroyDebugUtilsMessengerEXT vkDestroyDebugUtilsMessengerEXT = nullptr;
};

struct DeviceFunctions {
  BRINK_VULKAN_DEVICE_FUNCTIONS(BRINK_VULKAN_DECLARE)
  // Only with VK_EXT_external_memory_host.
  BRINK_VULKAN_DECLARE(vkGetMemoryHostPointerPropertiesEXT)
};

#undef BRINK_VULKAN_DECLARE

bool has_extension(const InstanceFunctions& vk, VkPhysicalDevice device, const char* name);

/// A device's heaps, with what this process may use of each and uses now where the driver can tell.
struct DeviceHeaps {
  DeviceHeaps(const InstanceFunctions& vk, VkPhysicalDevice device);

  VkPhysicalDeviceMemoryProperties types{};  ///< with the heaps
  std::array<std::uint64_t, VK_MAX_MEMORY_HEAPS> budget{}, used{};
};

/// "device lost", "out of device memory", ...
const char* result_name(VkResult result);

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_API_H_
