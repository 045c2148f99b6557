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

// Bytes of a sign of currency that ends right before `at`, or 0.
inline std::size_t currency_before(std::string_view text, std::size_t at) {
  for (const std::string_view sign : {"$", "\xC2\xA3", "\xC2\xA5", "\xE2\x82\xAC", "\xE2\x82\xB9"})
    if (text.substr(0, at).ends_with(sign)) return sign.size();
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
    // "-$5" and "-5" are negative; "8 - 5" and "8-5" are not, and "- 5" is an item of a list.
    const std::size_t before = at - currency_before(text, at);
    if (const std::size_t minus = minus_before(text, before)) {
      std::size_t left = before - minus;
      const bool spaced = left > 0 && text[left - 1] == ' ';
      while (left > 0 && text[left - 1] == ' ') --left;
      const char c = left > 0 ? text[left - 1] : '\n';
      const bool operand = is_word(c) || c == ')' || c == ']' || c == '%';
      // " -5" after a word is a negative number, "8 -5" and "x-5" are subtractions.
      const bool word = spaced && is_letter(c);
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
  // A word ends where letters and numbers do, as for \b: "the\u2013end" has an article.
  std::string kept, word;
  const auto end_word = [&] {
    kept += word == "a" || word == "an" || word == "the" ? " " : word;
    word.clear();
  };
  detail::for_characters(spaced, [&](char32_t c) {
    const bool part = (unicode::classes(c) & (unicode::kLetter | unicode::kNumber)) != 0;
    if (!part) end_word();
    unicode::append(part ? word : kept, c);
  });
  end_word();
  return detail::single_spaces(kept);
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

namespace graders_detail {

// Of a line that begins with a fence, after white space: the fence; else nothing.
inline std::string_view fence_of(std::string_view line) {
  line = trim(line);
  for (const std::string_view fence : {"```", "~~~"})
    if (line.starts_with(fence)) return fence;
  return {};
}

// fn(line, where it begins, where the next one does) until it returns false.
template <class F>
void for_lines(std::string_view text, F&& fn) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::size_t next = std::min(end + 1, text.size());
    if (!fn(text.substr(at, end - at), at, next)) return;
    at = next;
  }
}

// A fenced block as it stands in the text; `indent`: of its fence.
struct Block {
  std::string_view text;
  std::string_view indent;
};

// The last one may be without a closing fence: it was cut off.
inline std::vector<Block> fenced_blocks(std::string_view text) {
  std::vector<Block> out;
  std::string_view fence, indent;
  std::size_t begin = 0;
  for_lines(text, [&](std::string_view line, std::size_t at, std::size_t next) {
    if (!fence.empty()) {
      if (!trim(line).starts_with(fence)) return true;
      out.push_back({text.substr(begin, at - begin), indent});
      fence = {};
      return true;
    }
    fence = fence_of(line);
    if (fence.empty()) return true;
    indent = line.substr(0, line.find(fence));
    begin = next;
    // All in one line: ```{"a": 1}```
    const std::string_view rest = trim(line).substr(fence.size());
    if (const std::size_t close = rest.find(fence); close != std::string_view::npos) {
      out.push_back({rest.substr(0, close), {}});
      fence = {};
    }
    return true;
  });
  if (!fence.empty()) out.push_back({text.substr(begin), indent});
  return out;
}

// Without blank lines at its ends; the first line keeps its indentation.
inline std::string_view without_blank_lines(std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (!trim(text.substr(0, end)).empty()) break;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// Lines lose what their fence is indented by, as in Markdown.
inline std::string code_of(const Block& block) {
  std::string out;
  for_lines(block.text, [&](std::string_view line, std::size_t, std::size_t) {
    if (line.starts_with(block.indent)) line.remove_prefix(block.indent.size());
    out += line;
    out += '\n';
    return true;
  });
  return std::string(without_blank_lines(out));
}

inline bool defines(std::string_view code, std::string_view name) {
  bool found = false;
  for_lines(code, [&](std::string_view line, std::size_t, std::size_t) {
    for (const std::string_view word : {"def ", "class "}) {
      if (!line.starts_with(word)) continue;
      std::string_view rest = trim(line.substr(word.size()));
      if (!rest.starts_with(name)) continue;
      rest.remove_prefix(name.size());
      found = found || rest.empty() || !is_word(rest.front());
    }
    return !found;
  });
  return found;
}

// Whether code does nothing but import and define.
inline bool only_defines(std::string_view code) {
  bool only = true;
  for_lines(code, [&](std::string_view line, std::size_t, std::size_t) {
    if (line.empty() || is_space(line.front())) return true;
    static constexpr std::array<std::string_view, 7> kBegins = {
        "import ", "from ", "def ", "class ", "@", "#", ")"};
    only = std::ranges::any_of(kBegins, [&](auto begin) { return line.starts_with(begin); });
    return only;
  });
  return only;
}

}  // namespace graders_detail

std::string strip_fences(std::string_view text) {
  const auto blocks = graders_detail::fenced_blocks(text);
  return std::string(graders_detail::trim(blocks.empty() ? text : blocks[0].text));
}

bool begins_with_code(std::string_view text) {
  namespace detail = graders_detail;
  const std::string_view code = detail::without_blank_lines(text);
  if (code.empty()) return false;
  return code[0] == ' ' || code[0] == '\t' || code.starts_with("return ") || holds_code(code);
}

std::string code_in(std::string_view answer, std::span<const std::string> names) {
  namespace detail = graders_detail;
  // A fence that names no language, behind code, was opened by no other.
  std::optional<std::size_t> lone;
  detail::for_lines(answer, [&](std::string_view line, std::size_t at, std::size_t) {
    const std::string_view fence = detail::fence_of(line);
    if (fence.empty()) return true;
    if (detail::trim(line) == fence && begins_with_code(answer.substr(0, at))) lone = at;
    return false;
  });
  if (lone) return std::string(detail::without_blank_lines(answer.substr(0, *lone)));
  std::vector<std::string> blocks;
  for (const detail::Block& block : detail::fenced_blocks(answer))
    blocks.push_back(detail::code_of(block));
  if (blocks.empty()) return std::string(answer);
  const auto wanted = std::ranges::find_if(blocks, [&](const std::string& block) {
    return std::ranges::any_of(
        names, [&](const std::string& name) { return detail::defines(block, name); });
  });
  std::string out;
  for (auto block = blocks.begin(); block != blocks.end(); ++block) {
    if (wanted != blocks.end() && block > wanted) break;
    if (wanted != blocks.end() && block < wanted && !detail::only_defines(*block)) continue;
    out += (out.empty() ? "" : "\n") + *block;
  }
  return out;
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
