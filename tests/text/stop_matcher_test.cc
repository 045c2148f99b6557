#include "brink/text/stop_matcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "brink/core/error.h"

namespace brink {
namespace {

struct Outcome {
  std::string text;
  bool stopped = false;
  bool operator==(const Outcome&) const = default;
};

Outcome run(const std::vector<std::string>& stops, const std::vector<std::string>& pieces) {
  StopMatcher matcher(stops);
  Outcome outcome;
  for (const std::string& piece : pieces) outcome.text += matcher.push(piece, outcome.stopped);
  outcome.text += matcher.finish();
  return outcome;
}

// The definition, by brute force: the first end of any stop string, the longest of those.
Outcome expected(const std::vector<std::string>& stops, const std::string& text) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    std::size_t longest = 0;
    for (const std::string& stop : stops) {
      if (std::string_view(text).substr(0, end).ends_with(stop)) {
        longest = std::max(longest, stop.size());
      }
    }
    if (longest != 0) return {text.substr(0, end - longest), true};
  }
  return {text, false};
}

TEST(StopMatcher, WithoutStopsEverythingPassesAtOnce) {
  StopMatcher matcher({});
  bool stopped = true;
  EXPECT_EQ(matcher.push("any text", stopped), "any text");
  EXPECT_FALSE(stopped);
  EXPECT_EQ(matcher.finish(), "");
}

TEST(StopMatcher, HoldsBackOnlyWhatMayBecomeAStop) {
  StopMatcher matcher({"</s>", "<|im_end|>"});
  bool stopped = false;
  EXPECT_EQ(matcher.push("one <", stopped), "one ");
  EXPECT_EQ(matcher.push("|im", stopped), "");
  EXPECT_EQ(matcher.push("age> two", stopped), "<|image> two");
  EXPECT_EQ(matcher.push("<|im_end", stopped), "");
  EXPECT_FALSE(stopped);
  EXPECT_EQ(matcher.push("|>after", stopped), "");
  EXPECT_TRUE(stopped);
  EXPECT_EQ(matcher.push("more", stopped), "");
  EXPECT_TRUE(stopped);
  EXPECT_EQ(matcher.finish(), "");
}

TEST(StopMatcher, FinishGivesWhatWasHeldBack) {
  StopMatcher matcher({"\n\nUser:"});
  bool stopped = false;
  EXPECT_EQ(matcher.push("end\n\nUse", stopped), "end");
  EXPECT_EQ(matcher.finish(), "\n\nUse");
}

TEST(StopMatcher, AFailedCandidateMayContainTheStartOfAnother) {
  EXPECT_EQ(run({"aab"}, {"a", "a", "a", "b", "c"}), (Outcome{"a", true}));
  EXPECT_EQ(run({"abab", "bac"}, {"aba", "c"}), (Outcome{"a", true}));
  EXPECT_EQ(run({"abcd", "bc"}, {"abcd"}), (Outcome{"a", true}));
  EXPECT_EQ(run({"c", "abc"}, {"abc"}), (Outcome{"", true}));
}

TEST(StopMatcher, EmptyStopStringIsAnError) { EXPECT_THROW(StopMatcher({"a", ""}), Error); }

// A two-letter alphabet makes nearly every text full of overlapping candidates.
TEST(StopMatcher, AgreesWithTheDefinitionForAnyCutIntoPieces) {
  std::uint32_t state = 12345;
  const auto random = [&](std::uint32_t below) {
    state = state * 1664525u + 1013904223u;
    return (state >> 16) % below;
  };
  const auto random_text = [&](std::size_t length) {
    std::string text;
    for (std::size_t i = 0; i < length; ++i) text += static_cast<char>('a' + random(2));
    return text;
  };
  int stopped = 0;
  for (int round = 0; round < 5000; ++round) {
    std::vector<std::string> stops;
    for (std::uint32_t i = random(4); i > 0; --i) stops.push_back(random_text(2 + random(7)));
    const std::string text = random_text(random(24));
    std::vector<std::string> pieces;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t length = 1 + random(5);
      pieces.push_back(text.substr(at, length));
      at += length;
    }
    const Outcome want = expected(stops, text);
    stopped += want.stopped;
    ASSERT_EQ(run(stops, pieces), want) << text;
    // Nothing is held back longer than needed: what is held is a proper prefix of a stop string.
    StopMatcher matcher(stops);
    bool now = false;
    const std::string given = matcher.push(text, now);
    if (!now) {
      const std::string held = text.substr(given.size());
      bool candidate = held.empty();
      for (const std::string& stop : stops) candidate |= stop.starts_with(held);
      ASSERT_TRUE(candidate) << text;
    }
  }
  EXPECT_GT(stopped, 1000);  // both outcomes were exercised
  EXPECT_LT(stopped, 4000);
}

}  // namespace
}  // namespace brink
