#include "tools/qeval/python_sandbox.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <thread>
#include <utility>

#include "brink/core/error.h"
#include "tools/qeval/python_runner.h"
#include "tools/support/json.h"

#ifdef BRINK_SECCOMP
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#endif

namespace brink::tools {

#ifndef BRINK_SECCOMP

PythonSandbox::PythonSandbox(SandboxOptions options) : options_(std::move(options)) {
  throw Error(
      "programs cannot be run: this build cannot contain them (it was made without "
      "libseccomp)");
}
PythonVerdict PythonSandbox::run(const PythonTask&) const { return {}; }

#else

namespace {

[[noreturn]] void fail(const char* what) {
  throw Error(std::string("programs cannot be run: ") + what + ": " + std::strerror(errno));
}

// A file descriptor that is closed at the end, and by exec.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    close();
    fd_ = std::exchange(other.fd_, -1);
    return *this;
  }
  ~Fd() { close(); }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

struct Pipe {
  Pipe() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) fail("pipe");
    read = Fd(fds[0]);
    write = Fd(fds[1]);
  }
  Fd read, write;
};

// Anonymous memory that holds `text`, to be read from its beginning.
Fd file_of(std::string_view text) {
  Fd file(::memfd_create("brink-task", MFD_CLOEXEC));
  if (file.get() < 0) fail("memfd_create");
  while (!text.empty()) {
    const ssize_t written = ::write(file.get(), text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail("write");
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

// What an interpreter needs that only computes. All else fails with EPERM, so that a program gets
// an exception where it reaches out.
std::vector<std::byte> make_filter() {
  constexpr std::array kAllowed = {"access",
                                   "arch_prctl",
                                   "brk",
                                   "clock_getres",
                                   "clock_gettime",
                                   "clock_nanosleep",
                                   "close",
                                   "dup",
                                   "dup2",
                                   "dup3",
                                   "execve",
                                   "exit",
                                   "exit_group",
                                   "faccessat",
                                   "faccessat2",
                                   "fadvise64",
                                   "fstat",
                                   "fstatfs",
                                   "futex",
                                   "getcwd",
                                   "getdents64",
                                   "getegid",
                                   "geteuid",
                                   "getgid",
                                   "getgroups",
                                   "getpgid",
                                   "getpgrp",
                                   "getpid",
                                   "getppid",
                                   "getrandom",
                                   "getresgid",
                                   "getresuid",
                                   "getrlimit",
                                   "getrusage",
                                   "gettid",
                                   "gettimeofday",
                                   "getuid",
                                   "lseek",
                                   "lstat",
                                   "madvise",
                                   "membarrier",
                                   "mmap",
                                   "mprotect",
                                   "mremap",
                                   "munmap",
                                   "nanosleep",
                                   "newfstatat",
                                   "poll",
                                   "ppoll",
                                   "pread64",
                                   "pselect6",
                                   "read",
                                   "readlink",
                                   "readlinkat",
                                   "readv",
                                   "restart_syscall",
                                   "rseq",
                                   "rt_sigaction",
                                   "rt_sigprocmask",
                                   "rt_sigreturn",
                                   "sched_getaffinity",
                                   "sched_yield",
                                   "select",
                                   "set_robust_list",
                                   "set_tid_address",
                                   "sigaltstack",
                                   "stat",
                                   "statfs",
                                   "statx",
                                   "sysinfo",
                                   "time",
                                   "times",
                                   "uname",
                                   "write",
                                   "writev"};
  struct Context {
    scmp_filter_ctx ctx = ::seccomp_init(SCMP_ACT_ERRNO(EPERM));
    ~Context() { ::seccomp_release(ctx); }
  } filter;
  if (filter.ctx == nullptr) fail("seccomp_init");
  int bad = 0;
  const auto allow = [&](const char* name, auto... compare) {
    const int number = ::seccomp_syscall_resolve_name(name);
    // Some do not exist on every architecture.
    if (number == __NR_SCMP_ERROR) return;
    bad |= ::seccomp_rule_add(filter.ctx, SCMP_ACT_ALLOW, number, sizeof...(compare), compare...);
  };
  for (const char* name : kAllowed) allow(name);
  constexpr scmp_datum_t kWriting =
      O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY);
  allow("open", SCMP_A1(SCMP_CMP_MASKED_EQ, kWriting, 0));
  allow("openat", SCMP_A2(SCMP_CMP_MASKED_EQ, kWriting, 0));
  // Others could have signals sent to another process, or type into a terminal.
  for (const int command : {F_GETFD, F_SETFD, F_GETFL, F_DUPFD, F_DUPFD_CLOEXEC})
    allow("fcntl", SCMP_A1(SCMP_CMP_EQ, static_cast<scmp_datum_t>(command)));
  for (const unsigned long request :
       {static_cast<unsigned long>(TCGETS), static_cast<unsigned long>(FIOCLEX),
        static_cast<unsigned long>(FIONCLEX)})
    allow("ioctl", SCMP_A1(SCMP_CMP_EQ, static_cast<scmp_datum_t>(request)));
  allow("prlimit64", SCMP_A2(SCMP_CMP_EQ, 0));  // to ask, not to set
  if (bad != 0) fail("seccomp_rule_add");
  const Fd file = file_of("");
  if (::seccomp_export_bpf(filter.ctx, file.get()) != 0) fail("seccomp_export_bpf");
  const off_t size = ::lseek(file.get(), 0, SEEK_END);
  std::vector<std::byte> code(static_cast<std::size_t>(size));
  if (::pread(file.get(), code.data(), code.size(), 0) != size) fail("pread");
  return code;
}

// What a child does between fork() and exec, prepared, because little is allowed there.
struct Child {
  const char* path;
  std::vector<const char*> arguments;    // ends in nullptr
  std::vector<const char*> environment;  // ends in nullptr
  std::vector<int> fds;                  // become 0, 1, 2, ...
  sock_fprog filter;
  rlim_t seconds, memory;
  pid_t parent;
};

constexpr int kExecFailed = 127;

[[noreturn]] void become(const Child& child) {
  const auto limit = [](auto resource, rlim_t soft, rlim_t hard) {
    const rlimit value{soft, hard};
    if (::setrlimit(resource, &value) != 0) ::_exit(kExecFailed);
  };
  ::setsid();
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != child.parent) ::_exit(kExecFailed);
  // Out of the way of their new numbers first.
  int moved[8];
  const int count = static_cast<int>(child.fds.size());
  for (int i = 0; i < count; ++i)
    moved[i] = ::fcntl(child.fds[static_cast<std::size_t>(i)], F_DUPFD, 32);
  for (int i = 0; i < count; ++i)
    if (::dup2(moved[i], i) < 0) ::_exit(kExecFailed);
  // Those too that this process was started with.
  if (::syscall(SYS_close_range, count, ~0u, 0) != 0)
    for (int fd = count; fd < 4096; ++fd) ::close(fd);
  limit(RLIMIT_CPU, child.seconds, child.seconds + 1);
  limit(RLIMIT_AS, child.memory, child.memory);
  limit(RLIMIT_FSIZE, 0, 0);
  limit(RLIMIT_CORE, 0, 0);
  limit(RLIMIT_NOFILE, 64, 64);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &child.filter, 0, 0) != 0)
    ::_exit(kExecFailed);
  ::execve(child.path, const_cast<char* const*>(child.arguments.data()),
           const_cast<char* const*>(child.environment.data()));
  ::_exit(kExecFailed);
}

