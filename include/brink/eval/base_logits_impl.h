// Definitions of eval/base_logits.h.
#ifndef BRINK_EVAL_BASE_LOGITS_IMPL_H_
#define BRINK_EVAL_BASE_LOGITS_IMPL_H_

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <type_traits>
#include <utility>

#include "brink/core/error.h"
#include "brink/core/fingerprint.h"
#include "brink/cpu/logit_gaps.h"
#include "brink/eval/base_logits.h"
#include "brink/eval/scoring.h"
#include "brink/gguf/fingerprint.h"

namespace brink {
namespace base_logits_detail {

inline constexpr char kMagic[8] = {'b', 'r', 'i', 'n', 'k', 'B', 'L', '1'};

struct Header {
  char magic[8];
  char key[32];
  std::uint64_t vocabulary;
  std::uint64_t context;
  std::uint64_t windows;
  char check[32];  // fingerprint of all before it
  char zero[32];
};
static_assert(sizeof(Header) == 128 && std::is_trivially_copyable_v<Header>);

// In front of the gaps of a row, which are padded to 8 bytes.
struct RowHeader {
  std::uint64_t check;
  double nll;
  std::uint32_t top;
  std::uint32_t zero;
};
static_assert(sizeof(RowHeader) == 24 && std::is_trivially_copyable_v<RowHeader>);

inline std::string check_of(const Header& header) {
  return fingerprint(std::as_bytes(std::span(&header, 1)).first(offsetof(Header, check)));
}

// Of a row's bytes after the check itself, and of its place, so that rows cannot be confused.
inline std::uint64_t check_of(std::span<const std::byte> row, std::uint64_t index) {
  Fingerprint sum;
  sum.add(std::as_bytes(std::span(&index, 1)));
  sum.add(row.subspan(sizeof(std::uint64_t)));
  return std::stoull(sum.hex().substr(0, 16), nullptr, 16);
}

}  // namespace base_logits_detail

std::string BaseLogits::key(const Model& model, const TokenWindows& windows) {
  Fingerprint key;
  key.add(std::string_view(base_logits_detail::kMagic, sizeof(base_logits_detail::kMagic)));
  key.add("f32 activations, f32 KV");
  key.add(fingerprint(model.gguf()));
  const std::uint64_t context = windows.context();
  key.add(std::as_bytes(std::span(&context, 1)));
  key.add(std::as_bytes(windows.ids()));
  return key.hex();
}

BaseLogits::BaseLogits(const Model& model, const TokenWindows& windows, std::string path,
                       SessionOptions options, const std::function<void(std::size_t)>& on_window)
    : windows_(windows), vocabulary_(model.config().vocabulary), path_(std::move(path)) {
  try {
    open(key(model, windows));
    options.activations = Activations::kF32;
    options.kv_type = KvType::kF32;
    if (on_window) on_window(windows_found_);
    if (windows_found_ < windows_.size()) compute(model, options, on_window);
  } catch (...) {
    ::close(fd_);
    throw;
  }
  // Complete: others may use it.
  ::flock(fd_, LOCK_UN);
}

BaseLogits::BaseLogits(BaseLogits&& other) noexcept
    : windows_(other.windows_),
      vocabulary_(other.vocabulary_),
      path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      windows_found_(other.windows_found_) {}

BaseLogits::~BaseLogits() {
  if (fd_ >= 0) ::close(fd_);
}

void BaseLogits::fail(const std::string& message) const { throw Error(message, {.file = path_}); }

std::size_t BaseLogits::row_bytes() const {
  return sizeof(base_logits_detail::RowHeader) + (vocabulary_ + 3) / 4 * 8;
}

std::uint64_t BaseLogits::row_offset(std::size_t row) const {
  return sizeof(base_logits_detail::Header) + std::uint64_t{row} * row_bytes();
}

std::uint64_t BaseLogits::file_bytes() const { return row_offset(windows_.scored()); }

void BaseLogits::write(std::uint64_t offset, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t done = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail(std::string("cannot write: ") + std::strerror(errno));
    offset += static_cast<std::uint64_t>(done);
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
}

// False at the end of the file.
bool BaseLogits::read_bytes(std::uint64_t offset, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t done = ::pread(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail(std::string("cannot read: ") + std::strerror(errno));
    if (done == 0) return false;
    offset += static_cast<std::uint64_t>(done);
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
  return true;
}

// Creates the file or finds out how many windows it holds; the lock is kept.
void BaseLogits::open(const std::string& key) {
  using base_logits_detail::Header;
  fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd_ < 0) fail(std::string("cannot open: ") + std::strerror(errno));
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    fail(errno == EWOULDBLOCK ? std::string("another process is writing it")
                              : std::string("cannot lock: ") + std::strerror(errno));
  }
  struct stat status;
  if (::fstat(fd_, &status) != 0) fail(std::string("cannot stat: ") + std::strerror(errno));
  const auto size = static_cast<std::uint64_t>(status.st_size);
  // A header that was cut off says nothing; anything else of that length is not ours to overwrite.
  Header header{};
  const auto bytes = std::as_writable_bytes(std::span(&header, 1));
  const auto there = static_cast<std::size_t>(std::min<std::uint64_t>(size, sizeof header));
  read_bytes(0, bytes.first(there));
  if (std::memcmp(header.magic, base_logits_detail::kMagic, std::min(there, sizeof header.magic)) !=
      0)
    fail("is not a file of base logits");
  if (there < sizeof header) return write_header(key);
  if (std::string_view(header.check, 32) != base_logits_detail::check_of(header))
    fail("is damaged: the checksum of its header does not hold; delete it");
  if (std::string_view(header.key, 32) != key)
    fail("holds the logits of another model, text or context");
  windows_found_ = std::min<std::size_t>(
      static_cast<std::size_t>((size - sizeof header) / row_bytes()) / windows_.scored_per_window(),
      windows_.size());
}

