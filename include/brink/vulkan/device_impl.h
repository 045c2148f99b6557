// Definitions of vulkan/device.h.
#ifndef BRINK_VULKAN_DEVICE_IMPL_H_
#define BRINK_VULKAN_DEVICE_IMPL_H_

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "brink/core/error.h"
#include "brink/vulkan/device.h"

namespace brink::vulkan {
namespace device_detail {

// The features brink needs, chained for vkGetPhysicalDeviceFeatures2 and vkCreateDevice.
struct Features {
  VkPhysicalDeviceVulkan13Features v13{};
  VkPhysicalDeviceVulkan12Features v12{};
  VkPhysicalDeviceVulkan11Features v11{};
  VkPhysicalDeviceFeatures2 base{};

  Features() {
    v13.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES;
    v12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
    v12.pNext = &v13;
    v11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES;
    v11.pNext = &v12;
    base.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
    base.pNext = &v11;
  }
  Features(const Features&) = delete;
  Features& operator=(const Features&) = delete;

  // fn(name, member) for each feature that is needed.
  template <class F>
  void for_each(F&& fn) {
    fn("shaderInt64", base.features.shaderInt64);
    fn("shaderInt16", base.features.shaderInt16);
    fn("storageBuffer16BitAccess", v11.storageBuffer16BitAccess);
    fn("storageBuffer8BitAccess", v12.storageBuffer8BitAccess);
    fn("shaderInt8", v12.shaderInt8);
    fn("bufferDeviceAddress", v12.bufferDeviceAddress);
    fn("synchronization2", v13.synchronization2);
    fn("maintenance4", v13.maintenance4);
    fn("subgroupSizeControl", v13.subgroupSizeControl);
    fn("computeFullSubgroups", v13.computeFullSubgroups);
    fn("shaderIntegerDotProduct", v13.shaderIntegerDotProduct);
  }
};

inline const char* kind_name(VkPhysicalDeviceType type) {
  switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
      return "discrete GPU";
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
      return "integrated GPU";
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
      return "virtual GPU";
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
      return "CPU";
    default:
      return "other";
  }
}

inline constexpr std::uint32_t kNoFamily = ~0u;

// Index of the first family with compute, or kNoFamily; preferably one without graphics, whose work
// does not wait behind a desktop's.
inline std::uint32_t compute_family(const InstanceFunctions& vk, VkPhysicalDevice device) {
  std::uint32_t count = 0;
  vk.vkGetPhysicalDeviceQueueFamilyProperties(device, &count, nullptr);
  std::vector<VkQueueFamilyProperties> families(count);
  vk.vkGetPhysicalDeviceQueueFamilyProperties(device, &count, families.data());
  for (const VkQueueFlags unwanted : {VkQueueFlags{VK_QUEUE_GRAPHICS_BIT}, VkQueueFlags{0}})
    for (std::uint32_t i = 0; i < count; ++i)
      if ((families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) && !(families[i].queueFlags & unwanted))
        return i;
  return kNoFamily;
}

inline DeviceInfo describe(const InstanceFunctions& vk, VkInstance instance,
                           VkPhysicalDevice device) {
  VkPhysicalDeviceVulkan13Properties v13{};
  v13.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES;
  VkPhysicalDeviceVulkan12Properties v12{};
  v12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES;
  v12.pNext = &v13;
  VkPhysicalDeviceVulkan11Properties v11{};
  v11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES;
  v11.pNext = &v12;
  VkPhysicalDeviceProperties2 properties{};
  properties.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
  // Drivers older than 1.3 do not know these structures.
  vk.vkGetPhysicalDeviceProperties2(device, &properties);
  const std::uint32_t version = properties.properties.apiVersion;
  DeviceInfo info;
  info.name = properties.properties.deviceName;
  info.kind = kind_name(properties.properties.deviceType);
  if (version < VK_API_VERSION_1_3) {
    info.missing = "Vulkan 1.3 (it has " + std::to_string(VK_API_VERSION_MAJOR(version)) + "." +
                   std::to_string(VK_API_VERSION_MINOR(version)) + ")";
    return info;
  }
  properties.pNext = &v11;
  vk.vkGetPhysicalDeviceProperties2(device, &properties);
  info.driver = std::string(v12.driverName) + " " + v12.driverInfo;
  info.subgroup = v11.subgroupSize;
  info.largest_buffer = std::min(v11.maxMemoryAllocationSize, v13.maxBufferSize);
  info.shared_bytes = properties.properties.limits.maxComputeSharedMemorySize;

  const DeviceHeaps heaps(vk, device);
  for (std::uint32_t i = 0; i < heaps.types.memoryHeapCount; ++i) {
    const VkMemoryHeap& heap = heaps.types.memoryHeaps[i];
    if (!(heap.flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) || heap.size <= info.memory) continue;
    info.memory = heap.size;
    info.memory_budget = heaps.budget[i];
  }

  Features features;
  vk.vkGetPhysicalDeviceFeatures2(device, &features.base);
  features.for_each([&](const char* name, VkBool32 has) {
    if (!has && info.missing.empty()) info.missing = std::string("feature ") + name;
  });
  constexpr VkSubgroupFeatureFlags kSubgroup = VK_SUBGROUP_FEATURE_BASIC_BIT |
                                               VK_SUBGROUP_FEATURE_ARITHMETIC_BIT |
                                               VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
  if (info.missing.empty() && ((v11.subgroupSupportedOperations & kSubgroup) != kSubgroup ||
                               !(v11.subgroupSupportedStages & VK_SHADER_STAGE_COMPUTE_BIT)))
    info.missing = "subgroup arithmetic in compute shaders";
  if (info.missing.empty() && compute_family(vk, device) == kNoFamily)
    info.missing = "a compute queue";
  if (const auto shape = find_cooperative_shape(vk, instance, device))
    info.cooperative = "f16 " + std::to_string(shape->m) + "x" + std::to_string(shape->n) + "x" +
                       std::to_string(shape->k) + " (" + cooperative_extension(shape->khr) + ")";
  return info;
}

struct Instance {
  VkInstance handle = VK_NULL_HANDLE;
  InstanceFunctions functions;
  bool validates = false;
};

inline Instance make_instance(bool validate) {
  const Loader& loader = Loader::get();
  Instance instance;
  const char* layer = "VK_LAYER_KHRONOS_validation";
  const char* extension = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
  if (validate) {
    std::uint32_t count = 0;
    loader.vkEnumerateInstanceLayerProperties(&count, nullptr);
    std::vector<VkLayerProperties> layers(count);
    loader.vkEnumerateInstanceLayerProperties(&count, layers.data());
    for (const VkLayerProperties& l : layers)
      instance.validates = instance.validates || std::strcmp(l.layerName, layer) == 0;
    if (!instance.validates)
      throw Error(std::string("the Vulkan layer ") + layer + " is not installed");
  }
  VkApplicationInfo application{};
  application.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
  application.pApplicationName = "brink";
  application.apiVersion = VK_API_VERSION_1_3;
  VkInstanceCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
  info.pApplicationInfo = &application;
  if (instance.validates) {
    info.enabledLayerCount = 1;
    info.ppEnabledLayerNames = &layer;
    info.enabledExtensionCount = 1;
    info.ppEnabledExtensionNames = &extension;
  }
  const VkResult result = loader.vkCreateInstance(&info, nullptr, &instance.handle);
  if (result == VK_ERROR_INCOMPATIBLE_DRIVER)
    throw Error("no Vulkan on this machine: no driver is installed");
  if (result != VK_SUCCESS)
    throw Error(std::string("Vulkan cannot be used: vkCreateInstance failed: ") +
                result_name(result));
#define BRINK_VULKAN_LOAD(name) \
  instance.functions.name =     \
      reinterpret_cast<PFN_##name>(loader.vkGetInstanceProcAddr(instance.handle, #name));
  BRINK_VULKAN_INSTANCE_FUNCTIONS(BRINK_VULKAN_LOAD)
  BRINK_VULKAN_LOAD(vkGetPhysicalDeviceExternalBufferProperties)
  if (instance.validates) {
    BRINK_VULKAN_LOAD(vkCreateDebugUtilsMessengerEXT)
    BRINK_VULKAN_LOAD(vkDestroyDebugUtilsMessengerEXT)
  }
#undef BRINK_VULKAN_LOAD
  return instance;
}

inline std::vector<VkPhysicalDevice> physical_devices(const Instance& instance) {
  std::uint32_t count = 0;
  VkResult result = instance.functions.vkEnumeratePhysicalDevices(instance.handle, &count, nullptr);
  std::vector<VkPhysicalDevice> devices(count);
  if (result == VK_SUCCESS && count > 0)
    result = instance.functions.vkEnumeratePhysicalDevices(instance.handle, &count, devices.data());
  if (result != VK_SUCCESS && result != VK_INCOMPLETE)
    throw Error(std::string("Vulkan devices cannot be listed: ") + result_name(result));
  devices.resize(count);
  return devices;
}

inline std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

}  // namespace device_detail

