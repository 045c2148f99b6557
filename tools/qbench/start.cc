#include "tools/qbench/start.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "tools/support/engine_options.h"
#include "tools/support/json.h"

extern char** environ;  // POSIX declares it nowhere

namespace brink::tools {
namespace {

constexpr std::size_t kShortPrompt = 16;

using Clock = std::chrono::steady_clock;  // CLOCK_MONOTONIC: the same in all processes

std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch())
          .count());
}

double seconds_since(std::uint64_t start_ns) {
  return static_cast<double>(now_ns() - start_ns) * 1e-9;
}

// VmHWM and not getrusage(): the latter's maximum is inherited from the process that started this.
std::uint64_t peak_rss_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
  return 0;
}

std::string read_all(int fd) {
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(buffer, static_cast<std::size_t>(got));
  }
}

}  // namespace

Start measure_start(const std::string& model, const BenchOptions& options) {
  std::vector<std::string> arguments = {"qbench", "-m", model, "-p",
                                        std::to_string(largest(options.prompts))};
  for (std::string& argument : engine_arguments(options.engine))
    arguments.push_back(std::move(argument));
  arguments.insert(arguments.end(), {"--measure-start", std::to_string(now_ns())});
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);

  int pipe_ends[2];
  if (::pipe(pipe_ends) != 0) throw Error(std::string("pipe: ") + std::strerror(errno));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addclose(&actions, pipe_ends[0]);
  posix_spawn_file_actions_addclose(&actions, pipe_ends[1]);
  pid_t child = 0;
  const int error =
      ::posix_spawn(&child, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(pipe_ends[1]);
  const std::string text = error == 0 ? read_all(pipe_ends[0]) : "";
  ::close(pipe_ends[0]);
  if (error != 0) throw Error(std::string("cannot start qbench again: ") + std::strerror(error));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  const Json json = parse_json_if_any(text);
  if (status != 0 || !json.is_object()) {
    const std::string how = WIFSIGNALED(status)
                                ? "signal " + std::to_string(WTERMSIG(status))
                                : "exit code " + std::to_string(WEXITSTATUS(status));
    throw Error("measuring its start failed with " + how, {.file = model});
  }
  return {json.at("load_seconds"), json.at("first_token_seconds"), json.at("peak_rss_bytes")};
}

int report_start(const BenchOptions& options) {
  const std::uint64_t load_start = now_ns();
  const Model model = Model::open(options.models.front());
  Session session(model, session_options(options));
  const double load_seconds = seconds_since(load_start);
  // The tokenizer is part of what a user waits for, and is loaded on its first use.
  std::vector<std::int32_t> prompt = random_tokens(kShortPrompt, model.config().vocabulary);
  (void)model.tokenizer().decode(prompt);
  Sampler greedy(SamplingOptions{.temperature = 0});
  const std::int32_t first = greedy.sample(session.feed(prompt));
  const double first_token_seconds = seconds_since(options.measure_start);
  // What the tests that follow need belongs to the peak: the buffers of a whole prompt, and the
  // kernels of generation.
  if (const std::size_t count = largest(options.prompts); count > 0) {
    session.clear(0);
    session.feed(random_tokens(count, model.config().vocabulary));
    session.truncate(0, count - 1);
  }
  session.feed({&first, 1});
  const Json result = {{"load_seconds", load_seconds},
                       {"first_token_seconds", first_token_seconds},
                       {"peak_rss_bytes", peak_rss_bytes()}};
  std::fputs(to_text(result).c_str(), stdout);
  return 0;
}

}  // namespace brink::tools
