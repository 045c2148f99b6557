#include "tools/support/table.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace brink::tools {
namespace {

// Columns of a terminal: UTF-8 continuation bytes take none.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

}  // namespace

Table::Table(std::initializer_list<std::string_view> headers) : rows_(1) {
  for (const std::string_view header : headers) add_header(header);
}

Table::Table(const std::vector<std::string>& headers) : rows_(1) {
  for (const std::string& header : headers) add_header(header);
}

void Table::add_header(std::string_view header) {
  right_.push_back(header.starts_with('>'));
  if (right_.back()) header.remove_prefix(1);
  rows_.front().emplace_back(header);
}

void Table::add(std::vector<std::string> cells) {
  cells.resize(right_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::text() const {
  std::vector<std::size_t> widths(right_.size());
  for (const auto& row : rows_)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  std::string text;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string space(widths[i] - width_of(row[i]), ' ');
      line += (i == 0 ? "" : "  ") + (right_[i] ? space + row[i] : row[i] + space);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  }
  return text;
}

std::string fixed(double value, int decimals) {
  char text[400];  // the longest double has 309 digits before the point
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string human_bytes(std::uint64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (bytes < 1024) return std::to_string(bytes) + " B";
  if (bytes < std::uint64_t{10} << 20) return fixed(value / 0x1p10, 0) + " KiB";
  if (bytes < std::uint64_t{10} << 30) return fixed(value / 0x1p20, 0) + " MiB";
  return fixed(value / 0x1p30, 2) + " GiB";
}

std::string printable(std::string_view text, std::size_t max_bytes) {
  std::string out;
  for (const char c : text) {
    if (out.size() >= max_bytes) return out + "...";
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned>(byte));
      out += escape;
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace brink::tools