std::vector<DeviceInfo> list_devices() {
  const device_detail::Instance instance = device_detail::make_instance(false);
  std::vector<DeviceInfo> infos;
  for (const VkPhysicalDevice device : device_detail::physical_devices(instance))
    infos.push_back(device_detail::describe(instance.functions, instance.handle, device));
  instance.functions.vkDestroyInstance(instance.handle, nullptr);
  return infos;
}

VKAPI_ATTR VkBool32 VKAPI_CALL Device::on_message(VkDebugUtilsMessageSeverityFlagBitsEXT,
                                                  VkDebugUtilsMessageTypeFlagsEXT,
                                                  const VkDebugUtilsMessengerCallbackDataEXT* data,
                                                  void* self) {
  static_cast<Device*>(self)->messages_.emplace_back(data->pMessage);
  return VK_FALSE;
}

void Device::open_instance(bool validate) {
  const device_detail::Instance instance =
      device_detail::make_instance(validate || std::getenv("BRINK_VULKAN_VALIDATION") != nullptr);
  instance_ = instance.handle;
  instance_functions_ = instance.functions;
  if (!instance.validates) return;
  VkDebugUtilsMessengerCreateInfoEXT info{};
  info.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT;
  info.messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                         VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
  info.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT |
                     VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT;
  info.pfnUserCallback = &Device::on_message;
  info.pUserData = this;
  check(instance_functions_.vkCreateDebugUtilsMessengerEXT(instance_, &info, nullptr, &messenger_),
        "vkCreateDebugUtilsMessengerEXT");
}

