// Remembers the tokens of words met earlier in the same call of encode().
#ifndef BRINK_TEXT_WORD_CACHE_H_
#define BRINK_TEXT_WORD_CACHE_H_

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace brink {

/// Direct-mapped: a word evicts what has its place, so no choice of words makes it slow. It stores
/// neither words nor tokens but where in the text and in the result they already are. One belongs
/// to one call and one thread.
class WordCache {
 public:
  /// For a text of so many bytes; small texts do without.
  explicit WordCache(std::size_t text_bytes) {
    if (text_bytes < 256) return;
    slots_.resize(std::bit_ceil(std::min<std::size_t>(text_bytes / 16, 65536)));
  }

  /// Appends to `ids` the tokens of an equal word met before; false when none is remembered.
  bool append(std::string_view word, std::uint64_t hash, std::vector<std::int32_t>& ids) const {
    if (slots_.empty()) return false;
    const Slot& slot = slots_[hash & (slots_.size() - 1)];
    if (slot.hash != hash || slot.bytes != word.size() || slot.count == 0 ||
        std::memcmp(slot.word, word.data(), word.size()) != 0)
      return false;
    const std::size_t begin = ids.size();
    ids.resize(begin + slot.count);
    std::copy_n(ids.begin() + static_cast<std::ptrdiff_t>(slot.first), slot.count,
                ids.begin() + static_cast<std::ptrdiff_t>(begin));
    return true;
  }

  /// `word` has become ids[first..]; both must stay where they are as long as the cache is used.
  void remember(std::string_view word, std::uint64_t hash, std::size_t first,
                const std::vector<std::int32_t>& ids) {
    if (slots_.empty() || word.size() > UINT32_MAX || ids.size() - first > UINT32_MAX) return;
    slots_[hash & (slots_.size() - 1)] = {hash, word.data(), first,
                                          static_cast<std::uint32_t>(word.size()),
                                          static_cast<std::uint32_t>(ids.size() - first)};
  }

 private:
  struct Slot {
    std::uint64_t hash = 0;
    const char* word = nullptr;
    std::size_t first = 0;  // index into the result
    std::uint32_t bytes = 0;
    std::uint32_t count = 0;
  };
  std::vector<Slot> slots_;
};

}  // namespace brink

#endif  // BRINK_TEXT_WORD_CACHE_H_
