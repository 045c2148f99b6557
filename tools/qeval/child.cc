#include "tools/qeval/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "brink/core/error.h"

namespace brink::tools {

ChildResult run_child(const std::vector<std::string>& arguments) {
  std::vector<std::string> all = {"qeval"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& argument : all) argv.push_back(argument.data());
  argv.push_back(nullptr);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw Error(std::string("pipe: ") + std::strerror(errno));
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child == 0) {
    // Only what is allowed between fork and exec.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);  // it ended before that call
    ::dup2(ends[1], STDOUT_FILENO);
    // Of an interrupted sweep the parent speaks; it takes this process with it.
    ::signal(SIGINT, SIG_IGN);
    ::execv("/proc/self/exe", argv.data());
    ::_exit(127);
  }
  ::close(ends[1]);
  if (child < 0) {
    const int reason = errno;
    ::close(ends[0]);
    throw Error(std::string("cannot start qeval again: ") + std::strerror(reason));
  }
  ChildResult result;
  char buffer[4096];
  for (;;) {
    const ssize_t got = ::read(ends[0], buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    result.output.append(buffer, static_cast<std::size_t>(got));
  }
  ::close(ends[0]);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status))
    result.failure = "signal " + std::to_string(WTERMSIG(status));
  else if (WEXITSTATUS(status) != 0)
    result.failure = "exit code " + std::to_string(WEXITSTATUS(status));
  return result;
}

}  // namespace brink::tools
