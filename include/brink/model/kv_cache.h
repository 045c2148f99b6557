// Which pages of the KV cache hold which positions of which sequence. This is bookkeeping only: the
// pages themselves (kKvPage positions of every layer) belong to the backend.
#ifndef BRINK_MODEL_KV_CACHE_H_
#define BRINK_MODEL_KV_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "brink/cpu/kernels.h"

namespace brink {

/// A fixed pool of pages, shared by reference count: a forked sequence costs nothing until one of
/// the two writes into the last, partly filled page, which is then copied. Pages are handed out
/// lowest first, so memory that was never needed is never touched.
class KvPages {
 public:
  /// Room for `sequences` sequences of `context` positions each.
  KvPages(std::size_t sequences, std::size_t context);

  /// Pages that `sequences` x `context` positions need.
  static std::size_t pages_for(std::size_t sequences, std::size_t context);

  std::size_t sequences() const { return sequences_.size(); }
  std::size_t context() const { return context_; }
  std::size_t length(std::size_t sequence) const { return sequences_[sequence].length; }
  std::span<const std::uint32_t> pages(std::size_t sequence) const {
    return sequences_[sequence].pages;
  }
  std::size_t pages_in_use() const { return references_.size() - free_.size(); }

  struct Copy {
    std::uint32_t from;
    std::uint32_t to;
  };

  /// Makes positions [length, length + count) of `sequence` writable and part of it. When its last
  /// page was shared, the answer says what to copy before anything is written. Throws Error, with
  /// nothing changed, when the context does not suffice.
  std::optional<Copy> extend(std::size_t sequence, std::size_t count);

  /// Drops the positions from `length` on; `length` is at most the present one.
  void truncate(std::size_t sequence, std::size_t length);

  /// Makes `to` the same as `from`; what `to` held is dropped.
  void fork(std::size_t from, std::size_t to);

 private:
  struct Sequence {
    std::size_t length = 0;
    std::vector<std::uint32_t> pages;
  };

  std::uint32_t take();
  void release(std::uint32_t page);

  std::size_t context_;
  std::vector<Sequence> sequences_;
  std::vector<std::uint32_t> references_;  // per page
  std::vector<std::uint32_t> free_;        // the next one to hand out is last
};

}  // namespace brink

#endif  // BRINK_MODEL_KV_CACHE_H_
