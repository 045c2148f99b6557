// Requests for BatchGenerator whose results must be the same bits in any company.
#ifndef BRINK_TESTS_SUPPORT_GENERATIONS_H_
#define BRINK_TESTS_SUPPORT_GENERATIONS_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "brink/eval/generation.h"
#include "brink/model/model.h"

namespace brink::testing {

using Tokens = std::vector<std::int32_t>;

inline Tokens some_tokens(std::size_t count, std::size_t salt) {
  Tokens tokens;
  for (std::size_t i = 0; i < count; ++i)
    tokens.push_back(static_cast<std::int32_t>((i * i * 31 + i * 7 + salt * 53 + 11) % 300));
  return tokens;
}

// Prompts of unlike lengths that begin alike, some with answers to score, some sampled.
inline std::vector<GenerationRequest> some_requests(std::size_t count) {
  std::vector<GenerationRequest> requests(count);
  for (std::size_t i = 0; i < count; ++i) {
    GenerationRequest& r = requests[i];
    r.prompt = some_tokens(70, 0);  // more than a page of the KV cache
    const Tokens own = some_tokens(3 + 5 * (i % 4), i + 1);
    r.prompt.insert(r.prompt.end(), own.begin(), own.end());
    for (std::size_t a = 0; a < i % 3; ++a) r.answers.push_back(some_tokens(1 + 4 * a, i + 40 + a));
    r.max_tokens = i % 5 == 4 ? 0 : 4 + i % 7;
    if (i % 2 == 1) r.sampling = {.temperature = 1.0f, .seed = 100 + i};
  }
  return requests;
}

inline void expect_same(const GenerationResult& a, const GenerationResult& b,
                        const std::string& what) {
  EXPECT_EQ(a.text, b.text) << what;
  EXPECT_EQ(a.tokens, b.tokens) << what;
  EXPECT_EQ(a.finish, b.finish) << what;
  ASSERT_EQ(a.answers.size(), b.answers.size()) << what;
  for (std::size_t i = 0; i < a.answers.size(); ++i)
    EXPECT_TRUE(a.answers[i].log_probability == b.answers[i].log_probability &&
                a.answers[i].tokens == b.answers[i].tokens &&
                a.answers[i].greedy == b.answers[i].greedy)
        << what << ": " << a.answers[i].log_probability << " and " << b.answers[i].log_probability;
}

inline std::vector<GenerationResult> run(const Model& model, const GenerationOptions& options,
                                         const std::vector<GenerationRequest>& requests) {
  std::vector<GenerationResult> results(requests.size());
  std::vector<int> times(requests.size(), 0);
  BatchGenerator generator(model, options);
  generator.run(requests, [&](std::size_t index, GenerationResult&& result) {
    results.at(index) = std::move(result);
    ++times[index];
  });
  EXPECT_EQ(times, std::vector<int>(requests.size(), 1));
  return results;
}

/// The results of `requests` alone, in company and, as after an interruption, of two thirds of them
/// backwards beside another one, so that nothing is shared: all the same.
inline void expect_same_in_any_company(const Model& model, GenerationOptions options,
                                       const std::vector<GenerationRequest>& requests,
                                       std::initializer_list<std::size_t> together) {
  options.sequences = 1;
  const auto alone = run(model, options, requests);
  for (const std::size_t sequences : together) {
    options.sequences = sequences;
    const auto results = run(model, options, requests);
    for (std::size_t i = 0; i < requests.size(); ++i)
      expect_same(results[i], alone[i], "request " + std::to_string(i));
  }
  std::vector<GenerationRequest> some;
  std::vector<std::size_t> which;
  for (std::size_t i = requests.size(); i-- > 0;)
    if (i % 3 != 1) {
      which.push_back(i);
      some.push_back(requests[i]);
    }
  some.push_back({.prompt = {5}, .answers = {}, .max_tokens = 1, .sampling = {}});
  options.sequences = 8;
  const auto others = run(model, options, some);
  for (std::size_t i = 0; i < which.size(); ++i)
    expect_same(others[i], alone[which[i]], "request " + std::to_string(which[i]));
}

}  // namespace brink::testing

#endif  // BRINK_TESTS_SUPPORT_GENERATIONS_H_
