#ifndef BRINK_TEXT_BPE_IMPL_H_
#define BRINK_TEXT_BPE_IMPL_H_

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>

#include "brink/text/bpe.h"
#include "brink/text/unicode.h"

namespace brink {
namespace bpe_detail {

/// Words up to this many bytes are merged by scanning all pairs each time: quadratic, but without
/// the bookkeeping of a heap, which only pays for longer ones.
inline constexpr std::size_t kShortWord = 32;

inline constexpr std::uint32_t kNoRank = std::numeric_limits<std::uint32_t>::max();

/// Pairs waiting to merge, least rank first, then leftmost: rank in the high half, position below.
using PairHeap = std::vector<std::uint64_t>;

inline void push_pair(PairHeap& heap, std::uint32_t rank, std::uint32_t position) {
  heap.push_back(static_cast<std::uint64_t>(rank) << 32 | position);
  std::push_heap(heap.begin(), heap.end(), std::greater<>());
}

}  // namespace bpe_detail

void MergeTable::reserve(std::size_t merges) {
  const std::size_t size = std::bit_ceil(merges * 2 + 2);
  slots_.assign(size, Merge{});
  shift_ = 64 - std::countr_zero(size);
}

std::size_t MergeTable::slot_of(std::int32_t left, std::int32_t right) const {
  std::uint64_t key = static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
                      static_cast<std::uint32_t>(right);
  key *= 0x9E3779B97F4A7C15u;
  key ^= key >> 32;
  key *= 0xD6E8FEB86659FD93u;
  return static_cast<std::size_t>(key >> shift_);
}

void MergeTable::add(const Merge& merge) {
  std::size_t at = slot_of(merge.left, merge.right);
  for (std::size_t probe = 0; slots_[at].left >= 0; ++probe) {
    if (slots_[at].left == merge.left && slots_[at].right == merge.right) return;
    if (probe == kMaxProbes) throw Error("merges whose hashes collide without end");
    at = (at + 1) & (slots_.size() - 1);
  }
  slots_[at] = merge;
}

const MergeTable::Merge* MergeTable::find(std::int32_t left, std::int32_t right) const {
  std::size_t at = slot_of(left, right);
  for (std::size_t probe = 0; slots_[at].left >= 0 && probe <= kMaxProbes; ++probe) {
    if (slots_[at].left == left && slots_[at].right == right) return &slots_[at];
    at = (at + 1) & (slots_.size() - 1);
  }
  return nullptr;
}

struct BytePairEncoder::Work {
  std::vector<std::size_t> ends;
  std::vector<std::int32_t> symbols;  // at the first byte of each; -1 where merged away
  std::vector<std::uint32_t> before, after;
  bpe_detail::PairHeap heap;
};

BytePairEncoder::BytePairEncoder(const Gguf& gguf, const Vocabulary& vocabulary,
                                 const Pretokenizer& pretokenizer,
                                 std::vector<std::string>& warnings)
    : vocabulary_(vocabulary), pretokenizer_(pretokenizer) {
  constexpr const char* kKey = "tokenizer.ggml.merges";
  const ErrorPlace place{gguf.path(), kKey, {}};
  const GgufValue* value = gguf.find(kKey);
  if (!value) throw Error("missing: a gpt2 vocabulary needs its merges", place);
  const std::vector<std::string_view> merges = value->strings();
  if (merges.size() != value->size() || !value->is_array())
    throw Error("must be an array of strings", place);
  if (merges.size() > kMaxTokens) throw Error("too many merges", place);

  std::size_t missing_bytes = 0;
  for (int b = 0; b < 256; ++b) {
    const char byte = static_cast<char>(b);
    const std::int32_t id = vocabulary.byte_token(static_cast<unsigned char>(b));
    // 0xC0, 0xC1 and 0xF5.. never occur in UTF-8, and some vocabularies leave them out.
    missing_bytes += id < 0 && b != 0xC0 && b != 0xC1 && b < 0xF5;
    byte_ids_[b] = id >= 0 ? id : id_or_new({&byte, 1});
  }
  if (missing_bytes)
    warnings.push_back(std::to_string(missing_bytes) +
                       " bytes have no token; they are read as U+FFFD");

  merges_.reserve(merges.size());
  std::size_t broken = 0;
  std::string key;
  std::int32_t guess = -1;  // merged tokens mostly follow one another in the order of the merges
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string_view text = merges[rank];
    const std::size_t space = text.find(' ', 1);
    key.clear();
    if (space == text.npos || space + 1 == text.size() ||
        !append_spelled_bytes(text.substr(0, space), key)) {
      ++broken;
      continue;
    }
    const std::size_t left_bytes = key.size();
    if (!append_spelled_bytes(text.substr(space + 1), key)) {
      ++broken;
      continue;
    }
    const std::string_view whole = key;
    ++guess;
    if (!vocabulary.contains(guess) || vocabulary.key(guess) != whole) guess = id_or_new(whole);
    merges_.add({id_or_new(whole.substr(0, left_bytes)), id_or_new(whole.substr(left_bytes)),
                 static_cast<std::uint32_t>(rank), guess});
  }
  if (broken)
    warnings.push_back(std::to_string(broken) + " merges are not two spelled strings; left out");
  reachable_ = std::make_unique<std::atomic<std::uint8_t>[]>(vocabulary.size());
  find_replacement();
}

