// Many prompts at once get what each gets alone, to the bit; and what a session gives one by one.
#include "brink/eval/generation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "brink/core/error.h"
#include "brink/text/tokenizer.h"
#include "tests/support/generations.h"
#include "tests/support/reference_data.h"
#include "tests/support/tested_kernels.h"

namespace brink {
namespace {

using testing::expect_same_in_any_company;
using testing::reference_data;
using testing::run;
using testing::some_requests;
using testing::some_tokens;
using testing::Tokens;
GenerationOptions options_for(std::size_t sequences, Activations activations = Activations::kQ8,
                              KvType kv_type = KvType::kF16, const Kernels* kernels = nullptr) {
  GenerationOptions options;
  options.session.context = 128;
  options.session.threads = 2;
  options.session.activations = activations;
  options.session.kv_type = kv_type;
  options.session.kernels = kernels;
  options.sequences = sequences;
  return options;
}

class Generations : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { BRINK_REQUIRE_REFERENCE_DATA(); }
  static Model model() { return Model::open(reference_data(std::string(GetParam()) + ".gguf")); }
};

INSTANTIATE_TEST_SUITE_P(
    Models, Generations,
    ::testing::Values("quantized/micro-llama-f32", "quantized/micro-llama-Q8_0",
                      "quantized/micro-llama-Q4_0", "quantized/micro-llama-Q4_K_M",
                      "quantized/micro-llama-Q2_K", "quantized/micro-llama-IQ4_XS",
                      "models/tiny-llama-f16", "models/tiny-qwen2moe-f16"),
    [](const auto& info) {
      std::string name = info.param;
      for (char& c : name)
        if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
      return name;
    });

// Logits of one token in a step of its own and in steps of up to 20 rows: the same bits. Without
// same_kernels the kinds of kernel differ, which must show in at least one type, or the test is
// blind; that is asserted in KindsOfKernelDiffer.
TEST_P(Generations, RowsHaveTheSameBitsInStepsOfAnySize) {
  for (const Kernels* kernels : testing::tested_kernels())
    for (const Activations activations :
         {Activations::kF32, Activations::kBf16, Activations::kQ8}) {
      if (kernels != available_kernels().back() && activations != Activations::kQ8) continue;
      SessionOptions options{.context = 128, .activations = activations, .threads = 2};
      options.sequences = 20;
      options.kernels = kernels;
      options.same_kernels = true;
      Session session(model(), options);
      const std::size_t vocabulary = session.model().config().vocabulary;
      std::vector<Tokens> tokens;
      for (std::size_t s = 0; s < 20; ++s) tokens.push_back(some_tokens(6, s));
      std::map<std::size_t, std::vector<float>> alone;
      for (const std::size_t together : {1u, 2u, 8u, 9u, 20u}) {
        for (std::size_t s = 0; s < 20; ++s) session.clear(s);
        for (std::size_t t = 0; t < 6; ++t)
          for (std::size_t s = 0; s < 20; s += together) {
            std::vector<SequenceInput> inputs;
            for (std::size_t i = s; i < std::min<std::size_t>(20, s + together); ++i)
              inputs.push_back({i, std::span(tokens[i]).subspan(t, 1), Logits::kLast});
            const auto logits = session.step(inputs);
            for (std::size_t i = 0; i < inputs.size(); ++i) {
              const auto row = logits.subspan(i * vocabulary, vocabulary);
              std::vector<float>& expected = alone[t * 20 + s + i];
              if (together == 1) expected.assign(row.begin(), row.end());
              ASSERT_TRUE(std::ranges::equal(row, expected))
                  << kernels->name << ", " << together << " together, token " << t;
            }
          }
      }
    }
}

TEST_P(Generations, SameResultsForAnyBatchAndOrder) {
  const Model m = model();
  const auto requests = some_requests(testing::kSanitized ? 10 : 21);
  for (const Activations activations : {Activations::kF32, Activations::kBf16, Activations::kQ8})
    expect_same_in_any_company(m, options_for(1, activations), requests, {8, 32});
}

// The same as a session and a plain loop give, by the same kind of kernel.
TEST_P(Generations, AgreesWithOneSequenceByHand) {
  const Model m = model();
  const auto requests = some_requests(12);
  const auto results = run(m, options_for(5, Activations::kF32), requests);
  SessionOptions options{.context = 128, .activations = Activations::kF32, .threads = 1};
  options.same_kernels = true;
  Session session(m, options);
  const std::size_t vocabulary = m.config().vocabulary;
  const auto log_p = [&](std::span<const float> row, std::int32_t id) {
    double sum = 0;
    for (const float x : row) sum += std::exp(static_cast<double>(x));
    return static_cast<double>(row[static_cast<std::size_t>(id)]) - std::log(sum);
  };
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const GenerationRequest& r = requests[i];
    ASSERT_EQ(results[i].answers.size(), r.answers.size());
    for (std::size_t a = 0; a < r.answers.size(); ++a) {
      Tokens all = r.prompt;
      all.insert(all.end(), r.answers[a].begin(), r.answers[a].end());
      session.clear(0);
      const auto logits = session.feed(all, Logits::kAll);
      double expected = 0;
      for (std::size_t t = r.prompt.size(); t < all.size(); ++t)
        expected += log_p(logits.subspan((t - 1) * vocabulary, vocabulary), all[t]);
      EXPECT_EQ(results[i].answers[a].tokens, r.answers[a].size());
      EXPECT_NEAR(results[i].answers[a].log_probability, expected, 1e-5 * std::abs(expected));
    }
    session.clear(0);
    GenerateOptions by_hand;
    by_hand.max_tokens = r.max_tokens;
    by_hand.sampling = r.sampling;
    std::string text;
    std::size_t tokens = 0;
    if (r.max_tokens > 0) {
      Generation generation = session.generate(r.prompt, by_hand);
      for (const std::string_view piece : generation) text += piece;
      tokens = generation.tokens();
      EXPECT_EQ(results[i].finish, generation.finish());
    }
    EXPECT_EQ(results[i].text, text) << i;
    EXPECT_EQ(results[i].tokens, tokens) << i;
  }
}

