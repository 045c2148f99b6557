// Writes GGUF v3 files, streamed: metadata and tensor declarations first, then the tensors' data in
// any number of pieces. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#ifndef BRINK_GGUF_WRITER_H_
#define BRINK_GGUF_WRITER_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <ranges>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "brink/core/error.h"
#include "brink/gguf/reader.h"

namespace brink {

template <class T>
concept GgufScalar = std::is_arithmetic_v<T> && sizeof(T) <= 8;

template <class T>
concept GgufText = std::convertible_to<const T&, std::string_view>;

/// The metadata type of a C++ type: by size and sign.
template <class T>
constexpr GgufType gguf_type_of() {
  if constexpr (GgufText<T>)
    return GgufType::kString;
  else if constexpr (!std::is_arithmetic_v<T>)
    return GgufType::kArray;
  else if constexpr (std::is_same_v<T, bool>)
    return GgufType::kBool;
  else if constexpr (std::is_floating_point_v<T>)
    return sizeof(T) == 4 ? GgufType::kF32 : GgufType::kF64;
  else if constexpr (sizeof(T) == 1)
    return std::is_signed_v<T> ? GgufType::kI8 : GgufType::kU8;
  else if constexpr (sizeof(T) == 2)
    return std::is_signed_v<T> ? GgufType::kI16 : GgufType::kU16;
  else if constexpr (sizeof(T) == 4)
    return std::is_signed_v<T> ? GgufType::kI32 : GgufType::kU32;
  else
    return std::is_signed_v<T> ? GgufType::kI64 : GgufType::kU64;
}

/// Order of calls: set and declare in any order, then append all data in the order of declaration
/// (the first append writes the header), then finish. The file appears under its name only at the
/// end, complete and flushed to the disk; until then it lies beside it under a temporary name and
/// goes away with the writer, also after an error. Every method but the destructor throws Error,
/// for misuse as for a failing disk.
class GgufWriter {
 public:
  /// Creates the temporary file. `alignment` of the tensors' data: a multiple of 8.
  explicit GgufWriter(std::string path, std::uint32_t alignment = 32);
  GgufWriter(const GgufWriter&) = delete;
  GgufWriter& operator=(const GgufWriter&) = delete;
  ~GgufWriter();

  /// Setting a key again replaces its value. "general.alignment" is the constructor's to set.
  template <GgufScalar T>
  void set(std::string_view key, T value) {
    std::string payload;
    encode(payload, value);
    set_encoded(key, gguf_type_of<T>(), std::move(payload));
  }
  void set(std::string_view key, std::string_view value);
  /// Copies a value of any type, nested arrays too.
  void set(std::string_view key, const GgufValue& value);
  /// An array of scalars, of strings, or (nested) of such ranges.
  template <std::ranges::input_range R>
  void set_array(std::string_view key, const R& values) {
    std::string payload;
    encode(payload, values);
    set_encoded(key, GgufType::kArray, std::move(payload));
  }
  /// All keys of `gguf` but "general.alignment" and those that tell how a file was split.
  void copy_metadata(const Gguf& gguf);
  bool erase(std::string_view key);  ///< false when it was not set

  /// `shape[0]` is the row length, a multiple of the type's block; 1 to 4 dimensions.
  void declare(std::string_view name, TensorType type, std::span<const std::uint64_t> shape);
  void declare(const GgufTensor& like, TensorType type) {
    declare(like.name, type, std::span(like.shape).first(like.dimensions));
  }

  /// Bytes of all tensors declared so far, without padding: the total for a progress bar.
  std::uint64_t data_bytes() const { return data_bytes_; }

  /// The next bytes of `tensor`, which must be the first one that is not complete yet.
  void append(std::string_view tensor, std::span<const std::byte> bytes);

  /// Checks that all data are there, flushes to the disk and moves the file to its name.
  void finish();

  const std::string& path() const { return path_; }
  const std::string& temporary_path() const { return temporary_path_; }

 private:
  struct Tensor {
    std::string name;
    TensorType type;
    std::vector<std::uint64_t> shape;
    std::uint64_t bytes;
  };

  static void encode_bytes(std::string& out, const void* bytes, std::size_t size) {
    out.append(static_cast<const char*>(bytes), size);
  }
  template <class T>
  static void encode(std::string& out, const T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      out += static_cast<char>(value ? 1 : 0);
    } else if constexpr (GgufScalar<T>) {
      encode_bytes(out, &value, sizeof value);
    } else if constexpr (GgufText<T>) {
      const std::string_view text = value;
      encode(out, std::uint64_t{text.size()});
      out += text;
    } else {
      using Element = std::ranges::range_value_t<const T>;
      encode(out, static_cast<std::uint32_t>(gguf_type_of<Element>()));
      const std::size_t count_at = out.size();
      std::uint64_t count = 0;
      encode(out, count);
      for (const Element& element : value) {
        encode(out, element);
        ++count;
      }
      out.replace(count_at, sizeof count, reinterpret_cast<const char*>(&count), sizeof count);
    }
  }

  void set_encoded(std::string_view key, GgufType type, std::string payload);
  void require_open(bool before_data, std::string_view subject) const;
  void write_header();
  void write(std::span<const std::byte> bytes);
  void write_out(std::span<const std::byte> bytes);
  void flush();
  void pad();
  void discard() noexcept;
  [[noreturn]] void fail_system(const char* what, int error);

  std::string path_;
  std::string temporary_path_;
  std::uint32_t alignment_;
  int fd_ = -1;
  std::vector<std::pair<std::string, std::string>> metadata_;  // key; type and payload
  std::map<std::string, std::size_t, std::less<>> keys_;       // positions in metadata_
  std::vector<Tensor> tensors_;
  std::set<std::string, std::less<>> names_;
  std::uint64_t data_bytes_ = 0;
  bool header_written_ = false;
  std::size_t current_ = 0;            // tensor being appended to
  std::uint64_t current_written_ = 0;  // its bytes so far
  std::uint64_t position_ = 0;         // in the file, including what is still in buffer_
  std::string buffer_;
};

}  // namespace brink

#endif  // BRINK_GGUF_WRITER_H_