std::int32_t BytePairEncoder::id_or_new(std::string_view key) {
  if (key.size() == 1) {
    const std::int32_t id = vocabulary_.byte_token(static_cast<unsigned char>(key[0]));
    if (id >= 0) return id;
  } else if (const std::int32_t id = vocabulary_.keys().find(key); id >= 0) {
    return id;
  }
  const auto next = static_cast<std::int32_t>(vocabulary_.size() + extra_keys_.size());
  const auto [at, is_new] = extra_ids_.try_emplace(std::string(key), next);
  if (is_new) extra_keys_.emplace_back(key);
  return at->second;
}

void BytePairEncoder::find_replacement() {
  for (const char c : unicode::kReplacementUtf8)
    if (vocabulary_.byte_token(static_cast<unsigned char>(c)) < 0) return;
  std::vector<std::int32_t> ids;
  merge_short(unicode::kReplacementUtf8, ids);
  replacement_ = std::move(ids);
}

void BytePairEncoder::append_id(std::int32_t id, std::vector<std::int32_t>& ids) const {
  if (vocabulary_.contains(id)) {
    ids.push_back(id);
    return;
  }
  for (const char c : extra_keys_[static_cast<std::size_t>(id) - vocabulary_.size()]) {
    const std::int32_t byte = vocabulary_.byte_token(static_cast<unsigned char>(c));
    if (byte >= 0) {
      ids.push_back(byte);
    } else {
      ids.insert(ids.end(), replacement_.begin(), replacement_.end());
    }
  }
}

void BytePairEncoder::merge_short(std::string_view word, std::vector<std::int32_t>& ids) const {
  // symbols[i] and symbols[i + 1] would merge into merged[i], at rank[i].
  std::int32_t symbols[bpe_detail::kShortWord];
  std::uint32_t rank[bpe_detail::kShortWord];
  std::int32_t merged[bpe_detail::kShortWord];
  std::size_t count = word.size();
  for (std::size_t i = 0; i < count; ++i)
    symbols[i] = byte_ids_[static_cast<unsigned char>(word[i])];
  const auto look = [&](std::size_t i) {
    const MergeTable::Merge* merge = merges_.find(symbols[i], symbols[i + 1]);
    rank[i] = merge ? merge->rank : bpe_detail::kNoRank;
    merged[i] = merge ? merge->merged : -1;
  };
  for (std::size_t i = 0; i + 1 < count; ++i) look(i);
  while (count > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < count; ++i)
      if (rank[i] < rank[best]) best = i;
    if (rank[best] == bpe_detail::kNoRank) break;
    symbols[best] = merged[best];
    --count;
    for (std::size_t i = best + 1; i < count; ++i) {
      symbols[i] = symbols[i + 1];
      rank[i - 1] = rank[i];
      merged[i - 1] = merged[i];
    }
    if (best + 1 < count) look(best);
    if (best > 0) look(best - 1);
  }
  for (std::size_t i = 0; i < count; ++i) append_id(symbols[i], ids);
}

