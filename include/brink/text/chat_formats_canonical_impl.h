#ifndef BRINK_TEXT_CHAT_FORMATS_CANONICAL_IMPL_H_
#define BRINK_TEXT_CHAT_FORMATS_CANONICAL_IMPL_H_

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

namespace brink {

// A template is first brought to a canonical form in which every spelling of the same program looks
// alike: `{{`...`}}` and `{%`...`%}` blocks without the space around and inside them, string
// literals unescaped between kOpen and kClose, text outside of blocks as a literal that is printed,
// neighbouring literals joined, x['name'] as x.name and .strip() as |trim. Recognition then looks
// for telling pieces of code, and reads the literals between them.
namespace chat_recognition_detail {

constexpr char kOpen = '\x02';   // stands for the opening quote of a literal
constexpr char kClose = '\x03';  // and the closing one: neither occurs in a template's text

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

std::string replaced(std::string_view s, std::string_view from, std::string_view to) {
  std::string out;
  for (std::size_t at = 0;;) {
    const std::size_t found = s.find(from, at);
    out += s.substr(at, found == std::string_view::npos ? found : found - at);
    if (found == std::string_view::npos) return out;
    out += to;
    at = found + from.size();
  }
}

// A pattern with ordinary quotes, as code of the canonical form.
std::string code(std::string_view pattern) {
  std::string out;
  bool inside = false;
  for (const char c : pattern) {
    out += c != '\'' ? c : inside ? kClose : kOpen;
    if (c == '\'') inside = !inside;
  }
  return out;
}

std::string as_literal(std::string_view text) {
  std::string out(1, kOpen);
  for (const char c : text) {
    if (c != kOpen && c != kClose) out += c;
  }
  return out + kClose;
}

/// Reads a template block by block.
class Canonical {
 public:
  explicit Canonical(std::string_view jinja)
      : source_(replaced(replaced(jinja, "\r\n", "\n"), "\r", "\n")) {
    // Jinja leaves out one newline at the end of a template.
    if (source_.ends_with('\n')) source_.pop_back();
  }

  std::string run() {
    while (at_ < source_.size()) {
      const std::size_t tag = next_tag();
      raw(tag);
      if (tag == source_.size()) break;
      block(tag);
    }
    return tidy(std::move(out_));
  }

 private:
  std::size_t next_tag() const {
    for (std::size_t i = at_; i + 1 < source_.size(); ++i) {
      if (source_[i] != '{') continue;
      const char kind = source_[i + 1];
      if (kind == '{' || kind == '%' || kind == '#') return i;
    }
    return source_.size();
  }

  // Text outside of blocks, under trim_blocks, lstrip_blocks and the `-` of its neighbours.
  void raw(std::size_t tag) {
    std::string_view text = std::string_view{source_}.substr(at_, tag - at_);
    bool at_line_start = at_ == 0;
    if (strip_next_) {
      while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
    } else if (after_statement_ && text.starts_with('\n')) {
      text.remove_prefix(1);
      at_line_start = true;
    }
    const bool is_tag = tag < source_.size();
    const char mark = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
    if (is_tag && mark == '-') {
      while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
    } else if (is_tag && source_[tag + 1] != '{' && mark != '+') {
      const std::size_t newline = text.rfind('\n');
      const std::size_t line = newline == std::string_view::npos ? 0 : newline + 1;
      const bool blank = std::all_of(text.begin() + static_cast<std::ptrdiff_t>(line), text.end(),
                                     [](char c) { return is_space(c); });
      if (blank && (line > 0 || at_line_start)) text = text.substr(0, line);
    }
    if (!text.empty()) out_ += "{{" + as_literal(text) + "}}";
  }

