// Text generation through the public header, on the trained reference model.
#include <brink/brink.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/reference_data.h"

namespace brink::testing {
namespace {

constexpr const char* kPrompt =
    "<|im_start|>user\nWhat is 12 plus 30?<|im_end|>\n<|im_start|>assistant\n";

class Generate : public ::testing::Test {
 protected:
  void SetUp() override { BRINK_REQUIRE_REFERENCE_DATA(); }
  static Model model() {
    return Model::open(reference_data("models-trained/tiny-skills-f16.gguf"));
  }
  static GenerateOptions greedy(std::size_t max_tokens) {
    GenerateOptions options;
    options.max_tokens = max_tokens;
    options.sampling.temperature = 0.0f;
    return options;
  }
  static std::string text_of(Generation generation) {
    std::string text;
    for (const std::string_view piece : generation) text += piece;
    return text;
  }
};

/// The same by hand: arg max of the logits, token after token.
std::vector<std::int32_t> greedy_ids(Session& session, std::string_view prompt,
                                     std::size_t max_tokens) {
  const Tokenizer& tokenizer = session.model().tokenizer();
  std::vector<std::int32_t> ids;
  std::span<const float> logits = session.feed(tokenizer.encode(prompt));
  while (ids.size() < max_tokens) {
    const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
    ids.push_back(static_cast<std::int32_t>(best));
    if (tokenizer.is_end_of_generation(ids.back())) break;
    logits = session.feed({&ids.back(), 1});
  }
  return ids;
}

TEST_F(Generate, GreedyTextIsTheArgMaxOfEveryStep) {
  const Model m = model();
  Session by_hand(m), session(m);
  std::vector<std::int32_t> ids = greedy_ids(by_hand, kPrompt, 60);
  Generation generation = session.generate(kPrompt, greedy(60));
  std::string text;
  for (const std::string_view piece : generation) {
    EXPECT_FALSE(piece.empty());
    text += piece;
  }
  EXPECT_EQ(generation.tokens(), ids.size());
  EXPECT_EQ(generation.prompt_tokens(), m.tokenizer().encode(kPrompt).size());
  ASSERT_LT(ids.size(), 60u) << "the model ends its answers";
  EXPECT_EQ(generation.finish(), Finish::kEndOfText);
  ids.pop_back();
  EXPECT_EQ(text, m.tokenizer().decode(ids));
  EXPECT_FALSE(text.empty());
}

TEST_F(Generate, EndsForTheReasonItGives) {
  const Model m = model();
  constexpr const char* kVerse = "KING HENRY:\nMy lord,";
  Session session(m);
  Generation long_one = session.generate(kVerse, greedy(40));
  std::string whole;
  for (const std::string_view piece : long_one) whole += piece;
  EXPECT_EQ(long_one.finish(), Finish::kMaxTokens);
  EXPECT_EQ(long_one.tokens(), 40u);
  ASSERT_GT(whole.size(), 40u);
  EXPECT_TRUE(whole.starts_with(text_of(Session(m).generate(kVerse, greedy(3)))));

  // A stop text is cut off, also where it spans tokens.
  GenerateOptions options = greedy(40);
  options.stop = {"never to be seen", whole.substr(11, 9)};
  Session stopping(m);
  Generation stopped = stopping.generate(kVerse, options);
  std::string text;
  for (const std::string_view piece : stopped) text += piece;
  EXPECT_EQ(text, whole.substr(0, whole.find(options.stop[1])));
  EXPECT_EQ(stopped.finish(), Finish::kStop);
  EXPECT_LT(stopped.tokens(), 40u);

  const std::size_t prompt = m.tokenizer().encode(kVerse).size();
  Session narrow(m, {.context = prompt + 4});
  Generation full = narrow.generate(kVerse, greedy(40));
  std::string some;
  for (const std::string_view piece : full) some += piece;
  EXPECT_EQ(full.finish(), Finish::kContext);
  EXPECT_EQ(full.tokens(), 5u);  // the last one is sampled and not fed
  EXPECT_TRUE(whole.starts_with(some));
  EXPECT_EQ(narrow.position(), prompt + 4);

  Session none(m);
  Generation nothing = none.generate(kPrompt, greedy(0));
  EXPECT_EQ(nothing.begin(), nothing.end());
  EXPECT_EQ(nothing.finish(), Finish::kMaxTokens);
}

TEST_F(Generate, TheSeedDecides) {
  const Model m = model();
  const auto sample = [&](std::uint64_t seed) {
    GenerateOptions options;
    options.max_tokens = 40;
    options.sampling.temperature = 1.5f;
    options.sampling.seed = seed;
    Session session(m);
    return text_of(session.generate("Once upon a time", options));
  };
  EXPECT_EQ(sample(1), sample(1));
  EXPECT_NE(sample(1), sample(2));
}

// A second turn continues where the first ended; another sequence starts afresh.
TEST_F(Generate, ContinuesASequence) {
  const Model m = model();
  Session session(m, {.sequences = 2});
  text_of(session.generate(kPrompt, greedy(60)));
  const std::size_t after_first = session.position();
  EXPECT_GT(after_first, m.tokenizer().encode(kPrompt).size());
  text_of(session.generate("<|im_end|>\n", greedy(1)));
  EXPECT_GT(session.position(), after_first);
  GenerateOptions other = greedy(60);
  other.sequence = 1;
  EXPECT_EQ(text_of(session.generate(kPrompt, other)),
            text_of(Session(m).generate(kPrompt, greedy(60))));
}

TEST_F(Generate, RefusesAnEmptyPrompt) {
  Session session(model());
  EXPECT_THROW(session.generate(""), Error);  // this model has no BOS to begin with
  EXPECT_THROW(session.generate(kPrompt, {.sequence = 3}), Error);
}

}  // namespace
}  // namespace brink::testing
