#include "tools/support/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

namespace brink::tools {
namespace {

char interrupt_text[256];  // a handler may call nothing that allocates

void on_interrupt(int signal) {
  // What fails here is lost: the process ends.
  if (::isatty(STDERR_FILENO) != 0) {
    [[maybe_unused]] const ssize_t ended = ::write(STDERR_FILENO, "\n", 1);
  }
  [[maybe_unused]] const ssize_t said =
      ::write(STDERR_FILENO, interrupt_text, std::strlen(interrupt_text));
  ::raise(signal);  // SA_RESETHAND: it ends the process now, as a shell expects
}

}  // namespace

void say_on_interrupt(const std::string& text) {
  std::snprintf(interrupt_text, sizeof interrupt_text, "%s\n", text.c_str());
  struct sigaction before {};
  ::sigaction(SIGINT, nullptr, &before);
  if (before.sa_handler == SIG_IGN) return;
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  ::sigaction(SIGINT, &action, nullptr);
}

}  // namespace brink::tools
