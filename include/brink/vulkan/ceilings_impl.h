// Definitions of vulkan/ceilings.h.
#ifndef BRINK_VULKAN_CEILINGS_IMPL_H_
#define BRINK_VULKAN_CEILINGS_IMPL_H_

#include <algorithm>
#include <chrono>

#include "brink/vulkan/ceilings.h"
#include "brink/vulkan/device.h"

namespace brink::vulkan {

struct DeviceCeilings::State {
  explicit State(const std::string& name)
      : device(Device::open({.device = name})),
        bytes(std::min<std::uint64_t>(std::uint64_t{256} << 20,
                                      device->info().memory_budget / 16 / 256 * 256)),
        from(device->allocate(bytes, Memory::kDevice, "a measurement")),
        to(device->allocate(bytes, Memory::kDevice, "a measurement")),
        recording(*device) {}

  // Least time of a run of the recording.
  double best_time(double seconds) {
    using Clock = std::chrono::steady_clock;
    double best = 1e30;
    const Clock::time_point start = Clock::now();
    do {
      const Clock::time_point begin = Clock::now();
      device->run(recording);
      best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count());
    } while (std::chrono::duration<double>(Clock::now() - start).count() < seconds);
    return best;
  }

  std::shared_ptr<Device> device;
  std::uint64_t bytes;
  Buffer from, to;
  Recording recording;
};

DeviceCeilings::DeviceCeilings(const std::string& device)
    : state_(std::make_unique<State>(device)) {}
DeviceCeilings::~DeviceCeilings() = default;

double DeviceCeilings::copy_bytes_per_second(double seconds) {
  // Several copies, against the cost of a submission.
  constexpr int kCopies = 4;
  State& s = *state_;
  s.recording.begin();
  for (int i = 0; i < kCopies; ++i) {
    s.recording.copy(i % 2 == 0 ? s.from : s.to, 0, i % 2 == 0 ? s.to : s.from, 0, s.bytes);
    s.recording.barrier();
  }
  s.recording.end();
  return 2.0 * kCopies * static_cast<double>(s.bytes) / s.best_time(seconds);
}

double DeviceCeilings::int8_ops_per_second(double seconds) {
  struct Push {
    std::uint64_t out;
    std::uint32_t count;
  };
  // Enough invocations to fill any device; a driver for the CPU needs fewer.
  State& s = *state_;
  constexpr std::uint32_t kLocal = 256, kCount = 1024;
  const std::uint32_t groups = s.device->info().kind == "CPU" ? 64 : 8192;
  s.recording.begin();
  s.recording.dispatch(s.device->pipeline("peak_int8", {kLocal}), Push{s.to.address(), kCount},
                       groups);
  s.recording.end();
  const double ops = 2.0 * 8 * 4 * kCount * kLocal * groups;
  return ops / s.best_time(seconds);
}

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_CEILINGS_IMPL_H_
