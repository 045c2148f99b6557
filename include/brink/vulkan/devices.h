// The Vulkan devices of this machine; no header of Vulkan's is needed here.
#ifndef BRINK_VULKAN_DEVICES_H_
#define BRINK_VULKAN_DEVICES_H_

#include <cstdint>
#include <string>
#include <vector>

namespace brink::vulkan {

/// What a device can do, as far as brink cares.
struct DeviceInfo {
  std::string name;
  std::string driver;
  std::string kind;                  ///< "discrete GPU", "integrated GPU", "CPU", ...
  std::uint64_t memory = 0;          ///< bytes of its largest device-local heap
  std::uint64_t memory_budget = 0;   ///< bytes of it that this process may use now
  std::uint32_t subgroup = 0;        ///< invocations of a subgroup
  std::uint64_t largest_buffer = 0;  ///< bytes of one allocation
  std::uint32_t shared_bytes = 0;    ///< shared memory of a workgroup
  std::string cooperative;           ///< its cooperative matrices, for people; empty: none
  std::string missing;               ///< required feature that it lacks; empty: it can be used
};

/// All devices of this machine, in the driver's order. Throws Error where there is
/// no Vulkan or this program was built without it.
std::vector<DeviceInfo> list_devices();

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_DEVICES_H_
