// A file mapped read-only into memory.
#ifndef BRINK_CORE_MAPPED_FILE_H_
#define BRINK_CORE_MAPPED_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "brink/core/error.h"

namespace brink {

/// Movable, not copyable; moving keeps the address. The file must not be shortened while it is
/// mapped: the operating system answers a read past its new end with a signal.
class MappedFile {
 public:
  /// How the bytes are about to be used; hints only, they never change what is read.
  enum class Advice {
    kNormal,
    kSequential,  ///< read once from front to back
    kRandom,      ///< no read-ahead
    kWillNeed,    ///< start reading it in now
  };

  /// Throws Error where `path` is missing, unreadable, empty or not a regular file.
  static MappedFile open(const std::string& path);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  const std::byte* data() const { return data_; }
  std::uint64_t size() const { return size_; }
  std::span<const std::byte> bytes() const { return {data_, static_cast<std::size_t>(size_)}; }

  /// For the whole file, or for `size` bytes from `offset` (cut to the file).
  void advise(Advice advice) const { advise(advice, 0, size_); }
  void advise(Advice advice, std::uint64_t offset, std::uint64_t size) const;

 private:
  const std::byte* data_ = nullptr;
  std::uint64_t size_ = 0;
};

}  // namespace brink

#endif  // BRINK_CORE_MAPPED_FILE_H_
