// The JSON that the tools read and write.
#ifndef BRINK_TOOLS_SUPPORT_JSON_H_
#define BRINK_TOOLS_SUPPORT_JSON_H_

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace brink::tools {

/// Keys keep their order.
using Json = nlohmann::ordered_json;

/// What JSON for Modern C++ does itself, compiled once for all tools: its parser and its writer are
/// most of the time that a source takes to compile.
Json parse_json(std::string_view text);         ///< throws Json::parse_error
Json parse_json_if_any(std::string_view text);  ///< discarded where it is none
bool is_json(std::string_view text);
std::string dumped(const Json& json);  ///< compact; throws where strings are no UTF-8
/// With keys in alphabetical order at all levels.
std::string dumped_by_key(const Json& json);
/// Whether they are equal but for the order of keys.
bool same_but_for_order(const Json& a, const Json& b);

/// One line (or indented lines), with bytes that are no UTF-8 replaced.
std::string to_text(const Json& json, int indent = -1);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_SUPPORT_JSON_H_
