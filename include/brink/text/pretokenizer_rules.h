// The state machines behind pretokenize(). A splitter takes a stretch of text and calls `next`
// with its pieces in order; splitters nest where a tokenizer.json lists several expressions, each
// of which sees the pieces of the one before, and "end of text" means the end of such a piece.
#ifndef BRINK_TEXT_PRETOKENIZER_RULES_H_
#define BRINK_TEXT_PRETOKENIZER_RULES_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>

#include "brink/text/unicode.h"

namespace brink::pretokenizer_detail {

using unicode::kLetter;
using unicode::kLower;
using unicode::kMark;
using unicode::kNumber;
using unicode::kPunctuation;
using unicode::kSpace;
using unicode::kSymbol;

inline constexpr std::array<unsigned char, 128> kAsciiClasses = [] {
  std::array<unsigned char, 128> table{};
  for (std::size_t c = 0; c < table.size(); ++c)
    table[c] = unicode_detail::kUnicodeClasses
        [unicode_detail::kUnicodeBlocks[unicode_detail::kUnicodeIndex[0] * 256u + c]];
  return table;
}();

struct Character {
  char32_t code_point;
  unsigned classes;
  std::size_t bytes;  // 0 at the end of the stretch
};

inline Character look(const char* p, const char* end) {
  if (p == end) return {0xFFFFFFFF, 0, 0};
  const auto byte = static_cast<unsigned char>(*p);
  if (byte < 0x80) return {byte, kAsciiClasses[byte], 1};
  const unicode::Decoded d = unicode::decode(p, end);
  return {d.code_point, unicode::classes(d.code_point), d.bytes};
}

template <class Test>
const char* skip_while(const char* p, const char* end, Test&& test) {
  while (p != end) {
    const Character c = look(p, end);
    if (!test(c)) break;
    p += c.bytes;
  }
  return p;
}

inline const char* skip_in(const char* p, const char* end, unsigned mask) {
  return skip_while(p, end, [mask](const Character& c) { return (c.classes & mask) != 0; });
}

inline const char* skip_out(const char* p, const char* end, unsigned mask) {
  return skip_while(p, end, [mask](const Character& c) { return (c.classes & mask) == 0; });
}

inline bool is_newline(char c) { return c == '\r' || c == '\n'; }

/// Start of the character that ends at `p`; the text before `p` is valid UTF-8.
inline const char* step_back(const char* p, const char* begin) {
  --p;
  while (p != begin && (static_cast<unsigned char>(*p) & 0xC0) == 0x80) --p;
  return p;
}

/// Length of 's 't 're 've 'm 'll 'd at `p`, else 0.
template <bool kAnyCase>
std::size_t contraction(const char* p, const char* end) {
  const std::ptrdiff_t left = end - p;
  if (left < 2 || *p != '\'') return 0;
  const auto letter = [p](int i) {
    return kAnyCase && p[i] >= 'A' && p[i] <= 'Z' ? static_cast<char>(p[i] + 32) : p[i];
  };
  const char a = letter(1);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  if (left < 3) return 0;
  const char b = letter(2);
  if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
  return 0;
}

/// \s+(?!\S)|\s+ at a whitespace character: the run, less its last character where a word follows.
inline const char* whitespace_run(const char* p, const char* end) {
  const char* run_end = skip_in(p, end, kSpace);
  if (run_end == end) return run_end;
  const char* last = step_back(run_end, p);
  return last != p ? last : run_end;
}

/// \s*[\r\n]+|\s+(?!\S)|\s+ at a whitespace character.
inline const char* whitespace_or_newlines(const char* p, const char* end) {
  const char* run_end = skip_in(p, end, kSpace);
  for (const char* q = run_end; q != p; --q)
    if (is_newline(q[-1])) return q;
  if (run_end == end) return run_end;
  const char* last = step_back(run_end, p);
  return last != p ? last : run_end;
}

/// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
template <class Next>
void split_gpt2(const char* p, const char* end, Next&& next) {
  while (p != end) {
    const char* start = p;
    if (const std::size_t n = contraction<false>(p, end)) {
      p += n;
      next(start, p);
      continue;
    }
    const char* body = p + (*p == ' ' && p + 1 != end);
    const unsigned classes = look(body, end).classes;
    if (classes & kLetter) {
      p = skip_in(body, end, kLetter);
    } else if (classes & kNumber) {
      p = skip_in(body, end, kNumber);
    } else if (!(classes & kSpace)) {
      p = skip_out(body, end, kLetter | kNumber | kSpace);
    } else {
      p = whitespace_run(p, end);
    }
    next(start, p);
  }
}

enum class Words {
  kLetters,          // [^\r\n\p{L}\p{N}]?\p{L}+
  kLettersAndMarks,  // [^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+
  kCased,            // see cased_word()
};

struct ModernRule {
  Words words = Words::kLetters;
  std::size_t digits = 3;              // \p{N}{1,digits}
  bool contractions_first = true;      // (?i:'s|'t|'re|'ve|'m|'ll|'d) before anything else
  bool contraction_suffix = false;     // the same, optional, after a word
  bool newlines_after_symbols = true;  // ...[\r\n]* after punctuation and symbols
  bool slash_after_symbols = false;    // ...[\r\n/]*
};

/// A* B+ with A = [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] and B = [\p{Ll}\p{Lm}\p{Lo}\p{M}], backtracking
/// as an expression would; nullptr when it does not match.
inline const char* upper_then_lower(const char* p, const char* end) {
  const char* after_both = nullptr;  // end of the last character so far that is in A and B
  for (;;) {
    const Character c = look(p, end);
    if (c.classes & kLower)
      return skip_while(p, end, [](const Character& x) {
        return (x.classes & (kLetter | kMark)) && !(x.classes & unicode::kUpper);
      });
    if (!(c.classes & (kLetter | kMark))) return after_both;
    p += c.bytes;
    if (!(c.classes & unicode::kUpper)) after_both = p;
  }
}

/// [^\r\n\p{L}\p{N}]?A*B+|[^\r\n\p{L}\p{N}]?A+B* at `p`; nullptr when neither matches.
inline const char* cased_word(const char* p, const char* end, const Character& first) {
  const bool may_lead = !(first.classes & (kLetter | kNumber)) && !is_newline(*p);
  const char* body = may_lead ? p + first.bytes : p;
  if (const char* q = upper_then_lower(body, end)) return q;
  if (may_lead)
    if (const char* q = upper_then_lower(p, end)) return q;
  // No character of B follows A+ here, or the first alternative had matched.
  const char* q = skip_while(body, end, [](const Character& x) {
    return (x.classes & (kLetter | kMark)) && !(x.classes & kLower);
  });
  return q != body ? q : nullptr;
}

/// contraction | word | \p{N}{1,n} |  ?[^\s\p{L}\p{N}]+[\r\n]* | \s*[\r\n]+ | \s+(?!\S) | \s+
template <ModernRule kRule, class Next>
void split_modern(const char* p, const char* end, Next&& next) {
  constexpr unsigned kWord = kRule.words == Words::kLettersAndMarks ? kLetter | kMark : kLetter;
  while (p != end) {
    const char* start = p;
    if constexpr (kRule.contractions_first) {
      if (const std::size_t n = contraction<true>(p, end)) {
        p += n;
        next(start, p);
        continue;
      }
    }
    const Character c = look(p, end);
    const char* word = nullptr;
    if constexpr (kRule.words == Words::kCased) {
      word = cased_word(p, end, c);
      if constexpr (kRule.contraction_suffix)
        if (word) word += contraction<true>(word, end);
    } else if (c.classes & kWord) {
      word = skip_in(p + c.bytes, end, kWord);
    } else if (!(c.classes & kNumber) && !is_newline(*p)) {
      const Character second = look(p + c.bytes, end);
      if (second.classes & kWord) word = skip_in(p + c.bytes + second.bytes, end, kWord);
    }
    if (word) {
      p = word;
      next(start, p);
      continue;
    }
    if (c.classes & kNumber) {
      std::size_t digits = 0;
      p = skip_while(p, end, [&digits](const Character& x) {
        return (x.classes & kNumber) && digits++ < kRule.digits;
      });
      next(start, p);
      continue;
    }
    const char* body = p + (*p == ' ' && p + 1 != end);
    if (!(look(body, end).classes & (kSpace | kWord | kNumber))) {
      p = skip_out(body, end, kSpace | kWord | kNumber);
      if constexpr (kRule.newlines_after_symbols)
        while (p != end && (is_newline(*p) || (kRule.slash_after_symbols && *p == '/'))) ++p;
    } else {
      p = whitespace_or_newlines(p, end);
    }
    next(start, p);
  }
}

/// TEST+ : the runs of characters that pass, and what lies between them.
template <class Test, class Next>
void split_runs(const char* p, const char* end, Test&& test, Next&& next) {
  while (p != end) {
    const char* start = p;
    const bool inside = test(look(p, end));
    p = skip_while(p, end, [&](const Character& c) { return test(c) == inside; });
    next(start, p);
  }
}

/// TEST{1,limit} : groups of up to `limit` characters that pass, and what lies between them.
template <class Test, class Next>
void split_groups(const char* p, const char* end, std::size_t limit, Test&& test, Next&& next) {
  while (p != end) {
    const char* start = p;
    std::size_t count = 0;
    p = skip_while(p, end, [&](const Character& c) { return test(c) && count++ < limit; });
    if (count == 0) p = skip_while(p, end, [&](const Character& c) { return !test(c); });
    next(start, p);
  }
}

/// \s?TEST+ : runs with one whitespace character before them, and what lies between.
template <class Test, class Next>
void split_spaced_runs(const char* p, const char* end, Test&& test, Next&& next) {
  const char* rest = p;              // start of what no run has taken yet
  const char* last_space = nullptr;  // the character right before p, where it is whitespace
  while (p != end) {
    const Character c = look(p, end);
    if (!test(c)) {
      last_space = (c.classes & kSpace) ? p : nullptr;
      p += c.bytes;
      continue;
    }
    const char* start = last_space ? last_space : p;
    if (start != rest) next(rest, start);
    p = skip_while(p, end, test);
    next(start, p);
    rest = p;
    last_space = nullptr;
  }
  if (rest != end) next(rest, end);
}

/// \s+$ : whitespace at the end, apart.
template <class Next>
void split_trailing_space(const char* p, const char* end, Next&& next) {
  const char* cut = end;
  while (cut != p) {
    const char* q = step_back(cut, p);
    const Character c = look(q, cut);
    if (!(c.classes & kSpace) || q + c.bytes != cut) break;
    cut = q;
  }
  if (cut != p) next(p, cut);
  if (cut != end) next(cut, end);
}

/// [0-9][0-9][0-9] : ASCII digits by threes from the left, and what lies between.
template <class Next>
void split_digit_triples(const char* p, const char* end, Next&& next) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  const char* rest = p;
  while (end - p >= 3) {
    if (!digit(p[0]) || !digit(p[1]) || !digit(p[2])) {
      ++p;
      continue;
    }
    if (rest != p) next(rest, p);
    next(p, p + 3);
    p += 3;
    rest = p;
  }
  if (rest != end) next(rest, end);
}

