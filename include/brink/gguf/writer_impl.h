// POSIX implementation of gguf/writer.h.
#ifndef BRINK_GGUF_WRITER_IMPL_H_
#define BRINK_GGUF_WRITER_IMPL_H_

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include "brink/gguf/parser_impl.h"
#include "brink/gguf/writer.h"

namespace brink {

namespace writer_detail {

constexpr std::size_t kBufferBytes = std::size_t{1} << 20;
constexpr std::uint64_t kMaxDataBytes = std::uint64_t{1} << 60;

/// Differs between writers of this process and, by its number, from those of others.
std::string temporary_name(const std::string& path) {
  static std::atomic<unsigned> count{0};
  return path + ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(count++);
}

}  // namespace writer_detail

GgufWriter::GgufWriter(std::string path, std::uint32_t alignment)
    : path_(std::move(path)), alignment_(alignment) {
  if (alignment == 0 || alignment % 8 != 0)
    throw Error("alignment must be a multiple of 8 and not " + std::to_string(alignment),
                {path_, {}, {}});
  // A device or pipe must not be replaced by a file.
  struct stat status {};
  if (::stat(path_.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
    throw Error("exists and is not a regular file", {path_, {}, {}});
  const std::string temporary = writer_detail::temporary_name(path_);
  fd_ = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd_ < 0) fail_system("cannot create", errno);
  temporary_path_ = temporary;
}

GgufWriter::~GgufWriter() { discard(); }

void GgufWriter::discard() noexcept {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_path_.c_str());
  fd_ = -1;
}

void GgufWriter::fail_system(const char* what, int error) {
  discard();
  throw Error(std::string(what) + ": " + std::generic_category().message(error), {path_, {}, {}});
}

void GgufWriter::require_open(bool before_data, std::string_view subject) const {
  if (fd_ < 0) throw Error("the file is finished or has failed", {path_, std::string(subject), {}});
  if (before_data && header_written_)
    throw Error("metadata and tensors must be given before the first data",
                {path_, std::string(subject), {}});
}

void GgufWriter::set_encoded(std::string_view key, GgufType type, std::string payload) {
  require_open(true, key);
  if (key.empty()) throw Error("metadata key is empty", {path_, {}, {}});
  if (key == "general.alignment")
    throw Error("is set by the writer's own alignment", {path_, std::string(key), {}});
  std::string value;
  encode(value, static_cast<std::uint32_t>(type));
  value += payload;
  const auto [at, is_new] = keys_.try_emplace(std::string(key), metadata_.size());
  if (is_new)
    metadata_.emplace_back(key, std::move(value));
  else
    metadata_[at->second].second = std::move(value);
}

void GgufWriter::set(std::string_view key, std::string_view value) {
  std::string payload;
  encode(payload, value);
  set_encoded(key, GgufType::kString, std::move(payload));
}

void GgufWriter::set(std::string_view key, const GgufValue& value) {
  if (!value.raw().data()) throw Error("value comes from no file", {path_, std::string(key), {}});
  std::string payload;
  if (value.type() == GgufType::kString) encode(payload, std::uint64_t{value.raw().size()});
  if (value.is_array()) {
    encode(payload, static_cast<std::uint32_t>(value.element_type()));
    encode(payload, value.size());
  }
  encode_bytes(payload, value.raw().data(), value.raw().size());
  set_encoded(key, value.type(), std::move(payload));
}

void GgufWriter::copy_metadata(const Gguf& gguf) {
  for (const GgufEntry& entry : gguf.metadata()) {
    if (entry.key != "general.alignment" && entry.key != "split.no" && entry.key != "split.count" &&
        entry.key != "split.tensors.count")
      set(entry.key, entry.value);
  }
}

bool GgufWriter::erase(std::string_view key) {
  require_open(true, key);
  const auto at = keys_.find(key);
  if (at == keys_.end()) return false;
  const std::size_t position = at->second;
  metadata_.erase(metadata_.begin() + static_cast<std::ptrdiff_t>(position));
  keys_.erase(at);
  for (auto& [name, index] : keys_)
    if (index > position) --index;
  return true;
}

void GgufWriter::declare(std::string_view name, TensorType type,
                         std::span<const std::uint64_t> shape) {
  require_open(true, name);
  const auto fail = [&](const std::string& message) {
    throw Error(message, {path_, std::string(name), {}});
  };
  if (name.empty()) fail("tensor name is empty");
  if (shape.empty() || shape.size() > 4)
    fail(std::to_string(shape.size()) + " dimensions; 1 to 4 are possible");
  std::uint64_t bytes = 0;
  const std::string problem = gguf_detail::shape_problem(size_of(type), shape, bytes);
  if (!problem.empty()) fail(problem);
  // So that neither sums nor padding can overflow; far beyond any file system.
  if (bytes > writer_detail::kMaxDataBytes - data_bytes_) fail("the file would be too large");
  if (!names_.emplace(name).second) fail("tensor is declared twice");
  data_bytes_ += bytes;
  tensors_.push_back({std::string(name), type, {shape.begin(), shape.end()}, bytes});
}

void GgufWriter::write_header() {
  std::string header = "GGUF";
  encode(header, std::uint32_t{3});
  encode(header, std::uint64_t{tensors_.size()});
  // A file says its alignment only where it is not the format's default.
  const bool says_alignment = alignment_ != 32;
  encode(header, std::uint64_t{metadata_.size() + (says_alignment ? 1 : 0)});
  if (says_alignment) {
    encode(header, std::string_view("general.alignment"));
    encode(header, static_cast<std::uint32_t>(GgufType::kU32));
    encode(header, alignment_);
  }
  for (const auto& [key, value] : metadata_) {
    encode(header, key);
    header += value;
  }
  std::uint64_t offset = 0;
  for (const Tensor& tensor : tensors_) {
    encode(header, tensor.name);
    encode(header, static_cast<std::uint32_t>(tensor.shape.size()));
    for (const std::uint64_t extent : tensor.shape) encode(header, extent);
    encode(header, static_cast<std::uint32_t>(tensor.type));
    encode(header, offset);
    offset += (tensor.bytes + alignment_ - 1) / alignment_ * alignment_;
  }
  header_written_ = true;
  write(std::as_bytes(std::span(header)));
  pad();
}

void GgufWriter::append(std::string_view tensor, std::span<const std::byte> bytes) {
  require_open(false, tensor);
  if (current_ == tensors_.size())
    throw Error("all tensors are complete already", {path_, std::string(tensor), {}});
  const Tensor& current = tensors_[current_];
  if (current.name != tensor)
    throw Error("data out of order: '" + current.name + "' is next, " +
                    std::to_string(current.bytes - current_written_) + " bytes of it are missing",
                {path_, std::string(tensor), {}});
  if (bytes.size() > current.bytes - current_written_)
    throw Error("too much data: " + std::to_string(current_written_ + bytes.size()) + " bytes of " +
                    std::to_string(current.bytes),
                {path_, current.name, {}});
  if (!header_written_) write_header();
  write(bytes);
  current_written_ += bytes.size();
  if (current_written_ == current.bytes) {
    // Also after the last tensor, as the format has it.
    pad();
    ++current_;
    current_written_ = 0;
  }
}

void GgufWriter::finish() {
  require_open(false, "");
  if (current_ < tensors_.size())
    throw Error("is incomplete: " + std::to_string(current_written_) + " of " +
                    std::to_string(tensors_[current_].bytes) + " bytes given",
                {path_, tensors_[current_].name, {}});
  if (!header_written_) write_header();
  flush();
  if (::fsync(fd_) != 0) fail_system("cannot write", errno);
  if (::rename(temporary_path_.c_str(), path_.c_str()) != 0) fail_system("cannot rename", errno);
  const int fd = std::exchange(fd_, -1);
  if (::close(fd) != 0)
    throw Error("cannot close: " + std::generic_category().message(errno), {path_, {}, {}});
}

void GgufWriter::pad() {
  const std::uint64_t padding = (alignment_ - position_ % alignment_) % alignment_;
  position_ += padding;
  buffer_.append(static_cast<std::size_t>(padding), '\0');
  if (buffer_.size() > writer_detail::kBufferBytes) flush();
}

void GgufWriter::write(std::span<const std::byte> bytes) {
  position_ += bytes.size();
  // Small pieces are collected; a large one is written as it is, after what came before it.
  if (buffer_.size() + bytes.size() <= writer_detail::kBufferBytes) {
    encode_bytes(buffer_, bytes.data(), bytes.size());
  } else {
    flush();
    write_out(bytes);
  }
}

void GgufWriter::flush() {
  write_out(std::as_bytes(std::span(buffer_)));
  buffer_.clear();
}

void GgufWriter::write_out(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_system("cannot write", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

}  // namespace brink

#endif  // BRINK_GGUF_WRITER_IMPL_H_
