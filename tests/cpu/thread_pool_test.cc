// What a pool promises: every item once, thread numbers in range and never shared at one time,
// exceptions delivered, nested runs inline, from idle threads and from busy ones.
#include "brink/cpu/thread_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "brink/core/aligned.h"

namespace brink {
namespace {

class ThreadPoolTest : public ::testing::TestWithParam<unsigned> {};

TEST_P(ThreadPoolTest, RunsEveryItemOnce) {
  ThreadPool pool(GetParam());
  ASSERT_EQ(pool.threads(), GetParam());
  for (const std::size_t items : {0u, 1u, 2u, 3u, 7u, 8u, 9u, 64u, 1000u}) {
    for (int repeat = 0; repeat < 50; ++repeat) {
      // Plain integers: if two threads had the same item, or the caller returned before a worker
      // was done, a count would be off (and the thread sanitizer would say so).
      std::vector<int> counts(items, 0);
      pool.run(items, [&](std::size_t item, unsigned thread) {
        ASSERT_LT(thread, pool.threads());
        ++counts[item];
      });
      for (std::size_t i = 0; i < items; ++i) ASSERT_EQ(counts[i], 1) << "item " << i;
    }
  }
}

TEST_P(ThreadPoolTest, RunsFromSleep) {
  ThreadPool pool(GetParam());
  for (int repeat = 0; repeat < 20; ++repeat) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // far beyond the spinning time
    std::atomic<int> count{0};
    pool.run(16, [&](std::size_t, unsigned) { ++count; });
    ASSERT_EQ(count, 16);
  }
}

TEST_P(ThreadPoolTest, ThreadNumbersAreExclusive) {
  ThreadPool pool(GetParam());
  std::vector<std::atomic<int>> inside(pool.threads());
  std::atomic<int> clashes{0};
  for (int repeat = 0; repeat < 100; ++repeat) {
    pool.run(32, [&](std::size_t, unsigned thread) {
      if (inside[thread].fetch_add(1) != 0) ++clashes;
      std::this_thread::yield();
      inside[thread].fetch_sub(1);
    });
  }
  EXPECT_EQ(clashes, 0);
}

TEST_P(ThreadPoolTest, AllThreadsTakePart) {
  ThreadPool pool(GetParam());
  std::atomic<unsigned> arrived{0};
  // Each item waits for all others, so it takes all threads to get through; a pool that runs items
  // on too few threads would never return.
  pool.run(pool.threads(), [&](std::size_t, unsigned) {
    ++arrived;
    while (arrived < pool.threads()) std::this_thread::yield();
  });
  EXPECT_EQ(arrived, pool.threads());
}

TEST_P(ThreadPoolTest, RethrowsAndStaysUsable) {
  ThreadPool pool(GetParam());
  for (int repeat = 0; repeat < 20; ++repeat) {
    std::atomic<std::size_t> ran{0};
    try {
      pool.run(100000, [&](std::size_t item, unsigned) {
        ++ran;
        if (item == 5) throw std::runtime_error("item 5");
      });
      FAIL() << "the exception was lost";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "item 5");
    }
    EXPECT_GE(ran, 6u);
    std::atomic<int> count{0};
    pool.run(100, [&](std::size_t, unsigned) { ++count; });
    EXPECT_EQ(count, 100);
  }
}

TEST_P(ThreadPoolTest, NestedRunsAreInline) {
  ThreadPool pool(GetParam());
  std::atomic<int> count{0};
  std::atomic<int> wrong{0};
  pool.run(16, [&](std::size_t, unsigned outer) {
    const std::thread::id self = std::this_thread::get_id();
    pool.run(10, [&](std::size_t, unsigned inner) {
      if (inner != outer || std::this_thread::get_id() != self) ++wrong;
      ++count;
    });
  });
  EXPECT_EQ(count, 160);
  EXPECT_EQ(wrong, 0);
}

TEST_P(ThreadPoolTest, NestedRunsOfAnotherPoolWork) {
  ThreadPool outer(GetParam());
  ThreadPool inner(2);
  std::atomic<int> count{0};
  outer.run(8,
            [&](std::size_t, unsigned) { inner.run(10, [&](std::size_t, unsigned) { ++count; }); });
  EXPECT_EQ(count, 80);
}

TEST_P(ThreadPoolTest, OutsideThreadsTakeTurns) {
  ThreadPool pool(GetParam());
  std::vector<std::atomic<int>> inside(pool.threads());
  std::atomic<int> clashes{0};
  std::atomic<int> count{0};
  const auto use = [&] {
    for (int i = 0; i < 100; ++i) {
      pool.run(8, [&](std::size_t, unsigned thread) {
        if (inside[thread].fetch_add(1) != 0) ++clashes;
        ++count;
        inside[thread].fetch_sub(1);
      });
    }
  };
  std::thread a(use), b(use);
  a.join();
  b.join();
  EXPECT_EQ(count, 1600);
  EXPECT_EQ(clashes, 0);
}

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, ::testing::Range(1u, 9u));

TEST(ThreadPool, DefaultThreads) {
  EXPECT_GE(ThreadPool::default_threads(), 1u);
  EXPECT_LE(ThreadPool::default_threads(), std::max(1u, std::thread::hardware_concurrency()));
  EXPECT_EQ(ThreadPool().threads(), ThreadPool::default_threads());
}

TEST(AlignedBuffer, AlignsZeroesAndMoves) {
  for (const std::size_t size : {1u, 3u, 16u, 1000u}) {
    AlignedBuffer<std::uint8_t> buffer = AlignedBuffer<std::uint8_t>::zeroed(size);
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % kBufferAlignment, 0u);
    ASSERT_EQ(buffer.size(), size);
    for (const std::uint8_t value : buffer) ASSERT_EQ(value, 0);
    buffer[size - 1] = 7;
    const std::uint8_t* data = buffer.data();
    AlignedBuffer<std::uint8_t> moved = std::move(buffer);
    EXPECT_EQ(moved.data(), data);
    EXPECT_EQ(moved[size - 1], 7);
    EXPECT_TRUE(buffer.empty());  // NOLINT(bugprone-use-after-move): empty is what is promised
    moved.reserve_discarding(size + 1);
    EXPECT_EQ(moved.size(), size + 1);
  }
  EXPECT_EQ(AlignedBuffer<float>(0).data(), nullptr);
}

TEST(AlignedBuffer, RefusesWhatCannotBe) {
  constexpr std::size_t kMost = std::numeric_limits<std::size_t>::max();
  for (const std::size_t size : {kMost, kMost / 4 + 2, kMost / 8, kMost / 2 / 4 - 1}) {
    EXPECT_THROW(AlignedBuffer<float>::zeroed(size), Error) << size;
  }
}

}  // namespace
}  // namespace brink
