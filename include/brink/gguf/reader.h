// GGUF v2 and v3: a memory-mapped, fully checked view of a container. No meaning is given to
// metadata or tensors here. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#ifndef BRINK_GGUF_READER_H_
#define BRINK_GGUF_READER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "brink/core/error.h"
#include "brink/gguf/tensor_types.h"

namespace brink {

/// Values are GGUF's metadata type ids.
enum class GgufType : std::uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

const char* name_of(GgufType type);

/// A metadata value: a typed view into the mapped file, valid as long as its Gguf.
/// Conversions return nothing when the value does not have (or does not fit) that form.
class GgufValue {
 public:
  GgufType type() const { return type_; }

  /// Any integer type (or bool) whose value fits.
  std::optional<std::int64_t> as_int() const;
  std::optional<std::uint64_t> as_uint() const;
  /// f32, f64 or any integer.
  std::optional<double> as_float() const;
  std::optional<bool> as_bool() const;  ///< bool only
  std::optional<std::string_view> as_string() const;

  bool is_array() const { return type_ == GgufType::kArray; }
  GgufType element_type() const { return element_type_; }  ///< arrays only
  std::uint64_t size() const { return count_; }            ///< arrays: elements
  /// Elements in order. Fixed-width elements are O(1) each; strings and nested arrays cost one
  /// pass over the array, so iterate with `strings()` or `elements()` rather than by index.
  std::vector<std::string_view> strings() const;  ///< empty when not an array of strings
  std::vector<std::int64_t> ints() const;         ///< empty when not integers or bools that fit
  std::vector<double> floats() const;             ///< empty when not an array of numbers
  std::vector<GgufValue> elements() const;        ///< any array, nested ones too
  /// For printing, in one line: scalars as text, strings quoted, control characters escaped and
  /// what exceeds `max_string` bytes counted, arrays as "[a, b, ...] (N items)".
  std::string to_string(std::size_t max_items = 6, std::size_t max_string = 160) const;
  /// The bytes as they lie in the file, without type, count or length: a scalar's, a string's, or
  /// all elements of an array (whose strings and inner arrays do carry their lengths).
  std::span<const std::byte> raw() const {
    return {data_, static_cast<std::size_t>(payload_bytes_)};
  }

 private:
  friend class GgufParser;
  GgufType type_ = GgufType::kU8;
  GgufType element_type_ = GgufType::kU8;
  std::uint64_t count_ = 0;          // array: elements; string: bytes
  const std::byte* data_ = nullptr;  // first byte of the value's payload
  std::uint64_t payload_bytes_ = 0;  // checked to lie inside the file
};

struct GgufEntry {
  std::string_view key;
  GgufValue value;
};

/// A tensor of the container. `shape[0]` is the fastest-varying dimension (the row length).
struct GgufTensor {
  std::string_view name;
  TensorType type = TensorType::kF32;
  std::uint32_t dimensions = 1;                    ///< 1 to 4 (a file's 0 counts as 1)
  std::array<std::uint64_t, 4> shape{1, 1, 1, 1};  ///< unused ones are 1
  std::uint64_t bytes = 0;                         ///< checked to lie inside the file
  std::uint64_t offset = 0;                        ///< absolute, in its file
  std::uint32_t file = 0;                          ///< index into Gguf::paths()
  const std::byte* data = nullptr;                 ///< mapped

  std::uint64_t elements() const { return shape[0] * shape[1] * shape[2] * shape[3]; }
  std::uint64_t rows() const { return shape[1] * shape[2] * shape[3]; }
};

class MappedFile;

/// An open GGUF file (or set of split files). Immutable; safe to share between threads.
class Gguf {
 public:
  /// Opens and checks `path`; "NAME-00001-of-0000N.gguf" opens all N parts. Throws Error, with
  /// file, key or tensor, and byte offset, where anything does not hold: lengths, counts and
  /// offsets against the file's size, unknown types, shapes that are empty or no whole number of
  /// blocks, duplicate names, tensors that overlap, an alignment that is no multiple of 8, bools
  /// other than 0 and 1, arrays nested deeper than 8, parts that are missing or do not belong
  /// together.
  static Gguf open(const std::string& path);
  Gguf(Gguf&&) noexcept;
  Gguf& operator=(Gguf&&) noexcept;
  ~Gguf();

  std::uint32_t version() const { return version_; }
  std::uint32_t alignment() const { return alignment_; }
  const std::string& path() const { return paths_.front(); }
  const std::vector<std::string>& paths() const { return paths_; }
  std::uint64_t file_bytes() const;  ///< all parts together
  void prefetch() const;             ///< asks the system to start reading all parts in; returns

  std::span<const GgufEntry> metadata() const { return metadata_; }
  const GgufValue* find(std::string_view key) const;  ///< nullptr when absent

  /// Absent keys give nothing; a present key of the wrong type throws Error naming it.
  std::optional<std::uint64_t> get_uint(std::string_view key) const;
  std::optional<std::int64_t> get_int(std::string_view key) const;
  std::optional<double> get_float(std::string_view key) const;
  std::optional<bool> get_bool(std::string_view key) const;
  std::optional<std::string_view> get_string(std::string_view key) const;

  std::span<const GgufTensor> tensors() const { return tensors_; }
  const GgufTensor* find_tensor(std::string_view name) const;  ///< nullptr when absent

 private:
  friend class GgufParser;
  Gguf();
  struct Index;  // orders of keys and tensor names
  std::uint32_t version_ = 0;
  std::uint32_t alignment_ = 32;
  std::vector<std::string> paths_;
  std::vector<MappedFile> files_;
  std::vector<GgufEntry> metadata_;  // of the first part
  std::vector<GgufTensor> tensors_;  // of all parts, in file order
  std::unique_ptr<Index> index_;
};

}  // namespace brink

#endif  // BRINK_GGUF_READER_H_
