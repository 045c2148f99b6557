// Tests that need a Vulkan device: any will do, a driver that runs on the CPU too.
#ifndef BRINK_TESTS_SUPPORT_VULKAN_H_
#define BRINK_TESTS_SUPPORT_VULKAN_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "brink/core/error.h"
#include "brink/quant/format.h"
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

/// A device that all tests of a suite share, so that each pipeline is built once; every test ends
/// with the question what the validation layer said.
class VulkanTest : public ::testing::Test {
 public:
  static void TearDownTestSuite() { device_.reset(); }

 protected:
  void SetUp() override;
  void TearDown() override {
    if (device_ != nullptr) expect_silent_validation(*device_);
  }

  static vulkan::Device& device() { return *device_; }

  /// Memory that shaders read, filled with `values`; whole words, as shaders of weights need it.
  template <class T>
  static vulkan::Buffer filled(std::span<const T> values) {
    vulkan::Buffer buffer = empty<T>(values.size(), vulkan::Memory::kUpload);
    std::memcpy(buffer.mapped(), values.data(), values.size_bytes());
    return buffer;
  }
  template <class T>
  static vulkan::Buffer filled(const std::vector<T>& values) {
    return filled(std::span<const T>(values));
  }

  /// Memory that shaders write and the host reads.
  template <class T>
  static vulkan::Buffer empty(std::size_t count,
                              vulkan::Memory memory = vulkan::Memory::kReadback) {
    return device_->allocate((count * sizeof(T) + 3) / 4 * 4, memory, "a test");
  }

 private:
  static inline std::shared_ptr<vulkan::Device> device_;
};

/// The types that shaders know.
inline std::vector<TensorType> shader_types() {
  std::vector<TensorType> types;
  for (const Format& f : formats())
    if (f.quantized || f.type == TensorType::kF32 || f.type == TensorType::kF16 ||
        f.type == TensorType::kBF16)
      types.push_back(f.type);
  return types;
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

inline void brink::testing::VulkanTest::SetUp() {
  BRINK_REQUIRE_VULKAN();
  if (device_ == nullptr) device_ = vulkan::Device::open();
}

#endif  // BRINK_TESTS_SUPPORT_VULKAN_H_
