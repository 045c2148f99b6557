// Tokens that are matched in a text as a whole, before it is tokenized, and tokens that end a
// generation.
#ifndef BRINK_TEXT_SPECIAL_TOKENS_H_
#define BRINK_TEXT_SPECIAL_TOKENS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "brink/gguf/reader.h"
#include "brink/text/vocabulary.h"

namespace brink {

/// Finds literals in a text, the leftmost first and of those the longest.
class LiteralMatcher {
 public:
  struct Literal {
    std::string_view text;  // of the vocabulary
    std::int32_t id;
    bool strip_left = false, strip_right = false;  // whitespace around it belongs to it
  };

  LiteralMatcher() = default;
  explicit LiteralMatcher(std::vector<Literal> literals);

  /// The longest literal at the start of `text`, or nullptr.
  const Literal* match(std::string_view text) const;
  /// Offset of the first byte at or after `from` with which some literal begins, or text.size().
  std::size_t skip(std::string_view text, std::size_t from) const;

 private:
  std::vector<Literal> literals_;  // sorted by text
  // Literals that begin with a byte: [first, second) of literals_.
  std::array<std::pair<std::uint32_t, std::uint32_t>, 256> by_first_byte_{};
};

/// A stretch of plain text, or one special token.
struct Fragment {
  std::string_view text;
  std::int32_t token = -1;
};

/// Cuts `text` at its literals. Costs at most the length of the longest literal (which is bounded
/// by kLongestLiteral) for each byte of text.
std::vector<Fragment> split_at_literals(std::string_view text, const LiteralMatcher& matcher);

/// Longer special tokens are not matched in texts.
inline constexpr std::size_t kLongestLiteral = 1024;

/// Turns tokens that look like markers of a chat or of infilling into control tokens, also where
/// the file calls them user-defined or, unless they might be ordinary text, normal, and returns the
/// sorted ids that end a generation: `eos`, `eot`, `eom` and the `fim_pad`, `fim_rep`, `fim_sep` of
/// the metadata, and those known by their text.
std::vector<std::int32_t> mark_special_tokens(const Gguf& gguf, Vocabulary& vocabulary,
                                              std::vector<std::string>& warnings);

/// The literals of a vocabulary: control and user-defined tokens, or only the latter.
LiteralMatcher literals_of(const Gguf& gguf, const Vocabulary& vocabulary, bool with_control);

/// A token id from the metadata. One that is not in the vocabulary gets a warning and nothing.
std::optional<std::int32_t> token_id(const Gguf& gguf, std::string_view key,
                                     const Vocabulary& vocabulary,
                                     std::vector<std::string>& warnings);

}  // namespace brink

#endif  // BRINK_TEXT_SPECIAL_TOKENS_H_
