// Definitions of eval/graders.h.
#ifndef BRINK_EVAL_GRADERS_IMPL_H_
#define BRINK_EVAL_GRADERS_IMPL_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>

#include "brink/eval/graders.h"
#include "brink/text/unicode.h"

namespace brink {
namespace graders_detail {

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
inline bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}
inline bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
inline bool is_word(char c) { return is_letter(c) || is_digit(c) || c == '_'; }
inline char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// Lower case of the scripts that have one in the Basic Multilingual Plane's first blocks: Latin,
// Greek, Cyrillic, Armenian. Other characters stay.
inline char32_t lower(char32_t c) {
  if (c < 0x80) return static_cast<unsigned char>(lower(static_cast<char>(c)));
  if ((c >= 0xC0 && c <= 0xDE && c != 0xD7) || (c >= 0x391 && c <= 0x3AB && c != 0x3A2) ||
      (c >= 0x410 && c <= 0x42F))
    return c + 32;
  if (c >= 0x400 && c <= 0x40F) return c + 80;
  if (c >= 0x531 && c <= 0x556) return c + 48;
  const bool even_is_upper =
      (c >= 0x100 && c <= 0x137 && c != 0x130) || (c >= 0x14A && c <= 0x177) ||
      (c >= 0x1DE && c <= 0x1EF) || (c >= 0x1F8 && c <= 0x21F) || (c >= 0x222 && c <= 0x233) ||
      (c >= 0x460 && c <= 0x481) || (c >= 0x48A && c <= 0x4BF) || (c >= 0x4D0 && c <= 0x52F) ||
      (c >= 0x1E00 && c <= 0x1E95) || (c >= 0x1EA0 && c <= 0x1EFF);
  if (even_is_upper) return c | 1;
  const bool odd_is_upper = (c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17E) ||
                            (c >= 0x1CD && c <= 0x1DC) || (c >= 0x4C1 && c <= 0x4CE);
  if (odd_is_upper) return c + (c & 1);
  switch (c) {
    case 0x130:
      return U'i';
    case 0x178:
      return 0xFF;
    case 0x386:
      return 0x3AC;
    case 0x388:
    case 0x389:
    case 0x38A:
      return c + 37;
    case 0x38C:
      return 0x3CC;
    case 0x38E:
    case 0x38F:
      return c + 63;
    default:
      return c;
  }
}

// fn(code point) for each character; bytes that are no UTF-8 are U+FFFD.
template <class F>
void for_characters(std::string_view text, F&& fn) {
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p < end) {
    const unicode::Decoded d = unicode::decode(p, end);
    fn(d.code_point);
    p += d.bytes;
  }
}

inline bool is_space(char32_t c) { return (unicode::classes(c) & unicode::kSpace) != 0; }

inline std::string lower(std::string_view text) {
  std::string out;
  for_characters(text, [&](char32_t c) { unicode::append(out, lower(c)); });
  return out;
}

// Runs of white space to one space, none at the ends.
inline std::string single_spaces(std::string_view text) {
  std::string out;
  bool space = false;
  for_characters(text, [&](char32_t c) {
    if (is_space(c)) {
      space = !out.empty();
      return;
    }
    if (space) out += ' ';
    space = false;
    unicode::append(out, c);
  });
  return out;
}

inline std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    if (end > at) out.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

inline std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

inline constexpr std::string_view kMinusSign = "\xE2\x88\x92";  // U+2212

// Bytes of a minus that ends right before `at`, or 0.
inline std::size_t minus_before(std::string_view text, std::size_t at) {
  if (at >= 1 && text[at - 1] == '-') return 1;
  if (text.substr(0, at).ends_with(kMinusSign)) return kMinusSign.size();
  return 0;
}

// A number that begins at a digit, or at a point before one, and where it ends.
struct Number {
  std::string text;
  std::size_t end = 0;
};

// Digits with thousands separators, then decimals: "1,234.50", "1234", ".5". A comma belongs to the
// number only before groups of exactly three digits.
inline Number read_number(std::string_view text, std::size_t at) {
  const auto digit = [&](std::size_t i) { return i < text.size() && is_digit(text[i]); };
  const std::size_t begin = at;
  std::string whole, decimals;
  while (digit(at)) whole += text[at++];
  if (at - begin >= 1 && at - begin <= 3)
    while (at < text.size() && text[at] == ',' && digit(at + 1) && digit(at + 2) && digit(at + 3) &&
           !digit(at + 4)) {
      whole += text.substr(at + 1, 3);
      at += 4;
    }
  if (at < text.size() && text[at] == '.' && digit(at + 1)) {
    ++at;
    while (digit(at)) decimals += text[at++];
  }
  whole.erase(0, std::min(whole.find_first_not_of('0'), whole.size()));
  decimals.erase(decimals.find_last_not_of('0') + 1);
  if (whole.empty()) whole = "0";
  if (!decimals.empty()) whole += "." + decimals;
  return {whole, at};
}

