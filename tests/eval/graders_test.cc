// Graders against the corner cases of the tasks' own evaluations.
#include "brink/eval/graders.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace brink {
namespace {

using Words = std::vector<std::string>;

TEST(FinalNumber, IsWrittenInOneWay) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"#### 18", "18"},
      {"so 16 - 3 - 4 = 9 eggs.\n#### 18", "18"},
      {"#### 1,234,567", "1234567"},
      {"#### $1,050.50", "1050.5"},
      {"#### -$1,050.50.", "-1050.5"},
      {"#### $-3", "-3"},
      {"#### 20 apples in 3 boxes", "20"},
      {"#### 1 then #### 2", "2"},
      {"The answer is 18.", "18"},
      {"She makes $18 every day.", "18"},
      {"It takes 3.0 bolts", "3"},
      {"007", "7"},
      {"0.50", "0.5"},
      {".5", "0.5"},
      {"-0", "0"},
      {"-.0", "0"},
      {"50%", "50"},
      {"2, 4, 6", "6"},
      {"1,2,3", "3"},
      {"12,34", "34"},
      {"1,2345", "2345"},
      {"1234,567", "567"},
      {"70000", "70000"},
      {"10-15", "15"},
      {"10 - 15", "15"},
      {"10 -15", "15"},
      {"x-15", "15"},
      {"(3)-5", "5"},
      {"lum(1) = 1 - 8 = -7. Output: -7", "-7"},
      {"x=-7", "-7"},
      {"it fell to -5 degrees", "-5"},
      {"-5", "-5"},
      {"\xE2\x88\x92"
       "5",
       "-5"},
      {"1\xE2\x88\x92"
       "5",
       "5"},
      {"- 5 at the beginning", "5"},
      {"She has:\n- 3 pears\n- 5 apples", "5"},
      {"- $5 each", "5"},
      {"- -5 degrees", "-5"},
      {"it lost -\xE2\x82\xAC"
       "5",
       "-5"},
      {"10 - $5", "5"},
      {"123456789012345678901234567890", "123456789012345678901234567890"},
  };
  for (const auto& [text, number] : cases) EXPECT_EQ(final_number(text), number) << text;
}

TEST(FinalNumber, IsNothingWithoutOne) {
  for (const char* text : {"", "eighteen", "#### eighteen", "5 and then #### ", "-", "$", ",.-"})
    EXPECT_EQ(final_number(text), std::nullopt) << text;
}

TEST(NormalizeExact, DropsWhatIsNoAnswer) {
  EXPECT_EQ(normalize_exact("  (A) \n"), "(A)");
  EXPECT_EQ(normalize_exact("Line 2:\n  x is\tnot defined."), "Line 2: x is not defined");
  EXPECT_EQ(normalize_exact("Yes ."), "Yes");
  EXPECT_EQ(normalize_exact("."), ".");
  EXPECT_EQ(normalize_exact(""), "");
  EXPECT_EQ(normalize_exact("yes\xC2\xA0no"), "yes no");  // a no-break space
  EXPECT_NE(normalize_exact("yes"), normalize_exact("Yes"));
}

// What TriviaQA's normalize_answer gives for these.
TEST(NormalizeTrivia, AsTheOfficialEvaluation) {
  EXPECT_EQ(normalize_trivia("The Beatles"), "beatles");
  EXPECT_EQ(normalize_trivia("  An  apple a day. "), "apple day");
  EXPECT_EQ(normalize_trivia("Theatre"), "theatre");
  EXPECT_EQ(normalize_trivia("David_Bowie (singer)"), "david bowie singer");
  EXPECT_EQ(normalize_trivia("rock'n'roll"), "rock n roll");
  EXPECT_EQ(normalize_trivia("rock\xE2\x80\x99n\xE2\x80\x99roll"), "rock n roll");
  EXPECT_EQ(normalize_trivia("U.S.A."), "u s");  // its last letter goes as an article
  EXPECT_EQ(normalize_trivia("\xC3\x89"
                             "DITH PIAF"),
            "\xC3\xA9"
            "dith piaf");
  EXPECT_EQ(normalize_trivia("\xD0\x9C\xD0\x98\xD0\xA0"), "\xD0\xBC\xD0\xB8\xD1\x80");
  EXPECT_EQ(normalize_trivia("\xC5\x81"
                             "\xC3\x93"
                             "D\xC5\xB9"),
            "\xC5\x82"
            "\xC3\xB3"
            "d\xC5\xBA");
  EXPECT_EQ(normalize_trivia("the"), "");
  EXPECT_EQ(normalize_trivia("the\xE2\x80\x93"
                             "end"),
            "\xE2\x80\x93"
            "end");
  EXPECT_EQ(normalize_trivia("`an\xC2\xB4 \xE2\x80\x98hour\xE2\x80\x99"), "hour");
  EXPECT_EQ(normalize_trivia("an\xC3\xA9mone the2"), "an\xC3\xA9mone the2");
}

