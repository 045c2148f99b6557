// Reads and checks GGUF files: nothing in them is believed before it is compared with the bytes
// that are there, and nothing is allocated from a count that was not.
#ifndef BRINK_GGUF_PARSER_IMPL_H_
#define BRINK_GGUF_PARSER_IMPL_H_

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <system_error>
#include <utility>

#include "brink/core/mapped_file.h"
#include "brink/gguf/reader.h"

namespace brink {

namespace gguf_detail {

static_assert(std::endian::native == std::endian::little, "GGUF is read in place, little-endian");

template <class T>
T load(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

/// Bytes of a fixed-width value, 0 for strings, arrays and ids that are no type.
std::uint64_t width_of(GgufType type) {
  static constexpr std::uint8_t kWidths[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  const std::uint32_t id = static_cast<std::uint32_t>(type);
  return id < std::size(kWidths) ? kWidths[id] : 0;
}

bool is_type(std::uint32_t id) { return id <= static_cast<std::uint32_t>(GgufType::kF64); }

/// `text` in one line: control characters escaped and, beyond `limit` bytes, cut at a character and
/// the rest counted. No quotes are added where `quote` is 0.
std::string quoted(std::string_view text, char quote, std::size_t limit) {
  std::size_t shown = text.size();
  if (shown > limit) {
    shown = limit;
    while (shown > 0 && (static_cast<unsigned char>(text[shown]) & 0xc0) == 0x80) --shown;
  }
  std::string result;
  if (quote) result += quote;
  for (const char c : text.substr(0, shown)) {
    const unsigned char byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      result += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned>(byte));
      result += escape;
    } else {
      if (c == '\\' || (quote && c == quote)) result += '\\';
      result += c;
    }
  }
  if (quote) result += quote;
  if (shown < text.size()) result += "... (" + std::to_string(text.size() - shown) + " more bytes)";
  return result;
}

std::string_view name_in(const GgufEntry& entry) { return entry.key; }
std::string_view name_in(const GgufTensor& tensor) { return tensor.name; }

/// Positions of `items` in the order of their names. A sorted index rather than a hash table: no
/// choice of names makes it slow.
template <class T>
std::vector<std::uint32_t> order_by_name(const std::vector<T>& items) {
  std::vector<std::uint32_t> order(items.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    const int names = name_in(items[a]).compare(name_in(items[b]));
    return names != 0 ? names < 0 : a < b;
  });
  return order;
}

/// The first item in file order (by the index) that repeats an earlier name, or nullptr.
template <class T>
const T* find_duplicate(const std::vector<T>& items, const std::vector<std::uint32_t>& order) {
  const auto same = [&](std::uint32_t a, std::uint32_t b) {
    return name_in(items[a]) == name_in(items[b]);
  };
  const auto at = std::adjacent_find(order.begin(), order.end(), same);
  return at == order.end() ? nullptr : &items[*(at + 1)];
}

template <class T>
const T* find_named(const std::vector<T>& items, const std::vector<std::uint32_t>& order,
                    std::string_view name) {
  const auto at = std::lower_bound(
      order.begin(), order.end(), name,
      [&](std::uint32_t i, std::string_view wanted) { return name_in(items[i]) < wanted; });
  return at != order.end() && name_in(items[*at]) == name ? &items[*at] : nullptr;
}

/// What is wrong with a tensor of that type and shape (1 to 4 extents); empty, and `bytes` set,
/// where nothing is.
std::string shape_problem(const TensorTypeSize& type, std::span<const std::uint64_t> shape,
                          std::uint64_t& bytes) {
  std::uint64_t elements = 1;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0) return "dimension " + std::to_string(i) + " is zero";
    if (__builtin_mul_overflow(elements, shape[i], &elements))
      return "the product of its dimensions overflows";
  }
  if (shape[0] % type.block_size != 0)
    return "a row of " + std::to_string(shape[0]) + " is no whole number of " + type.name +
           " blocks of " + std::to_string(type.block_size);
  if (__builtin_mul_overflow(elements / type.block_size, std::uint64_t{type.block_bytes}, &bytes))
    return "its size in bytes overflows";
  return "";
}

