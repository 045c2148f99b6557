// Pieces of a page that is both HTML and well-formed XML. Functions that take `text` escape it;
// those that take `html` do not.
#ifndef BRINK_TOOLS_QEVAL_MARKUP_H_
#define BRINK_TOOLS_QEVAL_MARKUP_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace brink::tools {

/// Text for elements and quoted attributes. What XML cannot hold (control characters, bytes that
/// are no UTF-8) and what would turn the direction of the text around it become U+FFFD.
std::string escaped(std::string_view text);

/// The first `characters` of valid or invalid UTF-8, and "…" where it was longer.
std::string shortened(std::string_view text, std::size_t characters);

/// A table with a caption in a frame that scrolls by itself, also with the keyboard. Columns whose
/// header begins with '>' are numbers; the first column's cells are the headers of their rows.
class HtmlTable {
 public:
  HtmlTable(std::string caption_html, const std::vector<std::string>& headers);

  /// As many cells as there are headers.
  void add(std::vector<std::string> cells_html, std::string_view css_class = {});
  bool empty() const { return rows_.empty(); }
  std::string html() const;

 private:
  std::string caption_;
  std::vector<std::string> headers_;
  std::vector<bool> number_;
  std::string rows_;
};

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_MARKUP_H_
