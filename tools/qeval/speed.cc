// qeval speed: load time, throughput and peak memory of one model, in this process, which does
// nothing else.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "brink/core/error.h"
#include "brink/core/progress.h"
#include "brink/cpu/thread_pool.h"
#include "brink/gguf/fingerprint.h"
#include "tools/qeval/options.h"
#include "tools/qeval/report.h"
#include "tools/qeval/run_config.h"
#include "tools/qeval/store.h"
#include "tools/support/cli.h"
#include "tools/support/engine_options.h"
#include "tools/support/json.h"
#include "tools/support/table.h"
#include "tools/support/usage_error.h"

namespace brink::tools {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_of(const std::function<void()>& work) {
  const Clock::time_point start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class Descriptor {
 public:
  explicit Descriptor(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (fd_ < 0) throw Error(std::string("cannot open: ") + std::strerror(errno), {.file = path});
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { ::close(fd_); }
  int get() const { return fd_; }

 private:
  int fd_;
};

std::uint64_t size_of_file(const Descriptor& file) {
  struct stat status;
  return ::fstat(file.get(), &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
}

// Reads all of it, so that it is in the page cache as far as that has room.
void warm_file(const std::string& path) {
  const Descriptor file(path);
  std::vector<char> buffer(std::size_t{1} << 20);
  for (;;) {
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error(std::string("cannot read: ") + std::strerror(errno), {.file = path});
    if (got == 0) return;
  }
}

// Asks the system to forget it; pages that somebody has mapped or not yet written stay.
void cool_file(const std::string& path) {
  const Descriptor file(path);
  ::fdatasync(file.get());
  ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
}

// The share of a file that lies in the page cache. Of a file that the user may not write the kernel
// says that all of it does.
double cached_share(const std::string& path) {
  const Descriptor file(path);
  const auto bytes = static_cast<std::size_t>(size_of_file(file));
  if (bytes == 0) return 1;
  void* map = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file.get(), 0);
  if (map == MAP_FAILED)
    throw Error(std::string("cannot map: ") + std::strerror(errno), {.file = path});
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> pages((bytes + page - 1) / page);
  const int failed = ::mincore(map, bytes, pages.data());
  ::munmap(map, bytes);
  if (failed != 0)
    throw Error(std::string("cannot tell what is cached: ") + std::strerror(errno), {.file = path});
  const auto there =
      std::count_if(pages.begin(), pages.end(), [](unsigned char p) { return p & 1; });
  return static_cast<double>(there) / static_cast<double>(pages.size());
}

// VmHWM and not getrusage(), whose maximum is inherited from the process that started this one.
std::uint64_t peak_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
  return 0;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// Any ids will do: how long a step takes does not depend on them.
std::vector<std::int32_t> some_tokens(std::size_t count, std::size_t vocabulary) {
  std::vector<std::int32_t> ids(count);
  std::uint64_t state = 1;
  for (std::int32_t& id : ids) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    id = static_cast<std::int32_t>((state >> 33) % vocabulary);
  }
  return ids;
}

struct Measured {
  Speed speed;
  double cached = 0;  // share of the file before loading
};

Measured measure(const SpeedOptions& options, const SessionOptions& wanted, Json& row,
                 RunConfig& config) {
  Measured result;
  if (options.cold)
    cool_file(options.model);
  else
    warm_file(options.model);
  result.cached = cached_share(options.model);
  result.speed.warm = !options.cold;
  // Told between readings, so that it takes no part in them.
  Progress progress("speed of " + file_name(options.model), 2 + 2 * options.repetitions,
                    {.delay_s = 0.5});
  std::optional<Model> model;
  std::optional<Session> session;
  SessionOptions session_options = wanted;
  session_options.context = options.prompt_tokens + options.generated_tokens;
  result.speed.load_seconds = seconds_of([&] {
    model.emplace(Model::open(options.model));
    session.emplace(*model, session_options);
  });
  progress.add();
  warn_of_context(*model, session_options.context);
  const std::size_t vocabulary = model->config().vocabulary;
  const std::vector<std::int32_t> prompt = some_tokens(options.prompt_tokens, vocabulary);
  const std::vector<std::int32_t> generated = some_tokens(options.generated_tokens, vocabulary);
  const auto read_prompt = [&] {
    session->clear(0);
    session->feed(prompt);
  };
  const auto generate = [&] {
    for (const std::int32_t& id : generated) session->feed({&id, 1});
  };
  read_prompt();  // brings in the weights and the buffers
  session->feed({&generated.front(), 1});
  progress.add();
  std::vector<double> prompt_rates, generation_rates;
  for (std::size_t i = 0; i < options.repetitions; ++i) {
    prompt_rates.push_back(static_cast<double>(prompt.size()) / seconds_of(read_prompt));
    progress.add();
    generation_rates.push_back(static_cast<double>(generated.size()) / seconds_of(generate));
    progress.add();
  }
  progress.finish();
  result.speed.prompt_tokens_per_second = median(prompt_rates);
  result.speed.generation_tokens_per_second = median(generation_rates);
  result.speed.peak_bytes = peak_bytes();
  row = row_of(*model, session->options(), session->backend_name());
  // After the peak was taken: reading all tensors for the fingerprint would raise it.
  if (!options.store.empty())
    config = describe("speed", *model, session->options(), fingerprint(model->gguf()));
  return result;
}

}  // namespace

CLI::App* add_speed(CLI::App& app, SpeedOptions& options) {
  CLI::App* command = app.add_subcommand(
      "speed", "Load time, throughput and peak memory of one model; qbench has more");
  const auto tokens = CLI::Range(std::size_t{1}, std::size_t{1} << 20);
  command->add_option("-m,--model", options.model, "GGUF file to measure")
      ->required()
      ->option_text("FILE");
  command->add_option("-p,--prompt", options.prompt_tokens, "Tokens of the prompt")
      ->check(tokens)
      ->option_text("N (default: 512)");
  command->add_option("-n,--generate", options.generated_tokens, "Tokens generated after it")
      ->check(tokens)
      ->option_text("N (default: 64)");
  command->add_option("-r,--repetitions", options.repetitions, "The median of so many is given")
      ->check(CLI::Range(std::size_t{1}, std::size_t{10000}))
      ->option_text("N (default: 3)");
  command->add_flag("--cold", options.cold,
                    "Drop the file from the page cache first (default: read it)");
  command->add_option("--store", options.store, "SQLite file to keep the result in")
      ->option_text("FILE");
  command->add_flag("--json", options.json, "Print JSON");
  add_engine_options(*command, options.engine);
  return command;
}

int speed(const SpeedOptions& options) {
  if (is_simulated(options.engine.activations))
    throw UsageError("activations " + name_of(options.engine.activations) +
                     " are simulated and have no speed");
  std::optional<Store> store;
  if (!options.store.empty()) store.emplace(options.store);
  SessionOptions session;
  options.engine.apply(session);
  Json row;
  RunConfig config;
  const Measured measured = measure(options, session, row, config);
  const Speed& speed = measured.speed;
  const unsigned threads = session.threads == 0 ? ThreadPool::default_threads() : session.threads;
  row["threads"] = threads;
  row["page_cache"] = options.cold ? "cold" : "warm";
  row["page_cache.share"] = measured.cached;
  row["load_seconds"] = speed.load_seconds;
  row["prompt_tokens"] = options.prompt_tokens;
  row["prompt_tokens_per_second"] = speed.prompt_tokens_per_second;
  row["generated_tokens"] = options.generated_tokens;
  row["generation_tokens_per_second"] = speed.generation_tokens_per_second;
  row["peak_bytes"] = speed.peak_bytes;
  if (store) {
    config.options = dumped({{"cold", options.cold},
                             {"generate", options.generated_tokens},
                             {"prompt", options.prompt_tokens},
                             {"repetitions", options.repetitions},
                             {"threads", threads}});
    const std::int64_t run = store->open(config);
    store->set_speed(run, speed);
    store->finish(run, to_text(row));
  }
  if (options.json) {
    std::fputs(to_text(Json::array({row}), 1).c_str(), stdout);
    return 0;
  }
  Table table({"model", "weights", "activations", "kv", "page cache", ">load s", ">prompt t/s",
               ">generation t/s", ">peak memory"});
  table.add({file_name(options.model), row["weights"], row["activations"], row["kv"],
             std::string(options.cold ? "cold" : "warm") + " (" + fixed(100 * measured.cached, 0) +
                 " % there)",
             fixed(speed.load_seconds, 3), fixed(speed.prompt_tokens_per_second, 1),
             fixed(speed.generation_tokens_per_second, 1), human_bytes(speed.peak_bytes)});
  std::fputs(table.text().c_str(), stdout);
  return 0;
}

}  // namespace brink::tools
