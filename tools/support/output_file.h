// A file that appears under its name only when it is complete.
#ifndef BRINK_TOOLS_SUPPORT_OUTPUT_FILE_H_
#define BRINK_TOOLS_SUPPORT_OUTPUT_FILE_H_

#include <cstddef>
#include <cstdio>
#include <initializer_list>
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

/// Throws UsageError where `output` is one of the files that are read, under whatever name: it
/// would replace that. Empty names are none.
void check_output(const std::string& output, std::initializer_list<std::string> inputs);

/// Throws Error where `path` cannot be created, so that this is known before it is computed. Leaves
/// nothing behind.
void check_writable(const std::string& path);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_SUPPORT_OUTPUT_FILE_H_
