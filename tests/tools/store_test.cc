// The store of results: what is written is read back, whatever happens to the process; files that
// are no store, locks and full disks are named.
#include "tools/qeval/store.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <limits>
#include <random>
#include <string>
#include <thread>

#include "brink/core/error.h"
#include "tests/support/temporary_folder.h"

namespace brink::testing {
namespace {

using tools::Item;
using tools::RunConfig;
using tools::Speed;
using tools::Store;
using tools::StoredRun;

RunConfig config_of(const std::string& weights) {
  RunConfig config;
  config.kind = "tasks";
  config.model = "/models/a.gguf";
  config.model_name = "A";
  config.model_hash = "hash of " + weights;
  config.weights = weights;
  config.bits_per_weight = 4.5;
  config.file_bytes = std::uint64_t{5} << 40;
  config.activations = "q8";
  config.kv_type = "f16";
  config.data = "/tasks/t.jsonl";
  config.data_hash = "0123";
  config.options = R"({"shots":0})";
  config.threads = 2;
  return config;
}

// An item whose content is known from its index.
Item item_of(std::int64_t index) {
  Item item;
  item.index = index;
  item.id = "q" + std::to_string(index);
  item.cluster = index % 3 == 0 ? "" : "c" + std::to_string(index / 3);
  item.output = std::string(static_cast<std::size_t>(index * 37 % 900), 'x') + "\0\xff 'quoted'\n";
  item.output += std::string(1, '\0') + "after";
  item.score = 1.0 / static_cast<double>(index + 3);
  item.correct = index % 2 == 0;
  item.parsed = index % 5 != 0;
  item.truncated = index % 7 == 0;
  if (index % 4 != 0) item.invented = index % 4 == 1;
  if (index % 3 != 0) item.log_probability = -0.1 * static_cast<double>(index);
  if (index == 4) item.log_probability = -std::numeric_limits<double>::infinity();
  item.details = R"({"n":)" + std::to_string(index) + "}";
  for (int i = 0; i < 300; ++i) item.values += static_cast<char>(index * 31 + i);
  return item;
}

void expect_equal(const Item& a, const Item& b) {
  EXPECT_EQ(a.index, b.index);
  EXPECT_EQ(a.id, b.id);
  EXPECT_EQ(a.cluster, b.cluster);
  EXPECT_EQ(a.output, b.output);
  EXPECT_EQ(a.score, b.score);
  EXPECT_EQ(a.correct, b.correct);
  EXPECT_EQ(a.parsed, b.parsed);
  EXPECT_EQ(a.truncated, b.truncated);
  EXPECT_EQ(a.invented, b.invented);
  EXPECT_EQ(a.log_probability, b.log_probability);
  EXPECT_EQ(a.details, b.details);
  EXPECT_EQ(a.values, b.values);
}

template <class F>
std::string error_of(F&& fn) {
  try {
    fn();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "no error";
}

#define EXPECT_ERROR(statement, part)                                        \
  do {                                                                       \
    const std::string message = error_of([&] { statement; });                \
    EXPECT_NE(message.find(part), std::string::npos) << "says: " << message; \
  } while (false)

class StoreTest : public ::testing::Test {
 protected:
  std::string path() const { return folder_.path("results.sqlite"); }
  // SQL beside the store's own.
  void execute(const std::string& file, const std::string& sql) {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(file.c_str(), &database), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(database);
    sqlite3_close(database);
  }
  TemporaryFolder folder_;
};

TEST_F(StoreTest, WhatIsWrittenIsRead) {
  const RunConfig config = config_of("Q4_K_M");
  {
    Store store(path());
    const std::int64_t run = store.open(config);
    for (std::int64_t i = 9; i >= 0; --i) store.add(run, item_of(i));
    const std::vector<Item> more = {item_of(10), item_of(11)};
    store.add(run, more);
    EXPECT_FALSE(store.finished(run));
    EXPECT_FALSE(store.speed(run).has_value());
    store.set_speed(run, {9, 9, 9, 9, true});
    store.set_speed(run, {0.25, 1000.5, 31.25, 123456789012, false});
    store.finish(run, R"({"accuracy":0.5})");
    EXPECT_TRUE(store.finished(run));
    EXPECT_NE(store.open(config_of("Q8_0")), run);
    store.set_note("a", "1");
    store.set_note("a", "2");
  }
  const Store store(path(), Store::Access::kRead);
  const std::int64_t run = store.find(config).value();
  const std::vector<Item> items = store.items(run);
  ASSERT_EQ(items.size(), 12u);
  for (std::int64_t i = 0; i < 12; ++i)
    expect_equal(items[static_cast<std::size_t>(i)], item_of(i));
  const std::vector<StoredRun> runs = store.runs();
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].id, run);
  EXPECT_EQ(runs[0].items, 12u);
  EXPECT_EQ(store.run(run).items, 12u);
  EXPECT_EQ(store.run(run).summary, runs[0].summary);
  EXPECT_EQ(store.run(runs[1].id).config.key(), runs[1].config.key());
  EXPECT_THROW(store.run(runs[1].id + 1), Error);
  EXPECT_EQ(runs[0].config.key(), config.key());
  EXPECT_EQ(runs[0].config.model, config.model);
  EXPECT_EQ(runs[0].config.model_name, config.model_name);
  EXPECT_EQ(runs[0].config.weights, config.weights);
  EXPECT_EQ(runs[0].config.bits_per_weight, config.bits_per_weight);
  EXPECT_EQ(runs[0].config.file_bytes, config.file_bytes);
  EXPECT_EQ(runs[0].config.data, config.data);
  EXPECT_EQ(runs[0].config.threads, config.threads);
  EXPECT_EQ(runs[0].summary, R"({"accuracy":0.5})");
  EXPECT_EQ(runs[0].started.size(), std::string("2026-08-01T12:00:00Z").size());
  EXPECT_TRUE(runs[0].finished.has_value());
  EXPECT_FALSE(runs[1].finished.has_value());
  EXPECT_GT(runs[0].seconds, 0);
  EXPECT_NE(runs[0].command.find("store_test"), std::string::npos);
  EXPECT_FALSE(runs[0].version.empty());
  EXPECT_FALSE(runs[0].machine.empty());
  const Speed speed = store.speed(run).value();
  EXPECT_EQ(speed.load_seconds, 0.25);
  EXPECT_EQ(speed.prompt_tokens_per_second, 1000.5);
  EXPECT_EQ(speed.generation_tokens_per_second, 31.25);
  EXPECT_EQ(speed.peak_bytes, 123456789012u);
  EXPECT_FALSE(speed.warm);
  EXPECT_EQ(store.note("a"), "2");
  EXPECT_FALSE(store.note("b").has_value());
}

TEST_F(StoreTest, KeysStandForWhatDecidesResults) {
  const RunConfig config = config_of("F16");
  const std::string key = config.key();
  EXPECT_EQ(key.size(), 32u);
  for (std::string RunConfig::*field :
       {&RunConfig::kind, &RunConfig::model_hash, &RunConfig::activations, &RunConfig::kv_type,
        &RunConfig::backend, &RunConfig::data_hash, &RunConfig::base_hash, &RunConfig::options}) {
    RunConfig other = config;
    other.*field += "x";
    EXPECT_NE(other.key(), key);
  }
  RunConfig shifted = config;
  shifted.activations = "q8f";
  shifted.kv_type = "16";
  EXPECT_NE(shifted.key(), key);
  RunConfig same = config;
  same.model = same.model_name = same.weights = same.data = "elsewhere";
  same.bits_per_weight = 1;
  same.file_bytes = 1;
  same.threads = 7;
  EXPECT_EQ(same.key(), key);
  Store store(path());
  EXPECT_EQ(store.open(config), store.open(same));
}

TEST_F(StoreTest, ItemsAreNeitherRepeatedNorLost) {
  Store store(path());
  const std::int64_t run = store.open(config_of("F16"));
  store.add(run, item_of(0));
  EXPECT_ERROR(store.add(run, item_of(0)), "item 0 of run 1 is there already");
  // All or none of a batch.
  const std::vector<Item> batch = {item_of(1), item_of(2), item_of(0)};
  EXPECT_ERROR(store.add(run, batch), "is there already");
  EXPECT_EQ(store.items(run).size(), 1u);
  Item item = item_of(3);
  item.score = std::numeric_limits<double>::quiet_NaN();
  EXPECT_ERROR(store.add(run, item), "items.score");
  EXPECT_ERROR(store.add(run + 1, item_of(1)), "FOREIGN KEY");
  EXPECT_ERROR(store.replace(run, item_of(1)), "no item 1");
  EXPECT_ERROR(store.finish(run + 1, ""), "no run 2");
  item = item_of(0);
  item.correct = !item.correct;
  item.details = "regraded";
  store.replace(run, item);
  ASSERT_EQ(store.items(run).size(), 1u);
  expect_equal(store.items(run)[0], item);
}

TEST_F(StoreTest, FilesThatAreNoStoreAreNamed) {
  EXPECT_ERROR(Store(path(), Store::Access::kRead), "results.sqlite: cannot open: No such file");
  EXPECT_FALSE(std::filesystem::exists(path()));
  EXPECT_ERROR(Store(folder_.path("")), "cannot open");
  EXPECT_ERROR(Store("/none/results.sqlite"), "cannot open: No such file");
  const std::string text = folder_.write("text", std::string(5000, 'a'));
  EXPECT_ERROR(Store{text}, "is no store of results");
  EXPECT_EQ(read_bytes(text), std::string(5000, 'a'));
  const std::string other = folder_.path("other.sqlite");
  execute(other, "CREATE TABLE runs (id)");
  const std::string before = read_bytes(other);
  EXPECT_ERROR(Store{other}, "is no store of results");
  EXPECT_EQ(read_bytes(other), before);
  { Store store(path()); }
  execute(path(), "PRAGMA user_version = 99");
  EXPECT_ERROR(Store{path()}, "is a store of version 99; this program knows 1");
  EXPECT_ERROR(Store(path(), Store::Access::kRead), "version 99");
}

TEST_F(StoreTest, DamageIsNamedOrHarmless) {
  {
    Store store(path());
    const std::int64_t run = store.open(config_of("F16"));
    for (std::int64_t i = 0; i < 200; ++i) store.add(run, item_of(i));
  }
  const std::string bytes = read_bytes(path());
  std::size_t named = 0;
  for (const std::size_t keep :
       {bytes.size() / 2, std::size_t{4096}, std::size_t{100}, std::size_t{16}}) {
    folder_.write("results.sqlite", bytes.substr(0, keep));
    const std::string message = error_of([&] {
      Store store(path());
      store.items(store.open(config_of("F16")));
    });
    EXPECT_TRUE(message.find("damaged") != std::string::npos ||
                message.find("no store") != std::string::npos)
        << keep << ": " << message;
  }
  std::mt19937 random(1);
  for (int i = 0; i < 100; ++i) {
    std::string damaged = bytes;
    for (int j = 0; j < 50; ++j) damaged[random() % damaged.size()] = static_cast<char>(random());
    folder_.write("results.sqlite", damaged);
    const std::string message = error_of([&] {
      Store store(path());
      for (const StoredRun& run : store.runs()) store.items(run.id);
    });
    named += message != "no error";
  }
  EXPECT_GT(named, 0u);
}

TEST_F(StoreTest, ALockIsWaitedForAndThenNamed) {
  Store store(path());
  const std::int64_t run = store.open(config_of("F16"));
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &other), SQLITE_OK);
  const auto lock = [&] {
    ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  };
  lock();
  std::thread holder([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    sqlite3_exec(other, "COMMIT", nullptr, nullptr, nullptr);
  });
  store.add(run, item_of(0));
  holder.join();
  lock();
  EXPECT_ERROR(store.add(run, item_of(1)), "results.sqlite: is locked by another process");
  EXPECT_EQ(store.items(run).size(), 1u);  // reading waits for nobody
  sqlite3_close(other);
  store.add(run, item_of(1));
  EXPECT_EQ(store.items(run).size(), 2u);
}