/// [!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|
///  ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+, and what lies between.
template <class Next>
void split_deepseek3_words(const char* p, const char* end, Next&& next) {
  const auto ascii_letter = [](const Character& c) {
    return c.code_point < 0x80 && (c.classes & kLetter);
  };
  const char* rest = p;
  while (p != end) {
    const Character c = look(p, end);
    const Character second = look(p + c.bytes, end);
    const char* match = nullptr;
    if (c.code_point < 0x80 && (c.classes & (kPunctuation | kSymbol)) && ascii_letter(second)) {
      match = skip_while(p + 1, end, ascii_letter);
    } else if (c.classes & (kLetter | kMark)) {
      match = skip_in(p, end, kLetter | kMark);
    } else if (!(c.classes & (kPunctuation | kSymbol)) && !is_newline(*p) &&
               (second.classes & (kLetter | kMark))) {
      match = skip_in(p + c.bytes, end, kLetter | kMark);
    } else if ((c.classes | (*p == ' ' ? second.classes : 0u)) & (kPunctuation | kSymbol)) {
      match = skip_in(p + (*p == ' '), end, kPunctuation | kSymbol);
      while (match != end && is_newline(*match)) ++match;
    } else if (c.classes & kSpace) {
      match = whitespace_or_newlines(p, end);
    } else {
      p += c.bytes;
      continue;
    }
    if (rest != p) next(rest, p);
    next(p, match);
    p = rest = match;
  }
  if (rest != end) next(rest, end);
}

