// A set of byte strings numbered from 0, and the way back from string to number.
#ifndef BRINK_TEXT_TOKEN_TABLE_H_
#define BRINK_TEXT_TOKEN_TABLE_H_

#ifndef XXH_INLINE_ALL
#define XXH_INLINE_ALL
#endif
#include <xxhash.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "brink/core/error.h"

namespace brink {

inline std::uint64_t hash_bytes(std::string_view bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

/// Probes of an open-addressed table before a vocabulary is taken for one made to collide. At the
/// load factors used here chance does not reach a tenth of it.
inline constexpr std::size_t kMaxProbes = 1024;

class TokenTable {
 public:
  void reserve(std::size_t count, std::size_t bytes) {
    ends_.reserve(count);
    bytes_.reserve(bytes);
    slots_.assign(std::bit_ceil(count * 2 + 2), Slot{});
  }

  /// Appends a string as number size(). It is found by find() only if `findable` and if no earlier
  /// one is equal; says whether that is so. No more strings than reserved.
  bool add(std::string_view bytes, bool findable) {
    if (bytes_.size() + bytes.size() > std::numeric_limits<std::uint32_t>::max())
      throw Error("tokens of more than 4 GiB");
    const auto id = static_cast<std::int32_t>(ends_.size());
    bytes_.append(bytes);
    ends_.push_back(static_cast<std::uint32_t>(bytes_.size()));
    if (!findable) return false;
    const std::uint64_t hash = hash_bytes(bytes);
    std::size_t at = hash & (slots_.size() - 1);
    for (std::size_t probe = 0; slots_[at].id >= 0; ++probe) {
      if (slots_[at].tag == tag_of(hash) && (*this)[slots_[at].id] == bytes) return false;
      if (probe == kMaxProbes) throw Error("tokens whose hashes collide without end");
      at = (at + 1) & (slots_.size() - 1);
    }
    slots_[at] = {tag_of(hash), id};
    return true;
  }

  std::size_t size() const { return ends_.size(); }
  std::string_view operator[](std::int32_t id) const {
    const auto i = static_cast<std::size_t>(id);
    const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
    return {bytes_.data() + begin, ends_[i] - begin};
  }

  /// The number of `bytes`, or -1; `hash` is hash_bytes(bytes).
  std::int32_t find(std::string_view bytes, std::uint64_t hash) const {
    std::size_t at = hash & (slots_.size() - 1);
    for (std::size_t probe = 0; slots_[at].id >= 0 && probe <= kMaxProbes; ++probe) {
      if (slots_[at].tag == tag_of(hash) && (*this)[slots_[at].id] == bytes) return slots_[at].id;
      at = (at + 1) & (slots_.size() - 1);
    }
    return -1;
  }
  std::int32_t find(std::string_view bytes) const { return find(bytes, hash_bytes(bytes)); }

 private:
  struct Slot {
    std::uint32_t tag = 0;
    std::int32_t id = -1;
  };
  static std::uint32_t tag_of(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 32); }

  std::string bytes_;                // all strings, one after another
  std::vector<std::uint32_t> ends_;  // where each ends in bytes_
  std::vector<Slot> slots_{2};       // linear probing, at most half full
};

}  // namespace brink

#endif  // BRINK_TEXT_TOKEN_TABLE_H_