/// The path of part `number` (from 1) of `count`, where `path` names any of them; empty where
/// `path` does not end in "-NNNNN-of-NNNNN.gguf" with that count.
std::string part_path(const std::string& path, std::uint64_t number, std::uint64_t count) {
  constexpr std::size_t kEnding = 20;  // "-00001-of-00003.gguf"
  char ending[64];
  const auto write = [&](std::uint64_t n) {
    std::snprintf(ending, sizeof ending, "-%05llu-of-%05llu.gguf",
                  static_cast<unsigned long long>(n), static_cast<unsigned long long>(count));
    return std::string(ending);
  };
  if (path.size() < kEnding) return "";
  const std::string found = path.substr(path.size() - kEnding);
  for (std::size_t i = 1; i <= 5; ++i)
    if (found[i] < '0' || found[i] > '9') return "";
  if (found[0] != '-' || found.substr(6) != write(1).substr(6)) return "";
  return path.substr(0, path.size() - kEnding) + write(number);
}

}  // namespace gguf_detail

struct Gguf::Index {
  std::vector<std::uint32_t> keys;
  std::vector<std::uint32_t> tensors;
};

/// Parses one part; `open` puts the parts together.
class GgufParser {
 public:
  static Gguf open(const std::string& path);

 private:
  static constexpr std::uint32_t kMaxArrayDepth = 8;
  // The least bytes of an entry: lengths, ids and one byte of value; a tensor with no dimensions.
  static constexpr std::uint64_t kMinEntryBytes = 8 + 4 + 1;
  static constexpr std::uint64_t kMinTensorBytes = 8 + 4 + 4 + 8;

  struct Part {
    std::string path;
    MappedFile file;
    std::uint32_t version = 0;
    std::uint32_t alignment = 32;
    std::vector<GgufEntry> metadata;
    std::vector<std::uint32_t> keys;  // positions in `metadata` by name
    std::vector<GgufTensor> tensors;
    std::uint64_t split_count = 1, split_no = 0;
    std::optional<std::uint64_t> split_tensors;

    std::optional<std::uint64_t> uint_at(std::string_view key) const;
  };

  GgufParser(std::string path, std::uint32_t file_index);
  static Part parse(const std::string& path, std::uint32_t file_index) {
    GgufParser parser(path, file_index);
    parser.read();
    return std::move(parser.part_);
  }

  void read();
  void read_header();
  void read_entry();
  GgufValue read_value(std::uint32_t type, std::uint32_t depth);
  void skip_elements(GgufType type, std::uint64_t count, std::uint32_t depth);
  void read_split_keys();
  void read_tensor();
  void place_tensors();

  std::uint64_t remaining() const { return size_ - at_; }
  void need(std::uint64_t bytes, const char* what) const {
    if (bytes > remaining())
      fail(std::string("the file ends inside ") + what + ": " + std::to_string(bytes) +
           " bytes needed, " + std::to_string(remaining()) + " left");
  }
  template <class T>
  T take(const char* what) {
    need(sizeof(T), what);
    const T value = gguf_detail::load<T>(data_ + at_);
    at_ += sizeof(T);
    return value;
  }
  std::string_view take_string(const char* what);
  [[noreturn]] void fail(const std::string& message) const { fail(message, at_); }
  [[noreturn]] void fail(const std::string& message, std::uint64_t offset) const {
    throw Error(message, {part_.path, gguf_detail::quoted(subject_, 0, 80), offset});
  }

  Part part_;
  const std::byte* data_ = nullptr;
  std::uint64_t size_ = 0;
  std::uint64_t at_ = 0;
  std::uint32_t file_index_ = 0;
  std::uint64_t metadata_count_ = 0, tensor_count_ = 0;
  std::string_view subject_;  // key or tensor being read
};

GgufParser::GgufParser(std::string path, std::uint32_t file_index) : file_index_(file_index) {
  part_.file = MappedFile::open(path);
  part_.path = std::move(path);
  data_ = part_.file.data();
  size_ = part_.file.size();
}

