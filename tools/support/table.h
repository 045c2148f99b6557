// Text for people: aligned tables, sizes, and strings that are safe to print.
#ifndef BRINK_TOOLS_SUPPORT_TABLE_H_
#define BRINK_TOOLS_SUPPORT_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace brink::tools {

/// Columns of the terminal that standard output is; 0 where it is none and COLUMNS does not say.
std::size_t output_width();

/// A table with a header line. Columns whose header starts with '>' are aligned to the right.
class Table {
 public:
  explicit Table(std::initializer_list<std::string_view> headers);
  explicit Table(const std::vector<std::string>& headers);
  void add(std::vector<std::string> cells);  ///< as many as there are headers
  /// Where `width` is given and the rows are wider: columns of names that are the same in every row
  /// become one line before the table, and what still does not fit follows in blocks that repeat
  /// the other columns of names. The first column stays.
  std::string text(std::size_t width = output_width()) const;

 private:
  void add_header(std::string_view header);
  std::string block(const std::vector<std::size_t>& columns) const;
  std::size_t width_of_column(std::size_t column) const;
  bool same_everywhere(std::size_t column) const;

  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;  // [0] is the header
};

/// "%.*f"
std::string fixed(double value, int decimals);

/// "763 MiB", "1.23 GiB".
std::string human_bytes(std::uint64_t bytes);

/// One line: control characters (which could move a terminal's cursor) become "\n" or "\x1b", and
/// text beyond `max_bytes` "...".
std::string printable(std::string_view text, std::size_t max_bytes = 200);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_SUPPORT_TABLE_H_