void BytePairEncoder::merge_long(std::string_view word, Work& work,
                                 std::vector<std::int32_t>& ids) const {
  const auto size = static_cast<std::uint32_t>(word.size());
  auto& [ends, symbols, before, after, heap] = work;
  symbols.resize(size);
  before.resize(size);
  after.resize(size);
  heap.clear();
  for (std::uint32_t i = 0; i < size; ++i) {
    symbols[i] = byte_ids_[static_cast<unsigned char>(word[i])];
    before[i] = i - 1;  // of the first: wraps to a position that is never below size
    after[i] = i + 1;
  }
  for (std::uint32_t i = 0; i + 1 < size; ++i)
    if (const auto* merge = merges_.find(symbols[i], symbols[i + 1]))
      heap.push_back(static_cast<std::uint64_t>(merge->rank) << 32 | i);
  std::make_heap(heap.begin(), heap.end(), std::greater<>());

  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const auto rank = static_cast<std::uint32_t>(heap.back() >> 32);
    const auto i = static_cast<std::uint32_t>(heap.back());
    heap.pop_back();
    const std::uint32_t next = after[i];
    if (symbols[i] < 0 || next >= size) continue;
    // The pair may have changed since it was pushed; then it has another rank, or none.
    const MergeTable::Merge* merge = merges_.find(symbols[i], symbols[next]);
    if (!merge || merge->rank != rank) continue;
    symbols[i] = merge->merged;
    symbols[next] = -1;
    after[i] = after[next];
    if (after[i] < size) {
      before[after[i]] = i;
      if (const auto* m = merges_.find(symbols[i], symbols[after[i]]))
        bpe_detail::push_pair(heap, m->rank, i);
    }
    if (before[i] < size)
      if (const auto* m = merges_.find(symbols[before[i]], symbols[i]))
        bpe_detail::push_pair(heap, m->rank, before[i]);
  }
  for (std::uint32_t i = 0; i < size; i = after[i]) append_id(symbols[i], ids);
}

void BytePairEncoder::encode_word(std::string_view word, Work& work,
                                  std::vector<std::int32_t>& ids) const {
  if (word.size() <= bpe_detail::kShortWord) {
    merge_short(word, ids);
  } else {
    merge_long(word, work, ids);
  }
}

void BytePairEncoder::encode(std::string_view text, WordCache& cache,
                             std::vector<std::int32_t>& ids) const {
  if (text.size() >= std::numeric_limits<std::uint32_t>::max())
    throw Error("a text of 4 GiB or more cannot be encoded in one piece");
  Work work;
  pretokenize(pretokenizer_.rule, text, work.ends);
  std::size_t begin = 0;
  for (const std::size_t end : work.ends) {
    const std::string_view word = text.substr(begin, end - begin);
    begin = end;
    if (word.size() == 1) {
      append_id(byte_ids_[static_cast<unsigned char>(word[0])], ids);
      continue;
    }
    const std::uint64_t hash = hash_bytes(word);
    const std::int32_t whole = vocabulary_.keys().find(word, hash);
    std::uint8_t reachable = kNo;
    if (whole >= 0) {
      // That a word is a token does not say that merges lead to it.
      const auto index = static_cast<std::size_t>(whole);
      reachable = pretokenizer_.ignore_merges && !vocabulary_.is_special(whole)
                      ? std::uint8_t{kYes}
                      : reachable_[index].load(std::memory_order_relaxed);
      if (reachable == kYes) {
        ids.push_back(whole);
        continue;
      }
    }
    if (reachable == kNo && cache.append(word, hash, ids)) continue;
    const std::size_t first = ids.size();
    encode_word(word, work, ids);
    if (reachable == kNotKnown) {
      const bool yes = ids.size() == first + 1 && ids[first] == whole;
      reachable = yes ? kYes : kNo;
      reachable_[static_cast<std::size_t>(whole)].store(reachable, std::memory_order_relaxed);
    }
    if (reachable == kNo) cache.remember(word, hash, first, ids);
  }
}

}  // namespace brink

#endif  // BRINK_TEXT_BPE_IMPL_H_