  void block(std::size_t tag) {
    const char kind = source_[tag + 1];
    at_ = tag + 2;
    if (at_ < source_.size() && (source_[at_] == '-' || source_[at_] == '+')) ++at_;
    if (kind == '#') {
      const std::size_t end = source_.find("#}", at_);
      close(end, kind, end != std::string::npos && end > 0 ? source_[end - 1] : ' ');
      return;
    }
    const std::string_view end = kind == '{' ? "}}" : "%}";
    out_ += kind == '{' ? "{{" : "{%";
    char before = ' ';
    while (at_ < source_.size() && source_.compare(at_, 2, end) != 0) {
      const char c = source_[at_];
      if (c == '\'' || c == '"') {
        literal(c);
        before = c;
        continue;
      }
      const bool is_mark = (c == '-' || c == '+') && source_.compare(at_ + 1, 2, end) == 0;
      if (!is_space(c) && !is_mark && c != kOpen && c != kClose) out_ += c;
      before = c;
      ++at_;
    }
    out_ += end;
    close(at_ < source_.size() ? at_ : std::string::npos, kind, before);
  }

  void close(std::size_t end, char kind, char mark) {
    at_ = end == std::string::npos ? source_.size() : end + 2;
    strip_next_ = mark == '-';
    after_statement_ = kind != '{' && mark != '+';
  }

  void literal(char quote) {
    std::string text;
    for (++at_; at_ < source_.size() && source_[at_] != quote; ++at_) {
      char c = source_[at_];
      if (c == '\\' && at_ + 1 < source_.size()) {
        const char escaped = source_[++at_];
        switch (escaped) {
          case 'n':
            c = '\n';
            break;
          case 't':
            c = '\t';
            break;
          case 'r':
            c = '\r';
            break;
          case '\\':
          case '\'':
          case '"':
            c = escaped;
            break;
          default:
            text += '\\';
            c = escaped;
            break;
        }
      }
      text += c;
    }
    if (at_ < source_.size()) ++at_;
    out_ += as_literal(text);
  }

  // x['name'] -> x.name: the same attribute in Jinja.
  static std::string with_attributes(std::string_view s) {
    std::string out;
    for (std::size_t i = 0; i < s.size(); ++i) {
      if (s[i] == '[' && i + 1 < s.size() && s[i + 1] == kOpen) {
        const std::size_t end = s.find(kClose, i);
        const std::string_view name =
            end == std::string_view::npos ? "" : s.substr(i + 2, end - i - 2);
        const bool is_name = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
          return c == '_' || (c >= 'a' && c <= 'z');
        });
        if (is_name && end + 1 < s.size() && s[end + 1] == ']') {
          out += '.';
          out += name;
          i = end + 1;
          continue;
        }
      }
      out += s[i];
    }
    return out;
  }

  static std::string tidy(std::string s) {
    s = with_attributes(s);
    s = replaced(s, ".strip()", "|trim");
    // The name of the loop's variable means nothing.
    const std::size_t loop = s.find("{%for");
    const std::size_t in = s.find("inmessages%}");
    if (loop != std::string::npos && in != std::string::npos && in > loop + 5 && in < loop + 25) {
      const std::string name = s.substr(loop + 5, in - loop - 5);
      for (const std::string_view field : {".role", ".content"}) {
        for (const std::string_view before : {"{{", "+", "if", "("}) {
          std::string from(before);
          std::string to(before);
          from.append(name).append(field);
          to.append("message").append(field);
          s = replaced(s, from, to);
        }
      }
      s = replaced(s, "{%for" + name + "inmessages%}", "{%formessageinmessages%}");
    }
    s = replaced(s, "}}{{", "+");
    return replaced(s, std::string{kClose, '+', kOpen}, "");
  }

  std::string source_;
  std::string out_;
  std::size_t at_ = 0;
  bool strip_next_ = false;       // the last block ended in `-`
  bool after_statement_ = false;  // the last block takes the newline after it along
};

}  // namespace chat_recognition_detail

}  // namespace brink

#endif  // BRINK_TEXT_CHAT_FORMATS_CANONICAL_IMPL_H_
