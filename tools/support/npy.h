// NumPy's array files (format version 1.0, C order, little-endian):
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#ifndef BRINK_TOOLS_SUPPORT_NPY_H_
#define BRINK_TOOLS_SUPPORT_NPY_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tools/support/output_file.h"

namespace brink::tools {

/// Values of a one-dimensional int32 or int64 array; those of the latter must fit 32 bits. Throws
/// Error.
std::vector<std::int32_t> read_npy_ids(const std::string& path);

/// Writes an array in pieces. Throws Error.
class NpyWriter {
 public:
  /// `shape` has all dimensions; T is float or std::int32_t.
  template <class T>
  static NpyWriter create(const std::string& path, std::span<const std::uint64_t> shape);

  template <class T>
  void append(std::span<const T> values) {
    file_.write(std::as_bytes(values));
    left_ -= values.size_bytes();
  }
  /// Throws Error when values are missing.
  void close();

 private:
  NpyWriter(const std::string& path, const char* type, std::size_t width,
            std::span<const std::uint64_t> shape);

  OutputFile file_;
  std::uint64_t left_;
};

}  // namespace brink::tools

#endif  // BRINK_TOOLS_SUPPORT_NPY_H_
