// Real vocabularies: ids against the published ones, round trips, speed.
#include <gtest/gtest.h>
#include <time.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "brink/text/tokenizer.h"
#include "made_vocabulary.h"
#include "tests/support/reference_data.h"

namespace brink::testing {
namespace {

// Bounds on speed are for optimized builds without sanitizers.
#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__)
constexpr bool kTimesCount = true;
#else
constexpr bool kTimesCount = false;
#endif

const char* const kVocabularies[] = {"llama-bpe", "qwen2",  "gpt-2",
                                     "starcoder", "falcon", "deepseek-llm",
                                     "llama-spm", "phi-3",  "deepseek-coder"};

Tokenizer load(const std::string& name) {
  return Tokenizer::load(Gguf::open(reference_data("vocab/" + name + ".gguf")));
}

bool is_bpe(std::string_view name) { return name != "llama-spm" && name != "phi-3"; }

/// Processor time of this thread, which other processes do not lengthen.
double seconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

std::string repeated(std::string_view part, std::size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += part;
  return text;
}

TEST(TokenizerReference, IdsOfAllVocabularies) {
  BRINK_REQUIRE_REFERENCE_DATA();
  for (const std::string name : kVocabularies) {
    const Tokenizer tokenizer = load(name);
    const std::string inputs = read_bytes(reference_data("vocab/" + name + ".inp"));
    std::istringstream outputs(read_bytes(reference_data("vocab/" + name + ".out")));
    constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";
    int cases = 0;
    std::string line;
    for (std::size_t begin = 0; begin < inputs.size() && std::getline(outputs, line); ++cases) {
      const std::size_t end = std::min(inputs.find(kSeparator, begin), inputs.size());
      const std::string text = inputs.substr(begin, end - begin);
      begin = end + kSeparator.size();
      std::istringstream numbers(line);
      const Ids expected(std::istream_iterator<std::int32_t>(numbers), {});
      const Ids ids = tokenizer.encode(text, kPlain);
      EXPECT_EQ(ids, expected) << name << ": '" << text << "'";
      EXPECT_EQ(tokenizer.decode(ids), text) << name;
    }
    EXPECT_EQ(cases, 46) << name;
  }
}

TEST(TokenizerReference, BosAndEndsOfRealVocabularies) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const Tokenizer llama = load("llama-bpe");
  EXPECT_EQ(llama.bos(), 128000);
  EXPECT_EQ(llama.encode("Hello").front(), 128000);
  EXPECT_EQ(llama.encode("<|begin_of_text|>Hello"), llama.encode("Hello"));
  EXPECT_TRUE(llama.is_end_of_generation(128001));  // <|end_of_text|>
  EXPECT_TRUE(llama.is_end_of_generation(128008));  // <|eom_id|>
  EXPECT_TRUE(llama.is_end_of_generation(128009));  // <|eot_id|>
  EXPECT_EQ(llama.find("<|eot_id|>"), 128009);
  EXPECT_FALSE(llama.is_end_of_generation(128006));  // <|start_header_id|>
  const Tokenizer qwen = load("qwen2");
  EXPECT_FALSE(qwen.adds_bos());
  EXPECT_EQ(qwen.encode("<|im_start|>user\n"), (Ids{151644, 872, 198}));
  EXPECT_TRUE(qwen.is_end_of_generation(151643));
  EXPECT_TRUE(qwen.is_end_of_generation(151645));
  EXPECT_FALSE(qwen.is_end_of_generation(*qwen.find("</s>")));
  const Tokenizer spm = load("llama-spm");
  EXPECT_EQ(spm.encode("Hello world"), (Ids{1, 15043, 3186}));
  EXPECT_EQ(spm.encode("<s>Hello world"), (Ids{1, 15043, 3186}));
}

// All byte strings: of random bytes, of pieces of UTF-8, of text. 100,000 in all.
TEST(TokenizerReference, RoundTripOfRandomBytes) {
  BRINK_REQUIRE_REFERENCE_DATA();
  std::mt19937 random(11);
  const std::vector<std::string> parts = {" ",    "\n",
                                          "\r\n", "the",
                                          "é",    "中文",
                                          "🦙", "\xF0\x9F",
                                          "'s",   "12",
                                          "3456", "...",
                                          "\xFF", "\x80",
                                          "\xC3", "İ",
                                          "A",    "z",
                                          "\t",   "_",
                                          "<|",   std::string(1, '\0'),
                                          "。",   "    "};
  // The others leave out tokens for some bytes.
  const std::vector<std::string> names = {"llama-bpe", "qwen2", "gpt-2", "llama-spm"};
  for (const std::string& name : names) {
    const Tokenizer tokenizer = load(name);
    for (int i = 0; i < 25000; ++i) {
      std::string text;
      const std::size_t length = random() % 40;
      while (text.size() < length) {
        if (i % 2) {
          text.push_back(static_cast<char>(random() & 255));
        } else {
          text += parts[random() % parts.size()];
        }
      }
      const Ids ids = tokenizer.encode(text, kPlain);
      ASSERT_EQ(tokenizer.decode(ids), text) << name;
      for (const std::int32_t id : ids)
        ASSERT_LT(static_cast<std::size_t>(id), tokenizer.vocabulary_size());
    }
  }
}

// Ids must not depend on what came before in a text or in an earlier call: caches are on for the
// whole text, off for single lines.
TEST(TokenizerReference, CachesDoNotChangeIds) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const std::string text = read_bytes(reference_data("text/wikitext-2.test.txt")).substr(0, 300000);
  for (const std::string name : kVocabularies) {
    const Tokenizer tokenizer = load(name);
    const Ids first = tokenizer.encode(text, kPlain);
    EXPECT_EQ(tokenizer.encode(text, kPlain), first) << name;
    EXPECT_TRUE(tokenizer.decode(first) == text) << name;
    // The rules of these join or cut a newline and a space according to what follows.
    if (!is_bpe(name) || name == "starcoder" || name == "falcon") continue;
    Ids by_line;
    for (std::size_t begin = 0; begin < text.size();) {
      std::size_t end = text.find("\n ", begin);
      while (end != text.npos && (text[end + 2] == ' ' || text[end + 2] == '\n'))
        end = text.find("\n ", end + 1);
      end = end == text.npos ? text.size() : end + 1;
      const Ids ids = tokenizer.encode(std::string_view{text}.substr(begin, end - begin), kPlain);
      by_line.insert(by_line.end(), ids.begin(), ids.end());
      begin = end;
    }
    EXPECT_EQ(by_line, first) << name;
  }
}