TEST_F(StoreTest, TogetherIsAllOrNothing) {
  Store store(path());
  const std::int64_t run = store.open(config_of("F16"));
  store.add(run, item_of(0));
  Item changed = item_of(0);
  changed.output = "changed";
  EXPECT_ERROR(store.together([&] {
    store.replace(run, changed);
    store.add(store.open(config_of("Q8_0")), item_of(1));
    store.replace(run, item_of(1));
  }),
               "no item 1");
  expect_equal(store.items(run)[0], item_of(0));
  EXPECT_EQ(store.runs().size(), 1u);
  store.together([&] {
    store.replace(run, changed);
    store.add(run, item_of(1));
  });
  EXPECT_EQ(store.items(run)[0].output, "changed");
  EXPECT_EQ(store.items(run).size(), 2u);
}

TEST_F(StoreTest, AReaderLeavesNothingBehind) {
  {
    Store store(path());
    store.add(store.open(config_of("F16")), item_of(0));
  }
  const auto files = [&] {
    return std::distance(std::filesystem::directory_iterator(folder_.path("")), {});
  };
  ASSERT_EQ(files(), 1);
  {
    Store store(path(), Store::Access::kRead);
    EXPECT_EQ(store.runs().size(), 1u);
    EXPECT_ERROR(store.set_note("a", "b"), "cannot be written");
  }
  EXPECT_EQ(files(), 1);
}

