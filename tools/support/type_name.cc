#include "tools/support/type_name.h"

#include <algorithm>
#include <cstdint>
#include <map>

#include "brink/quant/mixes.h"

namespace brink::tools {

std::string type_name(const Gguf& gguf) {
  if (const auto file_type = gguf.get_uint("general.file_type"))
    if (const auto mix = mix_of_file_type(*file_type)) return mix->name;
  std::map<std::string, std::uint64_t> bytes;
  for (const GgufTensor& tensor : gguf.tensors()) bytes[size_of(tensor.type).name] += tensor.bytes;
  const auto most = std::max_element(
      bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == bytes.end() ? "" : most->first;
}

}  // namespace brink::tools
