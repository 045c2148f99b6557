// Runs Python that nobody has read, against tests, without letting it do harm.
#ifndef BRINK_TOOLS_QEVAL_PYTHON_SANDBOX_H_
#define BRINK_TOOLS_QEVAL_PYTHON_SANDBOX_H_

#include <cstddef>
#include <string>
#include <vector>

namespace brink::tools {

struct SandboxOptions {
  std::string python = "python3";  ///< found in PATH
  unsigned seconds = 10;           ///< of processor time, and 3 times that by the clock
  std::size_t memory_mib = 1024;   ///< of address space, for each of the two processes
};

/// A program and what it must pass.
struct PythonTask {
  std::string program;      ///< not trusted
  std::string prelude;      ///< trusted code that the tests want to be run before
  std::string reference{};  ///< trusted: of builtin names, the program may define what this does
  std::string entry_point;  ///< HumanEval: tests define check(), which is given this function
  std::vector<std::string> tests;  ///< trusted
};

struct PythonVerdict {
  bool passed = false;
  bool parsed = true;           ///< the program is Python
  bool undefined_name = false;  ///< it ended in a NameError: it uses what it does not have
  /// "passed", "failed" (a test), "error: TYPE" (raised), "time", "ended" (the program ended
  /// itself, or was killed at a limit), "syntax"
  std::string reason;
};

/// The tests run in one process, the program in another, which answers calls of its functions over
/// a pipe: values as JSON, objects as numbers that stand for them. So the program cannot know
/// whether a test passes, nor say that it did: the verdict is the other process's, on a pipe that
/// the program does not have. Values that come back are made anew from JSON, so that none can claim
/// to equal everything.
///
/// Both processes have limits of processor time, address space, size of files (0) and core dumps
/// (none), empty standard input, no standard output, and a system-call filter (seccomp), which
/// allows what an interpreter needs for computing: no new process or thread, no socket, no signal
/// to another process, nothing opened for writing, nothing renamed, removed or changed. It can read
/// files, but has nowhere to send them. Both are killed when time is up.
class PythonSandbox {
 public:
  /// Throws Error where programs cannot be contained (no seccomp on this system) or there is no
  /// Python of at least 3.10.
  explicit PythonSandbox(SandboxOptions options = {});

  PythonVerdict run(const PythonTask& task) const;

 private:
  SandboxOptions options_;
  std::string python_;             // path
  std::vector<std::byte> filter_;  // BPF, for prctl
};

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_PYTHON_SANDBOX_H_
