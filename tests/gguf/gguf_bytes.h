// GGUF files put together byte by byte, so that the reader is tested against the format's text and
// not against brink's own writer, and so that they can be wrong in any way.
#ifndef BRINK_TESTS_GGUF_GGUF_BYTES_H_
#define BRINK_TESTS_GGUF_GGUF_BYTES_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace brink::testing {

class GgufBytes {
 public:
  /// Magic, version, and the counts of tensors and metadata keys.
  GgufBytes(std::uint32_t version, std::uint64_t tensors, std::uint64_t keys) {
    bytes_ = "GGUF";
    put(version).put(tensors).put(keys);
  }

  template <class T>
  GgufBytes& put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  GgufBytes& text(std::string_view s) {
    put(std::uint64_t{s.size()});
    bytes_ += s;
    return *this;
  }
  /// A key and the id of its type; its value comes next.
  GgufBytes& key(std::string_view name, std::uint32_t type) { return text(name).put(type); }
  GgufBytes& array(std::uint32_t type, std::uint64_t count) { return put(type).put(count); }
  GgufBytes& tensor(std::string_view name, std::initializer_list<std::uint64_t> shape,
                    std::uint32_t type, std::uint64_t offset) {
    text(name).put(static_cast<std::uint32_t>(shape.size()));
    for (const std::uint64_t extent : shape) put(extent);
    return put(type).put(offset);
  }
  GgufBytes& pad(std::size_t alignment = 32) {
    while (bytes_.size() % alignment != 0) bytes_ += '\0';
    return *this;
  }
  GgufBytes& data(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) bytes_ += static_cast<char>(i * 7 + 1);
    return *this;
  }

  std::size_t size() const { return bytes_.size(); }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

// Ids of metadata and tensor types, as in the format's text.
inline constexpr std::uint32_t kU8 = 0, kI8 = 1, kU16 = 2, kI16 = 3, kU32 = 4, kI32 = 5, kF32 = 6,
                               kBool = 7, kString = 8, kArray = 9, kU64 = 10, kI64 = 11, kF64 = 12;
inline constexpr std::uint32_t kTensorF32 = 0, kTensorQ4_0 = 2, kTensorQ4_K = 12, kTensorI8 = 24;

}  // namespace brink::testing

#endif  // BRINK_TESTS_GGUF_GGUF_BYTES_H_
