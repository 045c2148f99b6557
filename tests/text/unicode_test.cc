#include "brink/text/unicode.h"

#include <gtest/gtest.h>

#include <string_view>

namespace brink::unicode {
namespace {

Decoded decode(std::string_view text) {
  return unicode::decode(text.data(), text.data() + text.size());
}
Prefix prefix(std::string_view text) {
  return longest_prefix(text.data(), text.data() + text.size());
}

TEST(Unicode, ClassesOfKnownCharacters) {
  EXPECT_EQ(classes('a'), kLetter | kLower);
  EXPECT_EQ(classes('Z'), kLetter | kUpper);
  EXPECT_EQ(classes(U'ǅ'), kLetter | kUpper) << "title case counts as upper";
  EXPECT_EQ(classes(U'ª'), kLetter) << "Lo: neither upper nor lower";
  EXPECT_EQ(classes(U'中'), kLetter);
  EXPECT_EQ(classes(U'\u02B0'), kLetter) << "Lm";
  EXPECT_EQ(classes('7'), kNumber);
  EXPECT_EQ(classes(U'½'), kNumber);
  EXPECT_EQ(classes(U'Ⅷ'), kNumber);
  EXPECT_EQ(classes(U'\u0301'), kMark);
  EXPECT_EQ(classes('_'), kPunctuation);
  EXPECT_EQ(classes(U'。'), kPunctuation);
  EXPECT_EQ(classes('$'), kSymbol);
  EXPECT_EQ(classes(U'🦙'), kSymbol);
  EXPECT_EQ(classes(kReplacement), kSymbol);
  EXPECT_EQ(classes(0), 0u);
  EXPECT_EQ(classes(0x378), 0u) << "unassigned";
  EXPECT_EQ(classes(0xE000), 0u) << "private use";
  EXPECT_EQ(classes(0x110000), 0u) << "beyond Unicode";
}

TEST(Unicode, WhiteSpaceIsTheUnicodeProperty) {
  for (const char32_t c :
       {0x09u, 0x0Du, 0x20u, 0x85u, 0xA0u, 0x1680u, 0x2000u, 0x200Au, 0x2028u, 0x3000u})
    EXPECT_EQ(classes(c), kSpace) << static_cast<unsigned>(c);
  for (const char32_t c : {0x1Cu, 0x1Fu, 0x200Bu, 0x180Eu, 0xFEFFu})
    EXPECT_EQ(classes(c) & kSpace, 0u) << static_cast<unsigned>(c);
}

TEST(Unicode, EncodesAndDecodesEveryCodePoint) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    char text[4];
    std::uint32_t n = 0;
    const auto put = [&](char32_t byte) { text[n++] = static_cast<char>(byte); };
    if (c < 0x80) {
      put(c);
    } else if (c < 0x800) {
      put(0xC0 | c >> 6);
    } else if (c < 0x10000) {
      put(0xE0 | c >> 12);
    } else {
      put(0xF0 | c >> 18);
    }
    if (c >= 0x10000) put(0x80 | (c >> 12 & 0x3F));
    if (c >= 0x800) put(0x80 | (c >> 6 & 0x3F));
    if (c >= 0x80) put(0x80 | (c & 0x3F));
    std::string appended;
    unicode::append(appended, c);
    ASSERT_EQ(appended, std::string_view(text, n)) << static_cast<unsigned>(c);
    const Decoded d = unicode::decode(text, text + n);
    ASSERT_TRUE(d.valid && d.code_point == c && d.bytes == n) << static_cast<unsigned>(c);
    for (std::uint32_t cut = 1; cut < n; ++cut) {
      ASSERT_FALSE(unicode::decode(text, text + cut).valid);
      const Prefix p = longest_prefix(text, text + cut);
      ASSERT_TRUE(p.unfinished && p.bytes == cut) << static_cast<unsigned>(c);
    }
  }
}

TEST(Unicode, RefusesWhatIsNotUtf8) {
  for (const std::string_view text :
       {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x9F\xBF", "\xED\xA0\x80",
        "\xED\xBF\xBF", "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80",
        "\xF5\x80\x80\x80", "\xFF", "\xC3(", "\xE2\x82(", "\xF0\x9F\xA6("}) {
    const Decoded d = decode(text);
    EXPECT_FALSE(d.valid) << text;
    EXPECT_EQ(d.bytes, 1u);
    EXPECT_EQ(d.code_point, kReplacement);
    EXPECT_FALSE(prefix(text).unfinished) << text;
  }
}

TEST(Unicode, MaximalSubparts) {
  // Unicode 3.9, table 3-11: F1 80 80 E1 80 C2 make three.
  EXPECT_EQ(prefix("\xF1\x80\x80\xE1\x80\xC2").bytes, 3u);
  EXPECT_EQ(prefix("\xE1\x80\xC2").bytes, 2u);
  EXPECT_TRUE(prefix("\xC2").unfinished);
  EXPECT_EQ(prefix("\xED\xA0\x80").bytes, 1u) << "no surrogate begins with ED A0";
  EXPECT_EQ(prefix("\xF4\x90").bytes, 1u);
}

}  // namespace
}  // namespace brink::unicode
