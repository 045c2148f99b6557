// Implementation of gguf/reader.h: values and lookups; gguf/parser_impl.h reads and checks the
// file.
#ifndef BRINK_GGUF_READER_IMPL_H_
#define BRINK_GGUF_READER_IMPL_H_

#include <charconv>
#include <limits>

#include "brink/gguf/parser_impl.h"
#include "brink/gguf/reader.h"

namespace brink {

namespace reader_detail {

bool is_signed_integer(GgufType type) {
  return type == GgufType::kI8 || type == GgufType::kI16 || type == GgufType::kI32 ||
         type == GgufType::kI64;
}

bool is_unsigned_integer(GgufType type) {
  return type == GgufType::kU8 || type == GgufType::kU16 || type == GgufType::kU32 ||
         type == GgufType::kU64 || type == GgufType::kBool;
}

std::int64_t load_signed(GgufType type, const std::byte* p) {
  switch (type) {
    case GgufType::kI8:
      return gguf_detail::load<std::int8_t>(p);
    case GgufType::kI16:
      return gguf_detail::load<std::int16_t>(p);
    case GgufType::kI32:
      return gguf_detail::load<std::int32_t>(p);
    default:
      return gguf_detail::load<std::int64_t>(p);
  }
}

std::uint64_t load_unsigned(GgufType type, const std::byte* p) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kBool:
      return gguf_detail::load<std::uint8_t>(p);
    case GgufType::kU16:
      return gguf_detail::load<std::uint16_t>(p);
    case GgufType::kU32:
      return gguf_detail::load<std::uint32_t>(p);
    default:
      return gguf_detail::load<std::uint64_t>(p);
  }
}

/// Bytes of `count` elements at `p`, which were checked when the file was opened.
std::uint64_t payload_bytes(GgufType type, std::uint64_t count, const std::byte* p) {
  if (const std::uint64_t width = gguf_detail::width_of(type)) return count * width;
  const std::byte* const start = p;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (type == GgufType::kString) {
      p += 8 + gguf_detail::load<std::uint64_t>(p);
    } else {
      const GgufType inner = static_cast<GgufType>(gguf_detail::load<std::uint32_t>(p));
      p += 12 + payload_bytes(inner, gguf_detail::load<std::uint64_t>(p + 4), p + 12);
    }
  }
  return static_cast<std::uint64_t>(p - start);
}

template <class T>
std::string number_text(T value) {
  char buffer[40];
  const std::to_chars_result end = std::to_chars(buffer, buffer + sizeof buffer, value);
  return {buffer, end.ptr};
}

}  // namespace reader_detail

const char* name_of(GgufType type) {
  static constexpr const char* kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                           "bool", "string", "array", "u64", "i64", "f64"};
  const std::uint32_t id = static_cast<std::uint32_t>(type);
  return id < std::size(kNames) ? kNames[id] : "unknown";
}

std::optional<std::int64_t> GgufValue::as_int() const {
  if (reader_detail::is_signed_integer(type_)) return reader_detail::load_signed(type_, data_);
  const std::optional<std::uint64_t> value = as_uint();
  if (!value || *value > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) return {};
  return static_cast<std::int64_t>(*value);
}

std::optional<std::uint64_t> GgufValue::as_uint() const {
  if (reader_detail::is_unsigned_integer(type_)) return reader_detail::load_unsigned(type_, data_);
  if (!reader_detail::is_signed_integer(type_)) return {};
  const std::int64_t value = reader_detail::load_signed(type_, data_);
  if (value < 0) return {};
  return static_cast<std::uint64_t>(value);
}

std::optional<double> GgufValue::as_float() const {
  if (type_ == GgufType::kF32) return gguf_detail::load<float>(data_);
  if (type_ == GgufType::kF64) return gguf_detail::load<double>(data_);
  if (type_ == GgufType::kBool) return {};
  if (reader_detail::is_unsigned_integer(type_))
    return static_cast<double>(reader_detail::load_unsigned(type_, data_));
  if (reader_detail::is_signed_integer(type_))
    return static_cast<double>(reader_detail::load_signed(type_, data_));
  return {};
}

std::optional<bool> GgufValue::as_bool() const {
  if (type_ != GgufType::kBool) return {};
  return gguf_detail::load<std::uint8_t>(data_) != 0;
}

std::optional<std::string_view> GgufValue::as_string() const {
  if (type_ != GgufType::kString) return {};
  return std::string_view(reinterpret_cast<const char*>(data_), static_cast<std::size_t>(count_));
}

std::vector<GgufValue> GgufValue::elements() const {
  std::vector<GgufValue> result;
  if (!is_array()) return result;
  result.resize(static_cast<std::size_t>(count_));
  const std::byte* p = data_;
  for (GgufValue& value : result) {
    value.type_ = element_type_;
    if (element_type_ == GgufType::kString) {
      value.count_ = value.payload_bytes_ = gguf_detail::load<std::uint64_t>(p);
      p += 8;
    } else if (element_type_ == GgufType::kArray) {
      value.element_type_ = static_cast<GgufType>(gguf_detail::load<std::uint32_t>(p));
      value.count_ = gguf_detail::load<std::uint64_t>(p + 4);
      p += 12;
      value.payload_bytes_ = reader_detail::payload_bytes(value.element_type_, value.count_, p);
    } else {
      value.payload_bytes_ = gguf_detail::width_of(element_type_);
    }
    value.data_ = p;
    p += value.payload_bytes_;
  }
  return result;
}

