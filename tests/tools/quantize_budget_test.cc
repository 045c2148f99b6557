// quantize --budget as it is used: the plan, the file within its bytes, the picture, what is kept
// for another budget or after a kill, and what it refuses.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "brink/gguf/reader.h"
#include "tests/tools/tool_fixture.h"

namespace brink::testing {
namespace {

namespace fs = std::filesystem;

class BudgetTool : public ToolTest {
 protected:
  void SetUp() override {
    model_ = tiny_model("F16");
    std::string words;
    for (int i = 0; i < 3000; ++i)
      words += "word" + std::to_string(i * i % 97) + (i % 11 ? " " : "\n");
    text_ = write("text.txt", words);
  }

  std::vector<std::string> arguments(const std::string& output, const std::string& budget) const {
    return {model_,
            path(output),
            "--budget",
            budget,
            "--text",
            text_,
            "-c",
            "16",
            "--search-windows",
            "1",
            "--evaluate-windows",
            "2",
            "-t",
            "2"};
  }

  ToolResult quantize(const std::vector<std::string>& arguments, const std::string& more = "") {
    std::string command = "quantize";
    for (const std::string& argument : arguments) command += " '" + argument + "'";
    return run(command + " " + more);
  }

  std::string model_, text_;
};

std::uint64_t tensor_bytes(const std::string& path) {
  const Gguf gguf = Gguf::open(path);
  std::uint64_t bytes = 0;
  for (const GgufTensor& tensor : gguf.tensors()) bytes += tensor.bytes;
  return bytes;
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++count;
  return count;
}

TEST_F(BudgetTool, NoMoreBytesThanTheMix) {
  ASSERT_EQ(run("quantize '" + model_ + "' '" + path("mix.gguf") + "' Q4_K_M").exit_code, 0);
  const ToolResult result =
      quantize(arguments("out.gguf", "Q4_K_M"), "--json --plot '" + path("types.svg") + "'");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json json = parse_json(result.out);
  EXPECT_EQ(json["bytes"], tensor_bytes(path("out.gguf")));
  EXPECT_LE(tensor_bytes(path("out.gguf")), tensor_bytes(path("mix.gguf")));
  EXPECT_LE(fs::file_size(path("out.gguf")), fs::file_size(path("mix.gguf")));
  EXPECT_GT(json["kl.mean"]["value"], 0);
  EXPECT_EQ(json["mix"], "Q4_K_M");
  EXPECT_GT(json["kl.ratio"]["value"], 0);
  // The measured divergence of the mix in memory is that of its file.
  EXPECT_EQ(json["tokens"], 2 * (16 - 8 - 1));
  // The base logits are gone, the sensitivities are kept.
  EXPECT_FALSE(fs::exists(path("out.gguf.base")));
  const Json kept = parse_json(read_file(path("out.gguf.sensitivities.json")));
  std::size_t matrices = 0;
  const Gguf out = Gguf::open(path("out.gguf"));
  for (const GgufTensor& tensor : out.tensors())
    matrices += is_quantizable(tensor.name, tensor.dimensions);
  EXPECT_EQ(kept["tensors"].size(), matrices);
  // A cell for every matrix, with its type.
  const std::string svg = read_file(path("types.svg"));
  EXPECT_EQ(count_of(svg, "fill=\"hsl("), matrices);
  for (const GgufTensor& tensor : out.tensors())
    if (is_quantizable(tensor.name, tensor.dimensions)) {
      EXPECT_NE(svg.find(std::string(">") + size_of(tensor.type).name + " "), std::string::npos);
    }
  EXPECT_EQ(count_of(svg, ">layer "), 2u);
}

TEST_F(BudgetTool, AnotherBudgetCostsNoMeasurement) {
  const std::string kept = "--sensitivities '" + path("kept.json") + "' ";
  const ToolResult plan = quantize(arguments("out.gguf", "5bpw"), kept + "--dry-run --json");
  ASSERT_EQ(plan.exit_code, 0) << plan.err;
  EXPECT_FALSE(fs::exists(path("out.gguf")));
  const Json planned = parse_json(plan.out);
  EXPECT_LE(planned["bits_per_weight"], 5.0);
  EXPECT_GT(planned["bits_per_weight"], 4.5);
  const std::string before = read_file(path("kept.json"));
  const ToolResult other = quantize(arguments("out.gguf", "4.2bpw"), kept + "--json");
  ASSERT_EQ(other.exit_code, 0) << other.err;
  EXPECT_EQ(read_file(path("kept.json")), before);
  EXPECT_LE(parse_json(other.out)["bits_per_weight"], 4.2);
  // The plan is what is written.
  const ToolResult again = quantize(arguments("again.gguf", "5bpw"), kept + "--json");
  ASSERT_EQ(again.exit_code, 0) << again.err;
  const Gguf gguf = Gguf::open(path("again.gguf"));
  for (const Json& tensor : planned["tensors"])
    EXPECT_EQ(size_of(gguf.find_tensor(tensor["name"].get<std::string>())->type).name,
              tensor["type"].get<std::string>());
  // Of another effort they are not.
  const ToolResult high = quantize(arguments("high.gguf", "5bpw"), kept + "--effort high");
  EXPECT_TRUE(high.is_one_error_of("quantize")) << high.out << high.err;
  EXPECT_NE(high.err.find("kept.json"), std::string::npos);
}

TEST_F(BudgetTool, MeasuresEveryTypeOnRequest) {
  const ToolResult result = quantize(arguments("out.gguf", "5bpw"), "--measure-types --json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const double rank = parse_json(result.out)["estimate_rank_correlation"];
  EXPECT_GT(rank, 0.5);
  EXPECT_LE(rank, 1);
  const Json kept = parse_json(read_file(path("out.gguf.sensitivities.json")));
  for (const Json& tensor : kept["tensors"])
    for (const Json& type : tensor["types"]) EXPECT_GT(type["kl"], 0);
  // Kept, they say the same again.
  const ToolResult again = quantize(arguments("out.gguf", "5bpw"), "--measure-types --json");
  EXPECT_EQ(parse_json(again.out)["estimate_rank_correlation"], rank);
}

TEST_F(BudgetTool, GoesOnAfterAKill) {
  const auto all = arguments("whole.gguf", "4.5bpw");
  const auto start = std::chrono::steady_clock::now();
  ASSERT_EQ(quantize(all).exit_code, 0);
  const std::chrono::duration<double> whole = std::chrono::steady_clock::now() - start;
  const std::string kept = path("out.gguf.sensitivities.json");
  std::size_t kills = 0, continued = 0, measured_before = 0;
  for (bool ended = false; !ended;) {
    ASSERT_LT(kills, 40u);
    const pid_t child = ::fork();
    if (child == 0) {
      const std::string program = BRINK_BINARY_DIR "/bin/quantize";
      auto arguments_of_child = arguments("out.gguf", "4.5bpw");
      std::vector<char*> argv = {const_cast<char*>(program.c_str())};
      for (std::string& argument : arguments_of_child) argv.push_back(argument.data());
      argv.push_back(nullptr);
      const int null = ::open("/dev/null", O_WRONLY);
      ::dup2(null, 1);
      ::dup2(null, 2);
      ::execv(program.c_str(), argv.data());
      std::_Exit(127);
    }
    // Later each time, so that it comes to an end however slow the machine is.
    std::this_thread::sleep_for(whole * (0.2 + 0.1 * static_cast<double>(kills)));
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ended = WIFEXITED(status);
    if (ended) {
      EXPECT_EQ(WEXITSTATUS(status), 0);
      break;
    }
    ++kills;
    // What is there is whole: no file under its name before its end, and readable measurements.
    if (fs::exists(path("out.gguf"))) {
      EXPECT_EQ(tensor_bytes(path("out.gguf")), tensor_bytes(path("whole.gguf")));
    }
    if (!fs::exists(kept)) continue;
    const std::size_t measured = parse_json(read_file(kept))["tensors"].size();
    EXPECT_GE(measured, measured_before);
    continued += measured > 0 && measured == measured_before;
    measured_before = measured;
  }
  EXPECT_GE(kills, 1u);
  EXPECT_EQ(read_file(path("out.gguf")), read_file(path("whole.gguf")));
  EXPECT_EQ(parse_json(read_file(kept)),
            parse_json(read_file(path("whole.gguf.sensitivities.json"))));
}

TEST_F(BudgetTool, Refuses) {
  const auto fails = [&](const std::string& budget, const std::string& more, const char* why) {
    const ToolResult result = quantize(arguments("out.gguf", budget), more);
    EXPECT_NE(result.exit_code, 0) << budget;
    EXPECT_TRUE(result.is_one_error_of("quantize")) << result.out << result.err;
    EXPECT_NE(result.err.find(why), std::string::npos) << result.err;
    EXPECT_FALSE(fs::exists(path("out.gguf")));
  };
  fails("0.5bpw", "", "in the smallest types they take");
  fails("x", "", "'x'");
  fails("4.5", "", "'4.5' is no size");
  fails("-3bpw", "", "'-3bpw' is no size");
  fails("10KB", "", "smaller than the file without its tensors");
  fails("4.5bpw", "--text none.txt --text none.txt", "--text");
  fails("4.5bpw", "--pure", "chooses the types by itself");
  const std::string damaged = write("damaged.json", "{\"key\": 3");
  fails("4.5bpw", "--sensitivities '" + damaged + "'", "is no file of sensitivities");
  EXPECT_EQ(read_file(damaged), "{\"key\": 3");
}

}  // namespace
}  // namespace brink::testing
