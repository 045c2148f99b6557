#include "tools/support/output_file.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "brink/core/error.h"

namespace brink::tools {

OutputFile::OutputFile(std::string path) : path_(std::move(path)) {
  std::error_code error;
  const auto status = std::filesystem::status(path_, error);
  if (!std::filesystem::exists(status) || std::filesystem::is_regular_file(status))
    temporary_path_ = path_ + ".part-" + std::to_string(::getpid());
  file_ = std::fopen((temporary_path_.empty() ? path_ : temporary_path_).c_str(), "wb");
  if (file_ == nullptr) {
    const int reason = errno;
    temporary_path_.clear();
    errno = reason;
    fail("cannot create");
  }
}

OutputFile::~OutputFile() {
  if (file_ != nullptr) std::fclose(file_);
  if (!temporary_path_.empty()) ::unlink(temporary_path_.c_str());
}

void OutputFile::write(std::span<const std::byte> bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) fail("cannot write");
}

void OutputFile::close() {
  const bool flushed = std::fflush(file_) == 0;
  // Pipes and devices cannot be synchronised, and need not be.
  if (!flushed || (::fsync(::fileno(file_)) != 0 && !temporary_path_.empty())) fail("cannot write");
  std::FILE* file = std::exchange(file_, nullptr);
  if (std::fclose(file) != 0) fail("cannot write");
  if (temporary_path_.empty()) return;
  if (std::rename(temporary_path_.c_str(), path_.c_str()) != 0) fail("cannot rename");
  temporary_path_.clear();
}

void OutputFile::fail(const char* what) {
  throw Error(std::string(what) + ": " + std::strerror(errno), {.file = path_});
}

}  // namespace brink::tools
