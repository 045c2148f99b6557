// What the tools show while weights are copied to a device.
#include "tools/support/upload_progress.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>

namespace brink::tools {
namespace {

constexpr std::uint64_t kTotal = 2000000000;

TEST(UploadProgress, SaysNothingOfAQuickUpload) {
  ::testing::internal::CaptureStderr();
  const auto progress = upload_progress();
  for (std::uint64_t done = kTotal / 100; done <= kTotal; done += kTotal / 100)
    progress(done, kTotal);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

// One line for it, and none for a quick one that follows.
TEST(UploadProgress, ShowsASlowOne) {
  ::testing::internal::CaptureStderr();
  const auto progress = upload_progress();
  for (int upload = 0; upload < 2; ++upload) {
    progress(kTotal / 2, kTotal);
    std::this_thread::sleep_for(std::chrono::milliseconds(upload == 0 ? 1100 : 0));
    progress(kTotal, kTotal);
  }
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_TRUE(text.starts_with("weights to the device 100% 2.0 GB/2.0 GB 1.")) << text;
  EXPECT_EQ(text.find('\n'), text.size() - 1) << text;
}

}  // namespace
}  // namespace brink::tools
