// Random small vocabularies against the plainest possible encoders.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "brink/text/tokenizer.h"
#include "made_vocabulary.h"

namespace brink::testing {
namespace {

/// Merges strings, the first rule that applies anywhere first, at its leftmost place.
std::vector<std::string> merge_plainly(
    const std::string& text, const std::vector<std::pair<std::string, std::string>>& merges) {
  std::vector<std::string> symbols;
  for (const char c : text) symbols.emplace_back(1, c);
  for (bool again = true; again;) {
    again = false;
    for (const auto& [left, right] : merges) {
      for (std::size_t i = 0; i + 1 < symbols.size() && !again; ++i) {
        if (symbols[i] != left || symbols[i + 1] != right) continue;
        symbols[i] += right;
        symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        again = true;
      }
      if (again) break;
    }
  }
  return symbols;
}

TEST(TokenizerOracle, BytePairsOfWordsShortAndLong) {
  std::mt19937 random(17);
  for (int round = 0; round < 60; ++round) {
    auto v = MadeVocabulary::bytes();
    std::vector<std::pair<std::string, std::string>> merges;
    std::map<std::string, std::int32_t> ids;
    std::vector<std::string> pieces = {"a", "b", "c"};
    for (std::int32_t c = 'a'; c <= 'c'; ++c) ids[std::string(1, static_cast<char>(c))] = c;
    for (int m = 0; m < 40; ++m) {
      const std::string left = pieces[random() % pieces.size()];
      const std::string right = pieces[random() % pieces.size()];
      if ((left + right).size() > 6) continue;
      merges.emplace_back(left, right);
      v.merges->push_back(left + " " + right);
      pieces.push_back(left + right);
      // Some merges have no token of their own: their bytes come out instead.
      if (!ids.count(left + right) && random() % 8) ids[left + right] = v.add(left + right);
    }
    const Tokenizer tokenizer = v.load();
    for (int i = 0; i < 60; ++i) {
      std::string text(1 + random() % (i % 3 ? 12 : 80), 'a');
      for (char& c : text) c = static_cast<char>('a' + random() % 3);
      Ids expected;
      for (const std::string& symbol : merge_plainly(text, merges)) {
        if (ids.count(symbol)) {
          expected.push_back(ids[symbol]);
        } else {
          for (const char c : symbol) expected.push_back(c);
        }
      }
      ASSERT_EQ(tokenizer.encode(text, kPlain), expected) << text;
    }
  }
}

TEST(TokenizerOracle, SentencePieces) {
  std::mt19937 random(19);
  for (int round = 0; round < 60; ++round) {
    auto v = MadeVocabulary::sentence();
    const bool prefix = random() % 2;
    v.flags["add_space_prefix"] = prefix;
    std::map<std::string, std::pair<float, std::int32_t>> tokens;
    const std::vector<std::string> letters = {"a", "b", "é", "▁"};
    const auto add = [&](const std::string& text) {
      if (tokens.count(text)) return;
      const float score = -static_cast<float>(random() % 8);
      tokens[text] = {score, v.add(text, MadeVocabulary::kNormal, score)};
    };
    for (const std::string& letter : letters)
      if (letter != "é" || random() % 2) add(letter);
    // Half of the vocabularies let a space follow a letter, so that words cannot be cut apart.
    const bool spaces_inside = random() % 2;
    for (int n = 0; n < 25; ++n) {
      std::string text;
      for (std::size_t k = 2 + random() % 3; k > 0; --k) {
        std::string letter = letters[random() % letters.size()];
        if (!spaces_inside && letter == "▁" && !text.empty() && !text.ends_with("▁")) letter = "a";
        text += letter;
      }
      add(text);
    }
    const Tokenizer tokenizer = v.load();
    for (int i = 0; i < 40; ++i) {
      std::string text;
      for (std::size_t k = 1 + random() % 24; k > 0; --k) {
        const std::string& letter = letters[random() % letters.size()];
        text += letter == "▁" && random() % 4 ? " " : letter;
      }
      std::vector<std::string> symbols;
      const std::string whole = (prefix ? " " : "") + text;
      for (std::size_t at = 0; at < whole.size();) {
        const auto d = unicode::decode(whole.data() + at, whole.data() + whole.size());
        symbols.push_back(whole[at] == ' ' ? "▁" : whole.substr(at, d.bytes));
        at += d.bytes;
      }
      for (;;) {
        std::size_t best = symbols.size();
        for (std::size_t s = 0; s + 1 < symbols.size(); ++s) {
          const auto found = tokens.find(symbols[s] + symbols[s + 1]);
          if (found == tokens.end()) continue;
          if (best == symbols.size() ||
              found->second.first > tokens[symbols[best] + symbols[best + 1]].first)
            best = s;
        }
        if (best == symbols.size()) break;
        symbols[best] += symbols[best + 1];
        symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
      }
      Ids expected;
      for (const std::string& symbol : symbols) {
        if (tokens.count(symbol)) {
          expected.push_back(tokens[symbol].second);
        } else {
          for (const char c : symbol) expected.push_back(3 + static_cast<unsigned char>(c));
        }
      }
      ASSERT_EQ(tokenizer.encode(text, kPlain), expected) << text << " inside " << spaces_inside;
    }
  }
}

}  // namespace
}  // namespace brink::testing
