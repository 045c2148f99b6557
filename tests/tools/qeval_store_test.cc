// qeval --store: measurements that are killed at random moments go on and say the same to the last
// bit; what is there is not run again; what is no store is named.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <thread>

#include "brink/gguf/reader.h"
#include "brink/gguf/writer.h"
#include "tests/support/reference_data.h"
#include "tests/tools/tool_fixture.h"
#include "tools/qeval/store.h"
#include "tools/qeval/task_file.h"

namespace brink::testing {
namespace {

using tools::Store;
using tools::StoredRun;

class QevalStoreTest : public ToolTest {
 protected:
  void SetUp() override { BRINK_REQUIRE_REFERENCE_DATA(); }

  static std::string model(const std::string& type) {
    return reference_data("quantized/micro-llama-" + type + ".gguf");
  }
  static std::string text() { return reference_data("text/shakespeare-60k.txt"); }
  std::string store() const { return path("results.sqlite"); }

  // Runs qeval for at most so long, then kills it; whether it ended by itself.
  bool run_and_kill(std::vector<std::string> arguments, std::chrono::microseconds after) {
    arguments.insert(arguments.begin(), "qeval");
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
      const int out = ::open(path("killed").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      ::dup2(out, STDOUT_FILENO);
      ::dup2(out, STDERR_FILENO);
      ::execv(BRINK_BINARY_DIR "/bin/qeval", argv.data());
      ::_exit(127);
    }
    const auto end = std::chrono::steady_clock::now() + after;
    int status = 0;
    while (::waitpid(child, &status, WNOHANG) == 0) {
      if (std::chrono::steady_clock::now() < end) {
        std::this_thread::sleep_for(std::chrono::microseconds(500));
        continue;
      }
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
      break;
    }
    if (WIFEXITED(status)) {
      EXPECT_EQ(WEXITSTATUS(status), 0) << read_file(path("killed"));
    }
    return WIFEXITED(status);
  }

  // What a command prints with nothing in its way; keeps how long that takes.
  Json undisturbed(const std::string& line) {
    const auto begin = std::chrono::steady_clock::now();
    const ToolResult result = run(line);
    takes_ = std::chrono::steady_clock::now() - begin;
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return parse_json(result.out);
  }

  // Kills a measurement again and again; how often a part of its windows was there afterwards. Its
  // last run is left to end.
  std::size_t kill_until_done(const std::vector<std::string>& arguments) {
    std::mt19937 random(11);
    std::set<std::size_t> parts;
    // Longer every time, so that it ends on a slow machine too.
    for (int i = 1;; ++i) {
      const double share = 0.03 + 0.15e-3 * static_cast<double>(random() % 1000) + 0.02 * i;
      if (run_and_kill(arguments,
                       std::chrono::duration_cast<std::chrono::microseconds>(share * takes_))) {
        break;
      }
      if (!std::filesystem::exists(store())) continue;
      const Store store(this->store());
      for (const StoredRun& run : store.runs()) {
        const std::vector<tools::Item> items = store.items(run.id);
        for (std::size_t w = 0; w < items.size(); ++w)
          EXPECT_EQ(items[w].index, static_cast<std::int64_t>(w));
        if (!items.empty() && !run.finished) parts.insert(items.size());
      }
    }
    return parts.size();
  }

  static Json without_rate(Json report) {
    for (Json& row : report) row.erase("tokens_per_second");
    return report;
  }

  static std::string joined(const std::vector<std::string>& arguments) {
    std::string text = "qeval";
    for (const std::string& argument : arguments) text += " '" + argument + "'";
    return text;
  }

