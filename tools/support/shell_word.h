// Command lines as text.
#ifndef BRINK_TOOLS_SUPPORT_SHELL_WORD_H_
#define BRINK_TOOLS_SUPPORT_SHELL_WORD_H_

#include <string>

namespace brink::tools {

/// The text as one word for a shell, in quotation marks where it needs them.
std::string shell_word(const std::string& text);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_SUPPORT_SHELL_WORD_H_