void BaseLogits::write_header(const std::string& key) const {
  base_logits_detail::Header header{};
  std::memcpy(header.magic, base_logits_detail::kMagic, sizeof header.magic);
  std::memcpy(header.key, key.data(), sizeof header.key);
  header.vocabulary = vocabulary_;
  header.context = windows_.context();
  header.windows = windows_.size();
  std::memcpy(header.check, base_logits_detail::check_of(header).data(), sizeof header.check);
  write(0, std::as_bytes(std::span(&header, 1)));
}

void BaseLogits::compute(const Model& model, SessionOptions options,
                         const std::function<void(std::size_t)>& on_window) {
  using base_logits_detail::RowHeader;
  const std::size_t words = row_bytes() / sizeof(std::uint64_t);
  std::vector<std::uint64_t> buffer;
  Session session(model, window_options(options, windows_));
  RowScorer scorer(session, windows_);
  run_windows(
      session, windows_, windows_found_, windows_.size(),
      [&](std::size_t first, std::span<const float> logits) {
        buffer.assign(logits.size() / vocabulary_ * words, 0);
        scorer.run(first, logits,
                   [&](std::size_t index, std::span<const float> row, const TokenScore& score) {
                     std::uint64_t* place = buffer.data() + (index - first) * words;
                     auto* gaps = reinterpret_cast<std::uint16_t*>(
                         place + sizeof(RowHeader) / sizeof(std::uint64_t));
                     scorer.kernels().store_gaps(row.data(), row.size(), score.largest, gaps);
                     RowHeader header{0, score.nll, score.top, 0};
                     std::memcpy(place, &header, sizeof header);
                     const auto bytes = std::as_bytes(std::span(place, words));
                     place[0] = base_logits_detail::check_of(bytes, index);
                   });
        write(row_offset(first), std::as_bytes(std::span(buffer)));
      },
      [&](std::size_t done) {
        if (on_window) on_window(windows_found_ + done);
      });
}

std::vector<BaseLogits::Row> BaseLogits::read(std::size_t first, std::size_t count,
                                              std::vector<std::uint64_t>& buffer) const {
  using base_logits_detail::RowHeader;
  const std::size_t words = row_bytes() / sizeof(std::uint64_t);
  buffer.resize(count * words);
  if (!read_bytes(row_offset(first), std::as_writable_bytes(std::span(buffer))))
    fail("is damaged: it ends too soon; delete it");
  std::vector<Row> rows(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t* place = buffer.data() + i * words;
    if (place[0] != base_logits_detail::check_of(std::as_bytes(std::span(place, words)), first + i))
      throw Error("is damaged: the checksum of token " + std::to_string(first + i) +
                      " does not hold; delete it",
                  {.file = path_, .tensor = {}, .offset = row_offset(first + i)});
    RowHeader header;
    std::memcpy(&header, place, sizeof header);
    rows[i] = {
        header.nll,
        header.top,
        {reinterpret_cast<const std::uint16_t*>(place + sizeof(RowHeader) / 8), vocabulary_}};
  }
  return rows;
}

}  // namespace brink

#endif  // BRINK_EVAL_BASE_LOGITS_IMPL_H_
