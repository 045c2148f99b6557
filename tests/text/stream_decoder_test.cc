#include "brink/text/stream_decoder.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "brink/text/unicode.h"
#include "made_vocabulary.h"

namespace brink::testing {
namespace {

const Tokenizer& byte_tokenizer() {
  static const Tokenizer tokenizer = MadeVocabulary::bytes().load();
  return tokenizer;
}

/// What comes out for each byte, and at the end.
std::vector<std::string> stream(std::string_view bytes) {
  StreamDecoder decoder(byte_tokenizer());
  std::vector<std::string> pieces;
  for (const char c : bytes) pieces.push_back(decoder.push(static_cast<unsigned char>(c)));
  pieces.push_back(decoder.finish());
  return pieces;
}

using Pieces = std::vector<std::string>;

TEST(StreamDecoder, AnEmojiSplitOverFourTokensComesOutWhole) {
  EXPECT_EQ(stream("a🦙b"), (Pieces{"a", "", "", "", "🦙", "b", ""}));
}

TEST(StreamDecoder, TokensThatEndInsideACharacter) {
  auto v = MadeVocabulary::bytes();
  const auto first = v.add(spelled("x\xF0\x9F"));
  const auto second = v.add(spelled("\xA6\x99 y\xC3"));
  StreamDecoder decoder(v.load());
  EXPECT_EQ(decoder.push(first), "x");
  EXPECT_EQ(decoder.push(second), "🦙 y");
  EXPECT_EQ(decoder.push(0xA9), "é");
  EXPECT_EQ(decoder.finish(), "");
}

TEST(StreamDecoder, BytesThatCannotBecomeACharacterAreReplacedAtOnce) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(stream("\xFF"
                   "a"),
            (Pieces{r, "a", ""}));
  EXPECT_EQ(stream("\x80"), (Pieces{r, ""}));
  EXPECT_EQ(stream("\xF0\x9F"
                   "a"),
            (Pieces{"", "", r + "a", ""}));
  EXPECT_EQ(stream("\xED\xA0\x80"), (Pieces{"", r + r, r, ""})) << "a surrogate";
  EXPECT_EQ(stream("\xC3\xC3\xA9"), (Pieces{"", r, "é", ""}));
}

TEST(StreamDecoder, AnUnfinishedCharacterAtTheEnd) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(stream("\xF0\x9F\xA6"), (Pieces{"", "", "", r}));
  StreamDecoder decoder(byte_tokenizer());
  decoder.push(0xC3);
  EXPECT_EQ(decoder.finish(), r);
  EXPECT_EQ(decoder.push('a'), "a") << "and it can go on";
}

TEST(StreamDecoder, ControlTokensOnlyOnRequest) {
  auto v = MadeVocabulary::bytes();
  const auto end = v.add("<|im_end|>", MadeVocabulary::kControl);
  EXPECT_EQ(StreamDecoder(v.load()).push(end), "");
  EXPECT_EQ(StreamDecoder(v.load(), true).push(end), "<|im_end|>");
}

TEST(StreamDecoder, KeepsTheSpaceOfTheFirstPiece) {
  auto v = MadeVocabulary::sentence();
  const auto a = v.add("▁a");
  StreamDecoder decoder(v.load());
  EXPECT_EQ(decoder.push(a), " a") << "it continues a text";
}

// Whatever the bytes, each piece is UTF-8, and where the whole is UTF-8 nothing is changed.
TEST(StreamDecoder, OnlyEverGivesUtf8) {
  std::mt19937 random(5);
  const std::string few = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\xA6\x99\xED\xA0\xFF";
  for (int i = 0; i < 20000; ++i) {
    std::string bytes(random() % 12, '\0');
    for (char& c : bytes)
      c = i % 2 ? few[random() % few.size()] : static_cast<char>(random() & 255);
    bool valid = true;
    std::string whole;
    const auto check = [](const std::string& text) {
      for (std::size_t at = 0; at < text.size();) {
        const auto d = unicode::decode(text.data() + at, text.data() + text.size());
        if (!d.valid) return false;
        at += d.bytes;
      }
      return true;
    };
    for (const std::string& piece : stream(bytes)) {
      valid = valid && check(piece);
      whole += piece;
    }
    ASSERT_TRUE(valid);
    if (check(bytes)) {
      ASSERT_EQ(whole, bytes);
    } else {
      ASSERT_NE(whole.find("\xEF\xBF\xBD"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace brink::testing
