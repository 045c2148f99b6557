#include "tools/support/table.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>
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

std::size_t Table::width_of_column(std::size_t column) const {
  std::size_t width = 0;
  for (const auto& row : rows_) width = std::max(width, width_of(row[column]));
  return width;
}

bool Table::same_everywhere(std::size_t column) const {
  return std::all_of(rows_.begin() + 1, rows_.end(),
                     [&](const auto& row) { return row[column] == rows_[1][column]; });
}

std::string Table::block(const std::vector<std::size_t>& columns) const {
  std::vector<std::size_t> widths;
  for (const std::size_t column : columns) widths.push_back(width_of_column(column));
  std::string text;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const std::string& cell = row[columns[i]];
      const std::string space(widths[i] - width_of(cell), ' ');
      line += (i == 0 ? "" : "  ") + (right_[columns[i]] ? space + cell : cell + space);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  }
  return text;
}

std::string Table::text(std::size_t width) const {
  std::vector<std::size_t> all(right_.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  const auto width_of_columns = [&](const std::vector<std::size_t>& columns) {
    std::size_t sum = 0;
    for (const std::size_t column : columns) sum += width_of_column(column) + 2;
    return sum - std::min<std::size_t>(sum, 2);
  };
  if (width == 0 || rows_.size() < 2 || width_of_columns(all) <= width) return block(all);
  std::string common;  // lines of what all rows have in common
  std::size_t line = 0;
  std::vector<std::size_t> names, others;
  for (const std::size_t column : all) {
    if (column == 0 || (!right_[column] && others.empty() && !same_everywhere(column))) {
      names.push_back(column);
    } else if (!right_[column] && same_everywhere(column)) {
      const std::string part = rows_[0][column] + " " + rows_[1][column];
      if (line > 0 && line + 2 + width_of(part) > width) {
        common += ",\n";
        line = 0;
      }
      common += (line > 0 ? ", " : "") + part;
      line += (line > 0 ? 2 : 0) + width_of(part);
    } else {
      others.push_back(column);
    }
  }
  if (!common.empty()) common += "\n";
  std::string text;
  for (std::size_t next = 0; next < others.size() || text.empty();) {
    std::vector<std::size_t> columns = names;
    do {
      if (next < others.size()) columns.push_back(others[next++]);
    } while (next < others.size() &&
             width_of_columns(columns) + 2 + width_of_column(others[next]) <= width);
    text += (text.empty() ? "" : "\n") + common + block(columns);
  }
  return text;
}

std::size_t output_width() {
  winsize size{};
  if (::isatty(STDOUT_FILENO) != 0 && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
    return size.ws_col;
  const char* columns = std::getenv("COLUMNS");
  return columns == nullptr ? 0 : std::strtoul(columns, nullptr, 10);
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