TEST(TokenizerReference, ThreadsShareATokenizer) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const std::string text = read_bytes(reference_data("text/shakespeare-60k.txt"));
  const Tokenizer tokenizer = load("gpt-2");
  const Ids expected = load("gpt-2").encode(text, kPlain);
  std::vector<Ids> results(4);
  std::vector<std::thread> threads;
  threads.reserve(results.size());
  for (Ids& result : results)
    threads.emplace_back([&] { result = tokenizer.encode(text, kPlain); });
  for (std::thread& thread : threads) thread.join();
  for (const Ids& result : results) EXPECT_EQ(result, expected);
}

/// What decode(encode(text)) gives: the text, but for U+2581 in SentencePiece vocabularies, which
/// is a space there, and bytes for which DeepSeek has no token.
std::string after_round_trip(const std::string& name, const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!is_bpe(name) && text.compare(i, 3, "\xE2\x96\x81") == 0) {
      result += ' ';
      i += 2;
    } else if (name == "deepseek-llm" && text[i] == '\xFF') {
      result += "\xEF\xBF\xBD";
    } else {
      result += text[i];
    }
  }
  return result;
}

// A text that is one huge word, or nothing but tiny ones: eight times the bytes may take about
// eight times as long, where quadratic work would take 64 times (24, and a little absolute time,
// leave room for caches and noise).
TEST(TokenizerReference, NoTextIsQuadratic) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const std::vector<std::string> one_megabyte = {"a", " ", "\n", "1", "🦙"};
  const std::vector<std::string> less = {
      "\r\n", "中",  "=", "ab",      "\xFF",     "\x80",      "A",  "'",
      " \n",  "\t ", "▁", "<|im_en", "\xCC\x81", "[PAD10001", "aA", "<｜end▁of▁sentence｜"};
  for (const std::string name : {"llama-bpe", "deepseek-llm", "llama-spm"}) {
    const Tokenizer tokenizer = load(name);
    const auto time_of = [&](const std::string& part, std::size_t bytes) {
      const std::string text = repeated(part, bytes);
      const double begin = seconds();
      const Ids ids = tokenizer.encode(text);
      const double time = seconds() - begin;
      EXPECT_TRUE(tokenizer.decode(ids) == after_round_trip(name, text)) << name << ": " << part;
      return time;
    };
    const auto compare = [&](const std::string& part, std::size_t bytes) {
      const double eighth = time_of(part, bytes / 8);
      EXPECT_LT(time_of(part, bytes), 24 * eighth + 0.05) << name << ": " << part;
    };
    for (const std::string& part : one_megabyte) compare(part, 1 << 20);
    for (const std::string& part : less) compare(part, 1 << 18);
  }
}

/// The fastest of some runs, in seconds.
double fastest(const std::function<void()>& work) {
  double best = 1e9;
  for (int run = 0; run < 5; ++run) {
    const double begin = seconds();
    work();
    best = std::min(best, seconds() - begin);
  }
  return best;
}

// How fast a machine is shows in the same work done plainly: a map of the vocabulary's tokens, and
// looking up each word of the text in it. Loading and encoding may take a few times as long.
TEST(TokenizerReference, SpeedOnWikiText) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const std::string text = read_bytes(reference_data("text/wikitext-2.test.txt"));
  for (const std::string name : {"llama-bpe", "qwen2", "llama-spm"}) {
    const Gguf gguf = Gguf::open(reference_data("vocab/" + name + ".gguf"));
    const GgufValue* const tokens = gguf.find("tokenizer.ggml.tokens");
    ASSERT_NE(tokens, nullptr);
    std::unordered_map<std::string, std::size_t> ids;
    const double map = fastest([&] {
      ids = {};
      for (const std::string_view token : tokens->strings()) ids.emplace(token, ids.size());
    });
    std::size_t words = 0;
    const double lookups = fastest([&] {
      std::istringstream in(text);
      std::string word;
      while (in >> word) words += ids.count(word) + 1;
    });
    EXPECT_GT(words, text.size() / 50);
    const double load = fastest([&] { Tokenizer::load(gguf); });
    const Tokenizer tokenizer = Tokenizer::load(gguf);
    const double encode =
        fastest([&] { EXPECT_GT(tokenizer.encode(text, kPlain).size(), text.size() / 6); });
    std::cout << name << ": loaded in " << 1e3 * load << " ms, " << load / map
              << " times a map of the tokens; " << static_cast<double>(text.size()) / 1e6 / encode
              << " MB/s, " << encode / lookups << " times a lookup of each word\n";
    if (kTimesCount) {
      EXPECT_LT(load, 3 * map) << name;
      EXPECT_LT(encode, 3 * lookups) << name;
    }
  }
}

}  // namespace
}  // namespace brink::testing
