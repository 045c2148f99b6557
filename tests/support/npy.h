// Reads little-endian .npy arrays (version 1 and 2, C order) for tests.
#ifndef BRINK_TESTS_SUPPORT_NPY_H_
#define BRINK_TESTS_SUPPORT_NPY_H_

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace brink::testing {

template <class T>
struct NpyArray {
  std::vector<std::size_t> shape;
  std::vector<T> values;
};

/// T must match the file's dtype: float ("<f4"), double ("<f8"), int32_t ("<i4").
template <class T>
NpyArray<T> read_npy(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot open " + path);
  const std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (bytes.size() < 12 || bytes.compare(0, 6, "\x93NUMPY") != 0)
    throw std::runtime_error(path + ": not an .npy file");
  const auto byte = [&](std::size_t i) {
    return static_cast<std::size_t>(static_cast<unsigned char>(bytes[i]));
  };
  const bool wide = byte(6) >= 2;
  const std::size_t start = wide ? 12 : 10;
  const std::size_t length =
      wide ? byte(8) | byte(9) << 8 | byte(10) << 16 | byte(11) << 24 : byte(8) | byte(9) << 8;
  const std::string header = bytes.substr(start, length);
  const char kind = std::is_floating_point_v<T> ? 'f' : std::is_signed_v<T> ? 'i' : 'u';
  if (header.find(std::string("'<") + kind + std::to_string(sizeof(T)) + "'") == std::string::npos)
    throw std::runtime_error(path + ": other element type: " + header);
  NpyArray<T> array;
  std::size_t count = 1;
  const std::size_t open = header.find('(', header.find("'shape'"));
  for (std::size_t i = open + 1; i < header.size() && header[i] != ')'; ++i) {
    if (header[i] < '0' || header[i] > '9') continue;
    std::size_t used = 0;
    array.shape.push_back(std::stoull(header.substr(i), &used));
    count *= array.shape.back();
    i += used - 1;
  }
  if (bytes.size() < start + length + count * sizeof(T))
    throw std::runtime_error(path + ": truncated");
  array.values.resize(count);
  std::memcpy(array.values.data(), bytes.data() + start + length, count * sizeof(T));
  return array;
}

}  // namespace brink::testing

#endif  // BRINK_TESTS_SUPPORT_NPY_H_