// All numbers of a text; the first `most` of them.
inline std::vector<std::string> numbers(std::string_view text, std::size_t most) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < text.size() && out.size() < most;) {
    const bool point = text[at] == '.' && at + 1 < text.size() && is_digit(text[at + 1]);
    if (!is_digit(text[at]) && !point) {
      ++at;
      continue;
    }
    Number number = read_number(text, at);
    // "-$5" and "- 5" at the beginning of a line are negative, "8 - 5" and "8-5" are not.
    std::size_t before = at;
    while (before > 0 && (text[before - 1] == '$' || text[before - 1] == ' ')) --before;
    if (const std::size_t minus = minus_before(text, before)) {
      std::size_t left = before - minus;
      const bool glued = before == at || text[at - 1] == '$';
      const bool spaced = left > 0 && text[left - 1] == ' ';
      while (left > 0 && text[left - 1] == ' ') --left;
      const char c = left > 0 ? text[left - 1] : '\n';
      const bool operand = is_word(c) || c == ')' || c == ']' || c == '%';
      // " -5" after a word is a negative number, "8 -5" and "x-5" are subtractions.
      const bool word = spaced && (is_letter(c)) && glued;
      if (number.text != "0" && (!operand || word)) number.text.insert(0, 1, '-');
    }
    out.push_back(std::move(number.text));
    at = number.end;
  }
  return out;
}

}  // namespace graders_detail

std::optional<std::string> final_number(std::string_view text) {
  namespace detail = graders_detail;
  const std::size_t mark = text.rfind("####");
  if (mark != std::string_view::npos) {
    const auto found = detail::numbers(text.substr(mark + 4), 1);
    if (found.empty()) return std::nullopt;
    return found[0];
  }
  const auto found = detail::numbers(text, std::string_view::npos);
  if (found.empty()) return std::nullopt;
  return found.back();
}

std::string normalize_exact(std::string_view text) {
  std::string out = graders_detail::single_spaces(text);
  if (out.size() > 1 && out.ends_with('.')) out.pop_back();
  while (out.ends_with(' ')) out.pop_back();
  return out;
}

std::string normalize_trivia(std::string_view text) {
  namespace detail = graders_detail;
  std::string spaced;
  detail::for_characters(text, [&](char32_t c) {
    const bool ascii_punctuation =
        c < 0x80 && c > 0x20 && c != 0x7F && !detail::is_word(static_cast<char>(c));
    // The curly quotes and accents that TriviaQA's evaluation adds to ASCII punctuation.
    if (ascii_punctuation || c == '_' || c == 0x2018 || c == 0x2019 || c == 0xB4)
      spaced += ' ';
    else
      unicode::append(spaced, detail::lower(c));
  });
  std::string out;
  for (const std::string& word : detail::words(detail::single_spaces(spaced))) {
    if (word == "a" || word == "an" || word == "the") continue;
    if (!out.empty()) out += ' ';
    out += word;
  }
  return out;
}

bool trivia_match(std::string_view answer, std::span<const std::string> aliases) {
  const std::string given = normalize_trivia(answer);
  return std::ranges::any_of(
      aliases, [&](const std::string& alias) { return normalize_trivia(alias) == given; });
}

double trivia_f1(std::string_view answer, std::span<const std::string> aliases) {
  const auto given = graders_detail::words(normalize_trivia(answer));
  double best = 0;
  for (const std::string& alias : aliases) {
    const auto right = graders_detail::words(normalize_trivia(alias));
    std::map<std::string_view, std::size_t> left;
    for (const std::string& word : right) ++left[word];
    std::size_t common = 0;
    for (const std::string& word : given) {
      const auto found = left.find(word);
      if (found == left.end() || found->second == 0) continue;
      --found->second;
      ++common;
    }
    if (common > 0)
      best = std::max(best, 2.0 * static_cast<double>(common) /
                                static_cast<double>(given.size() + right.size()));
  }
  return best;
}

RougeScore rouge_l(std::string_view summary, std::string_view reference) {
  const auto tokens = [](std::string_view text) {
    std::vector<std::string> out(1);
    for (const char c : text) {
      const char l = graders_detail::lower(c);
      if ((l >= 'a' && l <= 'z') || graders_detail::is_digit(l))
        out.back() += l;
      else if (!out.back().empty())
        out.emplace_back();
    }
    if (out.back().empty()) out.pop_back();
    return out;
  };
  const auto a = tokens(summary), b = tokens(reference);
  if (a.empty() || b.empty()) return {};
  // lcs[j]: of the words of `a` so far and the first j of `b`.
  std::vector<std::size_t> lcs(b.size() + 1, 0);
  for (const std::string& word : a) {
    std::size_t diagonal = 0;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = lcs[j];
      lcs[j] = word == b[j - 1] ? diagonal + 1 : std::max(above, lcs[j - 1]);
      diagonal = above;
    }
  }
  const double common = static_cast<double>(lcs.back());
  RougeScore score{common / static_cast<double>(a.size()), common / static_cast<double>(b.size()),
                   0};
  if (common > 0) score.f1 = 2 * common / static_cast<double>(a.size() + b.size());
  return score;
}