TEST(TriviaMatch, AnyAlias) {
  const Words aliases = {"Sunset Boulevard", "Sunset Bvd", "West Sunset Boulevard"};
  EXPECT_TRUE(trivia_match("the sunset boulevard.", aliases));
  EXPECT_TRUE(trivia_match("Sunset_bvd", aliases));
  EXPECT_FALSE(trivia_match("Sunset", aliases));
  EXPECT_FALSE(trivia_match("It is Sunset Boulevard", aliases));
  EXPECT_FALSE(trivia_match("", aliases));
  EXPECT_FALSE(trivia_match("x", {}));
  EXPECT_DOUBLE_EQ(trivia_f1("It is Sunset Boulevard", aliases), 2.0 * 2 / (4 + 2));
  EXPECT_DOUBLE_EQ(trivia_f1("sunset sunset", Words{"sunset"}), 2.0 * 1 / (2 + 1));
  EXPECT_DOUBLE_EQ(trivia_f1("moon", aliases), 0);
}

// Lin 2004, section 3.1: S2 and S3 of "police killed the gunman", both with the same bigrams.
TEST(RougeL, ExamplesOfThePaper) {
  const char* reference = "police killed the gunman";
  EXPECT_DOUBLE_EQ(rouge_l("police kill the gunman", reference).f1, 3.0 / 4);
  EXPECT_DOUBLE_EQ(rouge_l("the gunman kill police", reference).f1, 2.0 / 4);
  EXPECT_DOUBLE_EQ(rouge_l("the gunman police killed", reference).f1, 2.0 / 4);
}

TEST(RougeL, WordsAsInRougeScore) {
  const RougeScore same = rouge_l("The CAT-sat, on 3 mats!", "the cat sat on 3 mats");
  EXPECT_DOUBLE_EQ(same.f1, 1);
  const RougeScore longer = rouge_l("the black cat sat there on the mat", "cat sat on mat");
  EXPECT_DOUBLE_EQ(longer.recall, 1);
  EXPECT_DOUBLE_EQ(longer.precision, 4.0 / 8);
  EXPECT_DOUBLE_EQ(longer.f1, 2.0 / 3);
  EXPECT_DOUBLE_EQ(rouge_l("", "a b").f1, 0);
  EXPECT_DOUBLE_EQ(rouge_l("a b", "...").f1, 0);
  EXPECT_DOUBLE_EQ(rouge_l("a", "b").f1, 0);
}

TEST(StripFences, FirstBlockOrAll) {
  EXPECT_EQ(strip_fences("{\"a\": 1}"), "{\"a\": 1}");
  EXPECT_EQ(strip_fences("Here it is:\n```json\n{\"a\": 1}\n```\nEnjoy!"), "{\"a\": 1}");
  EXPECT_EQ(strip_fences("```\nx\n```"), "x");
  EXPECT_EQ(strip_fences("~~~python\nx\n```\ny\n~~~"), "x\n```\ny");
  EXPECT_EQ(strip_fences("```python\ndef f():\n    return 1"), "def f():\n    return 1");
  EXPECT_EQ(strip_fences("```{\"a\": 1}```"), "{\"a\": 1}");
  EXPECT_EQ(strip_fences("```\n```"), "");
  EXPECT_EQ(strip_fences("```"), "");
  EXPECT_EQ(strip_fences("  `x`  "), "`x`");
  EXPECT_EQ(strip_fences("```a\n1\n```\n```b\n2\n```"), "1");
}

