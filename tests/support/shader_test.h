// What tests of single shaders share: a device with its pipelines, buffers between guard bytes,
// random numbers, distances from float64.
#ifndef BRINK_TESTS_SUPPORT_SHADER_TEST_H_
#define BRINK_TESTS_SUPPORT_SHADER_TEST_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <random>
#include <string_view>
#include <vector>

#include "brink/vulkan/device.h"
#include "tests/support/vulkan.h"

namespace brink::testing {

using u32 = std::uint32_t;

inline u32 ceil_div(u32 a, u32 b) { return (a + b - 1) / b; }

/// `count` values that host and device see, filled with bytes 0xFF (NaN as f32), with as much of
/// the same before and behind: its end is a failure of the test if those were overwritten.
template <class T>
class Guarded {
 public:
  Guarded(vulkan::Device& device, std::size_t count)
      : count_(count),
        buffer_(
            device.allocate(2 * kGuard + count * sizeof(T), vulkan::Memory::kReadback, "a test")) {
    std::memset(buffer_.mapped(), 0xff, static_cast<std::size_t>(buffer_.size()));
  }
  Guarded(vulkan::Device& device, const std::vector<T>& values) : Guarded(device, values.size()) {
    *this = values;
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  Guarded& operator=(const std::vector<T>& values) {
    std::copy(values.begin(), values.end(), data());
    return *this;
  }
  ~Guarded() {
    const auto untouched = [](std::byte byte) { return byte == std::byte{0xff}; };
    const std::byte* const before = buffer_.mapped();
    const std::byte* const behind = before + kGuard + count_ * sizeof(T);
    EXPECT_TRUE(std::all_of(before, before + kGuard, untouched)) << "written before a buffer";
    EXPECT_TRUE(std::all_of(behind, behind + kGuard, untouched)) << "written behind a buffer";
  }

  std::uint64_t address() const { return buffer_.address() + kGuard; }
  std::size_t size() const { return count_; }
  T* data() const { return reinterpret_cast<T*>(buffer_.mapped() + kGuard); }
  T& operator[](std::size_t i) const { return data()[i]; }
  std::vector<T> values() const { return {data(), data() + count_}; }

 private:
  static constexpr std::size_t kGuard = 256;  // what addresses are then multiples of
  std::size_t count_;
  vulkan::Buffer buffer_;
};

using Floats = Guarded<float>;
using Uints = Guarded<u32>;

/// The same numbers in every run.
class Random {
 public:
  std::mt19937& bits() { return bits_; }
  u32 word() { return static_cast<u32>(bits_()); }
  /// A number below `end`.
  u32 below(u32 end) { return static_cast<u32>(bits_() % end); }
  std::vector<float> normal(std::size_t count, float deviation = 1.0f) {
    std::normal_distribution<float> distribution(0.0f, deviation);
    std::vector<float> values(count);
    for (float& value : values) value = distribution(bits_);
    return values;
  }

 private:
  std::mt19937 bits_{1};
};

/// The largest distance so far.
class Distance {
 public:
  /// `size`: what an error is relative to. A NaN is the largest of errors.
  void add(float got, double wanted, double size) {
    const double distance = std::abs(static_cast<double>(got) - wanted) / std::max(size, 1e-30);
    if (!(distance <= largest_)) largest_ = std::isnan(distance) ? 1e300 : distance;
  }
  double largest() const { return largest_; }

 private:
  double largest_ = 0.0;
};

/// Tests of shaders: all tests of a program share one device, and so its pipelines.
class ShaderTest : public ::testing::Test {
 protected:
  static void TearDownTestSuite() { device_.reset(); }
  void SetUp() override {
    if (device_ != nullptr) return;
    BRINK_REQUIRE_VULKAN();
    device_ = vulkan::Device::open();
  }
  void TearDown() override {
    if (device_ != nullptr) expect_silent_validation(*device_);
  }

  static vulkan::Device& device() { return *device_; }

  /// One dispatch of `shader`, done when it returns.
  template <class Push>
  static void run(std::string_view shader, std::initializer_list<u32> constants, const Push& push,
                  u32 x, u32 y = 1, u32 z = 1) {
    vulkan::Recording recording(*device_);
    recording.begin();
    recording.dispatch(device_->pipeline(shader, constants), push, x, y, z);
    recording.end();
    device_->run(recording);
  }

  Random random_;

 private:
  static inline std::shared_ptr<vulkan::Device> device_;
};

}  // namespace brink::testing

#endif  // BRINK_TESTS_SUPPORT_SHADER_TEST_H_
