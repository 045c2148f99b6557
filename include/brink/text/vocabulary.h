// The tokens of a GGUF file: what each stands for and of what kind it is.
#ifndef BRINK_TEXT_VOCABULARY_H_
#define BRINK_TEXT_VOCABULARY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "brink/gguf/reader.h"
#include "brink/text/token_table.h"

namespace brink {

/// Values of `tokenizer.ggml.token_type`.
enum class TokenKind : std::uint8_t {
  kUndefined = 0,
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

/// More tokens, or merges, than this are refused; ids of tokens and of what merges pass through
/// stay well within 32 bits.
inline constexpr std::size_t kMaxTokens = std::size_t{1} << 28;

/// How a file writes its tokens.
enum class TokenSpelling {
  kBytes,     ///< GPT-2's way: each byte as one printable character
  kSentence,  ///< SentencePiece's way: plain text with U+2581 for a space, bytes as <0x0A>
};

class Vocabulary {
 public:
  /// Reads `tokenizer.ggml.tokens` and `.token_type`. Throws Error where one is malformed or their
  /// lengths differ; oddities that can be lived with are told in `warnings`.
  Vocabulary(const Gguf& gguf, TokenSpelling spelling, std::vector<std::string>& warnings);

  std::size_t size() const { return table_.size(); }
  bool contains(std::int64_t id) const {
    return id >= 0 && static_cast<std::uint64_t>(id) < size();
  }
  TokenKind kind(std::int32_t id) const { return kinds_[static_cast<std::size_t>(id)]; }
  void set_kind(std::int32_t id, TokenKind kind) { kinds_[static_cast<std::size_t>(id)] = kind; }
  bool is_special(std::int32_t id) const {
    return kind(id) == TokenKind::kControl || kind(id) == TokenKind::kUnknown;
  }

  /// The bytes merges work on: decoded for kBytes, with U+2581 for kSentence.
  std::string_view key(std::int32_t id) const { return table_[id]; }
  const TokenTable& keys() const { return table_; }
  /// The token as text, if it is matched in text as a whole: control and user-defined tokens.
  std::string_view literal(std::int32_t id) const;
  /// Token written exactly as `text` in the file; the first where several are.
  std::optional<std::int32_t> find(std::string_view text) const;

  /// Appends the bytes that the token stands for.
  void append_piece(std::int32_t id, std::string& out) const;

  /// The token for one byte that plain text may use, or -1.
  std::int32_t byte_token(unsigned char byte) const { return byte_tokens_[byte]; }
  std::size_t longest_key() const { return longest_key_; }

 private:
  void find_byte_tokens();

  TokenSpelling spelling_;
  TokenTable table_;
  std::vector<TokenKind> kinds_;
  std::array<std::int32_t, 256> byte_tokens_{};
  std::size_t longest_key_ = 0;
  // kBytes only: tokens whose text in the file is not the spelling of bytes, or that mean that
  // very text (<｜end▁of▁sentence｜>); sorted by id.
  std::vector<std::pair<std::int32_t, std::string>> written_;
};

/// Undoes GPT-2's spelling of bytes: appends to `out`; false, with `out` as before, where `text` is
/// not such a spelling.
bool append_spelled_bytes(std::string_view text, std::string& out);

}  // namespace brink

#endif  // BRINK_TEXT_VOCABULARY_H_