void Device::choose(const std::string& wanted) {
  const device_detail::Instance instance{instance_, instance_functions_, false};
  const std::vector<VkPhysicalDevice> devices = device_detail::physical_devices(instance);
  std::vector<DeviceInfo> infos;
  for (const VkPhysicalDevice device : devices)
    infos.push_back(device_detail::describe(instance_functions_, instance_, device));
  if (infos.empty()) throw Error("no Vulkan device on this machine: no driver is installed");
  std::string all;
  for (std::size_t i = 0; i < infos.size(); ++i)
    all += (i > 0 ? ", " : "") + std::to_string(i) + ": " + infos[i].name;
  std::size_t chosen = infos.size();
  if (wanted.empty()) {
    for (const char* kind : {"discrete GPU", "integrated GPU", ""})
      for (std::size_t i = 0; i < infos.size() && chosen == infos.size(); ++i)
        if (infos[i].missing.empty() && (*kind == '\0' || infos[i].kind == kind)) chosen = i;
    if (chosen == infos.size()) chosen = 0;  // says below what the first one lacks
  } else if (std::all_of(wanted.begin(), wanted.end(),
                         [](unsigned char c) { return std::isdigit(c); })) {
    const unsigned long index = std::strtoul(wanted.c_str(), nullptr, 10);
    if (index >= infos.size())
      throw Error("there is no Vulkan device " + wanted + "; there are " + all);
    chosen = index;
  } else {
    for (std::size_t i = infos.size(); i-- > 0;)
      if (device_detail::lower(infos[i].name).find(device_detail::lower(wanted)) !=
          std::string::npos)
        chosen = i;
    if (chosen == infos.size())
      throw Error("no Vulkan device is called '" + wanted + "'; there are " + all);
  }
  info_ = infos[chosen];
  physical_ = devices[chosen];
  if (!info_.missing.empty())
    throw Error("the Vulkan device " + info_.name + " lacks " + info_.missing);
}

