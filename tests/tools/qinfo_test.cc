// qinfo: what it prints, on files of all kinds, and what it says when it cannot.
#include <cstring>
#include <filesystem>

#include "brink/quant/format.h"
#include "tests/support/npy.h"
#include "tests/tools/tool_fixture.h"

namespace brink::testing {
namespace {

using QinfoTest = ToolTest;

TEST_F(QinfoTest, JsonDescribesTheFile) {
  const std::string model = tiny_model("Q4_K_M");
  const ToolResult result = run("qinfo '" + model + "' --json -c 1000");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  const Json json = parse_json(result.out);
  EXPECT_EQ(keys_of(json),
            (std::vector<std::string>{"file", "version", "bytes", "metadata", "tensors", "totals",
                                      "memory", "memory_error"}));
  EXPECT_EQ(json["bytes"], std::filesystem::file_size(model));
  EXPECT_EQ(json["metadata"]["llama.block_count"], 2);
  EXPECT_EQ(json["metadata"]["tokenizer.ggml.tokens"]["elements"], 512);
  EXPECT_EQ(json["metadata"]["tokenizer.ggml.merges"].size(), 1u);
  const Json& embedding = json["tensors"][0];
  EXPECT_EQ(embedding["name"], "token_embd.weight");
  EXPECT_EQ(embedding["type"], "Q6_K");
  EXPECT_EQ(embedding["shape"], Json::array({256, 512}));
  EXPECT_EQ(embedding["bytes"], 512 * 210);
  EXPECT_DOUBLE_EQ(embedding["bits_per_weight"], 6.5625);
  std::uint64_t bytes = 0;
  for (const Json& tensor : json["tensors"]) bytes += tensor["bytes"].get<std::uint64_t>();
  EXPECT_EQ(json["totals"]["bytes"], bytes);
  EXPECT_EQ(json["totals"]["tensors"], json["tensors"].size());
  // 1000 positions are kept in pages of 64: 16 of them, f16 keys and values of 2 heads of 64,
  // twice.
  EXPECT_EQ(json["memory"]["context"], 1000);
  EXPECT_EQ(json["memory"]["kv_cache"], 16 * 64 * 2 * 2 * 64 * 2 * 2);
  EXPECT_EQ(json["memory"]["total"], json["memory"]["weights"].get<std::uint64_t>() +
                                         json["memory"]["kv_cache"].get<std::uint64_t>() +
                                         json["memory"]["working"].get<std::uint64_t>());
  EXPECT_TRUE(json["memory_error"].is_null());
}

TEST_F(QinfoTest, MemoryFollowsContextAndKvType) {
  const std::string model = tiny_model();
  const auto kv = [&](const std::string& flags) {
    return parse_json(run("qinfo '" + model + "' --json " + flags).out)["memory"]["kv_cache"]
        .get<std::uint64_t>();
  };
  EXPECT_EQ(kv("-c 8192"), 2 * kv("-c 4096"));
  EXPECT_EQ(kv("-c 4096 --kv-type f32"), 2 * kv("-c 4096 --kv-type f16"));
}

TEST_F(QinfoTest, TextShowsTensorsAndTotals) {
  const ToolResult result = run("qinfo '" + tiny_model() + "'");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (const char* part : {"GGUF version 3", "general.architecture", "blk.1.ffn_down.weight",
                           "512 x 256", "8.50", "total", "memory for a context of 4096"})
    EXPECT_NE(result.out.find(part), std::string::npos) << part;
}

TEST_F(QinfoTest, VocabulariesAndUnknownArchitecturesWork) {
  const ToolResult vocabulary = run("qinfo '" + vocabulary_file() + "'");
  EXPECT_EQ(vocabulary.exit_code, 0) << vocabulary.err;
  EXPECT_NE(vocabulary.out.find("no tensors"), std::string::npos);
  EXPECT_NE(vocabulary.out.find("memory: not known"), std::string::npos);
  // A name in a file must not be able to drive the terminal.
  EXPECT_EQ(vocabulary.out.find('\x1b'), std::string::npos);

  const std::string other = path("other.gguf");
  GgufWriter writer(other);
  writer.set("general.architecture", "gpt5");
  const std::uint64_t shape[] = {4};
  writer.declare("x", TensorType::kF32, shape);
  const float values[] = {1, 2, 3, 4};
  writer.append("x", std::as_bytes(std::span(values)));
  writer.finish();
  const ToolResult result = run("qinfo --json '" + other + "'");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json json = parse_json(result.out);
  EXPECT_EQ(json["tensors"].size(), 1u);
  EXPECT_TRUE(json["memory"].is_null());
  EXPECT_NE(json["memory_error"].get<std::string>().find("gpt5"), std::string::npos);
}

TEST_F(QinfoTest, WritesDecodedTensors) {
  const std::string model = tiny_model("Q4_K_M"), npy = path("t.npy");
  const ToolResult result =
      run("qinfo '" + model + "' --tensor blk.1.ffn_gate.weight --npy '" + npy + "'");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const NpyArray<float> array = read_npy<float>(npy);
  ASSERT_EQ(array.shape, (std::vector<std::size_t>{512, 256}));
  const Gguf gguf = Gguf::open(model);
  const GgufTensor* tensor = gguf.find_tensor("blk.1.ffn_gate.weight");
  ASSERT_NE(tensor, nullptr);
  std::vector<float> expected(tensor->elements());
  format_of(tensor->type)
      .decode(reinterpret_cast<const std::uint8_t*>(tensor->data), expected.data(),
              expected.size());
  EXPECT_EQ(std::memcmp(expected.data(), array.values.data(), expected.size() * sizeof(float)), 0);
}

TEST_F(QinfoTest, ErrorsAreOneLine) {
  const std::string model = tiny_model();
  const ToolResult missing = run("qinfo '" + path("none.gguf") + "'");
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_TRUE(missing.is_one_error_of("qinfo")) << missing.err;
  EXPECT_NE(missing.err.find("none.gguf"), std::string::npos);

  const std::string bytes = read_file(model);
  const ToolResult cut =
      run("qinfo '" + write("cut.gguf", bytes.substr(0, bytes.size() / 2)) + "'");
  EXPECT_EQ(cut.exit_code, 1);
  EXPECT_TRUE(cut.is_one_error_of("qinfo")) << cut.err;

  const ToolResult no_tensor =
      run("qinfo '" + model + "' --tensor nothing --npy '" + path("n.npy") + "'");
  EXPECT_EQ(no_tensor.exit_code, 1);
  EXPECT_TRUE(no_tensor.is_one_error_of("qinfo")) << no_tensor.err;
  EXPECT_FALSE(std::filesystem::exists(path("n.npy")));

  for (const char* arguments :
       {"qinfo", "qinfo --nonsense x", "qinfo x --tensor y", "qinfo x -c 0", "qinfo x -c many"}) {
    const ToolResult usage = run(arguments);
    EXPECT_EQ(usage.exit_code, 2) << arguments;
    EXPECT_TRUE(usage.is_one_error_of("qinfo")) << usage.err;
  }
}

TEST_F(QinfoTest, AFullDiskIsAnError) {
  const std::string model = tiny_model();
  const ToolResult npy = run("qinfo '" + model + "' --tensor token_embd.weight --npy /dev/full");
  EXPECT_EQ(npy.exit_code, 1);
  EXPECT_TRUE(npy.is_one_error_of("qinfo")) << npy.err;
  const ToolResult out = run("qinfo '" + model + "' --json >/dev/full");
  EXPECT_EQ(out.exit_code, 1);
  EXPECT_TRUE(out.is_one_error_of("qinfo")) << out.err;
}

TEST_F(QinfoTest, HelpExplains) {
  const ToolResult result = run("qinfo --help");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_NE(result.out.find("--context"), std::string::npos);
}

}  // namespace
}  // namespace brink::testing
