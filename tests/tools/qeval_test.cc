// qeval: the forms of its reports, wrong usage, the cache of base logits.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <utility>

#include "brink/gguf/reader.h"
#include "brink/quant/importance.h"
#include "tests/support/reference_data.h"
#include "tests/tools/tool_fixture.h"

namespace brink::testing {
namespace {

class QevalTest : public ToolTest {
 protected:
  void SetUp() override { BRINK_REQUIRE_REFERENCE_DATA(); }

  static std::string model(const std::string& type) {
    return "'" + reference_data("quantized/micro-llama-" + type + ".gguf") + "'";
  }
  static std::string text() { return "'" + reference_data("text/shakespeare-60k.txt") + "'"; }
  // Some windows of the size that calibration uses.
  std::string short_text() const {
    return "'" +
           write("short.txt",
                 read_file(reference_data("text/shakespeare-60k.txt")).substr(0, 8000)) +
           "'";
  }
};

TEST_F(QevalTest, PerplexityInJson) {
  const ToolResult result =
      run("qeval perplexity -m " + model("f32") + " -m " + model("Q4_0") + " -f " + text() +
          " -c 64 --windows 6 -t 2 --json" + " --activations f32 --kv-type f32");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json json = parse_json(result.out);
  ASSERT_EQ(json.size(), 2u);
  for (const Json& row : json) {
    EXPECT_EQ(keys_of(row),
              (std::vector<std::string>{"model", "weights", "activations", "kv", "bytes", "backend",
                                        "text", "context", "windows", "tokens", "perplexity",
                                        "perplexity.ci", "perplexity.stderr", "nll", "nll.ci",
                                        "bits_per_byte", "bits_per_byte.ci", "tokens_per_second"}));
    EXPECT_EQ(row["activations"], "f32");
    EXPECT_EQ(row["kv"], "f32");
    EXPECT_EQ(row["windows"], 6);
    EXPECT_EQ(row["tokens"], 6 * 31);
    ASSERT_EQ(row["perplexity.ci"].size(), 2u);
    EXPECT_LT(row["perplexity.ci"][0], row["perplexity"]);
    EXPECT_GT(row["perplexity.ci"][1], row["perplexity"]);
    EXPECT_NEAR(std::exp(row["nll"].get<double>()), row["perplexity"].get<double>(), 1e-6);
  }
  EXPECT_EQ(json[1]["weights"], "Q4_0");
  EXPECT_NE(json[0]["perplexity"], json[1]["perplexity"]);
}

TEST_F(QevalTest, DivergenceKeepsTheBase) {
  const std::string command = "qeval divergence --base " + model("f32") + " -m " + model("f32") +
                              " -m " + model("Q4_0") + " -f " + text() +
                              " -c 64 --windows 6 -t 2 --json --activations f32 --kv-type f32" +
                              " --cache-dir '" + path("cache") + "'";
  const ToolResult first = run(command);
  ASSERT_EQ(first.exit_code, 0) << first.err;
  const Json json = parse_json(first.out);
  ASSERT_EQ(json.size(), 2u);
  for (const Json& row : json)
    EXPECT_EQ(keys_of(row), (std::vector<std::string>{"model",
                                                      "weights",
                                                      "activations",
                                                      "kv",
                                                      "bytes",
                                                      "backend",
                                                      "text",
                                                      "context",
                                                      "windows",
                                                      "tokens",
                                                      "base",
                                                      "kl.mean",
                                                      "kl.mean.ci",
                                                      "kl.median",
                                                      "kl.p90",
                                                      "kl.p95",
                                                      "kl.p99",
                                                      "kl.p99.9",
                                                      "kl.max",
                                                      "perplexity",
                                                      "perplexity.ci",
                                                      "perplexity.base",
                                                      "perplexity.base.ci",
                                                      "bits_per_byte",
                                                      "bits_per_byte.ci",
                                                      "ln_ratio",
                                                      "ln_ratio.ci",
                                                      "ln_ratio.stderr",
                                                      "same_top",
                                                      "same_top.ci",
                                                      "shift.mean",
                                                      "shift.mean.ci",
                                                      "shift.rms",
                                                      "shift.rms.ci",
                                                      "shift.p0.1",
                                                      "shift.p1",
                                                      "shift.p5",
                                                      "shift.p10",
                                                      "shift.p25",
                                                      "shift.median",
                                                      "shift.p75",
                                                      "shift.p90",
                                                      "shift.p95",
                                                      "shift.p99",
                                                      "shift.p99.9",
                                                      "tokens_per_second"}));
  EXPECT_LE(json[0]["kl.max"], 1e-6);
  EXPECT_EQ(json[0]["same_top"], 1.0);
  EXPECT_GT(json[1]["kl.mean"], 1e-3);

  // The second run finds the base and says the same.
  ASSERT_EQ(std::distance(std::filesystem::directory_iterator(path("cache")), {}), 1);
  const ToolResult second = run(command + " --delete-cache");
  EXPECT_NE(second.err.find("from an earlier run"), std::string::npos) << second.err;
  EXPECT_EQ(first.err.find("from an earlier run"), std::string::npos) << first.err;
  EXPECT_EQ(parse_json(second.out)[1]["kl.mean"], json[1]["kl.mean"]);
  EXPECT_TRUE(std::filesystem::is_empty(path("cache")));
}

// Activations and cache of every row.
std::vector<std::string> settings_in(const Json& rows) {
  std::vector<std::string> settings;
  for (const Json& row : rows)
    settings.push_back(row["activations"].get<std::string>() + " " + row["kv"].get<std::string>());
  return settings;
}

TEST_F(QevalTest, TheDialGivesARowForEachCombination) {
  const std::string command =
      "qeval perplexity -m " + model("Q4_0") + " -f " + text() + " -c 64 --windows 4 -t 2 --json";
  const ToolResult plain = run(command);
  ASSERT_EQ(plain.exit_code, 0) << plain.err;
  const Json as_run = parse_json(plain.out);
  EXPECT_EQ(settings_in(as_run), (std::vector<std::string>{"f32 f32", "q8 f16"}));

  const ToolResult all = run(command + " --calibrate " + short_text() +
                             " --activations f32,bf16,q8,int8-token,int8-tensor,fp8,q8"
                             " --kv-type f32,q8_0,q4_0");
  ASSERT_EQ(all.exit_code, 0) << all.err;
  const Json json = parse_json(all.out);
  std::vector<std::string> expected;
  std::vector<double> perplexities;
  for (const std::string activations : {"f32", "bf16", "q8", "int8-token", "int8-tensor", "fp8"})
    for (const std::string kv : {"f32", "q8_0", "q4_0"}) expected.push_back(activations + " " + kv);
  EXPECT_EQ(settings_in(json), expected);
  EXPECT_EQ(json[0]["perplexity"], as_run[0]["perplexity"]);
  for (const Json& row : json) perplexities.push_back(row["perplexity"].get<double>());
  const std::set<double> different(perplexities.begin(), perplexities.end());
  EXPECT_EQ(different.size(), perplexities.size()) << "two settings that do the same";
  for (const double perplexity : perplexities) EXPECT_NEAR(perplexity / perplexities[0], 1.0, 0.1);

  const ToolResult one = run(command + " --activations fp8");
  EXPECT_EQ(settings_in(parse_json(one.out)), std::vector<std::string>{"fp8 f16"});
}

TEST_F(QevalTest, DivergenceMeasuresTheDialAgainstOneBase) {
  const ToolResult result =
      run("qeval divergence --base " + model("f32") + " -m " + model("f32") + " -f " + text() +
          " -c 64 --windows 4 -t 2 --json --activations f32,int8-token --kv-type f32,q4_0" +
          " --cache-dir '" + path("cache") + "'");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json json = parse_json(result.out);
  EXPECT_EQ(settings_in(json),
            (std::vector<std::string>{"f32 f32", "f32 q4_0", "int8-token f32", "int8-token q4_0"}));
  EXPECT_LE(json[0]["kl.max"], 1e-6);
  for (std::size_t i = 1; i < 4; ++i) EXPECT_GT(json[i]["kl.mean"], 1e-5);
}

TEST_F(QevalTest, CalibratedScalesGoThroughAFile) {
  const std::string scales = path("scales.json");
  const ToolResult calibrated = run("qeval calibrate -m " + model("Q8_0") + " -f " + short_text() +
                                    " --percentile 99.9 -o '" + scales + "' --json");
  ASSERT_EQ(calibrated.exit_code, 0) << calibrated.err;
  const Json file = parse_json(read_file(scales));
  EXPECT_EQ(file["brink"], "activation scales");
  EXPECT_EQ(file["percentile"], 99.9);
  EXPECT_EQ(file["scales"].size(), parse_json(calibrated.out)["tensors"].get<std::size_t>());
  EXPECT_GT(file["scales"]["blk.0.attn_q.weight"], 0.0);
  EXPECT_FALSE(file["scales"].contains("output.weight"));

  const std::string command = "qeval perplexity -m " + model("Q8_0") + " -f " + text() +
                              " -c 64 --windows 4 --json --activations int8-tensor";
  const ToolResult from_file = run(command + " --scales '" + scales + "'");
  ASSERT_EQ(from_file.exit_code, 0) << from_file.err;
  const ToolResult at_once = run(command + " --calibrate " + short_text() + " --percentile 99.9");
  const ToolResult by_maximum = run(command + " --calibrate " + short_text());
  EXPECT_EQ(parse_json(from_file.out)[0]["perplexity"], parse_json(at_once.out)[0]["perplexity"]);
  EXPECT_NE(parse_json(from_file.out)[0]["perplexity"],
            parse_json(by_maximum.out)[0]["perplexity"]);

  for (const auto& [what, content] :
       {std::pair<std::string, std::string>{"no file of activation scales", "{\"scales\": {}}"},
        {"no file of activation scales", "not JSON"},
        {"'blk.0.attn_q.weight'",
         "{\"brink\": \"activation scales\", \"scales\": {\"blk.0.attn_q.weight\": \"x\"}}"},
        {"no scale for this matrix", "{\"brink\": \"activation scales\", \"scales\": {}}"}}) {
    const std::string bad = write("bad.json", content);
    const ToolResult result = run(command + " --scales '" + bad + "'");
    EXPECT_EQ(result.exit_code, 1) << content;
    EXPECT_TRUE(result.is_one_error_of("qeval")) << result.err;
    EXPECT_NE(result.err.find(what), std::string::npos) << result.err;
  }
}

TEST_F(QevalTest, ImportanceWritesAMatrix) {
  const ToolResult result = run("qeval importance -m " + model("f32") + " -f " + text() +
                                " -c 64 --windows 4 -o '" + path("imatrix.gguf") + "' --json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const ImportanceMatrix matrix = ImportanceMatrix::load(path("imatrix.gguf"));
  EXPECT_EQ(parse_json(result.out)["tensors"], matrix.names().size());
  EXPECT_EQ(matrix.counts("blk.0.attn_q.weight")[0], 256.0f);
  EXPECT_EQ(matrix.chunks, 4u);
}

TEST_F(QevalTest, TheBatchDecidesNoFigure) {
  for (const std::string command : {"qeval perplexity", "qeval divergence --base %"}) {
    std::string line = command + " -m " + model("Q4_0") + " -f " + text() +
                       " -c 32 --windows 4 --activations f32,q8 --json";
    if (const std::size_t place = line.find('%'); place != line.npos)
      line.replace(place, 1, model("f32"));
    Json expected;
    for (const std::string batch : {"512", "1", "7"}) {
      const std::string cache =
          line.find("divergence") == line.npos ? "" : " --cache-dir '" + path("c" + batch) + "'";
      const ToolResult result = run(line + " -b " + batch + cache);
      ASSERT_EQ(result.exit_code, 0) << result.err;
      Json report = parse_json(result.out);
      for (Json& row : report) row.erase("tokens_per_second");
      if (expected.is_null()) expected = report;
      EXPECT_EQ(report, expected) << batch;
    }
  }
}

// Scales found on the way are those that qeval calibrate finds on the text as it is measured.
TEST_F(QevalTest, CalibrationReadsControlTokensAsTheMeasurementDoes) {
  const std::string skills = "'" BRINK_SOURCE_DIR "/models/brink-skills-f16.gguf'";
  const std::string chats = "'" BRINK_SOURCE_DIR "/models/text/heldout.txt'";
  const std::string short_chats =
      "'" +
      write("chats.txt",
            read_file(BRINK_SOURCE_DIR "/models/text/heldout.txt").substr(23172, 12000)) +
      "'";
  const auto perplexity = [&](const std::string& more) {
    const ToolResult result = run("qeval perplexity -m " + skills + " -f " + chats +
                                  " -c 64 --windows 4 --activations int8-tensor --json " + more);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return parse_json(result.out)[0]["perplexity"];
  };
  for (const std::string special : {"", " --parse-special"})
    ASSERT_EQ(run("qeval calibrate -m " + skills + " -f " + short_chats + special +
                  " --percentile 99 -o '" + path("scales" + std::to_string(special.size())) + "'")
                  .exit_code,
              0);
  const Json at_once = perplexity("--parse-special --percentile 99 --calibrate " + short_chats);
  EXPECT_EQ(at_once, perplexity("--parse-special --scales '" + path("scales16") + "'"));
  EXPECT_NE(at_once, perplexity("--parse-special --scales '" + path("scales0") + "'"));
}

TEST_F(QevalTest, OutputsReplaceNoInputs) {
  const std::string file = path("m.gguf");
  std::filesystem::copy_file(reference_data("quantized/micro-llama-f32.gguf"), file);
  std::filesystem::create_hard_link(file, path("link.gguf"));
  const std::string some_text = write("t.txt", "text");
  for (const std::string command : {"importance", "calibrate"})
    for (const std::string& output : {file, path("link.gguf"), path("./x/../t.txt"), some_text}) {
      const ToolResult result =
          run("qeval " + command + " -m '" + file + "' -f '" + some_text + "' -o '" + output + "'");
      EXPECT_EQ(result.exit_code, 2);
      EXPECT_NE(result.err.find("'" + output + "' would be overwritten"), std::string::npos)
          << result.err;
    }
  EXPECT_EQ(read_file(file), read_file(reference_data("quantized/micro-llama-f32.gguf")));
  // An output that cannot be written is known before the text is run.
  for (const std::string command : {"importance", "calibrate"}) {
    const ToolResult result =
        run("qeval " + command + " -m '" + file + "' -f " + text() + " -o /none/x");
    EXPECT_TRUE(result.is_one_error_of("qeval")) << result.err;
    EXPECT_NE(result.err.find("/none/x: cannot create"), std::string::npos) << result.err;
  }
}

// What was measured before a model that fails is printed, and the model named.
TEST_F(QevalTest, RowsBeforeAnErrorArePrinted) {
  const std::string file = path("nan.gguf");
  std::filesystem::copy_file(reference_data("quantized/micro-llama-f32.gguf"), file);
  const GgufTensor matrix = *Gguf::open(file).find_tensor("blk.0.ffn_down.weight");
  std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
  const float nan = std::nanf("");
  out.seekp(static_cast<std::streamoff>(matrix.offset));
  out.write(reinterpret_cast<const char*>(&nan), sizeof nan);
  out.close();
  const std::string more =
      " -f " + text() + " -c 64 --windows 2 --activations f32 --json --cache-dir '" + path("c");
  for (const std::string& line : {"perplexity -m " + model("f32") + " -m '" + file + "' -f " +
                                      text() + " -c 64 --windows 2 --activations f32 --json",
                                  "divergence --base " + model("f32") + " -m " + model("Q4_0") +
                                      " -m '" + file + "'" + more + "'"}) {
    const ToolResult result = run("qeval " + line);
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(parse_json(result.out).size(), 1u);
    EXPECT_NE(result.err.find("qeval: " + file + ": the model's logits are not finite"),
              std::string::npos)
        << result.err;
  }
  const ToolResult base =
      run("qeval divergence --base '" + file + "' -m " + model("f32") + more + "'");
  EXPECT_NE(base.err.find("qeval: " + file + ": "), std::string::npos) << base.err;
}

TEST_F(QevalTest, MoreContextThanTrainedForIsWarnedOf) {
  const std::string file = reference_data("quantized/micro-llama-Q4_0.gguf");
  const std::string warning =
      "qeval: warning: " + file + ": 600 positions are more than the 512 that it was trained for\n";
  const std::string line = "qeval perplexity -m '" + file + "' -f " + text() + " --windows 1 -c ";
  EXPECT_NE(run(line + "600").err.find(warning), std::string::npos);
  EXPECT_EQ(run(line + "512").err.find("trained for"), std::string::npos);
  EXPECT_NE(run("qeval speed -m '" + file + "' -p 590 -n 10 -r 1").err.find(warning),
            std::string::npos);
}

TEST_F(QevalTest, WrongWordsAreNamed) {
  const std::string files = "-m x -f y ";
  for (const auto& [line, part] : std::vector<std::pair<std::string, std::string>>{
           {"perplexty " + files, "'perplexty' is no subcommand: perplexity, divergence,"},
           {"perplexity --modle x -f y", "'--modle' is no option"},
           {"perplexity -m x --flie y", "'--flie' is no option"},
           {"perplexity " + files + "--calibrate t --percentile nan", "--percentile: 'nan'"},
           {"calibrate " + files + "-o z --percentile nan", "--percentile: 'nan'"},
           {"perplexity -m x -f - --calibrate -", "--calibrate -"}}) {
    const ToolResult result = run("qeval " + line);
    EXPECT_EQ(result.exit_code, 2) << line;
    EXPECT_TRUE(result.is_one_error_of("qeval")) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  }
  EXPECT_EQ(run("qeval sweep --help").out.find("{false}"), std::string::npos);
}

TEST_F(QevalTest, ErrorsAreOneLine) {
  const std::string cache = " --cache-dir '" + path("cache") + "'";
  for (const std::string& arguments :
       {"perplexity -m none.gguf -f " + text(), "perplexity -m " + model("f32") + " -f none.txt",
        "perplexity -m " + model("f32") + " -f /tmp", "perplexity -m " + text() + " -f " + text(),
        "perplexity -m " + model("f32") + " -f " + text() + " -c 1000000",
        "divergence --base " + model("f32") + " -m '" +
            reference_data("models-trained/tiny-skills-f16.gguf") + "' -f " + text() + cache,
        "importance -m " + model("f32") + " -f " + text() + " -c 64 --windows 1 -o /none/x"}) {
    const ToolResult result = run("qeval " + arguments);
    EXPECT_EQ(result.exit_code, 1) << arguments;
    EXPECT_TRUE(result.is_one_error_of("qeval")) << arguments << "\n" << result.err;
  }
  for (const std::string& arguments : std::vector<std::string>{
           "", "nothing", "perplexity -f " + text(), "perplexity -m " + model("f32"),
           "perplexity -m x -f y -c 2", "perplexity -m x -f y --kv-type f8", "divergence -m x -f y",
           "perplexity -m x -f y --activations q8,int4",
           "perplexity -m x -f y --activations f32,int8-tensor",
           "perplexity -m x -f y --scales s --calibrate t", "perplexity -m x -f y --percentile 99",
           "perplexity -m x -f y --calibrate t --percentile 101", "calibrate -m x -f y"}) {
    const ToolResult result = run("qeval " + arguments);
    EXPECT_EQ(result.exit_code, 2) << arguments;
    EXPECT_TRUE(result.is_one_error_of("qeval")) << arguments << "\n" << result.err;
  }
}

// A cache that is damaged is named, and nothing is reported.
TEST_F(QevalTest, ADamagedCacheIsNamed) {
  const std::string command = "qeval divergence --base " + model("f32") + " -m " + model("Q8_0") +
                              " -f " + text() + " -c 64 --windows 2 --cache-dir '" + path("cache") +
                              "'";
  ASSERT_EQ(run(command).exit_code, 0);
  const std::string file = std::filesystem::directory_iterator(path("cache"))->path().string();
  std::string bytes = read_file(file);
  bytes[bytes.size() / 2] ^= 1;
  std::ofstream(file, std::ios::binary) << bytes;
  const ToolResult result = run(command);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_TRUE(result.out.empty());
  EXPECT_NE(result.err.find(file), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("checksum"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace brink::testing
