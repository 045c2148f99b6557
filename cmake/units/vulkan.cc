// The unit that compiles the Vulkan backend.
#include <brink/vulkan/vulkan_impl.h>
