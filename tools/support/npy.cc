#include "tools/support/npy.h"

#include <bit>
#include <cstring>
#include <fstream>
#include <limits>
#include <string_view>

#include "brink/core/error.h"

namespace brink::tools {
namespace {

static_assert(std::endian::native == std::endian::little, "arrays are written as they lie");

constexpr std::string_view kMagic("\x93NUMPY", 6);

// The text after `key` in the header's dictionary.
std::string_view after(std::string_view header, std::string_view key, const std::string& path) {
  const std::size_t at = header.find(key);
  if (at == std::string_view::npos)
    throw Error("no " + std::string(key) + " in the .npy header", {.file = path});
  return header.substr(at + key.size());
}

}  // namespace

std::vector<std::int32_t> read_npy_ids(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw Error(std::string("cannot open: ") + std::strerror(errno), {.file = path});
  char start[10] = {};
  in.read(start, sizeof start);
  if (!in || std::string_view(start, 6) != kMagic) throw Error("not an .npy file", {.file = path});
  if (start[6] != 1) throw Error("not version 1 of the .npy format", {.file = path});
  std::string header(static_cast<unsigned char>(start[8]) |
                         static_cast<std::size_t>(static_cast<unsigned char>(start[9])) << 8,
                     ' ');
  in.read(header.data(), static_cast<std::streamsize>(header.size()));
  if (!in) throw Error("ends within the .npy header", {.file = path});

  const std::string_view type = after(header, "'descr': '", path);
  const bool wide = type.starts_with("<i8'");
  if (!wide && !type.starts_with("<i4'"))
    throw Error("token ids must be int32 or int64", {.file = path});
  const std::string_view shape = after(header, "'shape': (", path);
  const std::size_t comma = shape.find(',');
  const std::size_t close = shape.find(')');
  if (close == std::string_view::npos || comma == std::string_view::npos || comma + 1 < close)
    throw Error("token ids must have one dimension", {.file = path});

  // The size is taken from the file, so that a wrong shape cannot ask for memory.
  const std::string bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  const std::size_t width = wide ? 8 : 4;
  const std::size_t count = bytes.size() / width;
  if (bytes.size() % width != 0 || shape.substr(0, comma) != std::to_string(count))
    throw Error("the shape does not fit the size of the file", {.file = path});
  std::vector<std::int32_t> ids(count);
  for (std::size_t i = 0; i < count; ++i) {
    std::int64_t id = 0;
    if (wide) {
      std::memcpy(&id, bytes.data() + i * width, width);
    } else {
      std::int32_t narrow = 0;
      std::memcpy(&narrow, bytes.data() + i * width, width);
      id = narrow;
    }
    if (id < 0 || id > std::numeric_limits<std::int32_t>::max())
      throw Error("token id " + std::to_string(id) + " is out of range", {.file = path});
    ids[i] = static_cast<std::int32_t>(id);
  }
  return ids;
}

NpyWriter::NpyWriter(const std::string& path, const char* type, std::size_t width,
                     std::span<const std::uint64_t> shape)
    : file_(path), left_(width) {
  std::string header = std::string("{'descr': '") + type + "', 'fortran_order': False, 'shape': (";
  for (const std::uint64_t dimension : shape) {
    header += std::to_string(dimension) + ",";
    left_ *= dimension;
  }
  header += "), }";
  // Magic, version, length and header together are a multiple of 64 bytes, ending in a newline.
  constexpr std::size_t kPrefix = 10, kAlignment = 64;
  header.append(kAlignment - (kPrefix + header.size() + 1) % kAlignment, ' ');
  header += '\n';
  std::string start(kMagic);
  start += '\1';
  start += '\0';
  start += static_cast<char>(header.size() & 255);
  start += static_cast<char>(header.size() >> 8);
  start += header;
  file_.write(std::as_bytes(std::span(start)));
}

template <>
NpyWriter NpyWriter::create<float>(const std::string& path, std::span<const std::uint64_t> shape) {
  return NpyWriter(path, "<f4", sizeof(float), shape);
}

template <>
NpyWriter NpyWriter::create<std::int32_t>(const std::string& path,
                                          std::span<const std::uint64_t> shape) {
  return NpyWriter(path, "<i4", sizeof(std::int32_t), shape);
}

void NpyWriter::close() {
  if (left_ != 0) throw Error("an array was left incomplete");
  file_.close();
}

}  // namespace brink::tools
