#include "brink/text/tokenizer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "made_vocabulary.h"

namespace brink::testing {
namespace {

bool mentions(const std::vector<std::string>& texts, std::string_view what) {
  for (const std::string& text : texts)
    if (text.find(what) != text.npos) return true;
  return false;
}

std::string error_of(const MadeVocabulary& v) {
  try {
    v.load();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

// ---- byte-level BPE

TEST(BytePairTokenizer, MergesByRankNotByPosition) {
  auto v = MadeVocabulary::bytes();
  const auto bc = v.add_merge("b", "c");
  const auto ab = v.add_merge("a", "b");
  EXPECT_EQ(v.load().encode("abc", kPlain), (Ids{'a', bc}));
  EXPECT_EQ(v.load().encode("abab", kPlain), (Ids{ab, ab}));
}

TEST(BytePairTokenizer, EqualRanksMergeFromTheLeft) {
  auto v = MadeVocabulary::bytes();
  const auto aa = v.add_merge("a", "a");
  const Tokenizer t = v.load();
  EXPECT_EQ(t.encode("aaa", kPlain), (Ids{aa, 'a'}));
  // The same past the length at which a heap takes over.
  EXPECT_EQ(t.encode(std::string(41, 'a'), kPlain).back(), 'a');
}

TEST(BytePairTokenizer, AWordThatIsATokenNeedsMergesThatReachIt) {
  auto v = MadeVocabulary::bytes("gpt-2");
  const auto ab = v.add_merge("a", "b");
  const auto abc = v.add(spelled("abc"));  // no merge leads here
  const Tokenizer plain = v.load();
  EXPECT_EQ(plain.encode("abc", kPlain), (Ids{ab, 'c'}));
  EXPECT_EQ(plain.encode("abc", kPlain), (Ids{ab, 'c'})) << "also when asked again";
  v.pre = "llama-bpe";
  EXPECT_EQ(v.load().encode("abc", kPlain), (Ids{abc})) << "ignore_merges";
  v.pre = "smaug-bpe";
  EXPECT_EQ(v.load().encode("abc", kPlain), (Ids{ab, 'c'})) << "same rule without the flag";
}

TEST(BytePairTokenizer, MergesPassThroughStringsThatAreNoTokens) {
  auto v = MadeVocabulary::bytes();
  v.merges = {"a b", "ab c"};
  const auto abc = v.add("abc");
  const Tokenizer t = v.load();
  EXPECT_EQ(t.encode("abc", kPlain), (Ids{abc}));
  EXPECT_EQ(t.encode("abd", kPlain), (Ids{'a', 'b', 'd'})) << "\"ab\" has no token: its bytes";
}

TEST(BytePairTokenizer, PreTokenizerBoundsMerges) {
  auto v = MadeVocabulary::bytes("qwen2");
  const auto ten = v.add_merge("1", "0");
  EXPECT_EQ(v.load().encode("10", kPlain), (Ids{'1', '0'}));
  v.pre = "gpt-2";
  EXPECT_EQ(v.load().encode("10", kPlain), (Ids{ten}));
}

TEST(BytePairTokenizer, RoundTripOfSpacesNewlinesAndAnyBytes) {
  const Tokenizer t = MadeVocabulary::bytes().load();
  std::string all;
  for (int b = 0; b < 256; ++b) all.push_back(static_cast<char>(b));
  for (const std::string& text : {std::string(), std::string(" a\t\n"), all}) {
    EXPECT_EQ(t.decode(t.encode(text)), text);
    EXPECT_EQ(t.encode(text).size(), text.size());
  }
}

TEST(BytePairTokenizer, BytesWithoutTokenAreReadAsReplacementCharacter) {
  auto v = MadeVocabulary::bytes();
  v.kinds[0xF6] = MadeVocabulary::kUser;  // as in DeepSeek: spelled ö, and meaning that letter
  const Tokenizer t = v.load();
  EXPECT_EQ(t.encode("ö", kPlain), (Ids{0xF6}));
  EXPECT_EQ(t.decode(Ids{0xF6}), "ö");
  EXPECT_EQ(t.decode(t.encode("a\xF6z", kPlain)), "a\xEF\xBF\xBDz");
}

TEST(BytePairTokenizer, MissingPreTokenizerIsTheDefaultWithAWarning) {
  auto v = MadeVocabulary::bytes("default");
  const auto ab = v.add_merge(".", "a");
  std::vector<std::string> warnings;
  v.load(&warnings);
  EXPECT_TRUE(warnings.empty());
  v.pre.reset();
  EXPECT_EQ(v.load(&warnings).encode(".a", kPlain), (Ids{'.', 'a'}));
  EXPECT_TRUE(mentions(warnings, "tokenizer.ggml.pre"));
  v.pre = "llama-bpe";
  EXPECT_EQ(v.load().encode(".a", kPlain), (Ids{ab}));
}

TEST(BytePairTokenizer, UnknownPreTokenizerIsAnErrorThatListsTheKnown) {
  const std::string error = error_of(MadeVocabulary::bytes("qwen9"));
  for (const char* part :
       {"qwen9", "llama-bpe", "tekken", "deepseek-r1-qwen", "tokenizer.ggml.pre"})
    EXPECT_NE(error.find(part), error.npos) << part << " in: " << error;
}

TEST(Tokenizer, OtherModelsAreRefusedByName) {
  for (const char* model : {"bert", "t5", "rwkv", "plamo2", "none", "no_vocab", "gemma4", ""}) {
    auto v = MadeVocabulary::bytes();
    v.model = model;
    EXPECT_NE(error_of(v).find("'" + std::string(model) + "' is not supported"), std::string::npos)
        << error_of(v);
  }
  auto v = MadeVocabulary::bytes();
  v.model.reset();
  EXPECT_NE(error_of(v).find("tokenizer.ggml.model"), std::string::npos);
}

// ---- special tokens

TEST(SpecialTokens, ControlTokensOnlyWhereAskedUserDefinedAlways) {
  auto v = MadeVocabulary::bytes();
  const auto control = v.add("<c>", MadeVocabulary::kControl);
  const auto user = v.add("<u>", MadeVocabulary::kUser);
  const auto unknown = v.add("<k>", MadeVocabulary::kUnknown);
  const auto normal = v.add("<n>");
  const Tokenizer t = v.load();
  EXPECT_EQ(t.encode("a<c><u><k><n>", kParse), (Ids{'a', control, user, unknown, '<', 'n', '>'}));
  EXPECT_EQ(t.encode("<u><c>", kPlain), (Ids{user, '<', 'c', '>'}));
  EXPECT_EQ(t.find("<n>"), normal);
  EXPECT_EQ(t.find("<x>"), std::nullopt);
  EXPECT_TRUE(t.is_control(control) && t.is_control(unknown));
  EXPECT_FALSE(t.is_control(user) || t.is_control(normal) || t.is_control(-1));
}

TEST(SpecialTokens, LeftmostThenLongest) {
  auto v = MadeVocabulary::bytes();
  const auto a = v.add("<a", MadeVocabulary::kUser);
  const auto ab = v.add("<ab", MadeVocabulary::kUser);
  const auto abcd = v.add("<abcd", MadeVocabulary::kUser);
  const auto run = v.add("  ", MadeVocabulary::kUser);
  const Tokenizer t = v.load();
  EXPECT_EQ(t.encode("<abc<a<abcd<", kPlain), (Ids{ab, 'c', a, abcd, '<'}));
  EXPECT_EQ(t.encode("     x", kPlain), (Ids{run, run, ' ', 'x'}));
}

TEST(SpecialTokens, TextThatIsNoSpellingOfBytes) {
  auto v = MadeVocabulary::bytes();
  const std::string text = "<｜end▁of▁sentence｜>";
  const auto end = v.add(text, MadeVocabulary::kControl);
  const Tokenizer t = v.load();
  EXPECT_EQ(t.find(text), end);
  EXPECT_EQ(t.encode("a" + text, kParse), (Ids{'a', end}));
  EXPECT_EQ(t.decode(Ids{end}, true), text);
  EXPECT_EQ(t.decode(Ids{end}), "");
  EXPECT_TRUE(t.is_end_of_generation(end)) << "known by its text";
}

TEST(SpecialTokens, PhiTokensTakeTheWhitespaceThatFollows) {
  auto v = MadeVocabulary::bytes();
  const auto user = v.add("<|user|>", MadeVocabulary::kControl);
  const auto end = v.add("<|endoftext|>", MadeVocabulary::kControl);
  EXPECT_EQ(v.load().encode("<|user|> \nx", kParse), (Ids{user, ' ', '\n', 'x'}));
  v.name = "Phi-3 mini";
  EXPECT_EQ(v.load().encode("<|user|> \nx", kParse), (Ids{user, 'x'}));
  EXPECT_EQ(v.load().encode("<|endoftext|> x", kParse), (Ids{end, ' ', 'x'})) << "but this one";
}

TEST(SpecialTokens, MaskTakesTheWhitespaceBefore) {
  auto v = MadeVocabulary::bytes("jina-v2-de");
  const auto mask = v.add("<mask>", MadeVocabulary::kControl);
  EXPECT_EQ(v.load().encode("a  <mask> b", kParse), (Ids{'a', mask, ' ', 'b'}));
  v.pre = "gpt-2";
  EXPECT_EQ(v.load().encode("a <mask>", kParse), (Ids{'a', ' ', mask}));
}

TEST(SpecialTokens, EndOfGenerationByIdAndByText) {
  auto v = MadeVocabulary::bytes();
  v.numbers = {{"eos_token_id", 1}, {"eot_token_id", 2}, {"eom_token_id", 3}};
  const auto im_end = v.add("<|im_end|>");  // forgotten to be marked, as converters do
  const auto eot = v.add("<|eot_id|>", MadeVocabulary::kUser);
  const auto text = v.add("<|endoftext|>", MadeVocabulary::kControl);
  const auto end = v.add("<|end|>", MadeVocabulary::kControl);
  const auto eom = v.add("<|eom_id|>", MadeVocabulary::kControl);
  const auto start = v.add("<|im_start|>", MadeVocabulary::kControl);
  const auto struck = v.add("</s>");
  const Tokenizer t = v.load();
  for (const std::int32_t id : {1, 2, 3, im_end, eot, text, end, eom})
    EXPECT_TRUE(t.is_end_of_generation(id)) << id;
  for (const std::int32_t id : {0, 4, start, struck, -1, 100000})
    EXPECT_FALSE(t.is_end_of_generation(id)) << id;
  EXPECT_TRUE(t.is_control(im_end)) << "and may not be forged by a user";
  EXPECT_EQ(t.encode("<|eot_id|>", kPlain).size(), 10u);
  EXPECT_FALSE(t.is_control(struck)) << "ordinary text in Qwen's vocabulary";
  EXPECT_EQ(t.eos(), 1);
}

TEST(SpecialTokens, PartsOfAMessageDoNotEndIt) {
  auto v = MadeVocabulary::bytes();
  const auto end = v.add("<|end|>", MadeVocabulary::kControl);
  v.add("<|return|>", MadeVocabulary::kControl);
  EXPECT_TRUE(v.load().is_end_of_generation(end));
  v.add("<|call|>", MadeVocabulary::kControl);
  EXPECT_FALSE(v.load().is_end_of_generation(end)) << "gpt-oss";
}

// ---- BOS and EOS

TEST(BosAndEos, FromMetadataOrImpliedByThePreTokenizer) {
  auto v = MadeVocabulary::bytes("gpt-2");
  v.numbers = {{"bos_token_id", 1}, {"eos_token_id", 2}};
  EXPECT_EQ(v.load().encode("a"), (Ids{'a'}));
  v.flags = {{"add_bos_token", true}, {"add_eos_token", true}};
  EXPECT_EQ(v.load().encode("a"), (Ids{1, 'a', 2}));
  EXPECT_EQ(v.load().encode(""), (Ids{1, 2}));
  EXPECT_EQ(v.load().encode("a", {.add_special = false}), (Ids{'a'}));
  for (const char* pre : {"llama-bpe", "tekken"}) {
    v.pre = pre;
    v.flags.clear();
    EXPECT_EQ(v.load().encode("a"), (Ids{1, 'a'})) << pre;
    v.flags = {{"add_bos_token", false}};
    EXPECT_EQ(v.load().encode("a"), (Ids{'a'})) << pre << ": the file has the last word";
  }
}

TEST(BosAndEos, AreNeverDoubled) {
  auto v = MadeVocabulary::bytes();
  const auto bos = v.add("<bos>", MadeVocabulary::kControl);
  const auto eos = v.add("<eos>", MadeVocabulary::kControl);
  v.numbers["bos_token_id"] = static_cast<std::uint32_t>(bos);
  v.numbers["eos_token_id"] = static_cast<std::uint32_t>(eos);
  v.flags = {{"add_bos_token", true}, {"add_eos_token", true}};
  const Tokenizer t = v.load();
  EXPECT_EQ(t.encode("<bos>a"), (Ids{bos, 'a', eos}));
  EXPECT_EQ(t.encode("a<eos>"), (Ids{bos, 'a', eos}));
  EXPECT_EQ(t.encode("<bos>a<bos>"), (Ids{bos, 'a', bos, eos})) << "only at the start";
  // Not parsed, it is text like any other, and BOS is due.
  EXPECT_EQ(t.encode("<bos>", {.parse_special = false}).size(), 7u);
}

TEST(BosAndEos, WantedButNotNamed) {
  auto v = MadeVocabulary::bytes("llama-bpe");
  std::vector<std::string> warnings;
  EXPECT_EQ(v.load(&warnings).encode("a"), (Ids{'a'}));
  EXPECT_TRUE(mentions(warnings, "BOS"));
  EXPECT_EQ(v.load().bos(), std::nullopt);
}

// ---- SentencePiece

TEST(SentencePieceTokenizer, HighestScoreFirstThenLeftmost) {
  auto v = MadeVocabulary::sentence();
  v.flags = {{"add_space_prefix", false}};
  const auto a = v.add("a", MadeVocabulary::kNormal, -1);
  const auto b = v.add("b", MadeVocabulary::kNormal, -1);
  const auto ab = v.add("ab", MadeVocabulary::kNormal, -5);
  const auto ba = v.add("ba", MadeVocabulary::kNormal, -4);
  EXPECT_EQ(v.load().encode("aba", kPlain), (Ids{a, ba}));
  v.scores[static_cast<std::size_t>(ab)] = -4;
  EXPECT_EQ(v.load().encode("aba", kPlain), (Ids{ab, a}));
  EXPECT_EQ(v.load().encode("bb", kPlain), (Ids{b, b}));
}

TEST(SentencePieceTokenizer, SpacePrefixOnAndOff) {
  auto v = MadeVocabulary::sentence();
  const auto space = v.add("▁");
  const auto a = v.add("a");
  const auto space_a = v.add("▁a");
  EXPECT_EQ(v.load().encode("a a"), (Ids{1, space_a, space_a}));
  EXPECT_EQ(v.load().encode("a</s>a"), (Ids{1, space_a, 2, space_a}))
      << "after a special token too";
  EXPECT_EQ(v.load().encode(""), (Ids{1}));
  EXPECT_EQ(v.load().encode("</s>"), (Ids{1, 2}));
  EXPECT_EQ(v.load().decode(Ids{1, space_a, space_a}), "a a");
  EXPECT_EQ(v.load().decode(Ids{1, space_a, 2, space}, true), "<s>a</s> ");
  v.flags["add_space_prefix"] = false;
  EXPECT_EQ(v.load().encode("a a"), (Ids{1, a, space_a}));
  EXPECT_EQ(v.load().decode(Ids{space_a}), " a");
}

TEST(SentencePieceTokenizer, BosIsImpliedAndNeverDoubled) {
  auto v = MadeVocabulary::sentence();
  const auto a = v.add("▁a");
  EXPECT_EQ(v.load().encode("a"), (Ids{1, a}));
  EXPECT_EQ(v.load().encode("<s>a"), (Ids{1, a}));
  EXPECT_EQ(v.load().eos(), 2);
  EXPECT_TRUE(v.load().is_end_of_generation(2));
  v.flags["add_bos_token"] = false;
  EXPECT_EQ(v.load().encode("a"), (Ids{a}));
  v.flags = {{"add_eos_token", true}};
  EXPECT_EQ(v.load().encode("a"), (Ids{1, a, 2}));
  EXPECT_EQ(v.load().encode("a</s>"), (Ids{1, a, 2}));
}

TEST(SentencePieceTokenizer, BytesStandForWhatHasNoToken) {
  auto v = MadeVocabulary::sentence();
  v.flags = {{"add_space_prefix", false}};
  const Tokenizer t = v.load();
  EXPECT_EQ(t.encode("é", kPlain), (Ids{3 + 0xC3, 3 + 0xA9}));
  EXPECT_EQ(t.encode("\xFF\x80", kPlain), (Ids{3 + 0xFF, 3 + 0x80}));
  EXPECT_EQ(t.decode(Ids{3 + 0xC3, 3 + 0xA9}), "é");
  EXPECT_EQ(t.encode("<0x41>", kPlain).size(), 6u) << "the text of a byte token is not that byte";
}

TEST(SentencePieceTokenizer, ControlAndUnusedTokensAreNotMergedTo) {
  auto v = MadeVocabulary::sentence();
  v.flags = {{"add_space_prefix", false}};
  for (const char* text : {"<", "s", ">", "s>", "a", "b"}) v.add(text);
  const auto ab = v.add("ab", MadeVocabulary::kUnused);
  const Tokenizer t = v.load();
  for (const std::int32_t id : t.encode("<s>ab", kPlain)) EXPECT_TRUE(id != 1 && id != ab);
  EXPECT_EQ(t.decode(t.encode("<s>ab", kPlain)), "<s>ab");
}

TEST(SentencePieceTokenizer, UnknownWhereThereAreNoByteTokens) {
  MadeVocabulary v;
  v.model = "llama";
  v.pre.reset();
  v.add("<unk>", MadeVocabulary::kUnknown);
  v.add("<s>", MadeVocabulary::kControl);
  v.add("</s>", MadeVocabulary::kControl);
  const auto a = v.add("a");
  v.flags = {{"add_space_prefix", false}};
  std::vector<std::string> warnings;
  EXPECT_EQ(v.load(&warnings).encode("aéa", kPlain), (Ids{a, 0, a}));
  EXPECT_TRUE(mentions(warnings, "256 bytes"));
}

TEST(SentencePieceTokenizer, UserDefinedTokensMatchInPlainText) {
  auto v = MadeVocabulary::sentence();
  const auto user = v.add("<u>", MadeVocabulary::kUser);
  const auto a = v.add("▁a");
  EXPECT_EQ(v.load().encode("a<u>a", kPlain), (Ids{a, user, a}));
  EXPECT_EQ(v.load().decode(Ids{user}), "<u>");
}

TEST(Tokenizer, UnknownIdsDecodeToNothing) {
  const Tokenizer t = MadeVocabulary::bytes().load();
  EXPECT_EQ(t.decode(Ids{-1, 'a', 256, 1 << 30, -(1 << 30), 'b'}), "ab");
  EXPECT_EQ(t.vocabulary_size(), 256u);
}

}  // namespace
}  // namespace brink::testing
