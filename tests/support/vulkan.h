// Tests that need a Vulkan device: any will do, a driver that runs on the CPU too.
#ifndef BRINK_TESTS_SUPPORT_VULKAN_H_
#define BRINK_TESTS_SUPPORT_VULKAN_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "brink/core/error.h"
#include "brink/vulkan/device.h"

namespace brink::testing {

/// Why there is no device to test on; empty where there is one. The device is opened with the
/// validation layer where that is installed.
inline std::string vulkan_missing() {
  try {
    vulkan::Device::open();
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

/// Fails when the validation layer has said anything so far.
inline void expect_silent_validation(const vulkan::Device& device) {
  for (const std::string& message : device.messages()) ADD_FAILURE() << message;
}

}  // namespace brink::testing

/// Skips the test, with a message, where there is no Vulkan device. Never skipped in CI.
#define BRINK_REQUIRE_VULKAN()                                      \
  do {                                                              \
    const std::string missing = ::brink::testing::vulkan_missing(); \
    if (missing.empty()) break;                                     \
    if (std::getenv("BRINK_CI") != nullptr) FAIL() << missing;      \
    GTEST_SKIP() << missing;                                        \
  } while (false)

#endif  // BRINK_TESTS_SUPPORT_VULKAN_H_
