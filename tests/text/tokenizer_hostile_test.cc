// Vocabularies that are broken, by accident or on purpose: an error that names the key, or a
// tokenizer that works on what is left; never a crash.
#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <string>
#include <vector>

#include "brink/text/tokenizer.h"
#include "made_vocabulary.h"

namespace brink::testing {
namespace {

std::string error_of(const Gguf& gguf) {
  try {
    Tokenizer::load(gguf);
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

std::string error_of(const MadeVocabulary& v) {
  const TemporaryFolder folder;
  return error_of(v.open(folder));
}

void exercise(const Tokenizer& tokenizer) {
  for (const std::string& text :
       {std::string("Hello <|im_end|> world\n\n"), std::string("\xFF\xC3 \xF0\x9F"),
        std::string(300, 'a'), std::string(40, ' '), std::string("a\0b", 3)}) {
    const Ids ids = tokenizer.encode(text);
    for (const std::int32_t id : ids) {
      ASSERT_GE(id, 0);
      ASSERT_LT(static_cast<std::size_t>(id), tokenizer.vocabulary_size());
    }
    tokenizer.decode(ids, true);
  }
}

TEST(HostileVocabulary, MissingOrEmptyTokens) {
  auto v = MadeVocabulary::bytes();
  v.write_tokens = false;
  EXPECT_NE(error_of(v).find("'tokenizer.ggml.tokens'"), std::string::npos) << error_of(v);
  v.write_tokens = true;
  v.tokens.clear();
  v.kinds.clear();
  EXPECT_NE(error_of(v).find("'tokenizer.ggml.tokens'"), std::string::npos) << error_of(v);
}

TEST(HostileVocabulary, MissingMerges) {
  auto v = MadeVocabulary::bytes();
  v.merges.reset();
  EXPECT_NE(error_of(v).find("'tokenizer.ggml.merges'"), std::string::npos) << error_of(v);
}

TEST(HostileVocabulary, ArraysOfOtherLengths) {
  auto v = MadeVocabulary::bytes();
  v.kinds.pop_back();
  EXPECT_NE(error_of(v).find("'tokenizer.ggml.token_type'"), std::string::npos) << error_of(v);
  v = MadeVocabulary::sentence();
  v.scores.push_back(0);
  EXPECT_NE(error_of(v).find("'tokenizer.ggml.scores'"), std::string::npos) << error_of(v);
  v = MadeVocabulary::bytes();
  v.write_kinds = false;
  exercise(v.load());
}

TEST(HostileVocabulary, KeysOfOtherTypes) {
  for (const char* key : {"tokens", "token_type", "merges", "model", "pre", "add_bos_token"}) {
    const TemporaryFolder folder;
    const auto v = MadeVocabulary::bytes();
    const Gguf good = v.open(folder);
    const std::string path = folder.path("other.gguf");
    {
      GgufWriter writer(path);
      writer.copy_metadata(good);
      writer.set("tokenizer.ggml." + std::string(key), 7.5f);
      writer.finish();
    }
    EXPECT_NE(error_of(Gguf::open(path)).find(key), std::string::npos) << key;
    {
      GgufWriter writer(path);
      writer.copy_metadata(good);
      writer.set_array("tokenizer.ggml." + std::string(key), std::vector<float>(256, 1.0f));
      writer.finish();
    }
    EXPECT_NE(error_of(Gguf::open(path)).find(key), std::string::npos) << key;
  }
}

TEST(HostileVocabulary, IdsOutOfRangeAreToldAndIgnored) {
  for (const std::uint32_t id : {256u, 0x7FFFFFFFu, 0xFFFFFFFFu}) {
    auto v = MadeVocabulary::bytes("llama-bpe");
    for (const char* key : {"bos", "eos", "eot", "eom", "fim_pad", "unknown"})
      v.numbers[std::string(key) + "_token_id"] = id;
    v.flags = {{"add_bos_token", true}, {"add_eos_token", true}};
    std::vector<std::string> warnings;
    const Tokenizer t = v.load(&warnings);
    EXPECT_GE(warnings.size(), 5u);
    EXPECT_EQ(t.bos(), std::nullopt);
    EXPECT_EQ(t.encode("a"), (Ids{'a'}));
    EXPECT_FALSE(t.is_end_of_generation(static_cast<std::int32_t>(id)));
  }
}

TEST(HostileVocabulary, BrokenMergesAreLeftOut) {
  auto v = MadeVocabulary::bytes();
  const auto ab = v.add("ab");
  v.merges = {"",          " ",     "a",    "a ",  " b", "a b c",
              "\xFF \xFE", "中 文", "a b",  "a b", "  ", std::string(100000, 'x') + " y",
              "ab ab",     "b ab",  "\n \n"};
  std::vector<std::string> warnings;
  const Tokenizer t = v.load(&warnings);
  EXPECT_FALSE(warnings.empty());
  EXPECT_EQ(t.encode("abc", kPlain), (Ids{ab, 'c'}));
  exercise(t);
}

TEST(HostileVocabulary, TokensTwiceEmptyLongOrNoText) {
  for (const bool bpe : {true, false}) {
    auto v = bpe ? MadeVocabulary::bytes() : MadeVocabulary::sentence();
    const auto first = v.add("xy");
    v.add("xy");
    v.add("");
    v.add("", MadeVocabulary::kControl);
    v.add("", MadeVocabulary::kUser);
    v.add(std::string(1 << 20, 'a'));
    v.add(std::string(1 << 20, 'b'), MadeVocabulary::kControl);
    v.add("\xFF\xFE\xC3");
    v.add("\xFF\xFE", MadeVocabulary::kControl);
    v.add("<0xZZ>", MadeVocabulary::kByte);
    v.add("<0x", MadeVocabulary::kByte);
    v.add(std::string("\0\0", 2), MadeVocabulary::kUser);
    std::vector<std::string> warnings;
    const Tokenizer t = v.load(&warnings);
    EXPECT_GE(warnings.size(), 2u);
    EXPECT_EQ(t.find("xy"), first);
    EXPECT_EQ(t.find(""), std::nullopt);
    exercise(t);
    // Matching a megabyte-long token at every place would be quadratic.
    EXPECT_GT(t.encode(std::string(1 << 20, 'b')).size(), 1u);
  }
}

TEST(HostileVocabulary, ScoresThatAreNoNumbers) {
  auto v = MadeVocabulary::sentence();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const char* text : {"a", "b", "aa", "ab", "aab", "▁", "▁a"})
    v.add(text, MadeVocabulary::kNormal, v.tokens.size() % 2 ? kNan : kInfinity);
  exercise(v.load());
}

TEST(HostileVocabulary, UnknownKindsOfTokens) {
  auto v = MadeVocabulary::bytes();
  for (std::size_t i = 0; i < v.kinds.size(); ++i)
    v.kinds[i] = static_cast<std::int32_t>(i * 0x01234567u);
  exercise(v.load());
}

TEST(HostileVocabulary, NoBytesAtAll) {
  MadeVocabulary v;
  v.merges.emplace();
  v.add("only");
  std::vector<std::string> warnings;
  const Tokenizer t = v.load(&warnings);
  EXPECT_EQ(t.encode("xyz"), Ids{});
  exercise(t);
}

// Random tokens, kinds, scores and merges out of few characters.
TEST(HostileVocabulary, Random) {
  std::mt19937 random(23);
  const std::vector<std::string> parts = {
      "a",  "b", "Ġ",    "▁", " ",  "<", "\xFF", "é",       "|", "<0x41>", "</s>",
      "中", "Ċ", "\xC3", "",  "aa", ">", "Ã",    "<|end|>", "x", "<unk>",  "ab"};
  const auto make = [&] {
    std::string text;
    for (std::size_t k = random() % 4; k > 0; --k) text += parts[random() % parts.size()];
    return text;
  };
  for (int round = 0; round < 300; ++round) {
    MadeVocabulary v;
    v.model = round % 2 ? "llama" : "gpt2";
    v.pre = round % 4 ? "llama-bpe" : "deepseek-llm";
    for (std::size_t n = 1 + random() % 60; n > 0; --n)
      v.add(make(), static_cast<MadeVocabulary::Kind>(random() % 8),
            static_cast<float>(random() % 5));
    v.merges.emplace();
    for (std::size_t n = random() % 60; n > 0; --n) v.merges->push_back(make() + " " + make());
    v.numbers["bos_token_id"] = random() % 64;
    v.numbers["eos_token_id"] = random() % 64;
    v.flags["add_eos_token"] = random() % 2;
    const Tokenizer t = v.load();
    exercise(t);
    std::string text;
    for (int k = 0; k < 50; ++k) text += parts[random() % parts.size()];
    t.decode(t.encode(text, kPlain), true);
    t.decode(t.encode(text, kParse), false);
  }
}

}  // namespace
}  // namespace brink::testing