// Runs `body` in a process of its own; its exit code, or -1 when a signal ended it.
template <class F>
pid_t start(F&& body) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  try {
    ::_exit(body());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "child: %s\n", error.what());
    ::_exit(99);
  }
}

int wait_for(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// A store on a medium that cannot be written to, or of somebody else.
TEST_F(StoreTest, WhatMayNotBeWrittenIsReadAndNamed) {
  if (::geteuid() != 0) GTEST_SKIP() << "takes another user";
  const std::string folder = folder_.path("a #1%20?");
  const std::string file = folder + "/results.sqlite";
  std::filesystem::create_directory(folder);
  {
    Store store(file);
    store.add(store.open(config_of("F16")), item_of(0));
  }
  std::filesystem::permissions(folder_.path(""), std::filesystem::perms(0755));
  std::filesystem::permissions(folder, std::filesystem::perms(0555));
  const pid_t child = start([&] {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) return 2;
    if (Store(file, Store::Access::kRead).runs().size() != 1) return 3;
    EXPECT_ERROR(Store(folder + "/new.sqlite"),
                 "new.sqlite: cannot open: its folder cannot be written to: Permission denied");
    EXPECT_ERROR(Store(folder + "/new.sqlite", Store::Access::kRead),
                 "new.sqlite: cannot open: No such file");
    return ::testing::Test::HasFailure() ? 1 : 0;
  });
  EXPECT_EQ(wait_for(child), 0);
}

