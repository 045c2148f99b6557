// Byte-level byte-pair encoding (`tokenizer.ggml.model` = gpt2).
#ifndef BRINK_TEXT_BPE_H_
#define BRINK_TEXT_BPE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "brink/text/pretokenizer.h"
#include "brink/text/vocabulary.h"
#include "brink/text/word_cache.h"

namespace brink {

/// Which two neighbours merge into what, and how early.
class MergeTable {
 public:
  struct Merge {
    std::int32_t left = -1, right = -1;
    std::uint32_t rank = 0;
    std::int32_t merged = -1;
  };

  void reserve(std::size_t merges);
  void add(const Merge& merge);  ///< the first of equal pairs counts
  /// nullptr when the two do not merge.
  const Merge* find(std::int32_t left, std::int32_t right) const;

 private:
  std::size_t slot_of(std::int32_t left, std::int32_t right) const;
  std::vector<Merge> slots_;  // linear probing, at most half full
  int shift_ = 63;
};

/// Merges are looked up by token ids, never by text. `vocabulary` must outlive it.
class BytePairEncoder {
 public:
  /// Reads `tokenizer.ggml.merges`. Throws Error where it is missing or malformed.
  BytePairEncoder(const Gguf& gguf, const Vocabulary& vocabulary, const Pretokenizer& pretokenizer,
                  std::vector<std::string>& warnings);

  /// Appends the tokens of a text without special tokens. Safe from several threads at once: all
  /// they share is `reachable_`, whose values do not depend on who computes them.
  void encode(std::string_view text, WordCache& cache, std::vector<std::int32_t>& ids) const;

 private:
  enum Reachable : std::uint8_t { kNotKnown = 0, kYes = 1, kNo = 2 };
  struct Work;  // reusable buffers of one call

  std::int32_t id_or_new(std::string_view key);
  void find_replacement();
  void encode_word(std::string_view word, Work& work, std::vector<std::int32_t>& ids) const;
  void merge_short(std::string_view word, std::vector<std::int32_t>& ids) const;
  void merge_long(std::string_view word, Work& work, std::vector<std::int32_t>& ids) const;
  void append_id(std::int32_t id, std::vector<std::int32_t>& ids) const;

  const Vocabulary& vocabulary_;
  Pretokenizer pretokenizer_;
  MergeTable merges_;
  std::int32_t byte_ids_[256];  // a token, or one of extra_keys_
  // Strings that merges pass through without being tokens; their ids follow the vocabulary's.
  std::vector<std::string> extra_keys_;
  std::unordered_map<std::string, std::int32_t> extra_ids_;
  std::vector<std::int32_t> replacement_;  // tokens of U+FFFD, for bytes that have no token
  // For each token, whether merging its bytes gives that token; found out when first needed.
  std::unique_ptr<std::atomic<std::uint8_t>[]> reachable_;
};

}  // namespace brink

#endif  // BRINK_TEXT_BPE_H_
