// What a Vulkan device could do at most; no header of Vulkan's is needed here.
#ifndef BRINK_VULKAN_CEILINGS_H_
#define BRINK_VULKAN_CEILINGS_H_

#include <memory>
#include <string>

namespace brink::vulkan {

/// Measures the ceilings beside which rates of a device are set.
class DeviceCeilings {
 public:
  /// `device` as in VulkanBackendOptions. Throws Error as make_vulkan_backend() does.
  explicit DeviceCeilings(const std::string& device);
  ~DeviceCeilings();

  /// Bytes read and written per second by copies of a large buffer, the best of `seconds`.
  double copy_bytes_per_second(double seconds);
  /// Two operations per multiply-add of 4 x 8-bit dot products, without cooperative matrices.
  double int8_ops_per_second(double seconds);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_CEILINGS_H_