/// The cased letters that the first DeepSeek tokenizers list one by one, as inclusive ranges.
inline constexpr char32_t kDeepSeekLetters[][2] = {
    {0x41, 0x5A},       {0x61, 0x7A},       {0xB5, 0xB5},       {0xC0, 0xD6},
    {0xD8, 0xF6},       {0xF8, 0x1BA},      {0x1BC, 0x1BF},     {0x1C4, 0x293},
    {0x295, 0x2AF},     {0x370, 0x373},     {0x376, 0x377},     {0x37B, 0x37D},
    {0x37F, 0x37F},     {0x386, 0x386},     {0x388, 0x38A},     {0x38C, 0x38C},
    {0x38E, 0x3A1},     {0x3A3, 0x3F5},     {0x3F7, 0x481},     {0x48A, 0x52F},
    {0x531, 0x556},     {0x10A0, 0x10C5},   {0x13A0, 0x13F5},   {0x13F8, 0x13FD},
    {0x1C90, 0x1CBA},   {0x1CBD, 0x1CBF},   {0x1D00, 0x1D2B},   {0x1D6B, 0x1D77},
    {0x1D79, 0x1D9A},   {0x1E00, 0x1F15},   {0x1F18, 0x1F1D},   {0x1F20, 0x1F45},
    {0x1F48, 0x1F4D},   {0x1F50, 0x1F57},   {0x1F59, 0x1F59},   {0x1F5B, 0x1F5B},
    {0x1F5D, 0x1F5D},   {0x1F5F, 0x1F7D},   {0x1F80, 0x1FB4},   {0x1FB6, 0x1FBC},
    {0x1FBE, 0x1FBE},   {0x1FC2, 0x1FC4},   {0x1FC6, 0x1FCC},   {0x1FD0, 0x1FD3},
    {0x1FD6, 0x1FDB},   {0x1FE0, 0x1FEC},   {0x1FF2, 0x1FF4},   {0x1FF6, 0x1FFC},
    {0x2102, 0x2102},   {0x2107, 0x2107},   {0x210A, 0x2113},   {0x2115, 0x2115},
    {0x2119, 0x211D},   {0x2124, 0x2124},   {0x2126, 0x2126},   {0x2128, 0x2128},
    {0x212A, 0x212D},   {0x212F, 0x2134},   {0x2139, 0x2139},   {0x213C, 0x213F},
    {0x2145, 0x2149},   {0x214E, 0x214E},   {0x2183, 0x2184},   {0x2C00, 0x2C7B},
    {0x2C7E, 0x2CE4},   {0x2CEB, 0x2CEE},   {0x2CF2, 0x2CF3},   {0xA640, 0xA66D},
    {0xA680, 0xA69B},   {0xA722, 0xA76F},   {0xA771, 0xA787},   {0xA78B, 0xA78E},
    {0xAB70, 0xABBF},   {0xFB00, 0xFB06},   {0xFB13, 0xFB17},   {0xFF21, 0xFF3A},
    {0xFF41, 0xFF5A},   {0x10400, 0x1044F}, {0x104B0, 0x104D3}, {0x104D8, 0x104FB},
    {0x10C80, 0x10CB2}, {0x10CC0, 0x10CF2}, {0x118A0, 0x118DF}, {0x1E900, 0x1E943},
};

