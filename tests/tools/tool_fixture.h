// Runs the built tools as a user does: command lines, output, exit codes.
#ifndef BRINK_TESTS_TOOLS_TOOL_FIXTURE_H_
#define BRINK_TESTS_TOOLS_TOOL_FIXTURE_H_

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "brink/gguf/writer.h"
#include "brink/quant/mixes.h"
#include "tests/support/temporary_folder.h"
#include "tools/support/json.h"
#include "tools/support/synthetic_model.h"

namespace nlohmann {
/// As text: GoogleTest would write out printers of its own for all that JSON is made of.
inline void PrintTo(const ordered_json& json, std::ostream* out) {
  *out << brink::tools::to_text(json);
}
}  // namespace nlohmann

namespace brink::testing {

using tools::dumped;
using tools::Json;
using tools::parse_json;

struct ToolResult {
  int exit_code = 0;
  std::string out;
  std::string err;

  /// One line, "TOOL: ...", and nothing else.
  bool is_one_error_of(const std::string& tool) const {
    return out.empty() && err.starts_with(tool + ": ") && err.ends_with('\n') &&
           err.find('\n') == err.size() - 1;
  }
};

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

class ToolTest : public ::testing::Test {
 protected:
  /// `arguments` is shell text: quote what needs it. The tools' folder is the working folder.
  ToolResult run(const std::string& arguments, const std::string& before = "") {
    const std::string out = folder_.path("stdout"), err = folder_.path("stderr");
    const std::string command = "cd '" BRINK_BINARY_DIR "/bin' && " + before + " ./" + arguments;
    // Redirected before `arguments`, which may redirect again.
    const int status = std::system(("( " + command + " ) >'" + out + "' 2>'" + err + "'").c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(out), read_file(err)};
  }

  std::string path(const std::string& name) const { return folder_.path(name); }
  std::string write(const std::string& name, std::string_view bytes) const {
    return folder_.write(name, bytes);
  }

  /// A model of some hundred kilobytes with the structure of Llama 3.2.
  std::string tiny_model(const std::string& type = "Q8_0") const {
    return tools::synthetic_model(tiny_shape(), find_mix(type).value(), folder_.path("cache"),
                                  true);
  }

  static tools::SyntheticShape tiny_shape() {
    tools::SyntheticShape shape = tools::find_shape("llama-3.2-1b");
    shape.name = "tiny";
    shape.layers = 2;
    shape.width = 256;
    shape.ffn = 512;
    shape.heads = 4;
    shape.kv_heads = 2;
    shape.vocabulary = 512;
    shape.bos = 510;
    shape.eos = 511;
    return shape;
  }

  /// A vocabulary of two tokens, without weights.
  std::string vocabulary_file() const {
    const std::string file = folder_.path("vocabulary.gguf");
    GgufWriter writer(file);
    writer.set("general.architecture", "llama");
    writer.set("general.name", "two\x1b[2Jtokens\n");
    writer.set("tokenizer.ggml.model", "gpt2");
    writer.set("tokenizer.ggml.pre", "llama-bpe");
    writer.set_array("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b", "ab"});
    writer.set_array("tokenizer.ggml.token_type", std::vector<std::int32_t>{1, 1, 1});
    writer.set_array("tokenizer.ggml.merges", std::vector<std::string>{"a b"});
    writer.finish();
    return file;
  }

  TemporaryFolder folder_;
};

inline std::vector<std::string> keys_of(const Json& object) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  return keys;
}

}  // namespace brink::testing

#endif  // BRINK_TESTS_TOOLS_TOOL_FIXTURE_H_
