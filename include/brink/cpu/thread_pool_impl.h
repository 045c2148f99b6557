// Implementation of thread_pool.h; part of the one BRINK_IMPLEMENTATION unit.
#ifndef BRINK_CPU_THREAD_POOL_IMPL_H_
#define BRINK_CPU_THREAD_POOL_IMPL_H_

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <set>
#include <string>
#include <utility>

#include "brink/cpu/thread_pool.h"

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace brink {
namespace thread_pool_detail {

inline constexpr std::uint32_t kOpen = 1u << 31;          // workers may enter
inline constexpr std::uint32_t kCallerSleeps = 1u << 30;  // the last one out wakes the caller
inline constexpr std::uint32_t kInside = kCallerSleeps - 1;

// More threads than this is a mistake in a number, not a machine.
inline constexpr unsigned kMaxThreads = 1024;

// Longer than the serial gaps between the operations of a step (a few microseconds, some tens at
// the sampling of a token), short against anything a user or a battery would notice.
inline constexpr std::chrono::microseconds kSpinTime{60};
// Reading the clock costs as much as a pause; look at it once in so many.
inline constexpr int kPausesPerLook = 32;
// A look that comes this much late means that another thread had our processor meanwhile.
inline constexpr std::chrono::microseconds kPreempted{500};

// The pool whose item this thread is running, and as which of its threads.
thread_local const void* current_pool = nullptr;
thread_local unsigned current_thread = 0;

// Marks this thread as running items of `pool`, until the end of the scope.
class Inside {
 public:
  Inside(const void* pool, unsigned thread)
      : pool_(std::exchange(current_pool, pool)), thread_(std::exchange(current_thread, thread)) {}
  ~Inside() {
    current_pool = pool_;
    current_thread = thread_;
  }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  const void* pool_;
  unsigned thread_;
};

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#else
  std::this_thread::yield();
#endif
}

// Logical processors that this process may run on, and how many cores they belong to.
struct Processors {
  unsigned logical = 0;
  unsigned cores = 0;
};

Processors available_processors() {
  Processors result;
#if defined(__linux__)
  // Sized for machines beyond the 1024 processors of a plain cpu_set_t.
  constexpr int kMaxProcessors = 8192;
  const std::size_t bytes = CPU_ALLOC_SIZE(kMaxProcessors);
  cpu_set_t* mask = CPU_ALLOC(kMaxProcessors);
  if (mask != nullptr && sched_getaffinity(0, bytes, mask) == 0) {
    std::set<std::pair<std::string, std::string>> cores;
    for (std::size_t cpu = 0; cpu < static_cast<std::size_t>(kMaxProcessors); ++cpu) {
      if (!CPU_ISSET_S(cpu, bytes, mask)) continue;
      ++result.logical;
      const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
      std::string package, core;
      std::ifstream(folder + "physical_package_id") >> package;
      std::ifstream(folder + "core_id") >> core;
      if (core.empty()) core = "cpu" + std::to_string(cpu);  // unknown: a core of its own
      cores.emplace(package, core);
    }
    result.cores = static_cast<unsigned>(cores.size());
  }
  if (mask != nullptr) CPU_FREE(mask);
#endif
  if (result.logical == 0) {
    result.logical = std::max(1u, std::thread::hardware_concurrency());
    result.cores = result.logical;
  }
  return result;
}

// The processors' worth of time that the control group (version 2) grants, rounded up; without a
// limit the largest number.
unsigned quota_processors() {
  double quota = 0, period = 0;
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  if (!(file >> quota >> period) || quota <= 0 || period <= 0) {  // "max 100000": no limit
    return std::numeric_limits<unsigned>::max();
  }
  const double processors = (quota + period - 1) / period;
  return processors < 1 ? 1 : static_cast<unsigned>(std::min(processors, 1e6));
}

}  // namespace thread_pool_detail

unsigned ThreadPool::default_threads() {
  const unsigned cores = thread_pool_detail::available_processors().cores;
  return std::max(1u, std::min({cores, thread_pool_detail::quota_processors(),
                                thread_pool_detail::kMaxThreads}));
}

