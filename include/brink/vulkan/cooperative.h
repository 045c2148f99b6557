// Cooperative matrices: what a device offers, and how a product is cut into them.
//
// The shaders are written for VK_NV_cooperative_matrix, the one form that Debian 12's compiler
// knows and its validator checks. Devices of today have VK_KHR_cooperative_matrix, which says the
// same with other words: to_khr_cooperative() translates a module.
#ifndef BRINK_VULKAN_COOPERATIVE_H_
#define BRINK_VULKAN_COOPERATIVE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "brink/vulkan/api.h"

namespace brink::vulkan {

/// A shape of fragments with f16 operands and f32 sums, for a subgroup: [m][k] x [k][n].
struct CooperativeShape {
  std::uint32_t m = 0, n = 0, k = 0;
  bool khr = false;  ///< by VK_KHR_cooperative_matrix; else by VK_NV_cooperative_matrix
};

/// The shape that the products would use; none where the device has none that fits them.
std::optional<CooperativeShape> find_cooperative_shape(const InstanceFunctions& vk,
                                                       VkInstance instance,
                                                       VkPhysicalDevice device);

/// Chained for vkGetPhysicalDeviceFeatures2 and vkCreateDevice; both extensions' structures have
/// this form.
struct CooperativeFeatures {
  explicit CooperativeFeatures(bool khr);
  VkStructureType type;
  void* next = nullptr;
  VkBool32 cooperative_matrix = VK_FALSE;
  VkBool32 robust_access = VK_FALSE;
};

/// The extension's name.
const char* cooperative_extension(bool khr);

/// A module with cooperative matrices of VK_NV_cooperative_matrix as one of
/// VK_KHR_cooperative_matrix. The type of a fragment must tell what it is used for: first operand,
/// second or sum. Throws Error where it does not, or where `code` is no SPIR-V.
std::vector<std::uint32_t> to_khr_cooperative(std::span<const std::uint32_t> code);

/// How a workgroup's tile of results is cut.
struct CooperativeTile {
  std::uint32_t rows = 0, tokens = 0;            ///< of the tile
  std::uint32_t local = 0;                       ///< invocations of the workgroup
  std::uint32_t part_rows = 0, part_tokens = 0;  ///< of a subgroup
};

/// What a tile is chosen for.
struct CooperativeProduct {
  std::uint32_t rows = 0;      ///< of weights
  std::uint32_t tokens = 0;    ///< that each matrix is multiplied with
  std::uint32_t matrices = 1;  ///< multiplied side by side (the experts of a layer)
  std::uint32_t subgroup = 0;  ///< the device's
  std::uint32_t shared_bytes = 0;
};

/// The tile for a product; none where the fragments do not fit a subgroup's part. Large tiles read
/// less, small ones keep all of a device busy.
std::optional<CooperativeTile> choose_cooperative_tile(const CooperativeShape& shape,
                                                       const CooperativeProduct& product);

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_COOPERATIVE_H_
