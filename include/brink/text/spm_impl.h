#ifndef BRINK_TEXT_SPM_IMPL_H_
#define BRINK_TEXT_SPM_IMPL_H_

#include <algorithm>
#include <cmath>
#include <limits>

#include "brink/text/spm.h"
#include "brink/text/unicode.h"

namespace brink {
namespace spm_detail {

inline constexpr std::string_view kSpace = "\xE2\x96\x81";  // U+2581

/// A character, then a growing piece; a list linked by index, in the order of the text.
struct Symbol {
  std::uint32_t begin = 0;
  std::uint32_t bytes = 0;  // 0 where merged away
  std::int32_t before = -1, after = -1;
  std::int32_t token = -1;
};

struct Pair {
  float score;
  std::int32_t left, right;
  std::uint32_t bytes;  // of both together: tells a pair that has changed since
  std::int32_t token;
};

/// Heap order: the highest score on top, then the leftmost.
struct Later {
  bool operator()(const Pair& a, const Pair& b) const {
    return a.score < b.score || (a.score == b.score && a.left > b.left);
  }
};

inline std::vector<float> read_scores(const Gguf& gguf, std::size_t count,
                                      std::vector<std::string>& warnings) {
  constexpr const char* kKey = "tokenizer.ggml.scores";
  const GgufValue* value = gguf.find(kKey);
  if (!value) {
    warnings.push_back(std::string(kKey) + " is missing: all tokens count the same");
    return std::vector<float>(count, 0.0f);
  }
  const std::vector<double> numbers = value->floats();
  if (numbers.size() != count)
    throw Error(
        "must be an array with one score for each of the " + std::to_string(count) + " tokens",
        {gguf.path(), kKey, {}});
  std::vector<float> scores(count);
  // NaN has no order, and a heap needs one.
  std::transform(numbers.begin(), numbers.end(), scores.begin(), [](double x) {
    return std::isnan(x) ? -std::numeric_limits<float>::infinity() : static_cast<float>(x);
  });
  return scores;
}

}  // namespace spm_detail

struct SentencePieceEncoder::Work {
  std::string escaped;  // the word with U+2581 for spaces
  std::vector<spm_detail::Symbol> symbols;
  std::vector<spm_detail::Pair> heap;
};

SentencePieceEncoder::SentencePieceEncoder(const Gguf& gguf, const Vocabulary& vocabulary,
                                           std::optional<std::int32_t> unknown,
                                           std::vector<std::string>& warnings)
    : vocabulary_(vocabulary), unknown_(unknown) {
  scores_ = spm_detail::read_scores(gguf, vocabulary.size(), warnings);
  std::size_t missing = 0;
  for (int b = 0; b < 256; ++b) missing += vocabulary.byte_token(static_cast<unsigned char>(b)) < 0;
  if (missing)
    warnings.push_back(std::to_string(missing) + " bytes have no token; they are read as unknown");
  for (std::size_t i = 0; i < vocabulary.size() && spaces_only_lead_; ++i) {
    std::string_view rest = vocabulary.key(static_cast<std::int32_t>(i));
    while (rest.starts_with(spm_detail::kSpace)) rest.remove_prefix(spm_detail::kSpace.size());
    spaces_only_lead_ = rest.find(spm_detail::kSpace) == rest.npos;
  }
}

void SentencePieceEncoder::push_pair(Work& work, std::int32_t left, std::int32_t right) const {
  if (left < 0 || right < 0) return;
  const auto& a = work.symbols[static_cast<std::size_t>(left)];
  const auto& b = work.symbols[static_cast<std::size_t>(right)];
  const std::uint32_t bytes = a.bytes + b.bytes;
  if (bytes > vocabulary_.longest_key()) return;
  const std::int32_t id =
      vocabulary_.keys().find(std::string_view{work.escaped}.substr(a.begin, bytes));
  if (id < 0) return;
  const TokenKind kind = vocabulary_.kind(id);
  // Control tokens are not text, byte tokens not the text "<0x0A>", and nobody trained the unused.
  if (vocabulary_.is_special(id) || kind == TokenKind::kByte || kind == TokenKind::kUnused) return;
  work.heap.push_back({scores_[static_cast<std::size_t>(id)], left, right, bytes, id});
  std::push_heap(work.heap.begin(), work.heap.end(), spm_detail::Later{});
}

void SentencePieceEncoder::encode_word(std::string_view word, Work& work,
                                       std::vector<std::int32_t>& ids) const {
  work.escaped.clear();
  for (const char c : word) {
    if (c == ' ') {
      work.escaped += spm_detail::kSpace;
    } else {
      work.escaped += c;
    }
  }
  work.symbols.clear();
  work.heap.clear();
  const std::string_view text = work.escaped;
  for (std::size_t begin = 0; begin < text.size();) {
    const auto d = unicode::decode(text.data() + begin, text.data() + text.size());
    const auto index = static_cast<std::int32_t>(work.symbols.size());
    const std::int32_t token = vocabulary_.keys().find(text.substr(begin, d.bytes));
    const bool usable = token >= 0 && !vocabulary_.is_special(token) &&
                        vocabulary_.kind(token) != TokenKind::kByte &&
                        vocabulary_.kind(token) != TokenKind::kUnused;
    begin += d.bytes;
    work.symbols.push_back({static_cast<std::uint32_t>(begin - d.bytes), d.bytes, index - 1,
                            begin < text.size() ? index + 1 : -1, usable ? token : -1});
  }
  for (std::size_t i = 1; i < work.symbols.size(); ++i)
    push_pair(work, static_cast<std::int32_t>(i - 1), static_cast<std::int32_t>(i));

  auto at = [&work](std::int32_t i) -> spm_detail::Symbol& {
    return work.symbols[static_cast<std::size_t>(i)];
  };
  while (!work.heap.empty()) {
    std::pop_heap(work.heap.begin(), work.heap.end(), spm_detail::Later{});
    const spm_detail::Pair pair = work.heap.back();
    work.heap.pop_back();
    auto& left = at(pair.left);
    auto& right = at(pair.right);
    if (left.bytes == 0 || right.bytes == 0 || left.bytes + right.bytes != pair.bytes) continue;
    left.bytes = pair.bytes;
    left.token = pair.token;
    left.after = right.after;
    right.bytes = 0;
    if (left.after >= 0) at(left.after).before = pair.left;
    push_pair(work, left.before, pair.left);
    push_pair(work, pair.left, left.after);
  }

  for (std::int32_t i = 0; i >= 0; i = at(i).after) {
    const spm_detail::Symbol& symbol = at(i);
    if (symbol.token >= 0) {
      ids.push_back(symbol.token);
      continue;
    }
    for (const char c : text.substr(symbol.begin, symbol.bytes)) {
      const std::int32_t byte = vocabulary_.byte_token(static_cast<unsigned char>(c));
      if (byte >= 0) {
        ids.push_back(byte);
      } else if (unknown_) {
        ids.push_back(*unknown_);
        break;
      }
    }
  }
}

void SentencePieceEncoder::encode(std::string_view text, bool space_prefix, WordCache& cache,
                                  std::vector<std::int32_t>& ids) const {
  // Positions in the escaped text, up to three times as long, are 32-bit.
  if (text.size() >= std::numeric_limits<std::int32_t>::max() / 3)
    throw Error("a text of 700 MB or more cannot be encoded in one piece");
  Work work;
  // Nothing merges across the start of a run of spaces where spaces only lead tokens, so that words
  // can be taken one by one; else the whole text is one word.
  std::size_t begin = 0;
  std::string first;
  while (begin < text.size()) {
    std::size_t end = text.size();
    if (spaces_only_lead_) {
      end = text.find_first_not_of(' ', begin);
      // A U+2581 that the text itself holds is as good as a space.
      do {
        end = end == text.npos ? end : text.find(' ', end + 1);
      } while (end != text.npos &&
               (text[end - 1] == ' ' || text.substr(0, end).ends_with(spm_detail::kSpace)));
      end = std::min(end, text.size());
    }
    const std::string_view word = text.substr(begin, end - begin);
    begin = end;
    if (space_prefix) {
      first.assign(1, ' ').append(word);
      encode_word(first, work, ids);
      space_prefix = false;
      continue;
    }
    const std::uint64_t hash = hash_bytes(word);
    if (cache.append(word, hash, ids)) continue;
    const std::size_t before = ids.size();
    encode_word(word, work, ids);
    cache.remember(word, hash, before, ids);
  }
}

}  // namespace brink

#endif  // BRINK_TEXT_SPM_IMPL_H_
