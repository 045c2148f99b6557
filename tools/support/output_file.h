// A file that appears under its name only when it is complete.
#ifndef BRINK_TOOLS_SUPPORT_OUTPUT_FILE_H_
#define BRINK_TOOLS_SUPPORT_OUTPUT_FILE_H_

#include <cstddef>
#include <cstdio>
#include <span>
#include <string>

namespace brink::tools {

/// Written beside `path` under a temporary name and renamed by close(); gone when destroyed before
/// that. A path that exists and is no regular file (a pipe, a device) is written directly. Throws
/// brink::Error when anything fails, a full disk included.
class OutputFile {
 public:
  explicit OutputFile(std::string path);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();

  void write(std::span<const std::byte> bytes);
  void close();

 private:
  [[noreturn]] void fail(const char* what);

  std::string path_;
  std::string temporary_path_;  // empty when written directly
  std::FILE* file_ = nullptr;
};

}  // namespace brink::tools

#endif  // BRINK_TOOLS_SUPPORT_OUTPUT_FILE_H_