void Device::create() {
  family_ = device_detail::compute_family(instance_functions_, physical_);
  const float priority = 1.0f;
  VkDeviceQueueCreateInfo queue{};
  queue.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
  queue.queueFamilyIndex = family_;
  queue.queueCount = 1;
  queue.pQueuePriorities = &priority;
  device_detail::Features features;
  features.for_each([](const char*, VkBool32& on) { on = VK_TRUE; });
  std::vector<const char*> extensions;
  const bool imports = can_import_host();
  if (imports) extensions.push_back(VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME);
  const char* const setting = std::getenv("BRINK_VULKAN_COOPERATIVE");
  if (setting == nullptr || std::strcmp(setting, "off") != 0)
    cooperative_ = find_cooperative_shape(instance_functions_, instance_, physical_);
  CooperativeFeatures cooperative(cooperative_ && cooperative_->khr);
  if (cooperative_) {
    cooperative.cooperative_matrix = VK_TRUE;
    features.v12.shaderFloat16 = VK_TRUE;
    features.v12.vulkanMemoryModel = VK_TRUE;
    features.v12.vulkanMemoryModelDeviceScope = VK_TRUE;
    features.v13.pNext = &cooperative;
    extensions.push_back(cooperative_extension(cooperative_->khr));
  }
  VkDeviceCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
  info.pNext = &features.base;
  info.enabledExtensionCount = static_cast<std::uint32_t>(extensions.size());
  info.ppEnabledExtensionNames = extensions.data();
  info.queueCreateInfoCount = 1;
  info.pQueueCreateInfos = &queue;
  check(instance_functions_.vkCreateDevice(physical_, &info, nullptr, &device_), "vkCreateDevice");
#define BRINK_VULKAN_LOAD(name) \
  functions_.name =             \
      reinterpret_cast<PFN_##name>(instance_functions_.vkGetDeviceProcAddr(device_, #name));
  BRINK_VULKAN_DEVICE_FUNCTIONS(BRINK_VULKAN_LOAD)
  if (imports) {
    BRINK_VULKAN_LOAD(vkGetMemoryHostPointerPropertiesEXT)
  }
#undef BRINK_VULKAN_LOAD
  functions_.vkGetDeviceQueue(device_, family_, 0, &queue_);

  memory_ = DeviceHeaps(instance_functions_, physical_).types;

  VkPhysicalDeviceExternalMemoryHostPropertiesEXT host{};
  host.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT;
  VkPhysicalDeviceVulkan13Properties v13{};
  v13.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES;
  if (imports) v13.pNext = &host;
  VkPhysicalDeviceProperties2 properties{};
  properties.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
  properties.pNext = &v13;
  instance_functions_.vkGetPhysicalDeviceProperties2(physical_, &properties);
  sets_subgroup_size_ = v13.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT;
  import_alignment_ = host.minImportedHostPointerAlignment;
  const VkPhysicalDeviceLimits& limits = properties.properties.limits;
  if (limits.timestampComputeAndGraphics)
    timestamp_seconds_ = static_cast<double>(limits.timestampPeriod) * 1e-9;

  VkPushConstantRange range{};
  range.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT;
  range.size = kPushBytes;
  VkPipelineLayoutCreateInfo layout{};
  layout.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO;
  layout.pushConstantRangeCount = 1;
  layout.pPushConstantRanges = &range;
  check(functions_.vkCreatePipelineLayout(device_, &layout, nullptr, &layout_),
        "vkCreatePipelineLayout");
}

std::shared_ptr<Device> Device::open(const DeviceOptions& options) {
  static std::mutex mutex;
  static std::map<std::pair<std::string, bool>, std::weak_ptr<Device>> devices;
  const std::lock_guard lock(mutex);
  std::weak_ptr<Device>& known = devices[{options.device, options.validate}];
  if (std::shared_ptr<Device> device = known.lock()) return device;
  std::shared_ptr<Device> device(new Device);
  device->open_instance(options.validate);
  device->choose(options.device);
  device->create();
  known = device;
  return device;
}

