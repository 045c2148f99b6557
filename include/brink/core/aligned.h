// Working memory: arrays that start on a cache line.
#ifndef BRINK_CORE_ALIGNED_H_
#define BRINK_CORE_ALIGNED_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "brink/core/error.h"

namespace brink {

/// Alignment of AlignedBuffer: a cache line and the widest vector.
inline constexpr std::size_t kBufferAlignment = 64;

/// Owns `size()` values of a trivial type at a 64-byte boundary, uninitialised unless `zeroed` made
/// them. The allocation is rounded up to whole cache lines, so a vector load that starts inside the
/// array never leaves it. Moves, does not copy.
template <class T>
class AlignedBuffer {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  AlignedBuffer() = default;

  /// Throws Error when the size in bytes does not fit or there is not enough memory.
  explicit AlignedBuffer(std::size_t size) : data_(allocate(size)), size_(size) {}

  static AlignedBuffer zeroed(std::size_t size) {
    AlignedBuffer buffer(size);
    if (size > 0) std::memset(static_cast<void*>(buffer.data_), 0, size * sizeof(T));
    return buffer;
  }

  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    AlignedBuffer taken(std::move(other));
    std::swap(data_, taken.data_);
    std::swap(size_, taken.size_);
    return *this;
  }

  ~AlignedBuffer() { release(data_); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return size_ * sizeof(T); }
  bool empty() const { return size_ == 0; }

  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  std::span<T> span() { return {data_, size_}; }
  std::span<const T> span() const { return {data_, size_}; }

  /// Makes room for at least `size` values; the old content is lost when it grows.
  void reserve_discarding(std::size_t size) {
    if (size <= size_) return;
    *this = AlignedBuffer();  // the old memory goes first: the peak is the larger, not the sum
    *this = AlignedBuffer(size);
  }

 private:
  static T* allocate(std::size_t size) {
    if (size == 0) return nullptr;
    constexpr std::size_t kLimit =
        static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) - kBufferAlignment;
    if (size > kLimit / sizeof(T)) {
      throw Error("cannot allocate " + std::to_string(size) + " values of " +
                  std::to_string(sizeof(T)) + " bytes: the size overflows");
    }
    const std::size_t bytes =
        (size * sizeof(T) + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
    void* memory = ::operator new (bytes, std::align_val_t{kBufferAlignment}, std::nothrow);
    if (memory == nullptr) {
      throw Error("not enough memory: " + std::to_string(bytes) + " bytes could not be allocated");
    }
    return static_cast<T*>(memory);
  }

  static void release(T* data) {
    if (data != nullptr) ::operator delete (data, std::align_val_t{kBufferAlignment});
  }

  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace brink

#endif  // BRINK_CORE_ALIGNED_H_
