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

/// A table with a header line. Columns whose header starts with '>' are aligned to the right.
class Table {
 public:
  explicit Table(std::initializer_list<std::string_view> headers);
  explicit Table(const std::vector<std::string>& headers);
  void add(std::vector<std::string> cells);  ///< as many as there are headers
  std::string text() const;

 private:
  void add_header(std::string_view header);

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