TEST(CodeIn, KeepsIndentation) {
  const Words f = {"f"};
  EXPECT_EQ(code_in("Sure:\n```python\n\n    x = 1\n    return x\n\n```\n", f),
            "    x = 1\n    return x");
  EXPECT_EQ(code_in("1. So:\n   ```python\n   def f(x):\n       return x\n   ```", f),
            "def f(x):\n    return x");
  EXPECT_EQ(code_in("    return x\n", f), "    return x\n");
  EXPECT_EQ(code_in("```python\ndef f():\n    return 1", f), "def f():\n    return 1");
}

TEST(CodeIn, EndsAtAFenceThatNoneOpened) {
  const Words f = {"f"};
  EXPECT_EQ(code_in("    return x + 1\n```\nThis adds one.", f), "    return x + 1");
  EXPECT_EQ(code_in("def f(x):\n    return x\n```\nExample:\n```python\nf(1)\n```", f),
            "def f(x):\n    return x");
  EXPECT_EQ(code_in("Here it is:\n```\ndef f(x):\n    return x", f), "def f(x):\n    return x");
}

TEST(CodeIn, SeveralBlocks) {
  const std::string imports = "First:\n```python\nimport math\n```\n";
  const std::string function = "Then:\n```python\ndef f(x):\n    return x\n```\n";
  const std::string shown = "Use it:\n```\n>>> f(1)\n1\n```\n";
  EXPECT_EQ(code_in(imports + function + shown, Words{"f"}),
            "import math\ndef f(x):\n    return x");
  EXPECT_EQ(code_in(shown + function, Words{"f"}), "def f(x):\n    return x");
  EXPECT_EQ(code_in(imports + function, Words{"g"}), "import math\ndef f(x):\n    return x");
  EXPECT_EQ(code_in(imports + function, Words{}), "import math\ndef f(x):\n    return x");
  EXPECT_EQ(code_in("```\ndef ff(x): pass\n```\n```\nclass f: pass\n```", Words{"f"}),
            "def ff(x): pass\nclass f: pass");
}

TEST(UnknownSymbols, NamesThatTheCodeDoesNotHave) {
  const char* code = "# tis.py\ndef tis(x):\n    return x * SIZE\n# main.py\nprint(tis(1))";
  EXPECT_EQ(unknown_symbols("tis(1) = 1 * 2 = 2. Output: 2", code), Words{});
  EXPECT_EQ(unknown_symbols("lum(1) = 1 - 8 = -7. Output: -7", code), Words{"lum"});
  EXPECT_EQ(unknown_symbols("SIZE = 5\nCOST = 5\nx * COST", code), Words{"COST"});
  EXPECT_EQ(unknown_symbols("so it is right, I think", code), Words{});
  EXPECT_EQ(unknown_symbols("max(1, len(y))", code), Words{});
  EXPECT_EQ(unknown_symbols("a + b + a", code), (Words{"a", "b"}));
  EXPECT_EQ(unknown_symbols("tis2(1)", code), Words{"tis2"});
}

TEST(HoldsCode, DefinitionsAndImports) {
  EXPECT_TRUE(holds_code("What is this?\n  def f(x):\n    return x"));
  EXPECT_TRUE(holds_code("from a import b"));
  EXPECT_FALSE(holds_code("He imports def leppard records from abroad."));
  EXPECT_FALSE(holds_code("import\n"));
  EXPECT_FALSE(holds_code(""));
}

TEST(OccursIn, WholeWordsInAnyCase) {
  const char* text = "Hi, this is Tess  Nolan; order 120-7, caf\xC3\xA9.";
  EXPECT_TRUE(occurs_in("tess nolan", text));
  EXPECT_TRUE(occurs_in("120-7", text));
  EXPECT_TRUE(occurs_in("7", text));
  EXPECT_FALSE(occurs_in("12", text));
  EXPECT_FALSE(occurs_in("Tess Nolan Reyes", text));
  EXPECT_FALSE(occurs_in("Nola", text));
  EXPECT_FALSE(occurs_in("caf", text));
  EXPECT_TRUE(occurs_in("", text));
  EXPECT_FALSE(occurs_in("x", ""));
}

}  // namespace
}  // namespace brink