Device::~Device() {
  if (device_ != VK_NULL_HANDLE && functions_.vkDestroyDevice != nullptr) {
    functions_.vkDeviceWaitIdle(device_);
    for (const auto& [key, pipeline] : pipelines_)
      functions_.vkDestroyPipeline(device_, pipeline.handle, nullptr);
    functions_.vkDestroyPipelineLayout(device_, layout_, nullptr);
    functions_.vkDestroyDevice(device_, nullptr);
  }
  if (messenger_ != VK_NULL_HANDLE)
    instance_functions_.vkDestroyDebugUtilsMessengerEXT(instance_, messenger_, nullptr);
  if (instance_ != VK_NULL_HANDLE) instance_functions_.vkDestroyInstance(instance_, nullptr);
}

void Device::check(VkResult result, const char* what) const {
  if (result >= VK_SUCCESS) return;
  throw Error("Vulkan device " + info_.name + ": " + what + " failed: " + result_name(result));
}

Buffer Device::allocate(std::uint64_t bytes, Memory memory, std::string_view purpose) {
  const std::uint64_t size = std::max<std::uint64_t>(bytes, 16);
  const auto fail = [&](const std::string& why) {
    throw Error("Vulkan device " + info_.name + ": " + std::to_string(size >> 20) + " MiB for " +
                std::string(purpose) + ": " + why +
                " (its memory: " + std::to_string(info_.memory >> 20) + " MiB, " +
                std::to_string(info_.memory_budget >> 20) + " MiB for this process)");
  };
  if (size > info_.largest_buffer)
    fail("its largest buffer is " + std::to_string(info_.largest_buffer >> 20) + " MiB");
  Buffer result;
  result.device_ = this;
  result.size_ = size;
  VkBufferCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
  info.size = size;
  info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT |
               VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT;
  check(functions_.vkCreateBuffer(device_, &info, nullptr, &result.buffer_), "vkCreateBuffer");
  VkMemoryRequirements needs{};
  functions_.vkGetBufferMemoryRequirements(device_, result.buffer_, &needs);

  constexpr VkMemoryPropertyFlags kLocal = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
  constexpr VkMemoryPropertyFlags kVisible =
      VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  constexpr VkMemoryPropertyFlags kCached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
  // What is wished for, then what will do.
  std::array<VkMemoryPropertyFlags, 2> wishes{};
  if (memory == Memory::kDevice) wishes = {kLocal, 0};
  if (memory == Memory::kUpload) wishes = {kVisible, kVisible};
  if (memory == Memory::kReadback) wishes = {kVisible | kCached, kVisible};
  VkMemoryAllocateFlagsInfo flags{};
  flags.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO;
  flags.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
  VkResult last = VK_ERROR_OUT_OF_DEVICE_MEMORY;
  VkMemoryPropertyFlags got = 0;
  for (const VkMemoryPropertyFlags wish : wishes) {
    for (std::uint32_t i = 0; i < memory_.memoryTypeCount; ++i) {
      const VkMemoryPropertyFlags has = memory_.memoryTypes[i].propertyFlags;
      if (!(needs.memoryTypeBits >> i & 1u) || (has & wish) != wish) continue;
      VkMemoryAllocateInfo allocate{};
      allocate.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
      allocate.pNext = &flags;
      allocate.allocationSize = needs.size;
      allocate.memoryTypeIndex = i;
      last = functions_.vkAllocateMemory(device_, &allocate, nullptr, &result.memory_);
      if (last == VK_SUCCESS) {
        got = has;
        break;
      }
    }
    if (result.memory_ != VK_NULL_HANDLE) break;
  }
  if (result.memory_ == VK_NULL_HANDLE) fail(result_name(last));
  check(functions_.vkBindBufferMemory(device_, result.buffer_, result.memory_, 0),
        "vkBindBufferMemory");
  if ((got & kVisible) == kVisible) {
    void* mapped = nullptr;
    check(functions_.vkMapMemory(device_, result.memory_, 0, VK_WHOLE_SIZE, 0, &mapped),
          "vkMapMemory");
    result.mapped_ = static_cast<std::byte*>(mapped);
  }
  VkBufferDeviceAddressInfo address{};
  address.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO;
  address.buffer = result.buffer_;
  result.address_ = functions_.vkGetBufferDeviceAddress(device_, &address);
  return result;
}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(buffer_, other.buffer_);
  std::swap(memory_, other.memory_);
  std::swap(size_, other.size_);
  std::swap(address_, other.address_);
  std::swap(mapped_, other.mapped_);
  return *this;
}

