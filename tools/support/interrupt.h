// What an interrupted run leaves on the terminal.
#ifndef BRINK_TOOLS_SUPPORT_INTERRUPT_H_
#define BRINK_TOOLS_SUPPORT_INTERRUPT_H_

#include <string>

namespace brink::tools {

/// What SIGINT says before it ends the process: with a bar on the terminal, its line is ended
/// first. A process that was started with SIGINT ignored goes on ignoring it. `text` is one line.
void say_on_interrupt(const std::string& text);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_SUPPORT_INTERRUPT_H_