 private:
  std::chrono::duration<double> takes_{};
};

TEST_F(QevalStoreTest, AKilledPerplexityGoesOn) {
  std::vector<std::string> arguments = {
      "perplexity", "-m", model("Q4_0"), "-f",     text(),          "-c", "32",        "-b",
      "96",         "-t", "1",           "--json", "--activations", "q8", "--kv-type", "f16"};
  const Json expected = undisturbed(joined(arguments));
  arguments.insert(arguments.end(), {"--store", store()});
  EXPECT_GE(kill_until_done(arguments), 1u);
  // After lines of progress, where that takes long.
  const std::string printed = read_file(path("killed"));
  const Json report = parse_json(printed.substr(printed.find("[\n")));
  EXPECT_EQ(without_rate(report), without_rate(expected));
  // What is there is said again, speed included, with other threads and paths too.
  std::filesystem::copy_file(model("Q4_0"), path("other.gguf"));
  arguments[2] = path("other.gguf");
  arguments[10] = "2";
  Json again = parse_json(run(joined(arguments)).out);
  EXPECT_EQ(again[0]["model"], path("other.gguf"));
  again[0]["model"] = model("Q4_0");
  EXPECT_EQ(again, report);
  const Store store(this->store(), Store::Access::kRead);
  ASSERT_EQ(store.runs().size(), 1u);
  EXPECT_EQ(store.runs()[0].items, expected[0]["windows"]);
  EXPECT_EQ(without_rate({parse_json(store.runs()[0].summary)}), without_rate(expected));
  EXPECT_EQ(store.runs()[0].config.weights, "Q4_0");
  EXPECT_GT(store.runs()[0].config.bits_per_weight, 4.5);
  // A window's sums are those of its tokens.
  double nll = 0, tokens = 0, bytes = 0;
  for (const tools::Item& item : store.items(1)) {
    const Json details = parse_json(item.details);
    nll += details["nll"].get<double>();
    tokens += details["tokens"].get<double>();
    bytes += details["bytes"].get<double>();
    EXPECT_DOUBLE_EQ(item.score, details["nll"].get<double>() / details["tokens"].get<double>());
  }
  EXPECT_NEAR(nll / tokens, expected[0]["nll"].get<double>(), 1e-12);
  EXPECT_NEAR(nll / std::log(2.0) / bytes, expected[0]["bits_per_byte"].get<double>(), 1e-12);
}

TEST_F(QevalStoreTest, AKilledDivergenceGoesOn) {
  std::vector<std::string> arguments = {
      "divergence",  "--base",      model("f32"),    "-m", model("Q4_0"), "-f", text(), "-c",
      "32",          "--windows",   "700",           "-b", "96",          "-t", "1",    "--json",
      "--cache-dir", path("cache"), "--activations", "q8", "--kv-type",   "f16"};
  const Json expected = undisturbed(joined(arguments) + " --delete-cache");
  arguments.insert(arguments.end(), {"--store", store()});
  EXPECT_GE(kill_until_done(arguments), 1u);
  const std::string printed = read_file(path("killed"));
  const Json report = parse_json(printed.substr(printed.find("[\n")));
  EXPECT_EQ(without_rate(report), without_rate(expected));
  // With everything there the base's logits are not needed any more.
  std::filesystem::remove_all(path("cache"));
  const ToolResult again = run(joined(arguments));
  EXPECT_EQ(parse_json(again.out), report);
  EXPECT_TRUE(again.err.empty()) << again.err;
  const Store store(this->store(), Store::Access::kRead);
  ASSERT_EQ(store.runs().size(), 1u);
  double kl = 0, tokens = 0, same = 0;
  for (const tools::Item& item : store.items(1)) {
    const Json details = parse_json(item.details);
    kl += details["kl"].get<double>();
    tokens += details["tokens"].get<double>();
    same += details["same_top"].get<double>();
  }
  EXPECT_NEAR(kl / tokens, expected[0]["kl.mean"].get<double>(), 1e-12);
  EXPECT_DOUBLE_EQ(same / tokens, expected[0]["same_top"].get<double>());
}

TEST_F(QevalStoreTest, OtherSettingsAreOtherRuns) {
  const std::string command = "qeval perplexity -m '" + model("Q4_0") + "' -f '" + text() +
                              "' --store '" + store() + "' --json";
  const std::string other_text = write("text", read_file(text()) + "more");
  const std::vector<std::string> variants = {"-c 64 --windows 4",
                                             "-c 64 --windows 5",
                                             "-c 32 --windows 4",
                                             "-c 64 --windows 4 --activations f32",
                                             "-c 64 --windows 4 --kv-type f32",
                                             "-c 64 --windows 4 -f '" + other_text + "'",
                                             "-c 64 --windows 4 -m '" + model("Q8_0") + "'"};
  for (std::size_t i = 0; i < variants.size(); ++i) {
    std::string line = command;
    if (variants[i].find(" -f ") != std::string::npos)
      line = "qeval perplexity -m '" + model("Q4_0") + "' --store '" + store() + "' --json";
    line += " " + variants[i];
    if (line.find("--activations") == std::string::npos) line += " --activations q8";
    if (line.find("--kv-type") == std::string::npos) line += " --kv-type f16";
    const ToolResult result = run(line);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    // The last one measures both models, one of which is there.
    EXPECT_EQ(Store(store()).runs().size(), i + 1) << variants[i];
  }
}

// The same tensors under another rotary base are another model.
TEST_F(QevalStoreTest, MetadataThatDecideResultsMakeAnotherModel) {
  const auto copy = [&](const std::string& name, float base) {
    const Gguf source = Gguf::open(model("Q4_0"));
    GgufWriter writer(path(name));
    writer.copy_metadata(source);
    writer.set("llama.rope.freq_base", base);
    writer.set("general.name", name);
    for (const GgufTensor& tensor : source.tensors()) writer.declare(tensor, tensor.type);
    for (const GgufTensor& tensor : source.tensors())
      writer.append(tensor.name, {tensor.data, static_cast<std::size_t>(tensor.bytes)});
    writer.finish();
    return path(name);
  };
  std::vector<double> perplexities;
  for (const std::string& file :
       {copy("a.gguf", 10000), copy("b.gguf", 500000), copy("c.gguf", 10000)}) {
    const ToolResult result =
        run("qeval perplexity -m '" + file + "' -f '" + text() +
            "' -c 64 --windows 4 --activations f32 --json --store '" + store() + "'");
    ASSERT_EQ(result.exit_code, 0) << result.err;
    perplexities.push_back(parse_json(result.out)[0]["perplexity"]);
  }
  EXPECT_NE(perplexities[0], perplexities[1]);
  EXPECT_EQ(perplexities[0], perplexities[2]);
  EXPECT_EQ(Store(store()).runs().size(), 2u);
}

TEST_F(QevalStoreTest, RegradingNamesWhatIsDamagedOrNotThere) {
  const std::string task = write("t.jsonl", "{\"question\": \"1 + 1\", \"answer\": \"2\"}\n");
  const std::string other = write("o.jsonl", "{\"question\": \"2 + 2\", \"answer\": \"4\"}\n");
  tools::RunConfig config;
  config.kind = "tasks";
  config.data = task;
  config.data_hash = tools::read_task_file(task).hash;
  config.options = R"({"grader":"exact"})";
  {
    Store store(this->store());
    tools::Item item;
    item.output = "2";
    store.add(store.open(config), item);
  }
  const std::string command = "qeval regrade --store '" + store() + "'";
  const auto fails_with = [&](const std::string& line, const std::string& part) {
    const ToolResult result = run(line);
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_TRUE(result.is_one_error_of("qeval")) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  };
  EXPECT_EQ(run(command).exit_code, 0);
  fails_with(command + " --task '" + other + "'", "has no answers to '" + other + "'");
  std::filesystem::rename(task, path("moved.jsonl"));
  fails_with(command, task + ": is not there any more: --task FILE");
  EXPECT_EQ(run(command + " --task '" + path("moved.jsonl") + "'").exit_code, 0);
  std::filesystem::rename(path("moved.jsonl"), task);
  // Damage in what is kept as JSON.
  config.options = "{";
  {
    Store store(this->store());
    store.add(store.open(config), tools::Item{});
  }
  fails_with(command, store() + ": is damaged: options of run 2");
  config.options = R"({"grader":"gsm8k"})";
  std::filesystem::remove(store());
  {
    Store store(this->store());
    tools::Item item;
    item.details = "[";
    store.add(store.open(config), item);
  }
  fails_with(command, store() + ": is damaged: answers of run 1");
}

TEST_F(QevalStoreTest, WhatIsNoStoreIsNamed) {
  const std::string command =
      "qeval perplexity -m '" + model("Q4_0") + "' -f '" + text() + "' -c 64 --windows 4 --store ";
  const std::string no_store = write("no-store", std::string(4096, 'x'));
  for (const std::string& file : {no_store, std::string("/none/x"), path("")}) {
    const ToolResult result = run(command + "'" + file + "'");
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_TRUE(result.is_one_error_of("qeval")) << result.err;
    EXPECT_NE(result.err.find(file), std::string::npos) << result.err;
  }
  // A full disk: what fits stays, and is gone on from.
  const std::string long_command = "qeval perplexity -m '" + model("Q4_0") + "' -f '" + text() +
                                   "' -c 32 -b 32 --json --store '" + store() + "'";
  const ToolResult full = run(long_command, "ulimit -f 300;");
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_NE(full.err.find("qeval: " + store() + ": cannot be"), std::string::npos) << full.err;
  ASSERT_EQ(Store(store()).runs().size(), 1u);
  EXPECT_GT(Store(store()).runs()[0].items, 3u);
  const ToolResult resumed = run(long_command);
  const ToolResult whole =
      run("qeval perplexity -m '" + model("Q4_0") + "' -f '" + text() + "' -c 32 -b 32 --json");
  EXPECT_EQ(without_rate(parse_json(resumed.out)), without_rate(parse_json(whole.out)));
}

}  // namespace
}  // namespace brink::testing