// A running child, killed with all of its process group when destroyed.
class Process {
 public:
  explicit Process(const Child& child) {
    pid_ = ::fork();
    if (pid_ < 0) fail("fork");
    if (pid_ == 0) become(child);
  }
  Process(const Process&) = delete;
  ~Process() {
    if (pid_ > 0) end();
  }

  /// Kills it, if it still runs, and returns its wait status.
  int end() {
    ::kill(-pid_, SIGKILL);
    ::kill(pid_, SIGKILL);  // where it has no group of its own yet
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status;
  }
  /// Its status, if it has ended by itself; else nothing is changed.
  bool ended(int& status) {
    if (::waitpid(pid_, &status, WNOHANG) != pid_) return false;
    pid_ = -1;
    return true;
  }

 private:
  pid_t pid_ = -1;
};

// What comes out of a pipe until its other end is closed, at most `most` bytes, or until time is
// up.
bool read_all(int fd, std::chrono::steady_clock::time_point until, std::size_t most,
              std::string& out) {
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd poll{fd, POLLIN, 0};
    const int ready = ::poll(&poll, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno != EINTR) fail("poll");
    if (ready <= 0) continue;
    char buffer[4096];
    const ssize_t count = ::read(fd, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return true;
    out.append(buffer, static_cast<std::size_t>(count));
    if (out.size() > most) return true;
  }
}

}  // namespace