std::optional<std::uint64_t> GgufParser::Part::uint_at(std::string_view key) const {
  const GgufEntry* entry = gguf_detail::find_named(metadata, keys, key);
  if (!entry) return {};
  const std::optional<std::uint64_t> value = entry->value.as_uint();
  if (!value)
    throw Error(std::string("expected an integer of at least 0, found ") +
                    name_of(entry->value.type()) + " " + entry->value.to_string(3, 40),
                {path, std::string(key),
                 static_cast<std::uint64_t>(entry->value.raw().data() - file.data())});
  return value;
}

std::string_view GgufParser::take_string(const char* what) {
  const std::uint64_t length = take<std::uint64_t>(what);
  if (length > remaining())
    fail(std::string("the length of ") + what + ", " + std::to_string(length) + ", exceeds the " +
             std::to_string(remaining()) + " bytes left in the file",
         at_ - 8);
  const char* text = reinterpret_cast<const char*>(data_ + at_);
  at_ += length;
  return {text, static_cast<std::size_t>(length)};
}

void GgufParser::read() {
  read_header();
  for (std::uint64_t i = 0; i < metadata_count_; ++i) read_entry();
  subject_ = {};
  part_.keys = gguf_detail::order_by_name(part_.metadata);
  if (const GgufEntry* again = gguf_detail::find_duplicate(part_.metadata, part_.keys)) {
    subject_ = again->key;
    fail("metadata key appears twice",
         static_cast<std::uint64_t>(again->key.data() - reinterpret_cast<const char*>(data_)));
  }
  if (const std::optional<std::uint64_t> alignment = part_.uint_at("general.alignment")) {
    if (*alignment == 0 || *alignment % 8 != 0 || *alignment > 0xffffffffu) {
      const GgufEntry* entry =
          gguf_detail::find_named(part_.metadata, part_.keys, "general.alignment");
      subject_ = entry->key;
      fail("alignment must be a multiple of 8 and not " + std::to_string(*alignment),
           static_cast<std::uint64_t>(entry->value.raw().data() - data_));
    }
    part_.alignment = static_cast<std::uint32_t>(*alignment);
  }
  read_split_keys();
  for (std::uint64_t i = 0; i < tensor_count_; ++i) read_tensor();
  subject_ = {};
  place_tensors();
}

void GgufParser::read_header() {
  need(8, "the header");
  if (std::memcmp(data_, "GGUF", 4) != 0) {
    const std::string_view magic(reinterpret_cast<const char*>(data_), 4);
    fail("not a GGUF file: it starts with " + gguf_detail::quoted(magic, '"', 4) +
         ", not with \"GGUF\"");
  }
  at_ = 4;
  const std::uint32_t version = take<std::uint32_t>("the header");
  // A version is small: in the other byte order its low half is zero.
  if (version != 0 && (version & 0xffffu) == 0)
    fail("big-endian GGUF files are not supported; convert it to little-endian first", 4);
  if (version == 1)
    fail("GGUF version 1 is not supported (2 and 3 are); convert the model again from its source",
         4);
  if (version != 2 && version != 3)
    fail("unknown GGUF version " + std::to_string(version) + " (2 and 3 are supported)", 4);
  part_.version = version;
  tensor_count_ = take<std::uint64_t>("the header");
  metadata_count_ = take<std::uint64_t>("the header");
  if (metadata_count_ > remaining() / kMinEntryBytes)
    fail("more metadata keys (" + std::to_string(metadata_count_) + ") than the file has room for",
         16);
  if (tensor_count_ > (remaining() - metadata_count_ * kMinEntryBytes) / kMinTensorBytes)
    fail("more tensors (" + std::to_string(tensor_count_) + ") than the file has room for", 8);
}

void GgufParser::read_entry() {
  subject_ = {};
  const std::uint64_t start = at_;
  const std::string_view key = take_string("a metadata key");
  if (key.empty()) fail("metadata key is empty", start);
  subject_ = key;
  const std::uint32_t type = take<std::uint32_t>("a metadata type");
  part_.metadata.push_back({key, read_value(type, 0)});
}

