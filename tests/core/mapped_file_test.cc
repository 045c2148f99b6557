#include "brink/core/mapped_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <utility>

#include "support/temporary_folder.h"

namespace brink {
namespace {

std::string error_of(const std::string& path) {
  try {
    MappedFile::open(path);
  } catch (const Error& e) {
    EXPECT_EQ(e.place().file, path);
    return e.what();
  }
  return "no error";
}

TEST(MappedFile, HoldsTheFilesBytes) {
  const testing::TemporaryFolder folder;
  const MappedFile file = MappedFile::open(folder.write("f", "hello, map"));
  ASSERT_EQ(file.size(), 10u);
  EXPECT_EQ(std::memcmp(file.data(), "hello, map", 10), 0);
  EXPECT_EQ(file.bytes().size(), 10u);
}

TEST(MappedFile, MovesWithoutChangingItsAddress) {
  const testing::TemporaryFolder folder;
  MappedFile a = MappedFile::open(folder.write("a", "first"));
  const std::byte* address = a.data();
  MappedFile b = std::move(a);
  EXPECT_EQ(b.data(), address);
  MappedFile c = MappedFile::open(folder.write("c", "second"));
  c = std::move(b);
  EXPECT_EQ(c.data(), address);
  EXPECT_EQ(c.size(), 5u);
  EXPECT_EQ(std::memcmp(c.data(), "first", 5), 0);
}

TEST(MappedFile, StaysReadableWhenTheNameIsGone) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.write("f", "still here");
  const MappedFile file = MappedFile::open(path);
  ASSERT_EQ(::unlink(path.c_str()), 0);
  EXPECT_EQ(std::memcmp(file.data(), "still here", 10), 0);
}

TEST(MappedFile, AdviceIsTakenAnywhere) {
  const testing::TemporaryFolder folder;
  const MappedFile file = MappedFile::open(folder.write("f", std::string(10000, 'x')));
  for (const auto advice : {MappedFile::Advice::kNormal, MappedFile::Advice::kSequential,
                            MappedFile::Advice::kRandom, MappedFile::Advice::kWillNeed}) {
    file.advise(advice);
    file.advise(advice, 5001, 100);
    file.advise(advice, 9999, ~std::uint64_t{0});
    file.advise(advice, 20000, 1);
  }
  MappedFile().advise(MappedFile::Advice::kWillNeed);
  EXPECT_EQ(file.data()[9999], std::byte{'x'});
}

TEST(MappedFile, SaysWhyItCannotBeOpened) {
  const testing::TemporaryFolder folder;
  EXPECT_EQ(error_of(folder.path("none")),
            folder.path("none") + ": cannot open: No such file or directory");
  EXPECT_EQ(error_of(folder.path("")), folder.path("") + ": is a directory, not a file");
  EXPECT_EQ(error_of(folder.write("empty", "")), folder.path("empty") + ": file is empty");
}

TEST(MappedFile, RefusesAPipeWithoutWaiting) {
  const testing::TemporaryFolder folder;
  ASSERT_EQ(::mkfifo(folder.path("pipe").c_str(), 0600), 0);
  EXPECT_EQ(error_of(folder.path("pipe")), folder.path("pipe") + ": is not a regular file");
}

TEST(MappedFile, SaysThatAFileIsUnreadable) {
  if (::geteuid() == 0) GTEST_SKIP() << "the superuser may read everything";
  const testing::TemporaryFolder folder;
  const std::string path = folder.write("secret", "x");
  ASSERT_EQ(::chmod(path.c_str(), 0), 0);
  EXPECT_EQ(error_of(path), path + ": cannot open: Permission denied");
}

}  // namespace
}  // namespace brink
