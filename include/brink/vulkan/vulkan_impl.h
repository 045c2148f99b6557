// All definitions of vulkan/, part of the one BRINK_IMPLEMENTATION unit. Without BRINK_VULKAN (no
// Vulkan headers or no compiled shaders) asking for the backend is an error.
#ifndef BRINK_VULKAN_VULKAN_IMPL_H_
#define BRINK_VULKAN_VULKAN_IMPL_H_

#ifdef BRINK_VULKAN

#include "brink/vulkan/api_impl.h"
#include "brink/vulkan/backend_impl.h"
#include "brink/vulkan/backend_layers_impl.h"
#include "brink/vulkan/ceilings_impl.h"
#include "brink/vulkan/cooperative_impl.h"
#include "brink/vulkan/device_impl.h"
#include "brink/vulkan/imports_impl.h"
#include "brink/vulkan/memory_impl.h"
#include "brink/vulkan/products_impl.h"
#include "brink/vulkan/recording_impl.h"
#include "brink/vulkan/shaders_impl.h"
#include "brink/vulkan/weights_impl.h"

namespace brink {

std::unique_ptr<Backend> make_vulkan_backend(const Config& config, const Weights& weights,
                                             const VulkanBackendOptions& options) {
  return std::make_unique<vulkan::VulkanBackend>(config, weights, options);
}

}  // namespace brink

#else

#include "brink/core/error.h"
#include "brink/vulkan/backend.h"
#include "brink/vulkan/ceilings.h"
#include "brink/vulkan/devices.h"

namespace brink {

std::vector<vulkan::DeviceInfo> vulkan::list_devices() {
  throw Error("this program was built without Vulkan");
}

struct vulkan::DeviceCeilings::State {};
vulkan::DeviceCeilings::DeviceCeilings(const std::string&) {
  throw Error("this program was built without Vulkan");
}
vulkan::DeviceCeilings::~DeviceCeilings() = default;
double vulkan::DeviceCeilings::copy_bytes_per_second(double) { return 0; }
double vulkan::DeviceCeilings::int8_ops_per_second(double) { return 0; }

std::unique_ptr<Backend> make_vulkan_backend(const Config&, const Weights&,
                                             const VulkanBackendOptions&) {
  throw Error("this program was built without Vulkan");
}

}  // namespace brink

#endif  // BRINK_VULKAN

#endif  // BRINK_VULKAN_VULKAN_IMPL_H_
