// Texts that tools are given.
#ifndef BRINK_TOOLS_SUPPORT_TEXT_FILE_H_
#define BRINK_TOOLS_SUPPORT_TEXT_FILE_H_

#include <string>

namespace brink::tools {

/// All bytes of a file, or of standard input for "-". Throws Error.
std::string read_text(const std::string& path);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_SUPPORT_TEXT_FILE_H_
