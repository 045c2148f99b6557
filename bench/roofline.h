// The ceilings of this machine's processor: sustained read bandwidth and multiply-add rates.
// Nothing that runs here can be faster, so measured rates are stated as shares of them.
#ifndef BRINK_BENCH_ROOFLINE_H_
#define BRINK_BENCH_ROOFLINE_H_

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "bench/roofline_kernels.h"

namespace brink::bench {

/// Measures ceilings with `threads` threads. A measurement takes about `seconds` and returns the
/// best of its repetitions (others, and the clock, only ever make it slower).
class Roofline {
 public:
  /// 1 GiB is past any last-level cache that can be expected to matter.
  static constexpr std::size_t kBufferBytes = std::size_t{1} << 30;

  explicit Roofline(unsigned threads, std::size_t buffer_bytes = kBufferBytes)
      : kernels_(roofline_kernels()),
        threads_(std::max(1u, threads)),
        // Per thread a multiple of the largest step of a read loop.
        slice_(buffer_bytes / threads_ / 256 * 256) {}

  unsigned threads() const { return threads_; }
  const char* kernels() const { return kernels_.name; }

  /// Bytes per second. The first call allocates and touches the buffer.
  double read_bytes_per_second(double seconds) {
    if (!buffer_) allocate();
    const double best = best_time(seconds, [this](unsigned thread) {
      return kernels_.read(buffer_.get() + thread * slice_, slice_);
    });
    return static_cast<double>(slice_) * threads_ / best;
  }
  /// Operations per second, a multiply-add counting as two.
  double int8_ops_per_second(double seconds) {
    return rate(seconds, kernels_.int8, kernels_.int8_ops);
  }
  double bf16_flops_per_second(double seconds) {
    return rate(seconds, kernels_.bf16, kernels_.bf16_ops);
  }
  double f32_flops_per_second(double seconds) {
    return rate(seconds, kernels_.f32, kernels_.f32_ops);
  }
  /// Gives the buffer back to the system, so that it does not count as memory in use.
  void release() { buffer_.reset(); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Free {
    void operator()(char* p) const { std::free(p); }
  };

  // Aligned to a huge page, so that the system may back it with such.
  void allocate() {
    constexpr std::size_t kHugePage = std::size_t{1} << 21;
    const std::size_t bytes = (slice_ * threads_ + kHugePage - 1) / kHugePage * kHugePage;
    buffer_.reset(static_cast<char*>(std::aligned_alloc(kHugePage, bytes)));
    if (!buffer_) throw std::bad_alloc();
    std::memset(buffer_.get(), 1, bytes);
  }

  double rate(double seconds, std::int64_t (*loop)(std::size_t), double ops) {
    constexpr std::size_t kInstructions = 12 * std::size_t{3'000'000};  // some milliseconds
    const double best = best_time(seconds, [loop](unsigned) { return loop(kInstructions); });
    return ops * static_cast<double>(kInstructions) * threads_ / best;
  }

  template <class Work>
  double best_time(double seconds, Work work) {
    double best = 1e30;
    const Clock::time_point start = Clock::now();
    do {
      const Clock::time_point begin = Clock::now();
      std::vector<std::thread> helpers;
      for (unsigned t = 1; t < threads_; ++t)
        helpers.emplace_back([this, &work, t] { sink_ += work(t); });
      sink_ += work(0);
      for (std::thread& helper : helpers) helper.join();
      best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count());
    } while (std::chrono::duration<double>(Clock::now() - start).count() < seconds);
    return best;
  }

  RooflineKernels kernels_;
  unsigned threads_;
  std::size_t slice_;  // bytes that one thread reads
  std::unique_ptr<char[], Free> buffer_;
  std::atomic<std::int64_t> sink_{0};  // keeps the loops from being optimised away
};

}  // namespace brink::bench

#endif  // BRINK_BENCH_ROOFLINE_H_
