// qeval sweep and qeval speed: what they report, that a sweep that is killed goes on and says the
// same, wrong usage.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "brink/gguf/reader.h"
#include "brink/quant/importance.h"
#include "tests/support/reference_data.h"
#include "tests/tools/tool_fixture.h"
#include "tools/qeval/store.h"
#include "tools/qeval/sweep.h"

namespace brink::testing {
namespace {

namespace fs = std::filesystem;
using tools::Store;
using tools::StoredRun;

class QevalSweepTest : public ToolTest {
 protected:
  void SetUp() override {
    BRINK_REQUIRE_REFERENCE_DATA();
    // A copy: --cold drops its pages, and quants are named after it.
    fs::copy_file(reference_data("quantized/micro-llama-f32.gguf"), model());
  }

  std::string model() const { return path("micro.gguf"); }
  std::string store() const { return path("results.sqlite"); }
  std::string work() const { return store() + ".files"; }
  static std::string text() { return reference_data("text/shakespeare-60k.txt"); }

  std::string command(const std::string& quants, const std::string& more) const {
    return "qeval sweep -m '" + model() + "'" + (quants.empty() ? "" : " --quants " + quants) +
           " --store '" + store() + "' -f '" + text() + "' -c 32 --json " + more;
  }

  // Figures that do not depend on the moment.
  static Json lasting(Json report) {
    for (Json& row : report)
      for (const char* key : {"load_seconds", "prompt_tokens_per_second",
                              "generation_tokens_per_second", "peak_bytes", "peak_bytes.saved"})
        row.erase(key);
    return report;
  }
};

TEST_F(QevalSweepTest, MeasuresEveryQuantUnderEverySetting) {
  const ToolResult result = run(command("Q4_0,q8_0", "--windows 8"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json report = parse_json(result.out);
  ASSERT_EQ(report.size(), 6u);
  std::map<std::string, Json> rows;
  for (const Json& row : report)
    rows[row["weights"].get<std::string>() + " " + row["activations"].get<std::string>() + " " +
         row["kv"].get<std::string>()] = row;
  ASSERT_EQ(rows.size(), 6u);
  for (std::size_t i = 1; i < report.size(); ++i)
    EXPECT_GE(report[i - 1]["bytes"], report[i]["bytes"]);
  for (const auto& [name, row] : rows) {
    EXPECT_EQ(row["model"], model()) << name;  // a quant's own file is gone
    EXPECT_EQ(row["perplexity.ci"].size(), 2u) << name;
    EXPECT_GT(row["generation_tokens_per_second"], 0) << name;
    EXPECT_GT(row["prompt_tokens_per_second"], 0) << name;
    EXPECT_GT(row["load_seconds"], 0) << name;
    EXPECT_GT(row["peak_bytes"], 1 << 20) << name;
    EXPECT_EQ(row["page_cache"], "warm") << name;
  }
  const Json &base = rows.at("F32 f32 f32"), &q8 = rows.at("Q8_0 f32 f32"),
             &q4 = rows.at("Q4_0 q8 f16");
  EXPECT_LE(base["kl.max"], 1e-6);
  EXPECT_EQ(base["bytes.saved"], 0);
  EXPECT_GT(q8["kl.mean"], base["kl.mean"]);
  EXPECT_GT(q4["kl.mean"], 10 * q8["kl.mean"].get<double>());
  EXPECT_EQ(base["bytes"].get<std::int64_t>() - q4["bytes"].get<std::int64_t>(), q4["bytes.saved"]);
  EXPECT_NEAR(q8["bits_per_weight"], 8.5, 0.3);
  // What it says is what the single measurement says of the file that quantize writes.
  ASSERT_EQ(run("quantize '" + model() + "' '" + path("q4.gguf") + "' Q4_0").exit_code, 0);
  const ToolResult alone =
      run("qeval divergence --base '" + model() + "' -m '" + path("q4.gguf") + "' -f '" + text() +
          "' -c 32 --windows 8 --activations q8 --kv-type f16 --json --cache-dir '" +
          path("cache") + "'");
  ASSERT_EQ(alone.exit_code, 0) << alone.err;
  const Json expected = parse_json(alone.out)[0];
  for (const char* key : {"bytes", "perplexity", "perplexity.ci", "kl.mean", "kl.mean.ci", "kl.p99",
                          "same_top", "bits_per_byte"})
    EXPECT_EQ(q4[key], expected[key]) << key;
  // Nothing is left behind, and nothing repeated.
  EXPECT_FALSE(fs::exists(work()));
  const ToolResult again = run(command("Q4_0,q8_0", "--windows 8"));
  EXPECT_EQ(parse_json(again.out), report);
  EXPECT_EQ(again.err.find("[1/"), std::string::npos) << again.err;
  EXPECT_NE(again.err.find("12 of 12 measurements are in"), std::string::npos) << again.err;
  // A larger sweep runs only what is new.
  const ToolResult more = run(command("Q4_0,Q8_0,Q5_0", "--windows 8 --activations q8"));
  EXPECT_NE(more.err.find("6 of 8 measurements are in"), std::string::npos) << more.err;
  EXPECT_EQ(parse_json(more.out).size(), 4u);
}

// Shares of a run's time by which a kill comes later than the one before: with sanitizers starting
// alone takes long, so that there are fewer.
#ifdef __SANITIZE_ADDRESS__
constexpr double kLonger = 0.1;
#else
constexpr double kLonger = 0.02;
#endif

TEST_F(QevalSweepTest, KilledAtAnyMomentItGoesOn) {
  const std::string arguments = command("Q8_0,Q4_0,Q5_0", "--activations q8 --no-speed -t 1");
  const auto began = std::chrono::steady_clock::now();
  const ToolResult whole = run(arguments);
  const std::chrono::duration<double> takes = std::chrono::steady_clock::now() - began;
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  fs::remove(store());
  std::mt19937 random(3);
  int kills = 0;
  std::set<std::string> states;
  for (;;) {
    const pid_t child = ::fork();
    if (child == 0) {
      const int out = ::open(path("killed").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      ::dup2(out, STDOUT_FILENO);
      ::dup2(::open("/dev/null", O_WRONLY), STDERR_FILENO);
      const std::string line = "cd '" BRINK_BINARY_DIR "/bin' && exec ./" + arguments;
      ::execl("/bin/sh", "sh", "-c", line.c_str(), static_cast<char*>(nullptr));
      ::_exit(127);
    }
    // Longer every time, so that it ends on a slow machine too.
    const double share = 0.03 + 0.2e-3 * static_cast<double>(random() % 1000) + kLonger * kills;
    const auto end = std::chrono::steady_clock::now() +
                     std::chrono::duration_cast<std::chrono::steady_clock::duration>(share * takes);
    int status = 0;
    pid_t ended = 0;
    while ((ended = ::waitpid(child, &status, WNOHANG)) == 0 &&
           std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    if (ended != 0) {
      ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
      break;
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
    ++kills;
    if (!fs::exists(store())) continue;
    std::string state;
    for (const StoredRun& run : Store(store()).runs()) state += std::to_string(run.items) + " ";
    states.insert(state);
  }
  EXPECT_GE(kills, 2);
  EXPECT_GE(states.size(), 2u);  // different amounts of work were there
  EXPECT_EQ(lasting(parse_json(read_file(path("killed")))), lasting(parse_json(whole.out)));
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(work(), none)) ADD_FAILURE() << entry.path();
  EXPECT_FALSE(fs::exists(work()));
  const std::vector<StoredRun> runs = Store(store()).runs();
  ASSERT_EQ(runs.size(), 4u);
  for (const StoredRun& run : runs) {
    EXPECT_TRUE(run.finished.has_value());
    EXPECT_EQ(run.items, parse_json(run.summary)["windows"]);
  }
}

// A sweep that was killed between its last measurement and removing what it measured leaves a file
// to the next, which has nothing to measure; files that were asked for stay.
TEST_F(QevalSweepTest, RemovesWhatAKilledSweepLeftButNoKeptFile) {
  const std::string more = "--windows 4 --activations q8 --no-speed -t 1";
  ASSERT_EQ(run(command("Q4_0", more + " --keep")).exit_code, 0);
  fs::path kept;
  for (const auto& entry : fs::directory_iterator(work()))
    if (entry.path().string().ends_with("-Q4_0.gguf")) kept = entry.path();
  ASSERT_TRUE(fs::exists(kept));
  ASSERT_EQ(run(command("Q4_0", more)).exit_code, 0);
  EXPECT_TRUE(fs::exists(kept));
  ASSERT_EQ(run(command("Q4_0,Q8_0", more + " --kv-type q8_0")).exit_code, 0);
  EXPECT_TRUE(fs::exists(kept));

  const std::string other = path("other.sqlite");
  const auto again = [&](const std::string& flags = "") {
    std::string line = command("Q4_0", more + flags);
    return run(line.replace(line.find(store()), store().size(), other));
  };
  ASSERT_EQ(again().exit_code, 0);
  ASSERT_FALSE(fs::exists(other + ".files"));
  ASSERT_EQ(again(" --keep").exit_code, 0);  // nothing to measure, so no file to keep
  fs::create_directory(other + ".files");
  fs::copy_file(kept, fs::path(other + ".files") / kept.filename());
  std::ofstream(other + ".files/" + kept.filename().string() + ".tmp-1-0") << "half";
  const ToolResult nothing_to_do = again();
  ASSERT_EQ(nothing_to_do.exit_code, 0) << nothing_to_do.err;
  EXPECT_NE(nothing_to_do.err.find("2 of 2 measurements are in"), std::string::npos);
  EXPECT_FALSE(fs::exists(other + ".files"));
}

TEST_F(QevalSweepTest, FilesAsTheyAreAndALargerModelBesideASmallerOne) {
  fs::copy_file(reference_data("quantized/micro-llama-Q4_0.gguf"), path("given-q4.gguf"));
  const std::string small = tiny_model("Q8_0");
  const ToolResult result = run(command("", "-m '" + path("given-q4.gguf") +
                                                "' --windows 4 "
                                                "--activations q8 --no-speed"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json report = parse_json(result.out);
  ASSERT_EQ(report.size(), 2u);
  EXPECT_EQ(report[1]["model"], path("given-q4.gguf"));
  EXPECT_GT(report[1]["kl.mean"], 0.001);
  EXPECT_GT(report[1]["bytes.saved"], 0);
  // A model of another shape is measured, but not set against the first; files of the user stay.
  const ToolResult both =
      run(command("", "-m '" + small + "' --windows 4 --activations q8 --no-speed --keep"));
  ASSERT_EQ(both.exit_code, 0) << both.err;
  const Json rows = parse_json(both.out);
  ASSERT_EQ(rows.size(), 2u);
  for (const Json& row : rows) {
    EXPECT_TRUE(row.contains("perplexity"));
    EXPECT_EQ(row.contains("kl.mean"), row["model"] == model()) << dumped(row);
  }
  EXPECT_TRUE(fs::exists(small));
  EXPECT_TRUE(fs::exists(path("given-q4.gguf")));
}

TEST_F(QevalSweepTest, TablesCsvAndWhatIsLeftOut) {
  const std::string line = "qeval sweep -m '" + model() + "' --quants Q4_0,IQ1_S --store '" +
                           store() + "' -f '" + text() +
                           "' -c 32 --windows 4 --activations q8 --cold --keep --csv '" +
                           path("runs.csv") + "'";
  const ToolResult result = run(line);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("IQ1_S of " + model() + " is left out: IQ1_S needs an importance"),
            std::string::npos)
      << result.err;
  EXPECT_NE(result.out.find("not in the page cache"), std::string::npos);
  EXPECT_NE(result.out.find("mean KL [95 %]"), std::string::npos);
  EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 5);
  bool kept = false;
  for (const auto& entry : fs::directory_iterator(work()))
    kept |= entry.path().string().ends_with("-Q4_0.gguf");
  EXPECT_TRUE(kept);
  const std::string csv = read_file(path("runs.csv"));
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 5);  // header, two divergences, two speeds
  EXPECT_NE(csv.find(",kl.mean,kl.mean.ci.low,kl.mean.ci.high,"), std::string::npos);
  const std::size_t columns = static_cast<std::size_t>(
      std::count(csv.begin(), csv.begin() + static_cast<std::ptrdiff_t>(csv.find('\n')), ','));
  EXPECT_GT(columns, 40u);
  // With a matrix it is made.
  ASSERT_EQ(run("qeval importance -m '" + model() + "' -f '" + text() + "' -c 32 --windows 8 -o '" +
                path("im.gguf") + "'")
                .exit_code,
            0);
  const ToolResult with = run(line + " --imatrix '" + path("im.gguf") + "' --no-speed --json");
  ASSERT_EQ(with.exit_code, 0) << with.err;
  std::set<std::string> weights;
  for (const Json& row : parse_json(with.out)) weights.insert(row["weights"]);
  EXPECT_EQ(weights, (std::set<std::string>{"F32", "Q4_0", "IQ1_S"}));
}

TEST_F(QevalSweepTest, SpeedOfOneModel) {
  for (const char* cache : {"", " --cold"}) {
    const ToolResult result =
        run("qeval speed -m '" + model() + "' -p 64 -n 8 --json --store '" + store() + "'" + cache);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const Json row = parse_json(result.out)[0];
    EXPECT_EQ(row["page_cache"], *cache == '\0' ? "warm" : "cold");
    if (*cache == '\0') {
      EXPECT_EQ(row["page_cache.share"], 1.0);
    }
    EXPECT_GT(row["peak_bytes"], row["bytes"]);
    const Store store(this->store());
    const StoredRun run = store.runs().back();
    EXPECT_EQ(run.config.kind, "speed");
    EXPECT_TRUE(run.finished.has_value());
    const tools::Speed speed = store.speed(run.id).value();
    EXPECT_EQ(speed.load_seconds, row["load_seconds"]);
    EXPECT_EQ(speed.peak_bytes, row["peak_bytes"]);
    EXPECT_EQ(speed.warm, *cache == '\0');
  }
}

TEST_F(QevalSweepTest, SimulatedActivationsHaveNoSpeed) {
  const ToolResult result = run("qeval speed -m '" + model() + "' --activations int8-tensor");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.err.find("int8-tensor are simulated and have no speed"), std::string::npos);
}

TEST(QevalSweepReport, AccuracyIsTheMeanOverTasks) {
  tools::SweepModel model;
  tools::SweepOptions options;
  options.tasks = {"a/facts.jsonl", "a/sums.jsonl"};
  tools::SweepRow row;
  row.model = &model;
  row.tasks = {Json{{"accuracy", 0.9}, {"accuracy.ci", {0.84, 0.93}}},
               Json{{"accuracy", 0.5}, {"accuracy.ci", {0.42, 0.54}}}};
  const Json both = sweep_json({row}, options)[0];
  EXPECT_DOUBLE_EQ(both["accuracy"], 0.7);
  EXPECT_DOUBLE_EQ(both["accuracy.ci"][0], 0.65);   // 0.7 - hypot(0.06, 0.08) / 2
  EXPECT_DOUBLE_EQ(both["accuracy.ci"][1], 0.725);  // 0.7 + hypot(0.03, 0.04) / 2
  EXPECT_EQ(both["accuracy.facts"], 0.9);
  EXPECT_EQ(both["accuracy.sums.ci"][0], 0.42);
  // One of them only has scores, or was not measured: no mean of what is there.
  row.tasks[1] = Json{{"score", 0.5}};
  EXPECT_FALSE(sweep_json({row}, options)[0].contains("accuracy"));
  row.tasks[1] = Json();
  EXPECT_FALSE(sweep_json({row}, options)[0].contains("accuracy"));
}

TEST_F(QevalSweepTest, TasksAreSweptToo) {
  const std::string task = write("sums.jsonl",
                                 "{\"question\": \"1 + 1 =\", \"answer\": \"#### 2\"}\n"
                                 "{\"question\": \"2 + 2 =\", \"answer\": \"#### 4\"}\n"
                                 "{\"question\": \"2 + 3 =\", \"answer\": \"#### 5\"}\n");
  fs::copy_file(reference_data("models-trained/tiny-skills-f16.gguf"), path("skills.gguf"));
  const std::string line = "qeval sweep -m '" + path("skills.gguf") + "' --quants Q8_0 --store '" +
                           store() + "' --task '" + task +
                           "' --grader gsm8k --activations q8 --no-speed --json";
  const ToolResult result = run(line);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json report = parse_json(result.out);
  ASSERT_EQ(report.size(), 2u);
  for (const Json& row : report) {
    EXPECT_GE(row["accuracy"], 0);
    EXPECT_EQ(row["accuracy.ci"].size(), 2u);
    EXPECT_EQ(row["accuracy"], row["accuracy.sums"]);
  }
  const std::vector<StoredRun> runs = Store(store()).runs();
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].items, 3u);
  EXPECT_EQ(runs[1].config.weights, "Q8_0");
  EXPECT_NE(run(line).err.find("2 of 2 measurements are in"), std::string::npos);
}

// A matrix that lacks tensors, or is of another model.
TEST_F(QevalSweepTest, ImportanceMustBeThatOfTheModel) {
  ASSERT_EQ(run("qeval importance -m '" + model() + "' -f '" + text() + "' -c 32 --windows 4 -o '" +
                path("im.gguf") + "'")
                .exit_code,
            0);
  const ImportanceMatrix whole = ImportanceMatrix::load(path("im.gguf"));
  const auto changed = [&](const std::string& file, std::size_t more) {
    ImportanceMatrix matrix;
    for (const std::string& name : whole.names()) {
      const std::span<const float> values = whole.of(name);
      const std::vector<double> sums(values.begin(), values.end());
      if (name != "blk.0.ffn_up.weight")
        matrix.set(name, sums, std::vector<double>{1});
      else if (more > 0)
        matrix.set(name, std::vector<double>(sums.size() + more, 1), std::vector<double>{1});
    }
    matrix.write(path(file));
    return " --imatrix '" + path(file) + "'";
  };
  const std::string quants = "Q4_0,IQ2_XXS";
  const ToolResult part =
      run(command(quants, "--windows 4 --activations q8 --no-speed" + changed("part.gguf", 0)));
  ASSERT_EQ(part.exit_code, 0) << part.err;
  EXPECT_NE(part.err.find("IQ2_XXS of " + model() + " is left out"), std::string::npos) << part.err;
  EXPECT_NE(part.err.find("has none of 'blk.0.ffn_up.weight'"), std::string::npos) << part.err;
  EXPECT_NE(part.err.find("part.gguf has no importance of 1 tensors of " + model()),
            std::string::npos)
      << part.err;
  EXPECT_EQ(parse_json(part.out).size(), 2u);
  const ToolResult wide = run(command(quants, "--no-speed" + changed("wide.gguf", 32)));
  EXPECT_EQ(wide.exit_code, 1);
  EXPECT_TRUE(wide.is_one_error_of("qeval")) << wide.err;
  EXPECT_NE(wide.err.find("wide.gguf: 'blk.0.ffn_up.weight': has"), std::string::npos) << wide.err;
}

// What a measurement of hours would end with is found before.
TEST_F(QevalSweepTest, WhatCannotWorkIsFoundFirst) {
  const std::string given = reference_data("quantized/micro-llama-Q5_0.gguf");
  const std::string more = " -f '" + text() + "' -c 32 --no-speed --store '" + store() + "'";
  const auto fails_with = [&](const std::string& line, int code, const std::string& part) {
    const ToolResult result = run("qeval sweep " + line);
    EXPECT_EQ(result.exit_code, code) << line;
    EXPECT_TRUE(result.is_one_error_of("qeval")) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  };
  fails_with("-m '" + given + "' --quants Q2_K,Q4_0" + more, 1, given + ": '");
  fails_with("-m '" + given + "' --quants Q2_K,Q4_0" + more, 1, "quantized already");
  const std::string text = write("short.txt", "too short");
  fails_with("-m '" + model() + "' -f '" + text + "' --store '" + store() + "'", 1,
             text + " (as " + model() + " reads it)");
  fails_with("-m '" + model() + "'" + more + " --csv '" + store() + "'", 2, store());
  fails_with("-m '" + model() + "'" + more + " --csv '" + model() + "'", 2, model());
  fails_with("-m '" + model() + "'" + more + " --csv /none/x", 1, "/none/x: cannot create");
}

TEST_F(QevalSweepTest, AQuantThatCannotBeMadeStopsNoOther) {
  // NaN among the weights of one matrix: it cannot be quantized, and is measured as it is.
  const Gguf gguf = Gguf::open(model());
  const GgufTensor tensor = *gguf.find_tensor("blk.0.ffn_up.weight");
  std::fstream file(model(), std::ios::binary | std::ios::in | std::ios::out);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  file.seekp(static_cast<std::streamoff>(tensor.offset));
  file.write(reinterpret_cast<const char*>(&nan), sizeof nan);
  file.close();
  const ToolResult result = run("qeval sweep -m '" + model() + "' --quants Q4_0,Q8_0 --store '" +
                                store() + "' --activations f32 --json");
  EXPECT_EQ(result.exit_code, 1);
  for (const char* quant : {"Q4_0", "Q8_0"})
    EXPECT_NE(result.err.find(quant + (" of " + model() + " cannot be made: ")), std::string::npos)
        << result.err;
  EXPECT_NE(result.err.find("2 of 3 measurements failed"), std::string::npos) << result.err;
  const Json report = parse_json(result.out);
  ASSERT_EQ(report.size(), 3u);
  EXPECT_TRUE(report[0].contains("load_seconds"));
}

TEST_F(QevalSweepTest, ErrorsAreNamed) {
  const std::string sweep = "qeval sweep -m '" + model() + "' --store '" + store() + "' ";
  for (const std::string& arguments :
       std::vector<std::string>{"--no-speed", "--quants Q9 -f '" + text() + "'", "-f -",
                                "--quants Q4_0 --base x -f '" + text() + "'", "--task x",
                                "--activations int8-tensor -f '" + text() + "'"}) {
    const ToolResult result = run(sweep + arguments);
    EXPECT_EQ(result.exit_code, 2) << arguments << result.err;
    EXPECT_TRUE(result.is_one_error_of("qeval")) << arguments << "\n" << result.err;
  }
  for (const std::string& arguments :
       std::vector<std::string>{"-f /none", "-m /none -f '" + text() + "'",
                                "--imatrix '" + text() + "' --quants Q4_0"}) {
    const ToolResult result = run(sweep + arguments);
    EXPECT_EQ(result.exit_code, 1) << arguments;
    EXPECT_NE(result.err.find("qeval: "), std::string::npos);
    EXPECT_TRUE(result.out.empty());
  }
  // One measurement that fails does not stop the others, and is tried again.
  const ToolResult part = run(sweep + "-m '" + vocabulary_file() + "' -f '" + text() +
                              "' -c 32 --windows 4 --activations q8 --no-speed --json");
  EXPECT_EQ(part.exit_code, 1);
  EXPECT_NE(part.err.find("1 of 2 measurements failed"), std::string::npos) << part.err;
  const Json report = parse_json(part.out);
  EXPECT_EQ(std::count_if(report.begin(), report.end(),
                          [](const Json& row) { return row.contains("perplexity"); }),
            1);
}

}  // namespace
}  // namespace brink::testing