class GenerationTest : public ::testing::Test {
 protected:
  void SetUp() override { BRINK_REQUIRE_REFERENCE_DATA(); }
  static Model model() {
    return Model::open(reference_data("models-trained/tiny-skills-f16.gguf"));
  }
  static GenerationRequest chat(const Model& model, const std::string& question) {
    GenerationRequest request;
    request.prompt = model.tokenizer().encode("<|im_start|>user\n" + question +
                                              "<|im_end|>\n<|im_start|>assistant\n");
    request.max_tokens = 60;
    return request;
  }
};

// What same_kernels is for: without it, rows of small and of large steps differ somewhere.
TEST_F(GenerationTest, KindsOfKernelDiffer) {
  const Model m = Model::open(reference_data("quantized/micro-llama-Q4_K_M.gguf"));
  const Tokens tokens = some_tokens(12, 3);
  const auto last = [&](bool same, std::size_t piece) {
    SessionOptions options{.context = 64, .threads = 1};
    options.same_kernels = same;
    Session session(m, options);
    std::vector<float> row;
    for (std::size_t at = 0; at < tokens.size(); at += piece) {
      const auto logits = session.feed(std::span(tokens).subspan(at, piece), Logits::kAll);
      row.assign(logits.end() - static_cast<std::ptrdiff_t>(m.config().vocabulary), logits.end());
    }
    return row;
  };
  EXPECT_EQ(last(true, 12), last(true, 1));
  EXPECT_NE(last(false, 12), last(false, 1));
}

