// The results of qeval in an SQLite file: what was run, every item of it, and what came out. A run
// that was interrupted is found again by what it measures and goes on after its last item.
#ifndef BRINK_TOOLS_QEVAL_STORE_H_
#define BRINK_TOOLS_QEVAL_STORE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

struct sqlite3;

namespace brink::tools {

/// What is measured, and on what.
struct RunConfig {
  std::string kind;            ///< "tasks", "perplexity", "divergence", "speed"
  std::string model;           ///< path
  std::string model_name;      ///< general.name
  std::string model_hash;      ///< fingerprint (gguf/fingerprint.h)
  std::string weights;         ///< "Q4_K_M", "F16"
  double bits_per_weight = 0;  ///< 8 x bytes of all tensors / their weights
  std::uint64_t file_bytes = 0;
  std::string activations;  ///< "q8": the word on the command line
  std::string kv_type;
  std::string backend = "cpu";
  std::string data;       ///< path of the text or task
  std::string data_hash;  ///< fingerprint of its bytes
  std::string base_hash;  ///< of a divergence: the base model's fingerprint
  std::string options;    ///< JSON of all else that decides results, its keys sorted
  unsigned threads = 0;   ///< decides no results

  /// 32 hex digits that stand for all that decides the results: not paths, names, sizes, threads.
  std::string key() const;
};

/// One question of a task, or one window of a text.
struct Item {
  std::int64_t index = 0;  ///< unique in its run
  std::string id{};
  std::string cluster{};  ///< items of one cluster are not independent of each other
  std::string output{};   ///< what the model wrote
  double score = 0;       ///< of a window: mean -ln p, or mean divergence
  bool correct = false;
  bool parsed = true;      ///< an answer was found in the output
  bool truncated = false;  ///< the token limit cut the output off
  std::optional<bool> invented{};
  std::optional<double> log_probability{};  ///< of the right answer, nats
  std::string details{};                    ///< JSON, may be empty
  std::string values{};                     ///< bytes that only their writer understands
};

/// Measured in a process that did nothing else.
struct Speed {
  double load_seconds = 0;
  double prompt_tokens_per_second = 0;
  double generation_tokens_per_second = 0;
  std::uint64_t peak_bytes = 0;  ///< of resident memory
  bool warm = true;              ///< the file was in the page cache
};

/// A run as it is in the store.
struct StoredRun {
  std::int64_t id = 0;
  RunConfig config;
  std::string started;                  ///< UTC, "2026-08-01T12:00:00Z"
  std::optional<std::string> finished;  ///< not there: interrupted, or still going on
  double seconds = 0;                   ///< spent on it by all processes, up to the last item
  std::string version;                  ///< of brink
  std::string machine;                  ///< processor and instruction set
  std::string command;                  ///< that began it
  std::string summary;                  ///< JSON as --json has it; empty until finished
  std::size_t items = 0;
};

/// Not for several threads at once, and not across fork(); several processes may use one file.
/// What a call has written is there after the process is killed; a failing system loses at most
/// the last calls, never a part of one. Every method throws Error, naming the file: no store, made
/// by a later brink, damaged, locked for more than five seconds, a full disk.
class Store {
 public:
  /// kWrite creates a file that is not there. kRead changes no results and leaves no other files
  /// behind; it reads stores that may not be written to, too.
  enum class Access { kRead, kWrite };

  explicit Store(std::string path, Access access = Access::kWrite);
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  ~Store();

  const std::string& path() const { return path_; }

  /// The run of this configuration: found, or begun. Time spent on it counts from here.
  std::int64_t open(const RunConfig& config);
  /// The same, only found.
  std::optional<std::int64_t> find(const RunConfig& config) const;

  bool finished(std::int64_t run) const;
  /// In the order of their indices.
  std::vector<Item> items(std::int64_t run) const;
  /// All or none of them. An index that is there already is an error: another process is at the
  /// same run.
  void add(std::int64_t run, std::span<const Item> items);
  void add(std::int64_t run, const Item& item) { add(run, std::span(&item, 1)); }
  /// All that `work` writes, or nothing of it.
  void together(const std::function<void()>& work);
  /// Exchanges what a better grader says of an item that is there.
  void replace(std::int64_t run, const Item& item);
  /// `summary`: a flat JSON object with the keys of --json. May be called again, to change it.
  void finish(std::int64_t run, const std::string& summary);

  /// Measured once a run: a second call replaces the first.
  void set_speed(std::int64_t run, const Speed& speed);
  std::optional<Speed> speed(std::int64_t run) const;

  /// In the order they were begun.
  std::vector<StoredRun> runs() const;
  /// One of them; throws Error where it is not there.
  StoredRun run(std::int64_t run) const;

  /// Facts that are not about one run, by keys of their writer's choice.
  std::optional<std::string> note(const std::string& key) const;
  void set_note(const std::string& key, const std::string& value);

 private:
  class Statement;
  class Transaction;

  void execute(const char* sql) const;
  std::int64_t pragma(const char* sql) const;
  void open_file();
  void prepare_file();
  /// Throws Error for an SQLite result code.
  [[noreturn]] void fail(int code) const;
  double seconds_since_last(std::int64_t run);

  std::string path_;
  Access access_;
  sqlite3* database_ = nullptr;
  std::map<std::int64_t, std::chrono::steady_clock::time_point> last_;  // by run
};

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_STORE_H_
