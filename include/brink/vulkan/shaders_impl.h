// The embedded shaders.
#ifndef BRINK_VULKAN_SHADERS_IMPL_H_
#define BRINK_VULKAN_SHADERS_IMPL_H_

#include <cstdint>
#include <span>
#include <string_view>

#include "brink/vulkan/device.h"

namespace brink::vulkan {
namespace embedded {
#include "brink/vulkan/shaders.inc"
}  // namespace embedded

std::span<const std::uint32_t> find_shader(std::string_view name) {
  for (const embedded::EmbeddedShader& shader : embedded::kEmbeddedShaders)
    if (shader.name == name) return shader.code;
  return {};
}

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_SHADERS_IMPL_H_
