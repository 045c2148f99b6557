#include "tools/support/json.h"

namespace brink::tools {
namespace {

using Sorted = nlohmann::json;

Sorted sorted(const Json& json) { return Sorted::parse(json.dump()); }

}  // namespace

Json parse_json(std::string_view text) { return Json::parse(text); }

Json parse_json_if_any(std::string_view text) { return Json::parse(text, nullptr, false); }

bool is_json(std::string_view text) { return Json::accept(text); }

std::string dumped(const Json& json) { return json.dump(); }

std::string dumped_by_key(const Json& json) { return sorted(json).dump(); }

bool same_but_for_order(const Json& a, const Json& b) { return sorted(a) == sorted(b); }

std::string to_text(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace brink::tools