GgufValue GgufParser::read_value(std::uint32_t type, std::uint32_t depth) {
  if (!gguf_detail::is_type(type)) fail("unknown metadata type " + std::to_string(type), at_ - 4);
  GgufValue value;
  value.type_ = static_cast<GgufType>(type);
  if (value.type_ == GgufType::kString) {
    const std::string_view text = take_string("a string");
    value.data_ = reinterpret_cast<const std::byte*>(text.data());
    value.count_ = value.payload_bytes_ = text.size();
    return value;
  }
  if (value.type_ == GgufType::kArray) {
    const std::uint32_t element = take<std::uint32_t>("an array");
    if (!gguf_detail::is_type(element))
      fail("unknown array element type " + std::to_string(element), at_ - 4);
    value.element_type_ = static_cast<GgufType>(element);
    value.count_ = take<std::uint64_t>("an array");
    value.data_ = data_ + at_;
    skip_elements(value.element_type_, value.count_, depth);
  } else {
    value.data_ = data_ + at_;
    skip_elements(value.type_, 1, depth);
  }
  value.payload_bytes_ = static_cast<std::uint64_t>(data_ + at_ - value.data_);
  return value;
}

void GgufParser::skip_elements(GgufType type, std::uint64_t count, std::uint32_t depth) {
  const std::uint64_t width = gguf_detail::width_of(type);
  const std::uint64_t least = width ? width : type == GgufType::kString ? 8 : 12;
  if (count > remaining() / least)
    fail(std::to_string(count) + (count == 1 ? " value" : " values") + " of type " + name_of(type) +
         " exceed the " + std::to_string(remaining()) + " bytes left in the file");
  if (type == GgufType::kBool) {
    for (std::uint64_t i = 0; i < count; ++i)
      if (const unsigned byte = std::to_integer<unsigned>(data_[at_ + i]); byte > 1)
        fail("a bool must be 0 or 1 and not " + std::to_string(byte), at_ + i);
  }
  if (width) {
    at_ += count * width;
  } else if (type == GgufType::kString) {
    for (std::uint64_t i = 0; i < count; ++i) take_string("a string");
  } else {
    if (depth + 1 >= kMaxArrayDepth)
      fail("arrays are nested deeper than " + std::to_string(kMaxArrayDepth) + " levels");
    for (std::uint64_t i = 0; i < count; ++i) {
      read_value(static_cast<std::uint32_t>(GgufType::kArray), depth + 1);
    }
  }
}

void GgufParser::read_split_keys() {
  part_.split_count = part_.uint_at("split.count").value_or(1);
  part_.split_no = part_.uint_at("split.no").value_or(0);
  part_.split_tensors = part_.uint_at("split.tensors.count");
  if (part_.split_count == 0) part_.split_count = 1;  // written for "not split"
  if (part_.split_no >= part_.split_count)
    throw Error("part number " + std::to_string(part_.split_no) + " of only " +
                    std::to_string(part_.split_count) + " parts (split.count)",
                {part_.path, "split.no", {}});
}

void GgufParser::read_tensor() {
  subject_ = {};
  const std::uint64_t start = at_;
  GgufTensor tensor;
  tensor.name = take_string("a tensor name");
  if (tensor.name.empty()) fail("tensor name is empty", start);
  subject_ = tensor.name;
  tensor.file = file_index_;
  const std::uint32_t dimensions = take<std::uint32_t>("a tensor's dimensions");
  if (dimensions > tensor.shape.size())
    fail(std::to_string(dimensions) + " dimensions; at most 4 are possible", at_ - 4);
  tensor.dimensions = std::max(dimensions, 1u);
  for (std::uint32_t i = 0; i < dimensions; ++i)
    tensor.shape[i] = take<std::uint64_t>("a tensor's dimensions");
  const std::uint32_t type = take<std::uint32_t>("a tensor's type");
  const TensorTypeSize* size = find_tensor_type(type);
  if (!size) fail("unknown tensor type " + std::to_string(type), at_ - 4);
  tensor.type = size->type;
  const std::string problem = gguf_detail::shape_problem(
      *size, std::span(tensor.shape).first(tensor.dimensions), tensor.bytes);
  if (!problem.empty()) fail(problem, start);
  tensor.offset = take<std::uint64_t>("a tensor's offset");  // within the data, until placed
  if (tensor.offset % part_.alignment != 0)
    fail("offset " + std::to_string(tensor.offset) + " is not a multiple of the alignment, " +
             std::to_string(part_.alignment),
         at_ - 8);
  part_.tensors.push_back(tensor);
}

