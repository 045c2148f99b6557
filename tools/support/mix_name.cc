#include "tools/support/mix_name.h"

#include <optional>
#include <string_view>

#include "tools/support/usage_error.h"

namespace brink::tools {

Mix parse_mix(const std::string& name) {
  std::string upper = name;
  for (char& c : upper)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  for (const std::string& candidate : {name, upper})
    if (const std::optional<Mix> mix = find_mix(candidate)) return *mix;
  std::string known;
  for (const std::string_view mix_name : mix_names())
    known += (known.empty() ? "" : ", ") + std::string(mix_name);
  throw UsageError("no type or mix '" + name + "'; there are " + known +
                   " and the single types MXFP4, NVFP4");
}

}  // namespace brink::tools
