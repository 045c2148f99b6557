// JSON of files and of models, before it is parsed.
#ifndef BRINK_TOOLS_SUPPORT_JSON_TEXT_H_
#define BRINK_TOOLS_SUPPORT_JSON_TEXT_H_

#include <cstddef>
#include <string_view>

namespace brink::tools {

/// Lists and objects within each other that are read. What walks over a document calls itself for
/// each of them, and the stack has an end.
inline constexpr std::size_t kMostJsonLevels = 100;

/// Whether a text has more, as far as it is JSON.
bool too_deep(std::string_view json);

/// Without the byte order mark that some editors put before UTF-8.
std::string_view without_mark(std::string_view text);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_SUPPORT_JSON_TEXT_H_
