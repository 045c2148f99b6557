#include "brink/text/pretokenizer.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

namespace brink {
namespace {

using Words = std::vector<std::string>;

std::vector<std::size_t> ends_of(const std::string& name, std::string_view text) {
  const auto known = find_pretokenizer(name);
  if (!known) throw std::runtime_error("no pre-tokenizer " + name);
  std::vector<std::size_t> ends;
  pretokenize(known->rule, text, ends);
  return ends;
}

Words words(const std::string& name, std::string_view text) {
  Words result;
  std::size_t begin = 0;
  for (const std::size_t end : ends_of(name, text)) {
    result.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  return result;
}

// 260 texts cut by the published regular expressions: scripts/pretokenizer_cases.py.
TEST(Pretokenizer, CutsAsTheRegularExpressionsDo) {
  std::ifstream file(std::string(BRINK_SOURCE_DIR) + "/tests/data/text/pretokenizer_cases.txt");
  ASSERT_TRUE(file) << "tests/data/text/pretokenizer_cases.txt";
  std::string line, text;
  std::map<std::string, int> seen;
  while (std::getline(file, line)) {
    if (line.starts_with("#")) continue;
    const std::string name = line.substr(0, line.find(' '));
    const std::string value = line.substr(line.find(' ') + 1);
    if (name == "text") {
      text.clear();
      for (std::size_t i = 0; i < value.size(); i += 2)
        text.push_back(static_cast<char>(std::stoi(value.substr(i, 2), nullptr, 16)));
      continue;
    }
    std::vector<std::size_t> expected;
    std::stringstream numbers(value);
    for (std::string n; std::getline(numbers, n, ',');) expected.push_back(std::stoul(n));
    EXPECT_EQ(ends_of(name, text), expected) << name << ": " << text;
    ++seen[name];
  }
  EXPECT_EQ(seen.size(), 15u) << "one name for each rule, and bailingmoe";
  for (const auto& [name, count] : seen) EXPECT_EQ(count, 260) << name;
}

TEST(Pretokenizer, Contractions) {
  EXPECT_EQ(words("gpt-2", "I'm we'LL"), (Words{"I", "'m", " we", "'", "LL"}));
  EXPECT_EQ(words("llama-bpe", "I'm we'LL"), (Words{"I", "'m", " we", "'LL"}));
  EXPECT_EQ(words("tekken", "I'm we'LL"), (Words{"I", "'m", " we", "'LL"}));
  EXPECT_EQ(words("gpt-4o", "I'm we'LL"), (Words{"I'm", " we'LL"}));
  EXPECT_EQ(words("deepseek-llm", "I'm"), (Words{"I", "'", "m"}));
  EXPECT_EQ(words("deepseek-v3", "I'm"), (Words{"I", "'m"}));
}

TEST(Pretokenizer, Digits) {
  EXPECT_EQ(words("gpt-2", "x 12345"), (Words{"x", " 12345"}));
  EXPECT_EQ(words("llama-bpe", "x 12345"), (Words{"x", " ", "123", "45"}));
  EXPECT_EQ(words("qwen2", "x 12345"), (Words{"x", " ", "1", "2", "3", "4", "5"}));
  EXPECT_EQ(words("tekken", "x 12"), (Words{"x", " ", "1", "2"}));
  EXPECT_EQ(words("gpt-4o", "x 12345"), (Words{"x", " ", "123", "45"}));
  EXPECT_EQ(words("starcoder", "x 12"), (Words{"x", " ", "1", "2"}));
  EXPECT_EQ(words("smollm", "x 12"), (Words{"x", " ", "1", "2"}));
  EXPECT_EQ(words("falcon", "x 12345"), (Words{"x", " ", "123", "45"}));
  EXPECT_EQ(words("falcon", "x 12"), (Words{"x", " 12"}));
  EXPECT_EQ(words("default", "x 12"), (Words{"x", " ", "12"}));
  EXPECT_EQ(words("deepseek-llm", "x 12345"), (Words{"x", " ", "12345"}));
  EXPECT_EQ(words("deepseek-coder", "x 12"), (Words{"x", " ", "1", "2"}));
  EXPECT_EQ(words("deepseek-v3", "x 12345"), (Words{"x", " ", "123", "45"}));
}

TEST(Pretokenizer, ChineseJapaneseKorean) {
  EXPECT_EQ(words("llama-bpe", "中文，好 ひらア"), (Words{"中文", "，好", " ひらア"}));
  EXPECT_EQ(words("gpt-2", "中文，好"), (Words{"中文", "，", "好"}));
  EXPECT_EQ(words("deepseek-llm", "a中文b 中"), (Words{"a", "中文", "b", " ", "中"}));
  EXPECT_EQ(words("deepseek-coder", "a中文b"), (Words{"a", "中文", "b"}));
  EXPECT_EQ(words("deepseek-v3", "a中文b"), (Words{"a", "中文", "b"}));
}

TEST(Pretokenizer, NewlinesAndSpaces) {
  EXPECT_EQ(words("gpt-2", "a \n\n  b"), (Words{"a", " \n\n ", " b"}));
  EXPECT_EQ(words("llama-bpe", "a \n\n  b"), (Words{"a", " \n\n", " ", " b"}));
  EXPECT_EQ(words("llama-bpe", "a.\n\nb"), (Words{"a", ".\n\n", "b"}));
  EXPECT_EQ(words("seed-coder", "a.\n\nb"), (Words{"a", ".", "\n\n", "b"}));
  EXPECT_EQ(words("tekken", "a./\n/b"), (Words{"a", "./\n/", "b"}));
  EXPECT_EQ(words("deepseek-llm", "a\n\nb  "), (Words{"a", "\n", "\n", "b", "  "}));
  EXPECT_EQ(words("llama-bpe", "a   "), (Words{"a", "   "}));
  EXPECT_EQ(words("llama-bpe", "\tx"), (Words{"\tx"}));
  EXPECT_EQ(words("gpt-2", "\tx"), (Words{"\t", "x"}));
}

TEST(Pretokenizer, CasesOfLetters) {
  EXPECT_EQ(words("llama-bpe", "camelCase"), (Words{"camelCase"}));
  EXPECT_EQ(words("tekken", "camelCase HTTPServer"), (Words{"camel", "Case", " HTTPServer"}));
  EXPECT_EQ(words("tekken", "ÉCOLE éTÉ"), (Words{"ÉCOLE", " é", "TÉ"}));
  // A combining mark belongs to the word for some, and is a symbol for others.
  EXPECT_EQ(words("qwen35", "e\u0301e"), (Words{"e\u0301e"}));
  EXPECT_EQ(words("qwen2", "e\u0301e"), (Words{"e", "\u0301e"}));
}

TEST(Pretokenizer, AliasesShareRulesAndNotAlwaysFlags) {
  for (const char* name : {"llama3", "llama-v3", "llama-bpe", "falcon3", "pixtral"}) {
    const auto p = find_pretokenizer(name);
    ASSERT_TRUE(p) << name;
    EXPECT_EQ(p->rule, PretokenizerRule::kLlama3) << name;
    EXPECT_TRUE(p->ignore_merges && p->add_bos) << name;
  }
  for (const char* name : {"smaug-bpe", "dbrx", "chatglm-bpe", "glm4"}) {
    const auto p = find_pretokenizer(name);
    ASSERT_TRUE(p) << name;
    EXPECT_EQ(p->rule, PretokenizerRule::kLlama3) << name;
    EXPECT_FALSE(p->ignore_merges || p->add_bos) << name;
  }
  EXPECT_TRUE(find_pretokenizer("tekken")->ignore_merges);
  EXPECT_TRUE(find_pretokenizer("tekken")->add_bos);
  for (const char* name : {"qwen2", "deepseek-r1-qwen", "megrez", "stablelm2", "hunyuan"})
    EXPECT_EQ(find_pretokenizer(name)->rule, PretokenizerRule::kQwen2) << name;
  for (const char* name : {"gpt-2", "phi-2", "mpt", "olmo", "jais", "exaone4", "a.x-4.0"})
    EXPECT_EQ(find_pretokenizer(name)->rule, PretokenizerRule::kGpt2) << name;
  for (const char* name : {"starcoder", "smollm", "refact", "command-r", "codeshell", "exaone"})
    EXPECT_EQ(find_pretokenizer(name)->rule, PretokenizerRule::kStarCoder) << name;
  EXPECT_FALSE(find_pretokenizer("qwen3"));
  EXPECT_FALSE(find_pretokenizer(""));
}

TEST(Pretokenizer, AnyBytesAreCutIntoWordsThatAreNotEmpty) {
  std::mt19937 random(3);
  const std::string few = "a1 \n'\xE2\x96\x81\xF0\x9F\xA6\x99\xC3\xFF.";
  std::stringstream names(pretokenizer_names());
  for (std::string name; std::getline(names, name, ',');) {
    if (name[0] == ' ') name.erase(0, 1);
    for (int i = 0; i < 2000; ++i) {
      std::string text(random() % 24, '\0');
      for (char& c : text)
        c = i % 2 ? static_cast<char>(random() & 255) : few[random() % few.size()];
      std::size_t last = 0;
      for (const std::size_t end : ends_of(name, text)) {
        ASSERT_GT(end, last);
        last = end;
      }
      ASSERT_EQ(last, text.size()) << name;
    }
  }
}

}  // namespace
}  // namespace brink