std::string strip_fences(std::string_view text) {
  using graders_detail::trim;
  // Lines that begin with a fence, after white space.
  const auto fence_of = [](std::string_view line) -> std::string_view {
    line = trim(line);
    if (line.starts_with("```")) return "```";
    if (line.starts_with("~~~")) return "~~~";
    return {};
  };
  std::string_view fence;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    if (!fence.empty() && trim(line).starts_with(fence))
      return std::string(trim(text.substr(begin, at - begin)));
    if (fence.empty() && !fence_of(line).empty()) {
      fence = fence_of(line);
      // All in one line: ```{"a": 1}```
      const std::string_view rest = trim(line).substr(fence.size());
      if (const std::size_t close = rest.find(fence); close != std::string_view::npos)
        return std::string(trim(rest.substr(0, close)));
      begin = std::min(end + 1, text.size());
    }
    at = end + 1;
  }
  if (fence.empty()) return std::string(trim(text));
  return std::string(trim(text.substr(begin)));  // cut off before the closing fence
}

namespace graders_detail {

struct Identifier {
  std::string_view name;
  std::size_t begin = 0, end = 0;
};

inline std::vector<Identifier> identifiers(std::string_view text) {
  std::vector<Identifier> out;
  for (std::size_t at = 0; at < text.size();) {
    if (!is_word(text[at])) {
      ++at;
      continue;
    }
    const std::size_t begin = at;
    while (at < text.size() && is_word(text[at])) ++at;
    if (!is_digit(text[begin])) out.push_back({text.substr(begin, at - begin), begin, at});
  }
  return out;
}

inline bool is_python_word(std::string_view word) {
  static constexpr std::array<std::string_view, 61> kWords = {
      "False",   "None",      "True",     "and",    "as",         "assert", "async",  "await",
      "break",   "class",     "continue", "def",    "del",        "elif",   "else",   "except",
      "finally", "for",       "from",     "global", "if",         "import", "in",     "is",
      "lambda",  "nonlocal",  "not",      "or",     "pass",       "raise",  "return", "try",
      "while",   "with",      "yield",    "abs",    "all",        "any",    "bool",   "dict",
      "divmod",  "enumerate", "float",    "int",    "isinstance", "len",    "list",   "map",
      "max",     "min",       "ord",      "pow",    "print",      "range",  "round",  "set",
      "sorted",  "str",       "sum",      "tuple",  "zip"};
  return std::ranges::find(kWords, word) != kWords.end();
}

}  // namespace graders_detail

std::vector<std::string> unknown_symbols(std::string_view answer, std::string_view code) {
  namespace detail = graders_detail;
  const auto known = detail::identifiers(code);
  const auto is_operator = [](char c) {
    return std::string_view("+-*/%=<>").find(c) != std::string_view::npos;
  };
  std::vector<std::string> out;
  for (const detail::Identifier& id : detail::identifiers(answer)) {
    std::size_t after = id.end, before = id.begin;
    while (after < answer.size() && answer[after] == ' ') ++after;
    while (before > 0 && answer[before - 1] == ' ') --before;
    const bool called = id.end < answer.size() && answer[id.end] == '(';
    const bool operand = (after < answer.size() && is_operator(answer[after])) ||
                         (before > 0 && is_operator(answer[before - 1]));
    if ((!called && !operand) || detail::is_python_word(id.name)) continue;
    if (std::ranges::any_of(known, [&](const auto& k) { return k.name == id.name; })) continue;
    if (std::ranges::find(out, id.name) == out.end()) out.emplace_back(id.name);
  }
  return out;
}

bool holds_code(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = graders_detail::trim(text.substr(at, end - at));
    const bool defines = line.starts_with("def ") && line.ends_with(':');
    const bool imports = line.starts_with("import ") ||
                         (line.starts_with("from ") && line.find(" import ") != line.npos);
    if (defines || imports) return true;
    at = end + 1;
  }
  return false;
}

bool occurs_in(std::string_view value, std::string_view text) {
  namespace detail = graders_detail;
  const std::string needle = detail::lower(detail::single_spaces(value));
  const std::string hay = detail::lower(detail::single_spaces(text));
  if (needle.empty()) return true;
  // Bytes of other scripts count as letters: their words are not cut either.
  const auto is_part = [](char c) { return detail::is_word(c) || (c & 0x80) != 0; };
  for (std::size_t at = hay.find(needle); at != hay.npos; at = hay.find(needle, at + 1)) {
    const std::size_t end = at + needle.size();
    const bool cut_before = at > 0 && is_part(hay[at - 1]) && is_part(needle.front());
    const bool cut_after = end < hay.size() && is_part(hay[end]) && is_part(needle.back());
    if (!cut_before && !cut_after) return true;
  }
  return false;
}

}  // namespace brink

#endif  // BRINK_EVAL_GRADERS_IMPL_H_
