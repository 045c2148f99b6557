#include "tools/qeval/store.h"

#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "brink/core/error.h"
#include "brink/core/fingerprint.h"
#include "brink/cpu/kernels.h"
#include "tools/support/shell_word.h"

namespace brink::tools {
namespace {

constexpr std::int64_t kApplicationId = 0x62726e6b;  // "brnk": tells a store from other databases
constexpr std::int64_t kSchemaVersion = 1;
constexpr int kBusyMilliseconds = 5000;

constexpr const char* kSchema = R"sql(
CREATE TABLE runs (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  model TEXT NOT NULL,
  model_name TEXT NOT NULL,
  model_hash TEXT NOT NULL,
  weights TEXT NOT NULL,
  bits_per_weight REAL NOT NULL,
  file_bytes INTEGER NOT NULL,
  activations TEXT NOT NULL,
  kv_type TEXT NOT NULL,
  backend TEXT NOT NULL,
  data TEXT NOT NULL,
  data_hash TEXT NOT NULL,
  base_hash TEXT NOT NULL,
  options TEXT NOT NULL,
  threads INTEGER NOT NULL,
  started TEXT NOT NULL,
  finished TEXT,
  seconds REAL NOT NULL,
  version TEXT NOT NULL,
  machine TEXT NOT NULL,
  command TEXT NOT NULL,
  summary TEXT NOT NULL
);
CREATE TABLE items (
  run INTEGER NOT NULL REFERENCES runs (id),
  number INTEGER NOT NULL,
  id TEXT NOT NULL,
  cluster TEXT NOT NULL,
  output TEXT NOT NULL,
  score REAL NOT NULL,
  correct INTEGER NOT NULL,
  parsed INTEGER NOT NULL,
  truncated INTEGER NOT NULL,
  invented INTEGER,
  log_probability REAL,
  details TEXT NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (run, number)
);
CREATE TABLE speed (
  run INTEGER PRIMARY KEY REFERENCES runs (id),
  load_seconds REAL NOT NULL,
  prompt_tokens_per_second REAL NOT NULL,
  generation_tokens_per_second REAL NOT NULL,
  peak_bytes INTEGER NOT NULL,
  warm INTEGER NOT NULL
);
CREATE TABLE notes (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
);
)sql";

std::string now() {
  const std::time_t time = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&time, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

std::string machine() {
  std::string processor = "unknown processor";
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const std::size_t colon = line.find(": ");
    if (!line.starts_with("model name") || colon == std::string::npos) continue;
    processor = line.substr(colon + 2);
    break;
  }
  return processor + ", " + best_kernels().name;
}

bool exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

// As the path of a URI.
std::string uri_of(const std::string& path) {
  std::string text;
  for (const char c : path) {
    char escaped[8];
    std::snprintf(escaped, sizeof escaped, "%%%02X", static_cast<unsigned char>(c));
    text += c == '%' || c == '?' || c == '#' ? std::string(escaped) : std::string(1, c);
  }
  return text;
}

// The command line of this process as a shell reads it.
std::string command() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::string text;
  for (std::size_t begin = 0; begin < bytes.size();) {
    const std::size_t end = std::min(bytes.find('\0', begin), bytes.size());
    text += (text.empty() ? "" : " ") + shell_word(bytes.substr(begin, end - begin));
    begin = end + 1;
  }
  return text;
}

}  // namespace

std::string RunConfig::key() const {
  Fingerprint sum;
  for (const std::string& part : {std::string("run 1"), kind, model_hash, activations, kv_type,
                                  backend, data_hash, base_hash, options}) {
    sum.add(std::to_string(part.size()) + ":");  // so that parts cannot run into each other
    sum.add(part);
  }
  return sum.hex();
}

// Values are bound and read in order.
class Store::Statement {
 public:
  Statement(const Store& store, const char* sql) : store_(store) {
    check(sqlite3_prepare_v2(store.database_, sql, -1, &statement_, nullptr));
  }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() { sqlite3_finalize(statement_); }

