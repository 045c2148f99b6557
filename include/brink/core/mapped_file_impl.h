// POSIX implementation of core/mapped_file.h.
#ifndef BRINK_CORE_MAPPED_FILE_IMPL_H_
#define BRINK_CORE_MAPPED_FILE_IMPL_H_

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "brink/core/mapped_file.h"

namespace brink {

namespace mapped_file_detail {

struct FileDescriptor {
  int fd;
  ~FileDescriptor() {
    if (fd >= 0) ::close(fd);
  }
};

[[noreturn]] void fail(const std::string& path, const std::string& what, int error) {
  throw Error(what + ": " + std::generic_category().message(error), {path, {}, {}});
}

}  // namespace mapped_file_detail

MappedFile MappedFile::open(const std::string& path) {
  // Non-blocking, so that a pipe without a writer is refused below and does not hang here.
  const mapped_file_detail::FileDescriptor file{
      ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) mapped_file_detail::fail(path, "cannot open", errno);
  struct stat status {};
  if (::fstat(file.fd, &status) != 0) mapped_file_detail::fail(path, "cannot inspect", errno);
  if (S_ISDIR(status.st_mode)) throw Error("is a directory, not a file", {path, {}, {}});
  if (!S_ISREG(status.st_mode)) throw Error("is not a regular file", {path, {}, {}});
  if (status.st_size <= 0) throw Error("file is empty", {path, {}, {}});
  const std::size_t size = static_cast<std::size_t>(status.st_size);
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.fd, 0);
  if (address == MAP_FAILED) mapped_file_detail::fail(path, "cannot map into memory", errno);
#ifdef MADV_HUGEPAGE
  // Systems that can keep files in huge pages then read this one so; a core reads up to a quarter
  // more per second from them than from pages of 4 KiB. Only advice: it may fail.
  (void)::madvise(address, size, MADV_HUGEPAGE);
#endif
  MappedFile result;
  result.data_ = static_cast<const std::byte*>(address);
  result.size_ = size;
  return result;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), static_cast<std::size_t>(size_));
}

void MappedFile::advise(Advice advice, std::uint64_t offset, std::uint64_t size) const {
  if (offset >= size_ || size == 0) return;
  int flag = MADV_NORMAL;
  switch (advice) {
    case Advice::kNormal:
      break;
    case Advice::kSequential:
      flag = MADV_SEQUENTIAL;
      break;
    case Advice::kRandom:
      flag = MADV_RANDOM;
      break;
    case Advice::kWillNeed:
      flag = MADV_WILLNEED;
      break;
  }
  // madvise wants a page boundary to start from; it rounds the length up itself.
  const std::uint64_t page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uint64_t begin = offset / page * page;
  const std::uint64_t length = std::min(size, size_ - offset) + (offset - begin);
  ::madvise(const_cast<std::byte*>(data_) + begin, static_cast<std::size_t>(length), flag);
}

}  // namespace brink

#endif  // BRINK_CORE_MAPPED_FILE_IMPL_H_
