#include "tools/support/text_file.h"

#include <cerrno>
#include <cstring>
#include <fstream>
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
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  // Reading a folder fails only now.
  if (in.bad()) throw Error("cannot read", {.file = path});
  return text;
}

}  // namespace brink::tools