  Statement& operator<<(const std::string& text) {
    check(sqlite3_bind_text64(statement_, ++bound_, text.data(), text.size(), SQLITE_TRANSIENT,
                              SQLITE_UTF8));
    return *this;
  }
  Statement& operator<<(std::int64_t value) {
    check(sqlite3_bind_int64(statement_, ++bound_, value));
    return *this;
  }
  Statement& operator<<(std::uint64_t value) { return *this << static_cast<std::int64_t>(value); }
  Statement& operator<<(unsigned value) { return *this << std::int64_t{value}; }
  Statement& operator<<(bool value) { return *this << std::int64_t{value}; }
  Statement& operator<<(double value) {
    check(sqlite3_bind_double(statement_, ++bound_, value));
    return *this;
  }
  template <class T>
  Statement& operator<<(const std::optional<T>& value) {
    if (value) return *this << *value;
    check(sqlite3_bind_null(statement_, ++bound_));
    return *this;
  }
  Statement& bind_bytes(const std::string& bytes) {
    check(sqlite3_bind_blob64(statement_, ++bound_, bytes.data(), bytes.size(), SQLITE_TRANSIENT));
    return *this;
  }

  /// False when there is no further row.
  bool step() {
    const int code = sqlite3_step(statement_);
    read_ = 0;
    if (code != SQLITE_ROW && code != SQLITE_DONE) store_.fail(code);
    return code == SQLITE_ROW;
  }
  /// For statements without rows; the result code of a violated constraint is returned.
  int run() {
    const int code = sqlite3_step(statement_);
    if (code == SQLITE_DONE || (code & 0xff) == SQLITE_CONSTRAINT) return code;
    store_.fail(code);
  }

  Statement& operator>>(std::string& text) {
    // Bytes are asked for after the pointer: the other order may convert twice.
    const void* data = sqlite3_column_blob(statement_, read_);
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, read_++));
    text.assign(static_cast<const char*>(data), data == nullptr ? 0 : size);
    return *this;
  }
  Statement& operator>>(std::int64_t& value) {
    value = sqlite3_column_int64(statement_, read_++);
    return *this;
  }
  Statement& operator>>(std::uint64_t& value) {
    value = static_cast<std::uint64_t>(sqlite3_column_int64(statement_, read_++));
    return *this;
  }
  Statement& operator>>(unsigned& value) {
    value = static_cast<unsigned>(sqlite3_column_int64(statement_, read_++));
    return *this;
  }
  Statement& operator>>(bool& value) {
    value = sqlite3_column_int64(statement_, read_++) != 0;
    return *this;
  }
  Statement& operator>>(double& value) {
    value = sqlite3_column_double(statement_, read_++);
    return *this;
  }
  template <class T>
  Statement& operator>>(std::optional<T>& value) {
    if (sqlite3_column_type(statement_, read_) == SQLITE_NULL) {
      ++read_;
      value.reset();
      return *this;
    }
    return *this >> value.emplace();
  }

 private:
  void check(int code) const {
    if (code != SQLITE_OK) store_.fail(code);
  }

  const Store& store_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;  // parameters count from 1
  int read_ = 0;   // columns from 0
};

