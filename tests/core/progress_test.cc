#include "brink/core/progress.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

namespace brink {
namespace {

using Unit = ProgressUnit;

TEST(ProgressLine, ShowsShareAmountRateAndTimeToGo) {
  EXPECT_EQ(progress_line("Q4_K", 250, 1000, Unit::kItems, 5, false, 200),
            "Q4_K 25% 250/1000 50/s 0:15 left");
  EXPECT_EQ(progress_line("write", 1500000000, 3000000000, Unit::kBytes, 2.0, false, 200),
            "write 50% 1.5 GB/3.0 GB 750.0 MB/s 0:02 left");
  EXPECT_EQ(progress_line("done", 10, 10, Unit::kItems, 4, false, 200),
            "done 100% 10/10 2.5/s in 0:04");
  EXPECT_EQ(progress_line("slow", 1, 7201, Unit::kItems, 1, false, 200),
            "slow 0% 1/7201 1/s 2:00:00 left");
}

TEST(ProgressLine, NeedsNoTotalAndNoTime) {
  EXPECT_EQ(progress_line("x", 12, 0, Unit::kItems, 3, true, 80), "x 12 4/s in 0:03");
  EXPECT_EQ(progress_line("x", 0, 10, Unit::kItems, 0, false, 80), "x 0% 0/10 in 0:00");
}

TEST(ProgressLine, IsNeverWholeBeforeTheEnd) {
  EXPECT_NE(progress_line("x", 999, 1000, Unit::kItems, 1, false, 80).find(" 99%"),
            std::string::npos);
}

TEST(ProgressLine, FitsTheTerminal) {
  const std::string half = progress_line("x", 5, 10, Unit::kItems, 5, true, 80);
  EXPECT_NE(half.find("[####################                    ]"), std::string::npos) << half;
  for (std::size_t width = 0; width < 120; ++width)
    EXPECT_LE(progress_line("a label", 5, 10, Unit::kBytes, 5, true, width).size(), width);
}

class ProgressOutput : public ::testing::Test {
 protected:
  void TearDown() override { std::fclose(file_); }
  ProgressOptions options(bool terminal, double interval_s) const {
    return {.stream = file_, .terminal = terminal, .interval_s = interval_s};
  }
  std::string text() {
    std::fflush(file_);
    std::rewind(file_);
    std::string result(10000, '\0');
    result.resize(std::fread(result.data(), 1, result.size(), file_));
    return result;
  }
  std::FILE* file_ = std::tmpfile();
};

TEST_F(ProgressOutput, IsSparseLinesElsewhereThanOnATerminal) {
  {
    Progress progress("job", 1000, options(false, 3600));
    for (int i = 0; i < 1000; ++i) progress.add();
    progress.finish();
    progress.finish();
  }
  const std::string all = text();
  EXPECT_EQ(all.rfind("job 100% 1000/1000", 0), 0u) << all;
  EXPECT_EQ(all.find('\n'), all.size() - 1) << "one line expected: " << all;
  EXPECT_EQ(all.find('\r'), std::string::npos);
}

TEST_F(ProgressOutput, RedrawsOneLineOnATerminal) {
  {
    Progress progress("job", 3, options(true, 0));
    progress.add();
    progress.set(2);
  }
  const std::string all = text();
  EXPECT_EQ(all.rfind("\rjob", 0), 0u) << all;
  EXPECT_NE(all.find("\x1b[K\rjob"), std::string::npos) << all;
  EXPECT_NE(all.find("66% 2/3"), std::string::npos) << all;
  EXPECT_EQ(all.find('\n'), all.size() - 1) << "the line is ended, and only at the end: " << all;
}

TEST_F(ProgressOutput, KeepsItsInterval) {
  {
    Progress progress("job", 0, options(true, 3600));
    for (int i = 0; i < 100000; ++i) progress.add();
  }
  EXPECT_EQ(text(), "");
}

TEST_F(ProgressOutput, SaysNothingOfWhatTakesNoTime) {
  ProgressOptions patient = options(true, 0);
  patient.delay_s = 3600;
  {
    Progress progress("job", 3, patient);
    progress.add(3);
    progress.finish();
  }
  EXPECT_EQ(text(), "");
  patient.delay_s = 0.01;
  Progress progress("job", 3, patient);
  progress.add();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  progress.add(2);
  progress.finish();
  EXPECT_NE(text().find("100% 3/3"), std::string::npos);
}

TEST_F(ProgressOutput, IsSilentWhenAsked) {
  ProgressOptions quiet = options(true, 0);
  quiet.silent = true;
  {
    Progress progress("job", 3, quiet);
    progress.add(3);
    progress.finish();
    EXPECT_EQ(progress.done(), 3u);
  }
  EXPECT_EQ(text(), "");
}

TEST_F(ProgressOutput, CountsFromManyThreads) {
  Progress progress("job", 40000, options(false, 3600));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 10000; ++i) progress.add();
    });
  for (std::thread& thread : threads) thread.join();
  progress.finish();
  EXPECT_NE(text().find("100% 40000/40000"), std::string::npos);
}

}  // namespace
}  // namespace brink