TEST_F(StoreTest, AFullDiskLosesNothing) {
  const pid_t child = start([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    Store store(path());
    const std::int64_t run = store.open(config_of("F16"));
    const rlimit limit = {200000, 200000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    for (std::int64_t i = 0;; ++i) {
      const std::string message = error_of([&] { store.add(run, item_of(i)); });
      if (message == "no error") continue;
      const bool named =
          message.find("results.sqlite: cannot be read or written: disk I/O error") !=
          std::string::npos;
      return named && i > 10 && static_cast<std::int64_t>(store.items(run).size()) == i ? 0 : 1;
    }
  });
  ASSERT_EQ(wait_for(child), 0);
  Store store(path());
  const std::int64_t run = store.open(config_of("F16"));
  const std::vector<Item> items = store.items(run);
  ASSERT_GT(items.size(), 10u);
  for (std::size_t i = 0; i < items.size(); ++i)
    expect_equal(items[i], item_of(static_cast<std::int64_t>(i)));
  store.add(run, item_of(static_cast<std::int64_t>(items.size())));
}

// A run is killed again and again, and each time goes on after what it has.
TEST_F(StoreTest, KilledAtAnyMomentItemsAreThereExactlyOnce) {
  constexpr std::int64_t kItems = 600;
  constexpr int kMostKills = 150;
  std::mt19937 random(7);
  int kills = 0;
  std::size_t before = 0;
  for (bool finished = false; !finished;) {
    int started[2];
    ASSERT_EQ(::pipe(started), 0);
    const pid_t child = start([&] {
      Store store(path());
      const std::int64_t run = store.open(config_of("F16"));
      auto next = static_cast<std::int64_t>(store.items(run).size());
      if (::write(started[1], "", 1) != 1) return 1;
      while (next < kItems) {
        // Single items and batches.
        std::vector<Item> batch;
        for (std::int64_t i = 0; i < 1 + next % 4 && next + i < kItems; ++i)
          batch.push_back(item_of(next + i));
        store.add(run, batch);
        next += static_cast<std::int64_t>(batch.size());
      }
      store.finish(run, "{}");
      return 0;
    });
    // Every fourth is killed anywhere, also while it opens the store.
    char byte;
    if (kills % 4 != 3) {
      EXPECT_EQ(::read(started[0], &byte, 1), 1);
    }
    if (kills < kMostKills) {
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 2000));
      ::kill(child, SIGKILL);
    }
    const int code = wait_for(child);
    ::close(started[0]);
    ::close(started[1]);
    ASSERT_TRUE(code == 0 || (code == -1 && kills < kMostKills)) << code;
    kills += code == -1;
    Store store(path());
    const std::int64_t run = store.open(config_of("F16"));
    const std::vector<Item> items = store.items(run);
    ASSERT_GE(items.size(), before);
    before = items.size();
    for (std::size_t i = 0; i < items.size(); ++i)
      ASSERT_EQ(items[i].index, static_cast<std::int64_t>(i));
    finished = store.finished(run);
  }
  EXPECT_GT(kills, 5);
  RecordProperty("kills", kills);
  Store store(path(), Store::Access::kRead);
  ASSERT_EQ(store.runs().size(), 1u);
  const std::vector<Item> items = store.items(store.runs()[0].id);
  ASSERT_EQ(items.size(), static_cast<std::size_t>(kItems));
  for (std::int64_t i = 0; i < kItems; ++i)
    expect_equal(items[static_cast<std::size_t>(i)], item_of(i));
}

// Several processes create one file together and write runs of their own.
TEST_F(StoreTest, ProcessesShareAFile) {
  std::vector<pid_t> children;
  for (int p = 0; p < 6; ++p)
    children.push_back(start([&] {
      Store store(path());
      const std::int64_t run = store.open(config_of(std::to_string(p)));
      for (std::int64_t i = 0; i < 50; ++i) store.add(run, item_of(i));
      store.finish(run, "{}");
      return 0;
    }));
  for (const pid_t child : children) EXPECT_EQ(wait_for(child), 0);
  const Store store(path(), Store::Access::kRead);
  const std::vector<StoredRun> runs = store.runs();
  ASSERT_EQ(runs.size(), 6u);
  for (const StoredRun& run : runs) EXPECT_EQ(run.items, 50u);
}

}  // namespace
}  // namespace brink::testing