// Undone unless committed. Takes the write lock at once, so that it cannot fail for a lock later.
class Store::Transaction {
 public:
  explicit Transaction(const Store& store)
      : store_(store), done_(sqlite3_get_autocommit(store.database_) == 0), inner_(done_) {
    if (!inner_) store.execute("BEGIN IMMEDIATE");
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction() {
    if (!done_) sqlite3_exec(store_.database_, "ROLLBACK", nullptr, nullptr, nullptr);
  }
  void commit() {
    if (inner_) return;
    store_.execute("COMMIT");
    done_ = true;
  }

 private:
  const Store& store_;
  bool done_;
  const bool inner_;  // of another transaction, which decides
};

void Store::fail(int code) const {
  const int system = sqlite3_system_errno(database_);
  const std::string reason = system != 0 ? std::string(": ") + std::strerror(system) : "";
  const auto error = [&](const std::string& message) { return Error(message, {.file = path_}); };
  switch (code & 0xff) {
    case SQLITE_NOTADB:
      throw error("is no store of results");
    case SQLITE_CORRUPT:
      throw error("is damaged: " + std::string(sqlite3_errmsg(database_)));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw error("is locked by another process");
    case SQLITE_FULL:
      throw error("cannot write: the disk is full");
    case SQLITE_CANTOPEN: {
      // SQLite tries to read what it may not create, and then knows only that it is not there.
      const std::string folder = folder_of(path_);
      const bool creates = access_ == Access::kWrite || exists(path_);
      if (creates && exists(folder) && ::access(folder.c_str(), W_OK) != 0)
        throw error(std::string("cannot open: its folder cannot be written to: ") +
                    std::strerror(errno));
      throw error("cannot open" + reason);
    }
    case SQLITE_READONLY:
      throw error("cannot be written to");
    case SQLITE_IOERR:
      throw error("cannot be read or written: " + std::string(sqlite3_errmsg(database_)) + reason);
    default:
      throw error(sqlite3_errmsg(database_));
  }
}

void Store::execute(const char* sql) const {
  const int code = sqlite3_exec(database_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) fail(code);
}

std::int64_t Store::pragma(const char* sql) const {
  Statement statement(*this, sql);
  std::int64_t value = 0;
  if (statement.step()) statement >> value;
  return value;
}

Store::Store(std::string path, Access access) : path_(std::move(path)), access_(access) {
  try {
    open_file();
    prepare_file();
  } catch (...) {
    sqlite3_close(database_);
    throw;
  }
}

void Store::open_file() {
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
  std::string name = path_;
  if (access_ == Access::kWrite) flags |= SQLITE_OPEN_CREATE;
  // A store is read with the rights to write where there are any, for only then the last reader
  // takes its log and index away. Where there are none, and no log either, nobody writes to it.
  if (access_ == Access::kRead && exists(path_) && !exists(path_ + "-wal") &&
      (::access(path_.c_str(), W_OK) != 0 || ::access(folder_of(path_).c_str(), W_OK) != 0)) {
    flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI;
    name = "file://" + uri_of(std::filesystem::absolute(path_).string()) + "?immutable=1";
  }
  const int code = sqlite3_open_v2(name.c_str(), &database_, flags, nullptr);
  if (database_ == nullptr) throw Error("not enough memory", {.file = path_});
  if (code != SQLITE_OK) fail(code);
}

Store::~Store() { sqlite3_close(database_); }

void Store::prepare_file() {
  sqlite3_extended_result_codes(database_, 1);
  sqlite3_busy_timeout(database_, kBusyMilliseconds);
  const auto check = [&] {
    if (pragma("PRAGMA application_id") != kApplicationId)
      throw Error("is no store of results", {.file = path_});
    if (const std::int64_t version = pragma("PRAGMA user_version"); version != kSchemaVersion)
      throw Error("is a store of version " + std::to_string(version) + "; this program knows " +
                      std::to_string(kSchemaVersion),
                  {.file = path_});
  };
  const auto empty = [&] { return pragma("SELECT count(*) FROM sqlite_schema") == 0; };
  if (access_ == Access::kRead || !empty()) check();
  if (access_ == Access::kRead) {
    execute("PRAGMA query_only = ON");
    return;
  }
  // Written by appending to a log: readers do not wait for a writer, and what was committed is
  // there after a kill. With synchronous = NORMAL the log is not forced to the disk at every
  // commit, so that a power failure may take the last commits, but no part of one.
  if (Statement mode(*this, "PRAGMA journal_mode = WAL"); mode.step()) {
    std::string name;
    mode >> name;
    if (name != "wal") throw Error("cannot be kept here: no write-ahead log", {.file = path_});
  }
  execute("PRAGMA synchronous = NORMAL");
  execute("PRAGMA foreign_keys = ON");
  Transaction transaction(*this);
  if (empty()) {  // another process may have been faster
    execute(kSchema);
    execute(("PRAGMA application_id = " + std::to_string(kApplicationId)).c_str());
    execute(("PRAGMA user_version = " + std::to_string(kSchemaVersion)).c_str());
  }
  check();
  transaction.commit();
}

std::optional<std::int64_t> Store::find(const RunConfig& config) const {
  Statement statement(*this, "SELECT id FROM runs WHERE key = ?");
  statement << config.key();
  if (!statement.step()) return {};
  std::int64_t run = 0;
  statement >> run;
  return run;
}

std::int64_t Store::open(const RunConfig& config) {
  Transaction transaction(*this);
  std::optional<std::int64_t> run = find(config);
  if (!run) {
    Statement statement(
        *this,
        "INSERT INTO runs (key, kind, model, model_name, model_hash, weights, "
        "bits_per_weight, file_bytes, activations, kv_type, backend, data, "
        "data_hash, base_hash, options, threads, started, seconds, version, "
        "machine, command, summary) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, '')");
    statement << config.key() << config.kind << config.model << config.model_name
              << config.model_hash << config.weights << config.bits_per_weight << config.file_bytes
              << config.activations << config.kv_type << config.backend << config.data
              << config.data_hash << config.base_hash << config.options << config.threads << now()
              << std::string(BRINK_VERSION) << machine() << command();
    if (const int code = statement.run(); code != SQLITE_DONE) fail(code);
    run = sqlite3_last_insert_rowid(database_);
  }
  transaction.commit();
  last_[*run] = std::chrono::steady_clock::now();
  return *run;
}

bool Store::finished(std::int64_t run) const {
  Statement statement(*this, "SELECT finished IS NOT NULL FROM runs WHERE id = ?");
  statement << run;
  bool finished = false;
  if (statement.step()) statement >> finished;
  return finished;
}

std::vector<Item> Store::items(std::int64_t run) const {
  Statement statement(*this,
                      "SELECT number, id, cluster, output, score, correct, parsed, truncated, "
                      "invented, log_probability, details, data FROM items WHERE run = ? "
                      "ORDER BY number");
  statement << run;
  std::vector<Item> items;
  while (statement.step()) {
    Item& item = items.emplace_back();
    statement >> item.index >> item.id >> item.cluster >> item.output >> item.score >>
        item.correct >> item.parsed >> item.truncated >> item.invented >> item.log_probability >>
        item.details >> item.values;
  }
  return items;
}

double Store::seconds_since_last(std::int64_t run) {
  const auto now = std::chrono::steady_clock::now();
  const auto [place, first] = last_.try_emplace(run, now);
  const std::chrono::duration<double> seconds = now - std::exchange(place->second, now);
  return seconds.count();
}

void Store::add(std::int64_t run, std::span<const Item> items) {
  Transaction transaction(*this);
  for (const Item& item : items) {
    Statement statement(*this,
                        "INSERT INTO items (run, number, id, cluster, output, score, correct, "
                        "parsed, truncated, invented, log_probability, details, data) "
                        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    statement << run << item.index << item.id << item.cluster << item.output << item.score
              << item.correct << item.parsed << item.truncated << item.invented
              << item.log_probability << item.details;
    statement.bind_bytes(item.values);
    const int code = statement.run();
    if (code == SQLITE_CONSTRAINT_PRIMARYKEY)
      throw Error("item " + std::to_string(item.index) + " of run " + std::to_string(run) +
                      " is there already: is another process working on it?",
                  {.file = path_});
    if (code != SQLITE_DONE) fail(code);
  }
  Statement time(*this, "UPDATE runs SET seconds = seconds + ? WHERE id = ?");
  time << seconds_since_last(run) << run;
  time.run();
  transaction.commit();
}

void Store::together(const std::function<void()>& work) {
  Transaction transaction(*this);
  work();
  transaction.commit();
}

void Store::replace(std::int64_t run, const Item& item) {
  Statement statement(*this,
                      "UPDATE items SET id = ?, cluster = ?, output = ?, score = ?, correct = ?, "
                      "parsed = ?, truncated = ?, invented = ?, log_probability = ?, details = ?, "
                      "data = ? WHERE run = ? AND number = ?");
  statement << item.id << item.cluster << item.output << item.score << item.correct << item.parsed
            << item.truncated << item.invented << item.log_probability << item.details;
  statement.bind_bytes(item.values);
  statement << run << item.index;
  if (const int code = statement.run(); code != SQLITE_DONE) fail(code);
  if (sqlite3_changes(database_) != 1)
    throw Error(
        "run " + std::to_string(run) + " has no item " + std::to_string(item.index) + " to replace",
        {.file = path_});
}

void Store::finish(std::int64_t run, const std::string& summary) {
  Statement statement(*this,
                      "UPDATE runs SET finished = ?, seconds = seconds + ?, summary = ? "
                      "WHERE id = ?");
  statement << now() << seconds_since_last(run) << summary << run;
  statement.run();
  if (sqlite3_changes(database_) != 1)
    throw Error("has no run " + std::to_string(run), {.file = path_});
}

void Store::set_speed(std::int64_t run, const Speed& speed) {
  Statement statement(*this, "INSERT OR REPLACE INTO speed VALUES (?, ?, ?, ?, ?, ?)");
  statement << run << speed.load_seconds << speed.prompt_tokens_per_second
            << speed.generation_tokens_per_second << speed.peak_bytes << speed.warm;
  if (const int code = statement.run(); code != SQLITE_DONE) fail(code);
}

std::optional<Speed> Store::speed(std::int64_t run) const {
  Statement statement(*this,
                      "SELECT load_seconds, prompt_tokens_per_second, "
                      "generation_tokens_per_second, peak_bytes, warm FROM speed WHERE run = ?");
  statement << run;
  if (!statement.step()) return {};
  Speed speed;
  statement >> speed.load_seconds >> speed.prompt_tokens_per_second >>
      speed.generation_tokens_per_second >> speed.peak_bytes >> speed.warm;
  return speed;
}

std::optional<std::string> Store::note(const std::string& key) const {
  Statement statement(*this, "SELECT value FROM notes WHERE key = ?");
  statement << key;
  if (!statement.step()) return {};
  std::string value;
  statement >> value;
  return value;
}

void Store::set_note(const std::string& key, const std::string& value) {
  Statement statement(*this, "INSERT OR REPLACE INTO notes VALUES (?, ?)");
  statement << key << value;
  if (const int code = statement.run(); code != SQLITE_DONE) fail(code);
}

namespace {

// Columns of a run, and how they are read: in the same order.
constexpr const char* kSelectRuns =
    "SELECT id, kind, model, model_name, model_hash, weights, bits_per_weight, file_bytes, "
    "activations, kv_type, backend, data, data_hash, base_hash, options, threads, started, "
    "finished, seconds, version, machine, command, summary, "
    "(SELECT count(*) FROM items WHERE items.run = runs.id) FROM runs ";

void read_row(auto& statement, StoredRun& run) {
  RunConfig& c = run.config;
  statement >> run.id >> c.kind >> c.model >> c.model_name >> c.model_hash >> c.weights >>
      c.bits_per_weight >> c.file_bytes >> c.activations >> c.kv_type >> c.backend >> c.data >>
      c.data_hash >> c.base_hash >> c.options >> c.threads >> run.started >> run.finished >>
      run.seconds >> run.version >> run.machine >> run.command >> run.summary >> run.items;
}

}  // namespace

std::vector<StoredRun> Store::runs() const {
  Statement statement(*this, (kSelectRuns + std::string("ORDER BY id")).c_str());
  std::vector<StoredRun> runs;
  while (statement.step()) read_row(statement, runs.emplace_back());
  return runs;
}

StoredRun Store::run(std::int64_t run) const {
  Statement statement(*this, (kSelectRuns + std::string("WHERE id = ?")).c_str());
  statement << run;
  if (!statement.step()) throw Error("has no run " + std::to_string(run), {.file = path_});
  StoredRun stored;
  read_row(statement, stored);
  return stored;
}

}  // namespace brink::tools
