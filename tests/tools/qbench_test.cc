// qbench and the roofline: the forms of their reports, the cache of synthetic models.
#include <algorithm>
#include <filesystem>
#include <sstream>

#include "tests/tools/tool_fixture.h"

namespace brink::testing {
namespace {

using QbenchTest = ToolTest;

TEST_F(QbenchTest, JsonHasExactlyTheseKeys) {
  const std::string model = tiny_model("Q4_K_M");
  const ToolResult result = run("qbench -m '" + model + "' -p 32 -n 4 -r 3 -t 1 --json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json json = parse_json(result.out);
  ASSERT_EQ(json.size(), 2u);
  for (const Json& test : json) {
    EXPECT_EQ(keys_of(test),
              (std::vector<std::string>{"model", "type", "bytes", "test", "depth", "sequences",
                                        "tokens_per_second", "ratio_to_one", "bandwidth_share",
                                        "int8_share", "load_seconds", "first_token_seconds",
                                        "peak_rss_bytes", "threads", "backend", "profile"}));
    EXPECT_EQ(keys_of(test["tokens_per_second"]),
              (std::vector<std::string>{"median", "min", "max", "samples"}));
    EXPECT_EQ(test["model"], model);
    EXPECT_EQ(test["type"], "Q4_K_M");
    EXPECT_EQ(test["bytes"], std::filesystem::file_size(model));
    EXPECT_EQ(test["threads"], 1);
    EXPECT_FALSE(test["backend"].empty());
    EXPECT_TRUE(test["profile"].empty());
    EXPECT_EQ(test["depth"], 0);
    EXPECT_EQ(test["sequences"], 1);
    EXPECT_EQ(test["ratio_to_one"], 1.0);
    std::vector<double> samples = test["tokens_per_second"]["samples"];
    ASSERT_EQ(samples.size(), 3u);
    std::sort(samples.begin(), samples.end());
    EXPECT_DOUBLE_EQ(test["tokens_per_second"]["min"], samples[0]);
    EXPECT_DOUBLE_EQ(test["tokens_per_second"]["median"], samples[1]);
    EXPECT_DOUBLE_EQ(test["tokens_per_second"]["max"], samples[2]);
    for (const char* positive : {"bandwidth_share", "int8_share", "load_seconds"})
      EXPECT_GT(test[positive], 0.0) << positive;
    EXPECT_GT(test["first_token_seconds"], test["load_seconds"]);
    // More than the file, which is mapped and read, and far less than the 1 GiB that the process
    // beside it holds to measure bandwidth.
    EXPECT_GT(test["peak_rss_bytes"], test["bytes"]);
#ifndef __SANITIZE_ADDRESS__
    EXPECT_LT(test["peak_rss_bytes"], 200'000'000);
#endif
  }
  EXPECT_EQ(json[0]["test"], "pp32");
  EXPECT_EQ(json[1]["test"], "tg4");
}

// Reading 2 layers (3 x 256 x 512 + 2 x 256 x 256 + 2 x 256 x 128 weights each) and the head once
// per token: the shares follow from rates, bytes and the ceilings, so their ratio is fixed but for
// the ceilings' own noise.
TEST_F(QbenchTest, SharesCountTheMatricesThatAreMultiplied) {
  const std::string model = tiny_model("Q8_0");
  const Json json = parse_json(run("qbench -m '" + model + "' -p 64 -n 64 -r 3 -t 1 --json").out);
  const double layer = 2 * (3 * 256 * 512 + 2 * 256 * 256 + 2 * 256 * 128), head = 256 * 512;
  const auto ceiling = [](const Json& test, const char* share, double work_per_token) {
    return test["tokens_per_second"]["median"].get<double>() * work_per_token /
           test[share].get<double>();
  };
  const double byte = 34.0 / 32;
  // Both tests must lead to the same ceilings; the head is read once for 64 prompt tokens.
  const double read_pp = ceiling(json[0], "bandwidth_share", (layer + head) * byte / 64);
  const double read_tg = ceiling(json[1], "bandwidth_share", (layer + head) * byte);
  const double int8_pp = ceiling(json[0], "int8_share", 2 * (layer + head / 64));
  const double int8_tg = ceiling(json[1], "int8_share", 2 * (layer + head));
  // A shared machine's ceilings vary by a factor of two; a head counted per prompt token changes
  // int8_pp by 1.14, a wrong count of reads read_pp by 64.
  EXPECT_LT(std::max(read_pp, read_tg) / std::min(read_pp, read_tg), 4);
  EXPECT_LT(std::max(int8_pp, int8_tg) / std::min(int8_pp, int8_tg), 4);
}

TEST_F(QbenchTest, EveryTestAtEveryDepthAndInManySequences) {
  const std::string model = tiny_model();
  const ToolResult result =
      run("qbench -m '" + model + "' -p 16,70 -n 3,5 -d 0,65 --sequences 2,4 -r 2 -t 1 --json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  std::vector<std::string> names;
  const Json json = parse_json(result.out);
  for (const Json& test : json) {
    names.push_back(test["test"]);
    const bool deep = names.back().find("@d65") != std::string::npos;
    EXPECT_EQ(test["depth"], deep ? 65 : 0) << names.back();
    const auto times = names.back().find('x');
    EXPECT_EQ(test["sequences"], times == std::string::npos ? 1 : names.back().back() - '0');
    if (times == std::string::npos) {
      EXPECT_EQ(test["ratio_to_one"], 1.0);
    } else {
      EXPECT_GT(test["ratio_to_one"], 0.0);
    }
  }
  EXPECT_EQ(names,
            (std::vector<std::string>{"pp16", "pp70", "tg3", "tg3x2", "tg3x4", "tg5", "tg5x2",
                                      "tg5x4", "pp16@d65", "pp70@d65", "tg3@d65", "tg3@d65x2",
                                      "tg3@d65x4", "tg5@d65", "tg5@d65x2", "tg5@d65x4"}));
}

// At a depth the KV cache is read too: 2 layers of 2 heads of 64 keys and as many values.
TEST_F(QbenchTest, SharesCountTheCacheThatIsRead) {
  const std::string model = tiny_model("Q8_0");
  constexpr double kDepth = 4096, kTokens = 8;
  const Json json = parse_json(
      run("qbench -m '" + model + "' -p 0 -n 8 -d 0,4096 --kv-type f32 -r 3 -t 1 --json").out);
  const double weights =
      (2 * (3 * 256 * 512 + 2 * 256 * 256 + 2 * 256 * 128) + 256 * 512) * 34.0 / 32;
  const auto ceiling = [&](const Json& test, double depth) {
    const double cached = 2 * 256 * 4 * (depth + (kTokens + 1) / 2);
    return test["tokens_per_second"]["median"].get<double>() * (weights + cached) /
           test["bandwidth_share"].get<double>();
  };
  // Without the cached bytes the first ceiling would come out 7 times the second.
  const double empty = ceiling(json[0], 0), deep = ceiling(json[1], kDepth);
  EXPECT_LT(std::max(empty, deep) / std::min(empty, deep), 4);
}

TEST_F(QbenchTest, PromptsCanBeMeasuredWithTheirLogits) {
  const ToolResult result =
      run("qbench -m '" + tiny_model() + "' -p 33 -n 0 -r 1 -t 1 --logits --json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json json = parse_json(result.out);
  ASSERT_EQ(json.size(), 1u);
  EXPECT_EQ(json[0]["test"], "pp33+logits");
  EXPECT_GT(json[0]["tokens_per_second"]["median"], 0.0);
  EXPECT_GT(json[0]["int8_share"], 0.0);
}

TEST_F(QbenchTest, TableAndCsv) {
  const std::string model = tiny_model();
  const ToolResult table = run("qbench -m '" + model + "' -p 16 -n 0 -r 1");
  ASSERT_EQ(table.exit_code, 0) << table.err;
  EXPECT_TRUE(table.out.starts_with("model")) << table.out;
  EXPECT_NE(table.out.find("pp16"), std::string::npos);
  EXPECT_EQ(table.out.find("tg"), std::string::npos);
  const ToolResult csv = run("qbench -m '" + model + "' -m '" + model + "' -p 0 -n 2 -r 1 --csv");
  ASSERT_EQ(csv.exit_code, 0) << csv.err;
  std::istringstream lines(csv.out);
  std::vector<std::ptrdiff_t> commas;
  for (std::string line; std::getline(lines, line);)
    commas.push_back(std::count(line.begin(), line.end(), ','));
  EXPECT_EQ(commas, (std::vector<std::ptrdiff_t>{15, 15, 15}));
}

TEST_F(QbenchTest, DeletesOnlySyntheticModels) {
  const std::string cache = path("cache");
  tiny_model();
  tiny_model("Q4_0");
  std::ofstream(cache + "/mine.gguf") << "keep";
  const ToolResult result = run("qbench --delete-cache --cache-dir '" + cache + "'");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(cache))
    left.push_back(entry.path().filename().string());
  EXPECT_EQ(left, std::vector<std::string>{"mine.gguf"});
}

TEST_F(QbenchTest, ErrorsAreOneLine) {
  const std::string model = tiny_model();
  const std::string cache = "--cache-dir '" + path("cache") + "'";
  for (const std::string& arguments :
       {"-m '" + path("none") + "'", "-m '" + vocabulary_file() + "'",
        "-m '" + model + "' -m '" + write("bad.gguf", "GGUF") + "'",
        "--synthetic gpt-9 " + cache}) {
    const ToolResult result = run("qbench " + arguments);
    EXPECT_EQ(result.exit_code, 1) << arguments;
    EXPECT_TRUE(result.is_one_error_of("qbench")) << arguments << '\n' << result.err;
  }
  for (const std::string& arguments :
       {std::string(""), "-m '" + model + "' --json --csv", "-m '" + model + "' -p 0 -n 0",
        "-m '" + model + "' -r 0", "-m '" + model + "' -p 8,x", "-m '" + model + "' --sequences 0",
        "-m '" + model + "' -n 0 --sequences 8",
        "--synthetic llama-3.2-1b --types Q9_X " + cache}) {
    const ToolResult result = run("qbench " + arguments);
    EXPECT_EQ(result.exit_code, 2) << arguments;
    EXPECT_TRUE(result.is_one_error_of("qbench")) << arguments << '\n' << result.err;
  }
}

TEST_F(QbenchTest, RooflineJson) {
  if (!std::filesystem::exists(BRINK_BINARY_DIR "/bin/roofline"))
    GTEST_SKIP() << "the benchmarks are not built in this configuration";
  const ToolResult result = run("roofline --json --threads 1 --seconds 0.05");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json json = parse_json(result.out);
  EXPECT_EQ(keys_of(json),
            (std::vector<std::string>{"read_bytes_per_second", "int8_ops_per_second",
                                      "bf16_flops_per_second", "f32_flops_per_second", "threads"}));
  EXPECT_EQ(json["threads"], 1);
  for (const char* rate : {"read_bytes_per_second", "int8_ops_per_second", "bf16_flops_per_second",
                           "f32_flops_per_second"})
    EXPECT_GT(json[rate], 1e8) << rate;
}

}  // namespace
}  // namespace brink::testing
