// A Vulkan layer with which every device fails as the environment says, because real ones that do
// are rare and their error texts should be tested all the same:
//   BRINK_TEST_WITHOUT=FEATURE  lacks that feature,
//   BRINK_TEST_LOST=N           is lost at the Nth wait for its work,
//   BRINK_TEST_MEMORY=N         has no memory left from the Nth allocation on.
#include <vulkan/vk_layer.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

#define BRINK_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

PFN_vkGetInstanceProcAddr next_instance_proc = nullptr;
PFN_vkGetDeviceProcAddr next_device_proc = nullptr;
PFN_vkGetPhysicalDeviceFeatures2 next_features = nullptr;
PFN_vkWaitForFences next_wait = nullptr;
PFN_vkAllocateMemory next_allocate = nullptr;

// Whether the number in a variable has been reached, counting this call.
bool reached(const char* variable, std::atomic<long>& calls) {
  const char* const number = std::getenv(variable);
  return number != nullptr && ++calls >= std::atol(number);
}

// The loader's link in the chain of `info`, for vkCreateInstance or vkCreateDevice.
template <class Link>
Link* find_link(const void* chain, VkStructureType type) {
  for (auto* info = static_cast<const Link*>(chain); info != nullptr;
       info = static_cast<const Link*>(info->pNext))
    if (info->sType == type && info->function == VK_LAYER_LINK_INFO) return const_cast<Link*>(info);
  return nullptr;
}

VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo* info,
                                               const VkAllocationCallbacks* allocator,
                                               VkInstance* instance) {
  auto* link = find_link<VkLayerInstanceCreateInfo>(info->pNext,
                                                    VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO);
  if (link == nullptr) return VK_ERROR_INITIALIZATION_FAILED;
  next_instance_proc = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
  link->u.pLayerInfo = link->u.pLayerInfo->pNext;
  const auto create = reinterpret_cast<PFN_vkCreateInstance>(
      next_instance_proc(VK_NULL_HANDLE, "vkCreateInstance"));
  const VkResult result = create(info, allocator, instance);
  if (result == VK_SUCCESS)
    next_features = reinterpret_cast<PFN_vkGetPhysicalDeviceFeatures2>(
        next_instance_proc(*instance, "vkGetPhysicalDeviceFeatures2"));
  return result;
}

VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice physical,
                                             const VkDeviceCreateInfo* info,
                                             const VkAllocationCallbacks* allocator,
                                             VkDevice* device) {
  auto* link =
      find_link<VkLayerDeviceCreateInfo>(info->pNext, VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO);
  if (link == nullptr) return VK_ERROR_INITIALIZATION_FAILED;
  const PFN_vkGetInstanceProcAddr next = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
  next_device_proc = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
  link->u.pLayerInfo = link->u.pLayerInfo->pNext;
  const auto create = reinterpret_cast<PFN_vkCreateDevice>(next(VK_NULL_HANDLE, "vkCreateDevice"));
  return create(physical, info, allocator, device);
}

VKAPI_ATTR void VKAPI_CALL get_features(VkPhysicalDevice physical,
                                        VkPhysicalDeviceFeatures2* features) {
  next_features(physical, features);
  const char* const without = std::getenv("BRINK_TEST_WITHOUT");
  const std::string name = without != nullptr ? without : "";
  if (name == "shaderInt64") features->features.shaderInt64 = VK_FALSE;
  for (auto* next = static_cast<VkBaseOutStructure*>(features->pNext); next != nullptr;
       next = next->pNext) {
    if (next->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES &&
        name == "bufferDeviceAddress")
      reinterpret_cast<VkPhysicalDeviceVulkan12Features*>(next)->bufferDeviceAddress = VK_FALSE;
    if (next->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES &&
        name == "shaderIntegerDotProduct")
      reinterpret_cast<VkPhysicalDeviceVulkan13Features*>(next)->shaderIntegerDotProduct = VK_FALSE;
  }
}

VKAPI_ATTR VkResult VKAPI_CALL wait_for_fences(VkDevice device, std::uint32_t count,
                                               const VkFence* fences, VkBool32 all,
                                               std::uint64_t timeout) {
  static std::atomic<long> calls = 0;
  const VkResult result = next_wait(device, count, fences, all, timeout);
  return reached("BRINK_TEST_LOST", calls) ? VK_ERROR_DEVICE_LOST : result;
}

VKAPI_ATTR VkResult VKAPI_CALL allocate_memory(VkDevice device, const VkMemoryAllocateInfo* info,
                                               const VkAllocationCallbacks* allocator,
                                               VkDeviceMemory* memory) {
  static std::atomic<long> calls = 0;
  if (reached("BRINK_TEST_MEMORY", calls)) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
  return next_allocate(device, info, allocator, memory);
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_proc(VkDevice device, const char* name) {
  const PFN_vkVoidFunction next = next_device_proc(device, name);
  if (std::strcmp(name, "vkWaitForFences") == 0) {
    next_wait = reinterpret_cast<PFN_vkWaitForFences>(next);
    return reinterpret_cast<PFN_vkVoidFunction>(wait_for_fences);
  }
  if (std::strcmp(name, "vkAllocateMemory") == 0) {
    next_allocate = reinterpret_cast<PFN_vkAllocateMemory>(next);
    return reinterpret_cast<PFN_vkVoidFunction>(allocate_memory);
  }
  return next;
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL instance_proc(VkInstance instance, const char* name) {
  const auto is = [name](const char* other) { return std::strcmp(name, other) == 0; };
  if (is("vkGetInstanceProcAddr")) return reinterpret_cast<PFN_vkVoidFunction>(instance_proc);
  if (is("vkGetDeviceProcAddr")) return reinterpret_cast<PFN_vkVoidFunction>(device_proc);
  if (is("vkCreateInstance")) return reinterpret_cast<PFN_vkVoidFunction>(create_instance);
  if (is("vkCreateDevice")) return reinterpret_cast<PFN_vkVoidFunction>(create_device);
  if (is("vkGetPhysicalDeviceFeatures2")) return reinterpret_cast<PFN_vkVoidFunction>(get_features);
  return next_instance_proc == nullptr ? nullptr : next_instance_proc(instance, name);
}

}  // namespace

BRINK_EXPORT VKAPI_ATTR VkResult VKAPI_CALL
vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface* version) {
  version->loaderLayerInterfaceVersion = 2;
  version->pfnGetInstanceProcAddr = instance_proc;
  version->pfnGetDeviceProcAddr = device_proc;
  version->pfnGetPhysicalDeviceProcAddr = nullptr;
  return VK_SUCCESS;
}