PythonSandbox::PythonSandbox(SandboxOptions options) : options_(std::move(options)) {
  filter_ = make_filter();
  // The interpreter itself: what is in PATH may be a script that starts it.
  const std::string command =
      "'" + options_.python +
      "' -I -c 'import sys; print(sys.executable if sys.version_info >= (3, 10) else \"\")' "
      "2>/dev/null </dev/null";
  std::FILE* out = ::popen(command.c_str(), "r");
  if (out == nullptr) fail("popen");
  char line[4096] = {};
  const bool read = std::fgets(line, sizeof line, out) != nullptr;
  const int status = ::pclose(out);
  python_ = read ? line : "";
  while (python_.ends_with('\n')) python_.pop_back();
  if (status != 0 || python_.empty())
    throw Error("programs cannot be run: no Python of at least 3.10 as '" + options_.python + "'");
  // That both processes start under the filter, and that it is in force.
  const PythonVerdict verdict = run(
      {.program = "import os\ndef f():\n  try:\n    os.fork()\n  except OSError:\n    return 1\n",
       .prelude = "",
       .entry_point = "f",
       .tests = {"def check(f): assert f() == 1"}});
  if (!verdict.passed)
    throw Error("programs cannot be run: a first one was not contained as it should be (" +
                verdict.reason + ")");
}

PythonVerdict PythonSandbox::run(const PythonTask& task) const {
  const Json input = {{"program", task.program},
                      {"prelude", task.prelude},
                      {"reference", task.reference},
                      {"entry_point", task.entry_point},
                      {"tests", task.tests}};
  const Fd input_file = file_of(to_text(input));
  Pipe calls, replies, verdicts;
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (null.get() < 0) fail("/dev/null");

  const std::string program = std::string(kRunnerCommon) + kRunnerProgram;
  const std::string tests = std::string(kRunnerCommon) + kRunnerTests;
  std::vector<sock_filter> code(filter_.size() / sizeof(sock_filter));
  std::memcpy(code.data(), filter_.data(), code.size() * sizeof(sock_filter));
  Child child;
  child.path = python_.c_str();
  child.environment = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8", nullptr};
  child.filter = {static_cast<unsigned short>(code.size()), code.data()};
  child.seconds = options_.seconds;
  child.memory = static_cast<rlim_t>(options_.memory_mib) << 20;
  child.parent = ::getpid();
  const auto start = [&](const std::string& script, std::vector<int> fds) {
    // -I: nothing of the user's; -S: no site packages, which could only differ between machines.
    child.arguments = {python_.c_str(), "-I", "-S", "-B", "-c", script.c_str(), nullptr};
    child.fds = std::move(fds);
    return child;
  };
  Process programs(
      start(program, {null.get(), null.get(), null.get(), calls.read.get(), replies.write.get()}));
  Process tester(start(tests, {input_file.get(), null.get(), null.get(), replies.read.get(),
                               calls.write.get(), verdicts.write.get()}));
  // The ends that the children have; a pipe ends when none is left.
  for (Fd* fd : {&calls.read, &calls.write, &replies.read, &replies.write, &verdicts.write})
    fd->close();

  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(3 * options_.seconds);
  std::string text;
  const bool in_time = read_all(verdicts.read.get(), until, 1 << 16, text);
  tester.end();
  const Json json = parse_json_if_any(text);
  PythonVerdict verdict;
  verdict.reason = in_time && json.is_object() ? json.value("reason", "ended") : "time";
  if (verdict.reason == "ended") {
    // Why shows in how it ended. Its pipes are closed a little before it can be waited for.
    const auto soon = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    int status = 0;
    bool ended = programs.ended(status);
    while (!ended && std::chrono::steady_clock::now() < soon) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      ended = programs.ended(status);
    }
    if (ended && WIFSIGNALED(status) &&
        (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL))
      verdict.reason = "time";
  }
  verdict.passed = verdict.reason == "passed";
  verdict.parsed = verdict.reason != "syntax";
  verdict.undefined_name = json.is_object() && json.value("undefined", false);
  return verdict;
}

#endif  // BRINK_SECCOMP

}  // namespace brink::tools
