// A Vulkan layer that takes one feature from every device: the one that BRINK_TEST_WITHOUT names.
// Real devices that lack it are rare, and their error text should be tested all the same.
#include <vulkan/vk_layer.h>

#include <cstdlib>
#include <cstring>
#include <string>

#define BRINK_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

PFN_vkGetInstanceProcAddr next_instance_proc = nullptr;
PFN_vkGetDeviceProcAddr next_device_proc = nullptr;
PFN_vkGetPhysicalDeviceFeatures2 next_features = nullptr;

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

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_proc(VkDevice device, const char* name) {
  return next_device_proc(device, name);
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
