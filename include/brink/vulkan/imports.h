// Weights that a device reads where the host has them.
#ifndef BRINK_VULKAN_IMPORTS_H_
#define BRINK_VULKAN_IMPORTS_H_

#include <cstdint>
#include <vector>

#include "brink/model/weights.h"
#include "brink/vulkan/device.h"

namespace brink::vulkan {

/// Matrices of a mapped file as memory of a device that shares the host's: nothing is copied, and
/// what is not read takes no memory. Whatever cannot be imported is left to be copied, silently.
class Imports {
 public:
  /// Imports nothing.
  Imports() = default;
  /// The matrices' memory must outlive the buffers.
  Imports(Device& device, const Weights& weights);

  /// Where the device has these bytes of the host; 0 where it has not, or not as shaders want them.
  std::uint64_t address(const void* data, std::uint64_t bytes) const;

  /// What shaders want of the start of a matrix, see shaders/formats/load.glsl. Its last word is
  /// theirs to read, too: that lies in the same page.
  static constexpr std::uint64_t kAlignment = 16;

 private:
  struct Window {
    std::uintptr_t begin = 0, end = 0;
    Buffer buffer;
  };
  std::vector<Window> windows_;  // ascending
};

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_IMPORTS_H_