std::vector<std::string_view> GgufValue::strings() const {
  std::vector<std::string_view> result;
  if (!is_array() || element_type_ != GgufType::kString) return result;
  result.reserve(static_cast<std::size_t>(count_));
  const std::byte* p = data_;
  for (std::uint64_t i = 0; i < count_; ++i) {
    const std::uint64_t length = gguf_detail::load<std::uint64_t>(p);
    p += 8;
    result.emplace_back(reinterpret_cast<const char*>(p), static_cast<std::size_t>(length));
    p += length;
  }
  return result;
}

std::vector<std::int64_t> GgufValue::ints() const {
  std::vector<std::int64_t> result;
  const bool is_signed = reader_detail::is_signed_integer(element_type_);
  if (!is_array() || !(is_signed || reader_detail::is_unsigned_integer(element_type_)))
    return result;
  result.reserve(static_cast<std::size_t>(count_));
  const std::uint64_t width = gguf_detail::width_of(element_type_);
  for (std::uint64_t i = 0; i < count_; ++i) {
    const std::byte* p = data_ + i * width;
    const std::int64_t value =
        is_signed ? reader_detail::load_signed(element_type_, p)
                  : static_cast<std::int64_t>(reader_detail::load_unsigned(element_type_, p));
    if (!is_signed && value < 0) return {};  // a u64 beyond int64
    result.push_back(value);
  }
  return result;
}

std::vector<double> GgufValue::floats() const {
  std::vector<double> result;
  if (!is_array() || gguf_detail::width_of(element_type_) == 0 || element_type_ == GgufType::kBool)
    return result;
  result.reserve(static_cast<std::size_t>(count_));
  GgufValue element;
  element.type_ = element_type_;
  const std::uint64_t width = gguf_detail::width_of(element_type_);
  for (std::uint64_t i = 0; i < count_; ++i) {
    element.data_ = data_ + i * width;
    result.push_back(*element.as_float());
  }
  return result;
}

std::string GgufValue::to_string(std::size_t max_items, std::size_t max_string) const {
  if (type_ == GgufType::kString) return gguf_detail::quoted(*as_string(), '"', max_string);
  if (type_ == GgufType::kBool) return *as_bool() ? "true" : "false";
  if (type_ == GgufType::kF32) return reader_detail::number_text(gguf_detail::load<float>(data_));
  if (type_ == GgufType::kF64) return reader_detail::number_text(gguf_detail::load<double>(data_));
  if (reader_detail::is_signed_integer(type_)) return reader_detail::number_text(*as_int());
  if (type_ != GgufType::kArray) return reader_detail::number_text(*as_uint());
  // Only the items shown are decoded: an array may hold a whole vocabulary.
  GgufValue head = *this;
  head.count_ = std::min<std::uint64_t>(count_, max_items);
  std::string text = "[";
  for (const GgufValue& element : head.elements()) {
    if (text.size() > 1) text += ", ";
    text += element.to_string(max_items, max_string);
  }
  if (head.count_ < count_) text += head.count_ > 0 ? ", ..." : "...";
  return text + "] (" + std::to_string(count_) + (count_ == 1 ? " item)" : " items)");
}

Gguf::Gguf() : index_(std::make_unique<Index>()) {}
Gguf::Gguf(Gguf&&) noexcept = default;
Gguf& Gguf::operator=(Gguf&&) noexcept = default;
Gguf::~Gguf() = default;

Gguf Gguf::open(const std::string& path) { return GgufParser::open(path); }

std::uint64_t Gguf::file_bytes() const {
  std::uint64_t total = 0;
  for (const MappedFile& file : files_) total += file.size();
  return total;
}

void Gguf::prefetch() const {
  for (const MappedFile& file : files_) file.advise(MappedFile::Advice::kWillNeed);
}

const GgufValue* Gguf::find(std::string_view key) const {
  const GgufEntry* entry = gguf_detail::find_named(metadata_, index_->keys, key);
  return entry ? &entry->value : nullptr;
}

const GgufTensor* Gguf::find_tensor(std::string_view name) const {
  return gguf_detail::find_named(tensors_, index_->tensors, name);
}

namespace reader_detail {

/// The converted value of `key`, or an Error that says what was found instead.
template <class T>
std::optional<T> get(const Gguf& gguf, const std::byte* base, std::string_view key,
                     std::optional<T> (GgufValue::*as)() const, const char* wanted) {
  const GgufValue* value = gguf.find(key);
  if (!value) return {};
  std::optional<T> result = (value->*as)();
  if (!result)
    throw Error(
        std::string("expected ") + wanted + ", found " + name_of(value->type()) + " " +
            value->to_string(3, 40),
        {gguf.path(), std::string(key), static_cast<std::uint64_t>(value->raw().data() - base)});
  return result;
}

}  // namespace reader_detail

std::optional<std::uint64_t> Gguf::get_uint(std::string_view key) const {
  return reader_detail::get(*this, files_.front().data(), key, &GgufValue::as_uint,
                            "an integer of at least 0");
}

std::optional<std::int64_t> Gguf::get_int(std::string_view key) const {
  return reader_detail::get(*this, files_.front().data(), key, &GgufValue::as_int, "an integer");
}

std::optional<double> Gguf::get_float(std::string_view key) const {
  return reader_detail::get(*this, files_.front().data(), key, &GgufValue::as_float, "a number");
}

std::optional<bool> Gguf::get_bool(std::string_view key) const {
  return reader_detail::get(*this, files_.front().data(), key, &GgufValue::as_bool, "a bool");
}

std::optional<std::string_view> Gguf::get_string(std::string_view key) const {
  return reader_detail::get(*this, files_.front().data(), key, &GgufValue::as_string, "a string");
}

}  // namespace brink

#endif  // BRINK_GGUF_READER_IMPL_H_