void GgufParser::place_tensors() {
  const std::uint64_t padding = (part_.alignment - at_ % part_.alignment) % part_.alignment;
  for (GgufTensor& tensor : part_.tensors) {
    // Compared step by step from the file's end: no sum can overflow.
    if (padding > remaining() || tensor.offset > remaining() - padding ||
        tensor.bytes > remaining() - padding - tensor.offset) {
      subject_ = tensor.name;
      fail("its " + std::to_string(tensor.bytes) + " bytes at offset " +
               std::to_string(tensor.offset) + " of the data lie past the end of the file (" +
               std::to_string(size_) + " bytes)",
           at_);
    }
    tensor.offset += at_ + padding;
    tensor.data = data_ + tensor.offset;
  }
  std::vector<std::uint32_t> order(part_.tensors.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return part_.tensors[a].offset < part_.tensors[b].offset;
  });
  for (std::size_t i = 1; i < order.size(); ++i) {
    const GgufTensor& before = part_.tensors[order[i - 1]];
    const GgufTensor& after = part_.tensors[order[i]];
    if (before.bytes <= after.offset - before.offset) continue;
    subject_ = after.name;
    fail("its data overlap those of '" + gguf_detail::quoted(before.name, 0, 80) + "'",
         after.offset);
  }
}

Gguf GgufParser::open(const std::string& path) {
  Part first = parse(path, 0);
  const std::uint64_t count = first.split_count;
  const std::string first_path = count > 1 ? gguf_detail::part_path(path, 1, count) : path;
  if (count > 1 && first_path.empty())
    throw Error("this is part " + std::to_string(first.split_no + 1) + " of " +
                    std::to_string(count) +
                    ", but its name does not end in the number of the part and of parts, as in "
                    "NAME-00001-of-00003.gguf, by which the others are found",
                {path, {}, {}});
  if (first.split_no != 0)
    throw Error("this is part " + std::to_string(first.split_no + 1) + " of " +
                    std::to_string(count) + "; open the first part instead, " + first_path,
                {path, {}, {}});

  Gguf gguf;
  gguf.version_ = first.version;
  gguf.alignment_ = first.alignment;
  gguf.metadata_ = std::move(first.metadata);
  gguf.index_->keys = std::move(first.keys);
  gguf.tensors_ = std::move(first.tensors);
  gguf.paths_.push_back(path);
  gguf.files_.push_back(std::move(first.file));
  for (std::uint64_t i = 1; i < count; ++i) {
    const std::string name = gguf_detail::part_path(path, i + 1, count);
    const std::string which = "part " + std::to_string(i + 1) + " of " + std::to_string(count);
    std::error_code ignored;
    if (!std::filesystem::exists(name, ignored)) throw Error(which + " is missing", {name, {}, {}});
    Part part = parse(name, static_cast<std::uint32_t>(i));
    if (part.split_count != count || part.split_no != i)
      throw Error("should be " + which + " but says it is part " +
                      std::to_string(part.split_no + 1) + " of " + std::to_string(part.split_count),
                  {name, {}, {}});
    if (part.split_tensors != first.split_tensors)
      throw Error("belongs to another model than the first part: their split.tensors.count differ",
                  {name, {}, {}});
    gguf.tensors_.insert(gguf.tensors_.end(), part.tensors.begin(), part.tensors.end());
    gguf.paths_.push_back(name);
    gguf.files_.push_back(std::move(part.file));
  }
  if (count > 1 && first.split_tensors && *first.split_tensors != gguf.tensors_.size())
    throw Error("the parts hold " + std::to_string(gguf.tensors_.size()) + " tensors, not " +
                    std::to_string(*first.split_tensors),
                {path, "split.tensors.count", {}});
  gguf.index_->tensors = gguf_detail::order_by_name(gguf.tensors_);
  if (const GgufTensor* again = gguf_detail::find_duplicate(gguf.tensors_, gguf.index_->tensors))
    throw Error("tensor appears twice",
                {gguf.paths_[again->file], gguf_detail::quoted(again->name, 0, 80), again->offset});
  return gguf;
}

}  // namespace brink

#endif  // BRINK_GGUF_PARSER_IMPL_H_
