// quantize as it is used: files, plans, comparisons, and what it says when something is wrong.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "brink/gguf/reader.h"
#include "tests/support/reference_data.h"
#include "tests/tools/tool_fixture.h"

namespace brink::testing {
namespace {

class QuantizeTool : public ToolTest {
 protected:
  std::string quoted(const std::string& name) const { return "'" + path(name) + "'"; }
};

TEST_F(QuantizeTool, WritesAMixAndSaysWhatCameOut) {
  const std::string model = tiny_model("F16");
  const ToolResult text = run("quantize '" + model + "' " + quoted("out.gguf") + " q4_k_m");
  ASSERT_EQ(text.exit_code, 0) << text.err;
  EXPECT_NE(text.out.find("bits per weight"), std::string::npos) << text.out;
  EXPECT_EQ(Gguf::open(path("out.gguf")).get_uint("general.file_type"), 15u);
  const ToolResult result =
      run("quantize '" + model + "' " + quoted("json.gguf") + " Q4_K_M --json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json json = parse_json(result.out);
  EXPECT_EQ(keys_of(json), (std::vector<std::string>{"source", "output", "type", "source_bytes",
                                                     "bytes", "bits_per_weight", "types",
                                                     "replaced", "without_importance", "seconds"}));
  std::uint64_t bytes = 0;
  const Gguf made = Gguf::open(path("json.gguf"));
  for (const GgufTensor& tensor : made.tensors()) bytes += tensor.bytes;
  EXPECT_EQ(json["bytes"], bytes);
  // The file runs.
  EXPECT_EQ(run("qbench -m " + quoted("out.gguf") + " -p 4 -n 2 -r 1").exit_code, 0);
}

TEST_F(QuantizeTool, ExceptionsFromTheMix) {
  const std::string model = tiny_model("F16");
  const ToolResult result =
      run("quantize '" + model + "' " + quoted("out.gguf") +
          " Q4_K_M --tensor-type 'ffn_down=Q8_0' --tensor-type 'blk\\.0\\.=Q6_K' "
          "--token-embedding-type Q5_K");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Gguf gguf = Gguf::open(path("out.gguf"));
  const auto type = [&](const char* name) { return gguf.find_tensor(name)->type; };
  EXPECT_EQ(type("blk.0.ffn_down.weight"), TensorType::kQ8_0);
  EXPECT_EQ(type("blk.0.attn_q.weight"), TensorType::kQ6_K);
  EXPECT_EQ(type("blk.1.attn_q.weight"), TensorType::kQ4_K);
  EXPECT_EQ(type("token_embd.weight"), TensorType::kQ5_K);
}

TEST_F(QuantizeTool, PlansWithoutWriting) {
  const std::string model = tiny_model("F16");
  const ToolResult plan =
      run("quantize '" + model + "' " + quoted("out.gguf") + " Q3_K_M --dry-run --json");
  ASSERT_EQ(plan.exit_code, 0) << plan.err;
  EXPECT_FALSE(std::filesystem::exists(path("out.gguf")));
  const Json json = parse_json(plan.out);
  ASSERT_EQ(run("quantize '" + model + "' " + quoted("out.gguf") + " Q3_K_M").exit_code, 0);
  const Gguf gguf = Gguf::open(path("out.gguf"));
  std::uint64_t bytes = 0;
  for (const Json& tensor : json["tensors"]) {
    const GgufTensor* made = gguf.find_tensor(tensor["name"].get<std::string>());
    ASSERT_NE(made, nullptr);
    EXPECT_EQ(tensor["type"], size_of(made->type).name);
    EXPECT_EQ(tensor["bytes"], made->bytes);
    bytes += made->bytes;
  }
  EXPECT_EQ(json["bytes"], bytes);
}

TEST_F(QuantizeTool, ComparesTwoFiles) {
  const std::string model = tiny_model("F16");
  ASSERT_EQ(run("quantize '" + model + "' " + quoted("out.gguf") + " pure:Q2_K").exit_code, 0);
  const ToolResult same = run("quantize --verify '" + model + "' '" + model + "' --json");
  ASSERT_EQ(same.exit_code, 0) << same.err;
  const Json equal = parse_json(same.out);
  for (const Json& tensor : equal["tensors"]) {
    EXPECT_EQ(tensor["relative_rms"], 0);
    EXPECT_EQ(tensor["cosine"], 1);
  }
  const ToolResult other =
      run("quantize --verify '" + model + "' " + quoted("out.gguf") + " --json");
  ASSERT_EQ(other.exit_code, 0) << other.err;
  double before = 1e9;
  const Json different = parse_json(other.out);
  for (const Json& tensor : different["tensors"]) {
    const double error = tensor["relative_rms"];
    EXPECT_LE(error, before);
    before = error;
    if (tensor["other_type"] == "Q2_K") {
      EXPECT_GT(error, 0.15);  // 0.20 on these weights of nearly one magnitude
      EXPECT_LT(error, 0.35);
    }
  }
  EXPECT_NE(run("quantize --verify '" + model + "' " + quoted("out.gguf")).out.find("relative RMS"),
            std::string::npos);
}

TEST_F(QuantizeTool, WrongUsage) {
  const std::string model = tiny_model("F16");
  for (const std::string& arguments :
       {std::string(""), "'" + model + "'", "'" + model + "' " + quoted("o.gguf"),
        "'" + model + "' " + quoted("o.gguf") + " Q9_X",
        "'" + model + "' " + quoted("o.gguf") + " Q4_K --effort most",
        "'" + model + "' " + quoted("o.gguf") + " --budget 4bpw", "--verify '" + model + "'",
        "'" + model + "' " + quoted("o.gguf") + " --budget lots --text '" + model + "'"}) {
    const ToolResult result = run("quantize " + arguments);
    EXPECT_EQ(result.exit_code, 2) << arguments;
    EXPECT_TRUE(result.is_one_error_of("quantize")) << result.err;
  }
}

TEST_F(QuantizeTool, BadInput) {
  const std::string model = tiny_model("F16");
  const std::string bytes = read_file(model);
  const std::string cut = write("cut.gguf", std::string_view(bytes).substr(0, bytes.size() / 2));
  for (const std::string& arguments :
       {"'" + cut + "' " + quoted("o.gguf") + " Q4_K_M", "'" + path("none") + "' x.gguf Q4_0",
        "'" + model + "' '" + model + "' Q4_K_M", "'" + model + "' /nowhere/o.gguf Q4_K_M",
        "'" + model + "' " + quoted("o.gguf") + " Q4_K_M --tensor-type 'none=Q8_0'",
        "'" + model + "' " + quoted("o.gguf") + " Q4_K_M --tensor-type '(=Q8_0'",
        "'" + model + "' " + quoted("o.gguf") + " Q4_K_M --imatrix '" + model + "'",
        "'" + vocabulary_file() + "' " + quoted("o.gguf") + " Q4_K_M",
        "--verify '" + model + "' '" + vocabulary_file() + "'"}) {
    const ToolResult result = run("quantize " + arguments);
    EXPECT_EQ(result.exit_code, 1) << arguments;
    EXPECT_TRUE(result.is_one_error_of("quantize")) << arguments << '\n' << result.err;
    EXPECT_FALSE(std::filesystem::exists(path("o.gguf"))) << arguments;
  }
  // A full disk, as a limit on the size of files.
  const ToolResult full = run("quantize '" + model + "' " + quoted("o.gguf") + " Q4_K_M",
                              "trap '' XFSZ; ulimit -f 64;");
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_TRUE(full.is_one_error_of("quantize")) << full.err;
  EXPECT_FALSE(std::filesystem::exists(path("o.gguf")));
}

TEST_F(QuantizeTool, LowBitsWithoutImportanceAreWarnedOf) {
  const std::string model = tiny_model("F16");
  const ToolResult result = run("quantize '" + model + "' " + quoted("out.gguf") + " IQ2_XXS");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_NE(result.err.find("without an importance matrix"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace brink::testing