TEST_F(GenerationTest, EndsWhereItShould) {
  const Model m = model();
  std::vector<GenerationRequest> requests(5, chat(m,
                                                  "Tess has 2 boxes with 5 nuts each and finds "
                                                  "10 more. How many nuts are there?"));
  requests[1].max_tokens = 3;
  requests[2].max_tokens = 500;  // more than the context, but the answer ends before
  requests[3].max_tokens = 0;
  const auto free = run(m, options_for(4), requests);
  EXPECT_EQ(free[0].finish, Finish::kEndOfText);
  EXPECT_NE(free[0].text.find("####"), std::string::npos) << free[0].text;
  EXPECT_EQ(free[1].finish, Finish::kMaxTokens);
  EXPECT_EQ(free[1].tokens, 3u);
  EXPECT_TRUE(free[0].text.starts_with(free[1].text));
  EXPECT_EQ(free[2].text, free[0].text);
  EXPECT_EQ(free[3].finish, Finish::kNone);
  EXPECT_EQ(free[3].tokens, 0u);

  GenerationOptions stopping = options_for(4);
  stopping.stop = {"####"};
  const auto stopped = run(m, stopping, requests);
  EXPECT_EQ(stopped[0].finish, Finish::kStop);
  EXPECT_EQ(stopped[0].text, free[0].text.substr(0, free[0].text.find("####")));

  GenerationOptions tight = options_for(4);
  tight.session.context = requests[0].prompt.size() + 5;
  requests[4].prompt.insert(requests[4].prompt.end(), 6, requests[4].prompt.back());
  requests[0].answers = {some_tokens(4, 1)};
  requests[3].answers = {some_tokens(7, 1)};  // its last token need not be fed: one too many
  const auto full = run(m, tight, requests);
  EXPECT_EQ(full[0].finish, Finish::kContext);
  EXPECT_EQ(full[0].tokens, 6u);  // the last one is sampled, and not fed
  EXPECT_EQ(full[0].answers.size(), 1u);
  EXPECT_EQ(full[1].finish, Finish::kMaxTokens);
  EXPECT_EQ(full[3].finish, Finish::kContext);
  EXPECT_TRUE(full[3].answers.empty());
  EXPECT_EQ(full[4].finish, Finish::kContext);
  EXPECT_EQ(full[4].tokens, 0u);
}

TEST_F(GenerationTest, ComputesWhatIsSharedOnce) {
  const Model m = model();
  std::vector<GenerationRequest> requests;
  std::size_t tokens = 0;
  for (const char* name : {"Mimibe", "Berese", "Tedori"}) {
    requests.push_back(chat(m, std::string("What is the colour of ") + name + "?"));
    tokens += requests.back().prompt.size();
  }
  std::size_t shared = 0;
  while (requests[0].prompt[shared] == requests[1].prompt[shared] &&
         requests[0].prompt[shared] == requests[2].prompt[shared])
    ++shared;
  ASSERT_GT(shared, 3u);
  BatchGenerator generator(m, options_for(2));
  generator.run(requests, [](std::size_t, GenerationResult&&) {});
  EXPECT_EQ(generator.work().prompt_tokens, tokens - 2 * shared);
  // Again with the same beginning: it is still there.
  generator.run(requests, [](std::size_t, GenerationResult&&) {});
  EXPECT_EQ(generator.work().prompt_tokens, 2 * tokens - 5 * shared);
}

TEST_F(GenerationTest, GreedyMarksTheMostProbableAnswer) {
  const Model m = model();
  std::vector<GenerationRequest> requests = {chat(m, "What is the colour of Mimibe?")};
  const std::string answer = run(m, options_for(1), requests)[0].text;
  requests[0].answers = {m.tokenizer().encode(answer, {.add_special = false}),
                         m.tokenizer().encode(answer + "zzz", {.add_special = false})};
  requests[0].max_tokens = 0;
  const auto results = run(m, options_for(1), requests);
  EXPECT_TRUE(results[0].answers[0].greedy);
  EXPECT_FALSE(results[0].answers[1].greedy);
  EXPECT_GT(results[0].answers[0].log_probability, results[0].answers[1].log_probability);
}

TEST_F(GenerationTest, RefusesNothingToContinue) {
  const Model m = model();
  BatchGenerator generator(m, options_for(2));
  const auto none = [](std::size_t, GenerationResult&&) { FAIL(); };
  EXPECT_THROW(generator.run({GenerationRequest{}}, none), Error);
  GenerationRequest request = chat(m, "?");
  request.answers = {{}};
  EXPECT_THROW(generator.run({request}, none), Error);
  request.answers = {{1 << 20, 1}};
  EXPECT_THROW(generator.run({request}, none), Error);
  generator.run({}, none);
}

}  // namespace
}  // namespace brink
