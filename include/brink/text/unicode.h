// UTF-8 decoding and the character classes that pre-tokenizers ask for.
#ifndef BRINK_TEXT_UNICODE_H_
#define BRINK_TEXT_UNICODE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "brink/text/unicode_tables.h"

namespace brink {

/// Classes of a character, named as in regular expressions. `kUpper` holds Lu and Lt, `kLower` Ll;
/// a letter that is neither is Lm or Lo. Unassigned, private and control characters have none.
namespace unicode {

inline constexpr unsigned kLetter = 1;
inline constexpr unsigned kNumber = 2;
inline constexpr unsigned kSpace = 4;
inline constexpr unsigned kMark = 8;
inline constexpr unsigned kPunctuation = 16;
inline constexpr unsigned kSymbol = 32;
inline constexpr unsigned kUpper = 64;
inline constexpr unsigned kLower = 128;

inline constexpr char32_t kReplacement = 0xFFFD;
inline constexpr std::string_view kReplacementUtf8 = "\xEF\xBF\xBD";

/// Classes of a code point; 0 beyond U+10FFFF.
inline unsigned classes(char32_t c) {
  if (c > 0x10FFFF) return 0;
  const std::size_t block = unicode_detail::kUnicodeIndex[c >> 8];
  return unicode_detail::kUnicodeClasses[unicode_detail::kUnicodeBlocks[block * 256 + (c & 255)]];
}

struct Decoded {
  char32_t code_point;  ///< kReplacement where the bytes are not UTF-8
  std::uint32_t bytes;  ///< consumed, at least 1; 1 for a byte that is not UTF-8
  bool valid;
};

/// The character at `p`, `p < end`. Overlong forms, surrogates and cut sequences are invalid.
inline Decoded decode(const char* p, const char* end) {
  const auto at = [p](std::size_t i) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(p[i]));
  };
  const std::uint32_t lead = at(0);
  if (lead < 0x80) return {lead, 1, true};
  const auto left = static_cast<std::size_t>(end - p);
  const auto continues = [&at](std::size_t i) { return (at(i) & 0xC0) == 0x80; };
  if (lead >= 0xC2 && lead < 0xE0) {
    if (left >= 2 && continues(1)) return {(lead & 0x1F) << 6 | (at(1) & 0x3F), 2, true};
  } else if (lead >= 0xE0 && lead < 0xF0) {
    if (left >= 3 && continues(1) && continues(2)) {
      const std::uint32_t c = (lead & 0x0F) << 12 | (at(1) & 0x3F) << 6 | (at(2) & 0x3F);
      if (c >= 0x800 && (c < 0xD800 || c > 0xDFFF)) return {c, 3, true};
    }
  } else if (lead >= 0xF0 && lead < 0xF5) {
    if (left >= 4 && continues(1) && continues(2) && continues(3)) {
      const std::uint32_t c =
          (lead & 0x07) << 18 | (at(1) & 0x3F) << 12 | (at(2) & 0x3F) << 6 | (at(3) & 0x3F);
      if (c >= 0x10000 && c <= 0x10FFFF) return {c, 4, true};
    }
  }
  return {kReplacement, 1, false};
}

/// Appends the character, at most U+10FFFF, as UTF-8.
inline void append(std::string& out, char32_t c) {
  const auto byte = [&](char32_t b) { out += static_cast<char>(static_cast<unsigned char>(b)); };
  const auto continuation = [&](unsigned shift) { byte(0x80 | (c >> shift & 0x3F)); };
  if (c < 0x80) return byte(c);
  if (c < 0x800) {
    byte(0xC0 | c >> 6);
  } else {
    if (c < 0x10000) {
      byte(0xE0 | c >> 12);
    } else {
      byte(0xF0 | c >> 18);
      continuation(12);
    }
    continuation(6);
  }
  continuation(0);
}

/// What of a character lies at `p` where decode() says invalid.
struct Prefix {
  std::size_t bytes;  ///< at least 1: the longest start of some character, or one stray byte
  bool unfinished;    ///< it reaches `end` and more bytes could complete it
};

inline Prefix longest_prefix(const char* p, const char* end) {
  const auto lead = static_cast<unsigned char>(*p);
  const std::size_t length = lead >= 0xC2 && lead < 0xE0   ? 2
                             : lead >= 0xE0 && lead < 0xF0 ? 3
                             : lead >= 0xF0 && lead < 0xF5 ? 4
                                                           : 1;
  if (length == 1) return {1, false};
  // The second byte is what keeps out overlong forms, surrogates and what exceeds U+10FFFF.
  const unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  std::size_t n = 1;
  for (; n < length && p + n != end; ++n) {
    const auto byte = static_cast<unsigned char>(p[n]);
    if (byte < (n == 1 ? low : 0x80) || byte > (n == 1 ? high : 0xBF)) return {n, false};
  }
  return {n, true};
}

}  // namespace unicode
}  // namespace brink

#endif  // BRINK_TEXT_UNICODE_H_
