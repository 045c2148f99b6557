#include "tools/qeval/markup.h"

#include <cstdint>
#include <utility>

namespace brink::tools {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct Character {
  std::uint32_t code = 0xFFFD;
  std::size_t bytes = 1;
};

// Of text that is not empty: its first character, or one byte that is none.
Character first_of(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i]));
  };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < bytes) return {};
  std::uint32_t code = lead & (0xFFu >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3F);
  }
  static constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kLeast[bytes] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return {};
  return {code, bytes};
}

bool can_be_shown(std::uint32_t code) {
  if (code < 0x20) return code == '\n' || code == '\t';
  if (code >= 0x7F && code < 0xA0) return false;       // C1 controls
  if (code == 0x200E || code == 0x200F) return false;  // marks of direction
  if (code >= 0x202A && code <= 0x202E) return false;  // embeddings, overrides
  if (code >= 0x2066 && code <= 0x2069) return false;  // isolates
  return code != 0xFFFE && code != 0xFFFF && code != 0xFFFD;
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Character c = first_of(text);
    const std::string_view bytes = text.substr(0, c.bytes);
    text.remove_prefix(c.bytes);
    if (!can_be_shown(c.code))
      out += kReplacement;
    else if (c.code == '&')
      out += "&amp;";
    else if (c.code == '<')
      out += "&lt;";
    else if (c.code == '>')
      out += "&gt;";
    else if (c.code == '"')
      out += "&quot;";
    else if (c.code == '\'')
      out += "&#39;";
    else
      out += bytes;
  }
  return out;
}

std::string shortened(std::string_view text, std::size_t characters) {
  std::size_t at = 0;
  for (std::size_t i = 0; i < characters && at < text.size(); ++i)
    at += first_of(text.substr(at)).bytes;
  return at == text.size() ? std::string(text) : std::string(text.substr(0, at)) + "…";
}

HtmlTable::HtmlTable(std::string caption_html, const std::vector<std::string>& headers)
    : caption_(std::move(caption_html)) {
  for (const std::string& header : headers) {
    number_.push_back(header.starts_with('>'));
    headers_.emplace_back(header.substr(number_.back() ? 1 : 0));
  }
}

void HtmlTable::add(std::vector<std::string> cells_html, std::string_view css_class) {
  rows_ += css_class.empty() ? "<tr>" : "<tr class=\"" + std::string(css_class) + "\">";
  for (std::size_t i = 0; i < cells_html.size(); ++i) {
    const char* const element = i == 0 ? "th" : "td";
    rows_ += std::string("<") + element + (i == 0 ? " scope=\"row\"" : "") +
             (number_[i] ? " class=\"n\"" : "") + ">" + cells_html[i] + "</" + element + ">";
  }
  rows_ += "</tr>\n";
}

std::string HtmlTable::html() const {
  std::string head;
  for (std::size_t i = 0; i < headers_.size(); ++i)
    head += std::string("<th scope=\"col\"") + (number_[i] ? " class=\"n\"" : "") + ">" +
            escaped(headers_[i]) + "</th>";
  return "<div class=\"scroll\" tabindex=\"0\">\n<table>\n<caption>" + caption_ +
         "</caption>\n<thead><tr>" + head + "</tr></thead>\n<tbody>\n" + rows_ +
         "</tbody>\n</table>\n</div>\n";
}

}  // namespace brink::tools