ThreadPool::ThreadPool(unsigned threads)
    : threads_(
          std::min(threads == 0 ? default_threads() : threads, thread_pool_detail::kMaxThreads)),
      spin_(threads_ <= thread_pool_detail::available_processors().logical) {
  workers_.reserve(threads_ - 1);
  try {
    for (unsigned t = 1; t < threads_; ++t) workers_.emplace_back([this, t] { worker(t); });
  } catch (const std::system_error&) {
    // The system grants no more threads: run with those that there are.
    threads_ = static_cast<unsigned>(workers_.size()) + 1;
  }
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (std::thread& thread : workers_) thread.join();
}

void ThreadPool::dispatch(std::size_t items, Job job) {
  using namespace thread_pool_detail;
  if (items == 0) return;
  if (current_pool == this) {
    for (std::size_t i = 0; i < items; ++i) job.call(job.context, i, current_thread);
    return;
  }
  const std::lock_guard<std::mutex> lock(turn_);
  const Inside inside(this, 0);
  if (threads_ == 1 || items == 1) {
    for (std::size_t i = 0; i < items; ++i) job.call(job.context, i, 0);
    return;
  }

  job_ = job;
  items_ = items;
  next_.store(0, std::memory_order_relaxed);
  failed_.store(false, std::memory_order_relaxed);
  gate_.store(kOpen, std::memory_order_release);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();

  work(0);
  gate_.fetch_and(~kOpen, std::memory_order_acq_rel);
  wait_for_workers();

  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

// Runs items until none is left.
void ThreadPool::work(unsigned thread) {
  try {
    for (std::size_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < items_;) {
      job_.call(job_.context, i, thread);
    }
  } catch (...) {
    next_.store(items_, std::memory_order_relaxed);
    if (!failed_.exchange(true, std::memory_order_relaxed)) error_ = std::current_exception();
  }
}

void ThreadPool::wait_for_workers() {
  using namespace thread_pool_detail;
  const auto start = std::chrono::steady_clock::now();
  while (true) {
    for (int i = 0; i < kPausesPerLook; ++i) {
      if ((gate_.load(std::memory_order_acquire) & kInside) == 0) return;
      if (spin_) pause();
    }
    if (!spin_ || std::chrono::steady_clock::now() - start > kSpinTime) break;
  }
  std::uint32_t gate = gate_.fetch_or(kCallerSleeps, std::memory_order_acq_rel) | kCallerSleeps;
  while ((gate & kInside) != 0) {
    gate_.wait(gate, std::memory_order_acquire);
    gate = gate_.load(std::memory_order_acquire);
  }
}

// True as soon as a new run has begun, false when none has begun for the spinning time.
bool ThreadPool::spin_until_epoch_changes(std::uint32_t seen) {
  using namespace thread_pool_detail;
  if (!spin_) return epoch_.load(std::memory_order_acquire) != seen;
  const auto start = std::chrono::steady_clock::now();
  auto last = start;
  while (true) {
    for (int i = 0; i < kPausesPerLook; ++i) {
      if (epoch_.load(std::memory_order_acquire) != seen) return true;
      pause();
    }
    const auto now = std::chrono::steady_clock::now();
    // Somebody else needs this processor, perhaps the very thread that we are waiting for: sleep.
    if (now - start > kSpinTime || now - last > kPreempted) return false;
    last = now;
  }
}

void ThreadPool::worker(unsigned thread) {
  using namespace thread_pool_detail;
  const Inside inside(this, thread);
  std::uint32_t seen = 0;
  while (true) {
    while (!spin_until_epoch_changes(seen)) epoch_.wait(seen, std::memory_order_acquire);
    seen = epoch_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_relaxed)) return;

    std::uint32_t gate = gate_.load(std::memory_order_relaxed);
    bool entered = false;
    while ((gate & kOpen) != 0 && !entered) {
      entered = gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel,
                                            std::memory_order_relaxed);
    }
    if (!entered) continue;  // too late: the caller had done it all
    work(thread);
    const std::uint32_t before = gate_.fetch_sub(1, std::memory_order_acq_rel);
    if ((before & kInside) == 1 && (before & kCallerSleeps) != 0) gate_.notify_all();
  }
}

}  // namespace brink

#endif  // BRINK_CPU_THREAD_POOL_IMPL_H_
