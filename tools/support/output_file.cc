#include "tools/support/output_file.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "brink/core/error.h"
#include "tools/support/usage_error.h"

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

void check_output(const std::string& output, std::initializer_list<std::string> inputs) {
  namespace fs = std::filesystem;
  if (output.empty()) return;
  std::error_code error;
  // A terminal or /dev/null may be both.
  if (const auto status = fs::status(output, error); fs::exists(status) && fs::is_other(status))
    return;
  for (const std::string& input : inputs) {
    if (input.empty() || input == "-") continue;
    // Names where one of them is not there yet, a store for instance.
    const bool same = fs::equivalent(output, input, error) ||
                      fs::weakly_canonical(output, error) == fs::weakly_canonical(input, error);
    if (same) throw UsageError("'" + output + "' would be overwritten: it is read, too");
  }
}

void check_writable(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (std::filesystem::is_directory(status)) throw Error("is a folder", {.file = path});
  // Opening a pipe could wait for its reader, and closing it would end what that reads.
  if (std::filesystem::is_other(status)) return;
  OutputFile file(path);
}

}  // namespace brink::tools
