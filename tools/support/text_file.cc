#include "tools/support/text_file.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <ios>
#include <iostream>
#include <iterator>

#include "brink/core/error.h"

namespace brink::tools {

std::string read_text(const std::string& path) {
  std::ifstream file;
  if (path != "-") {
    file.open(path, std::ios::binary);
    if (!file) throw Error(std::strerror(errno), {.file = path});
  }
  std::istream& in = path == "-" ? std::cin : file;
  try {
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  } catch (const std::ios_base::failure&) {  // a folder fails only now
    throw Error("cannot read", {.file = path});
  }
}

}  // namespace brink::tools
