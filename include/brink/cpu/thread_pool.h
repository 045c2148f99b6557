// A persistent pool of threads for the operations of a forward pass.
#ifndef BRINK_CPU_THREAD_POOL_H_
#define BRINK_CPU_THREAD_POOL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace brink {

/// Hands the items of one operation at a time to its threads; the calling thread takes part as
/// thread 0. A step of a small model runs hundreds of operations of a few microseconds each, so
/// between two of them the threads spin (for a bounded time) before they sleep, and a thread that
/// has not woken by the time the items are gone does not hold up the caller.
class ThreadPool {
 public:
  /// Threads including the caller; 0 means default_threads(). With 1 no thread is created.
  explicit ThreadPool(unsigned threads = 0);
  ~ThreadPool();

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  unsigned threads() const { return threads_; }

  /// Physical cores in this process's affinity mask, at most the CPU quota of its control group.
  static unsigned default_threads();

  /// Runs fn(item, thread) for item in [0, items), thread in [0, threads()); items are claimed one
  /// by one, in order; blocks until all are done. No two calls of fn at the same time have the same
  /// thread. The first exception thrown by fn is rethrown here; items not yet claimed by then are
  /// not run. A run inside an fn of the same pool is executed inline, under the thread number of
  /// the enclosing call. Runs from several outside threads take turns. Does not allocate.
  template <class F>
  void run(std::size_t items, F&& fn) {
    using Function = std::remove_reference_t<F>;
    dispatch(items, Job{const_cast<void*>(static_cast<const void*>(std::addressof(fn))),
                        [](void* context, std::size_t item, unsigned thread) {
                          (*static_cast<Function*>(context))(item, thread);
                        }});
  }

 private:
  struct Job {
    void* context = nullptr;
    void (*call)(void* context, std::size_t item, unsigned thread) = nullptr;
  };

  void dispatch(std::size_t items, Job job);
  void work(unsigned thread);
  void worker(unsigned thread);
  bool spin_until_epoch_changes(std::uint32_t seen);
  void wait_for_workers();

  unsigned threads_;
  bool spin_;  ///< false where threads outnumber the processors: spinning would take them away
  std::mutex turn_;
  std::vector<std::thread> workers_;

  // What a run consists of: written while the gate is closed and nobody is inside.
  Job job_;
  std::size_t items_ = 0;
  std::exception_ptr error_;

  // Each on a line of its own: the first is spun on, the others are written by every thread.
  alignas(64) std::atomic<std::uint32_t> epoch_{0};  ///< changes with every run and at the end
  alignas(64) std::atomic<std::uint32_t> gate_{0};   ///< workers inside, kOpen, kCallerSleeps
  alignas(64) std::atomic<std::size_t> next_{0};     ///< the next item to be claimed
  std::atomic<bool> failed_{false};
  std::atomic<bool> stop_{false};
};

}  // namespace brink

#endif  // BRINK_CPU_THREAD_POOL_H_