inline bool is_deepseek_letter(const Character& c) {
  if (c.code_point < 0x80) return (c.classes & kLetter) != 0;
  if (!(c.classes & kLetter)) return false;
  const auto* above = std::upper_bound(
      std::begin(kDeepSeekLetters), std::end(kDeepSeekLetters), c.code_point,
      [](char32_t code_point, const char32_t(&range)[2]) { return code_point < range[0]; });
  return c.code_point <= above[-1][1];
}

/// [!-/:-~！-／：-～‘-‟　-。]: the published set, which does hold the ASCII letters.
inline bool is_deepseek_punctuation(const Character& c) {
  const char32_t x = c.code_point;
  return (x >= 0x21 && x <= 0x2F) || (x >= 0x3A && x <= 0x7E) || (x >= 0xFF01 && x <= 0xFF0F) ||
         (x >= 0xFF1A && x <= 0xFF5E) || (x >= 0x2018 && x <= 0x201F) ||
         (x >= 0x3000 && x <= 0x3002);
}

/// [一-龥ࠀ-一가-퟿]
inline bool is_deepseek_cjk(const Character& c) {
  return (c.code_point >= 0x800 && c.code_point <= 0x9FA5) ||
         (c.code_point >= 0xAC00 && c.code_point <= 0xD7FF);
}

}  // namespace brink::pretokenizer_detail

#endif  // BRINK_TEXT_PRETOKENIZER_RULES_H_
