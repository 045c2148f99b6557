#ifndef BRINK_TEXT_VOCABULARY_IMPL_H_
#define BRINK_TEXT_VOCABULARY_IMPL_H_

#include <algorithm>

#include "brink/text/unicode.h"
#include "brink/text/vocabulary.h"

namespace brink {
namespace vocabulary_detail {

/// GPT-2 spells a byte as itself where that is a printable Latin-1 character, and the others, in
/// order, as U+0100, U+0101, ... This is the way back; -1 where a character spells no byte.
inline constexpr std::array<std::int16_t, 0x144> kSpelledByte = [] {
  std::array<std::int16_t, 0x144> bytes{};
  for (auto& b : bytes) b = -1;
  std::int16_t next = 0x100;
  for (std::int16_t b = 0; b < 256; ++b) {
    const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    bytes[static_cast<std::size_t>(printable ? b : next++)] = b;
  }
  return bytes;
}();

/// The byte of "<0x0A>", or -1.
inline int hex_byte(std::string_view text) {
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return -1;
  int value = 0;
  for (const char c : text.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

inline std::vector<TokenKind> read_kinds(const Gguf& gguf, std::size_t count) {
  constexpr const char* kKey = "tokenizer.ggml.token_type";
  const GgufValue* value = gguf.find(kKey);
  if (!value) return std::vector<TokenKind>(count, TokenKind::kNormal);
  if (!value->is_array() || value->size() != count)
    throw Error(
        "must be an array with one kind for each of the " + std::to_string(count) + " tokens",
        {gguf.path(), kKey, {}});
  const std::vector<std::int64_t> numbers = value->ints();
  if (numbers.size() != count) throw Error("must hold integers", {gguf.path(), kKey, {}});
  std::vector<TokenKind> kinds(count);
  std::transform(numbers.begin(), numbers.end(), kinds.begin(), [](std::int64_t n) {
    return n >= 0 && n <= 6 ? static_cast<TokenKind>(n) : TokenKind::kUndefined;
  });
  return kinds;
}

}  // namespace vocabulary_detail

bool append_spelled_bytes(std::string_view text, std::string& out) {
  const std::size_t before = out.size();
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::size_t c = static_cast<unsigned char>(text[i]);
    if (c >= 0xC2 && c <= 0xC5 && i + 1 < text.size() &&
        (static_cast<unsigned char>(text[i + 1]) & 0xC0) == 0x80) {
      c = (c & 0x1F) << 6 | (static_cast<unsigned char>(text[++i]) & 0x3F);
    } else if (c >= 0x80) {
      c = 0;
    }
    const std::int16_t byte = c < vocabulary_detail::kSpelledByte.size()
                                  ? vocabulary_detail::kSpelledByte[c]
                                  : std::int16_t{-1};
    if (byte < 0) {
      out.resize(before);
      return false;
    }
    out.push_back(static_cast<char>(byte));
  }
  return true;
}

Vocabulary::Vocabulary(const Gguf& gguf, TokenSpelling spelling, std::vector<std::string>& warnings)
    : spelling_(spelling) {
  constexpr const char* kKey = "tokenizer.ggml.tokens";
  const ErrorPlace place{gguf.path(), kKey, {}};
  const GgufValue* value = gguf.find(kKey);
  if (!value) throw Error("missing: the file has no vocabulary", place);
  const std::vector<std::string_view> texts = value->strings();
  if (texts.empty()) throw Error("must be an array of strings that is not empty", place);
  if (texts.size() > kMaxTokens) throw Error("too many tokens", place);
  kinds_ = vocabulary_detail::read_kinds(gguf, texts.size());

  std::size_t bytes = 0;
  for (const std::string_view text : texts) bytes += text.size();
  table_.reserve(texts.size(), bytes);
  std::size_t empty = 0, repeated = 0;
  std::string key;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::string_view text = texts[i];
    const auto id = static_cast<std::int32_t>(i);
    empty += text.empty();
    bool spells_bytes = true;
    key.clear();
    if (spelling == TokenSpelling::kSentence) {
      key = text;
    } else {
      spells_bytes = append_spelled_bytes(text, key);
      if (!spells_bytes) key = text;
      const bool means_its_text = is_special(id) || kind(id) == TokenKind::kUserDefined;
      if (!spells_bytes || (means_its_text && key != text)) written_.emplace_back(id, text);
    }
    longest_key_ = std::max(longest_key_, key.size());
    const bool findable = spells_bytes && !text.empty();
    repeated += findable && !table_.add(key, true);
    if (!findable) table_.add(key, false);
  }
  if (empty) warnings.push_back(std::to_string(empty) + " tokens are empty");
  if (repeated)
    warnings.push_back(std::to_string(repeated) + " tokens occur twice; the first one is used");
  find_byte_tokens();
}

void Vocabulary::find_byte_tokens() {
  byte_tokens_.fill(-1);
  if (spelling_ == TokenSpelling::kBytes) {
    for (std::size_t b = 0; b < 256; ++b) {
      const char byte = static_cast<char>(b);
      const std::int32_t id = table_.find({&byte, 1});
      // DeepSeek lists letters such as ö as user-defined; as bytes they would decode to that
      // letter.
      if (id >= 0 && !is_special(id) && kind(id) != TokenKind::kUserDefined) byte_tokens_[b] = id;
    }
    return;
  }
  for (std::size_t i = size(); i-- > 0;) {
    const auto id = static_cast<std::int32_t>(i);
    if (kind(id) != TokenKind::kByte) continue;
    const int byte = vocabulary_detail::hex_byte(key(id));
    if (byte >= 0) byte_tokens_[static_cast<std::size_t>(byte)] = id;
  }
}

std::string_view Vocabulary::literal(std::int32_t id) const {
  const auto at =
      std::lower_bound(written_.begin(), written_.end(), id,
                       [](const auto& entry, std::int32_t x) { return entry.first < x; });
  return at != written_.end() && at->first == id ? std::string_view{at->second} : key(id);
}

std::optional<std::int32_t> Vocabulary::find(std::string_view text) const {
  std::string bytes;
  if (spelling_ == TokenSpelling::kSentence) bytes = text;
  if (spelling_ == TokenSpelling::kSentence || append_spelled_bytes(text, bytes)) {
    const std::int32_t id = table_.find(bytes);
    return id >= 0 ? std::optional(id) : std::nullopt;
  }
  for (const auto& [id, written] : written_)
    if (written == text) return id;
  return std::nullopt;
}

void Vocabulary::append_piece(std::int32_t id, std::string& out) const {
  const bool means_its_text = is_special(id) || kind(id) == TokenKind::kUserDefined;
  if (means_its_text) {
    out.append(literal(id));
    return;
  }
  std::string_view rest = key(id);
  if (spelling_ == TokenSpelling::kBytes) {
    out.append(rest);
    return;
  }
  if (kind(id) == TokenKind::kByte) {
    if (const int byte = vocabulary_detail::hex_byte(rest); byte >= 0) {
      out.push_back(static_cast<char>(byte));
      return;
    }
  }
  constexpr std::string_view kSpace = "\xE2\x96\x81";
  for (std::size_t at; (at = rest.find(kSpace)) != rest.npos;) {
    out.append(rest.substr(0, at));
    out.push_back(' ');
    rest.remove_prefix(at + kSpace.size());
  }
  out.append(rest);
}

}  // namespace brink

#endif  // BRINK_TEXT_VOCABULARY_IMPL_H_