Buffer::~Buffer() {
  if (device_ == nullptr) return;
  device_->functions_.vkDestroyBuffer(device_->device_, buffer_, nullptr);
  device_->functions_.vkFreeMemory(device_->device_, memory_, nullptr);
}

const Pipeline& Device::pipeline(std::string_view shader,
                                 std::initializer_list<std::uint32_t> constants) {
  return pipeline(shader, {}, constants);
}

const Pipeline& Device::pipeline(std::string_view name, std::span<const std::uint32_t> code,
                                 std::initializer_list<std::uint32_t> constants) {
  const std::lock_guard lock(mutex_);
  std::pair<std::string, std::vector<std::uint32_t>> key{std::string(name), constants};
  const auto found = pipelines_.find(key);
  if (found != pipelines_.end()) return found->second;
  if (code.empty()) code = find_shader(name);
  if (code.empty()) throw Error("there is no shader " + key.first);
  const bool cooperative = name.starts_with("matmul_coop");
  std::vector<std::uint32_t> translated;
  if (cooperative && cooperative_ && cooperative_->khr)
    code = translated = to_khr_cooperative(code);
  VkShaderModuleCreateInfo module_info{};
  module_info.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO;
  module_info.codeSize = code.size_bytes();
  module_info.pCode = code.data();
  VkShaderModule module = VK_NULL_HANDLE;
  check(functions_.vkCreateShaderModule(device_, &module_info, nullptr, &module),
        "vkCreateShaderModule");
  std::vector<VkSpecializationMapEntry> entries;
  for (std::uint32_t i = 0; i < constants.size(); ++i)
    entries.push_back({i, i * 4, sizeof(std::uint32_t)});
  VkSpecializationInfo specialization{};
  specialization.mapEntryCount = static_cast<std::uint32_t>(entries.size());
  specialization.pMapEntries = entries.data();
  specialization.dataSize = key.second.size() * sizeof(std::uint32_t);
  specialization.pData = key.second.data();
  VkComputePipelineCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO;
  info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
  info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
  info.stage.module = module;
  info.stage.pName = "main";
  info.stage.pSpecializationInfo = &specialization;
  info.layout = layout_;
  VkPipelineShaderStageRequiredSubgroupSizeCreateInfo subgroup{};
  subgroup.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO;
  subgroup.requiredSubgroupSize = info_.subgroup;
  if (cooperative) {
    info.stage.flags = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
    if (sets_subgroup_size_) info.stage.pNext = &subgroup;
  }
  VkPipeline handle = VK_NULL_HANDLE;
  const VkResult result =
      functions_.vkCreateComputePipelines(device_, VK_NULL_HANDLE, 1, &info, nullptr, &handle);
  functions_.vkDestroyShaderModule(device_, module, nullptr);
  check(result, ("vkCreateComputePipelines for " + key.first).c_str());
  const Pipeline pipeline{handle, key.first};
  return pipelines_.emplace(std::move(key), pipeline).first->second;
}

void Device::run(const Recording& recording) {
  submit(recording);
  wait(recording);
}

void Device::submit(const Recording& recording) {
  VkCommandBufferSubmitInfo commands{};
  commands.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO;
  commands.commandBuffer = recording.buffer_;
  VkSubmitInfo2 submit{};
  submit.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2;
  submit.commandBufferInfoCount = 1;
  submit.pCommandBufferInfos = &commands;
  const std::lock_guard lock(mutex_);
  check(functions_.vkQueueSubmit2(queue_, 1, &submit, recording.fence_), "vkQueueSubmit2");
}

void Device::wait(const Recording& recording) {
  check(functions_.vkWaitForFences(device_, 1, &recording.fence_, VK_TRUE, ~std::uint64_t{0}),
        "vkWaitForFences");
  check(functions_.vkResetFences(device_, 1, &recording.fence_), "vkResetFences");
}

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_DEVICE_IMPL_H_
