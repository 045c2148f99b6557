// qrun: completion, chat, token ids and logits from the command line.
#include <filesystem>

#include "brink/brink.h"
#include "tests/support/npy.h"
#include "tests/support/reference_data.h"
#include "tests/tools/tool_fixture.h"

namespace brink::testing {
namespace {

using QrunTest = ToolTest;

TEST_F(QrunTest, CompletesAndPrintsRates) {
  const std::string model = tiny_model();
  const std::string command = "qrun -m '" + model + "' -p 'Hello' -n 16 --seed 7";
  const ToolResult first = run(command);
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_GT(first.out.size(), 16u);
  // Five bytes and BOS.
  EXPECT_TRUE(first.err.starts_with("prompt: 6 tokens, ")) << first.err;
  EXPECT_NE(first.err.find("generation: 16 tokens, "), std::string::npos) << first.err;
  EXPECT_EQ(run(command).out, first.out);
  EXPECT_EQ(run(command + " -t 1").out, first.out);
  EXPECT_NE(run("qrun -m '" + model + "' -p 'Hello' -n 16 --seed 8").out, first.out);
}

TEST_F(QrunTest, JsonHoldsTextAndRates) {
  const ToolResult result = run("qrun -m '" + tiny_model() + "' -p Hello -n 4 --json --temp 0");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json json = parse_json(result.out);
  EXPECT_EQ(keys_of(json),
            (std::vector<std::string>{"text", "finish", "prompt_tokens", "generated_tokens",
                                      "prompt_tokens_per_second", "generation_tokens_per_second"}));
  EXPECT_EQ(json["finish"], "max_tokens");
  EXPECT_EQ(json["generated_tokens"], 4);
  EXPECT_GT(json["prompt_tokens_per_second"], 0.0);
}

TEST_F(QrunTest, StopsAtText) {
  const std::string command = "qrun -m '" + tiny_model() + "' -p Hello -n 200 --seed 3 --json";
  const std::string text = parse_json(run(command).out)["text"];
  // Random weights write anything: a letter or digit needs no quoting.
  const std::size_t at = text.find_first_of("abcdefghijklmnopqrstuvwxyz0123456789", 3);
  ASSERT_NE(at, std::string::npos) << text;
  const std::string stop(1, text[at]);
  const Json json = parse_json(run(command + " --stop " + stop).out);
  EXPECT_EQ(json["finish"], "stop");
  EXPECT_EQ(json["text"], text.substr(0, text.find(stop)));
}

TEST_F(QrunTest, ContextBoundsTheGeneration) {
  const Json json =
      parse_json(run("qrun -m '" + tiny_model() + "' -p Hello -c 10 -n 100 --json").out);
  EXPECT_EQ(json["finish"], "context");
  EXPECT_LE(json["generated_tokens"], 5);
}

TEST_F(QrunTest, TokenizesWithAVocabularyAlone) {
  const std::string vocabulary = vocabulary_file();
  const std::string text = write("text", "abba");
  const std::string command = "qrun -m '" + vocabulary + "' --tokenize ";
  EXPECT_EQ(run(command + "'" + text + "' --plain").out, "2 1 0\n");
  EXPECT_EQ(run(command + "- --plain", "printf aab |").out, "0 2\n");
  EXPECT_EQ(run(command + "'" + text + "' --plain --json").out, "[2,1,0]\n");
  const ToolResult npy = run(command + "'" + text + "' --plain --npy '" + path("ids.npy") + "'");
  ASSERT_EQ(npy.exit_code, 0) << npy.err;
  EXPECT_EQ(read_npy<std::int32_t>(path("ids.npy")).values, (std::vector<std::int32_t>{2, 1, 0}));
}

TEST_F(QrunTest, LogitsAreThoseOfASession) {
  const std::string model = tiny_model("Q4_K_M");
  // More than one piece of the writer's, unevenly cut.
  std::string text;
  for (int i = 0; i < 301; ++i) text += static_cast<char>('a' + i * 7 % 26);
  const std::string ids = path("ids.npy"), logits = path("logits.npy");
  ASSERT_EQ(
      run("qrun -m '" + model + "' --tokenize '" + write("text", text) + "' --npy '" + ids + "'")
          .exit_code,
      0);
  const ToolResult result = run("qrun -m '" + model + "' --tokens '" + ids + "' --logits '" +
                                logits + "' --activations f32 --kv-type f32");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::vector<std::int32_t> tokens = read_npy<std::int32_t>(ids).values;
  const NpyArray<float> array = read_npy<float>(logits);
  ASSERT_EQ(array.shape, (std::vector<std::size_t>{302, 512}));  // with BOS
  SessionOptions options;
  options.context = tokens.size();
  options.activations = Activations::kF32;
  options.kv_type = KvType::kF32;
  Session session(Model::open(model), options);
  const std::span<const float> expected = session.feed(tokens, Logits::kAll);
  // Exactly the same: pieces of a prompt use the same kernels.
  EXPECT_TRUE(
      std::equal(expected.begin(), expected.end(), array.values.begin(), array.values.end()));
}

TEST_F(QrunTest, ChatsInANamedForm) {
  const std::string model = tiny_model();
  const std::string command = "qrun -m '" + model + "' --chat -n 4 --json ";
  const ToolResult unnamed = run(command + "-p Hi");
  EXPECT_EQ(unnamed.exit_code, 1);
  EXPECT_TRUE(unnamed.is_one_error_of("qrun")) << unnamed.err;
  EXPECT_NE(unnamed.err.find("chatml"), std::string::npos) << unnamed.err;

  const ToolResult one = run(command + "-p Hi --template chatml");
  ASSERT_EQ(one.exit_code, 0) << one.err;
  EXPECT_EQ(parse_json(one.out)["generated_tokens"], 4);

  // A second turn feeds only what is new; /clear starts anew, with the first turn's answer.
  const ToolResult turns =
      run(command + "--template chatml --temp 0", "printf 'Hi\\nMore\\n/clear\\nHi\\n' |");
  ASSERT_EQ(turns.exit_code, 0) << turns.err;
  std::vector<Json> answers;
  for (std::size_t begin = 0, end = 0; (end = turns.out.find('\n', begin)) != std::string::npos;
       begin = end + 1)
    answers.push_back(parse_json(turns.out.substr(begin, end - begin)));
  ASSERT_EQ(answers.size(), 3u);
  EXPECT_EQ(answers[2]["text"], answers[0]["text"]);
}

TEST_F(QrunTest, AnswersOfATrainedModel) {
  BRINK_REQUIRE_REFERENCE_DATA();
  // The model recalls about 22 % of its facts (its README); of 200 at least 15 is four standard
  // deviations below that, and far above the chance of a made-up word.
  const std::string model = reference_data("models-trained/tiny-skills-f16.gguf");
  std::ifstream facts(reference_data("models-trained/facts.jsonl"));
  std::string questions;
  std::vector<std::string> expected;
  for (std::string line; std::getline(facts, line);) {
    const Json fact = parse_json(line);
    questions += fact["question"].get<std::string>() + "\n/clear\n";
    expected.push_back(fact["answer"]);
  }
  ASSERT_EQ(expected.size(), 200u);
  const ToolResult result = run("qrun -m '" + model + "' --chat --temp 0 -n 16 --json <'" +
                                write("questions", questions) + "'");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  std::istringstream lines(result.out);
  std::size_t right = 0, answers = 0;
  for (std::string line; std::getline(lines, line); ++answers)
    if (answers < expected.size() && parse_json(line)["text"] == expected[answers]) ++right;
  EXPECT_EQ(answers, expected.size());
  EXPECT_GE(right, 15u);
}

TEST_F(QrunTest, CtrlCEndsCleanly) {
  const std::string model = tiny_model();
  // The shell waits for text to appear, interrupts, and reports the tool's exit code.
  const std::string out = path("endless");
  const ToolResult result =
      run("qrun -m '" + model + "' -p Hello --temp 0 -c 100000 -n 90000 >'" + out + "' & P=$!; " +
          "while [ ! -s '" + out + "' ]; do sleep 0.05; done; kill -INT $P; wait $P");
  EXPECT_EQ(result.exit_code, 130) << result.err;
  EXPECT_TRUE(result.err.starts_with("prompt: 6 tokens, ")) << result.err;
}

TEST_F(QrunTest, ErrorsAreOneLine) {
  const std::string model = tiny_model();
  const std::string ids = write("ids.npy", "this is no array");
  const std::string bytes = read_file(model);
  const std::string cut = write("cut.gguf", bytes.substr(0, bytes.size() - 100));
  for (const std::string& arguments :
       {"-m '" + path("none") + "' -p x", "-m '" + cut + "' -p x",
        "-m '" + vocabulary_file() + "' -p x",
        "-m '" + model + "' --tokenize '" + path("none") + "'", "-m '" + model + "' --tokenize /",
        "-m '" + model + "' --tokens '" + ids + "' --logits '" + path("l.npy") + "'",
        "-m '" + model + "' --chat -p x --template nonsense",
        "-m '" + model + "' -p x --top-p 7"}) {
    const ToolResult result = run("qrun " + arguments);
    EXPECT_EQ(result.exit_code, 1) << arguments;
    EXPECT_TRUE(result.is_one_error_of("qrun")) << arguments << '\n' << result.err;
  }
  EXPECT_FALSE(std::filesystem::exists(path("l.npy")));
  for (const std::string& arguments :
       {std::string("-p x"), "-m '" + model + "'", "-m '" + model + "' -p x --kv-type f17",
        "-m '" + model + "' --tokens x", "-m '" + model + "' -p x --tokenize y",
        "-m '" + model + "' -p x --template chatml", "-m '" + model + "' -p x --nonsense"}) {
    const ToolResult result = run("qrun " + arguments);
    EXPECT_EQ(result.exit_code, 2) << arguments;
    EXPECT_TRUE(result.is_one_error_of("qrun")) << arguments << '\n' << result.err;
  }
}

TEST_F(QrunTest, AFullDiskIsAnErrorAndLeavesNothing) {
  const std::string model = tiny_model();
  const std::string ids = path("ids.npy");
  ASSERT_EQ(
      run("qrun -m '" + model + "' --tokenize '" + write("text", "hello") + "' --npy '" + ids + "'")
          .exit_code,
      0);
  const ToolResult full = run("qrun -m '" + model + "' --tokens '" + ids + "' --logits /dev/full");
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_TRUE(full.is_one_error_of("qrun")) << full.err;
  // A file size limit of 4 kB acts as a disk does that fills up half-way.
  const ToolResult limited =
      run("qrun -m '" + model + "' --tokens '" + ids + "' --logits '" + path("l.npy") + "'",
          "trap '' XFSZ; ulimit -f 4;");
  EXPECT_EQ(limited.exit_code, 1);
  EXPECT_NE(limited.err.find("l.npy"), std::string::npos) << limited.err;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path("")))
    EXPECT_EQ(entry.path().filename().string().find("l.npy"), std::string::npos) << entry;
}

}  // namespace
}  // namespace brink::testing
