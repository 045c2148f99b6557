// Logits of the reference models, computed by the engine.
#ifndef BRINK_TESTS_SUPPORT_ENGINE_LOGITS_H_
#define BRINK_TESTS_SUPPORT_ENGINE_LOGITS_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "brink/model/session.h"
#include "tests/support/float64_model.h"
#include "tests/support/npy.h"
#include "tests/support/reference_data.h"

namespace brink::testing {

/// Names (without ".gguf") of all reference models that come with logits.
inline std::vector<std::string> reference_models() {
  std::vector<std::string> names;
  for (const char* folder : {"models", "quantized"})
    for (const auto& entry : std::filesystem::directory_iterator(reference_data(folder))) {
      std::string name = entry.path().string();
      if (!name.ends_with(".logits.npy")) continue;
      names.push_back(name.substr(0, name.size() - std::string(".logits.npy").size()));
    }
  std::sort(names.begin(), names.end());
  return names;
}

inline std::vector<float> engine_logits(const Model& model, std::span<const std::int32_t> tokens,
                                        const SessionOptions& options) {
  Session session(model, options);
  const std::span<const float> logits = session.feed(tokens, Logits::kAll);
  return {logits.begin(), logits.end()};
}

/// Tokens one at a time: the kernels for few tokens; on a device a recording that is replayed.
inline std::vector<float> engine_logits_one_by_one(const Model& model,
                                                   std::span<const std::int32_t> tokens,
                                                   const SessionOptions& options) {
  Session session(model, options);
  std::vector<float> all;
  for (const std::int32_t& token : tokens) {
    const std::span<const float> logits = session.feed({&token, 1});
    all.insert(all.end(), logits.begin(), logits.end());
  }
  return all;
}

/// The larger of a whole prompt's and single tokens' relative distances from the float64 logits
/// beside model file `name`.gguf.
inline double distance_from_reference(const std::string& name, const SessionOptions& options) {
  const Model model = Model::open(name + ".gguf");
  const auto tokens = read_npy<std::int32_t>(name + ".tokens.npy");
  const auto expected = read_npy<float>(name + ".logits.npy");
  const double of_many =
      relative_distance(engine_logits(model, tokens.values, options), expected.values);
  const std::size_t count = std::min<std::size_t>(tokens.values.size(), 12);
  const std::vector<float> first =
      engine_logits_one_by_one(model, std::span(tokens.values).first(count), options);
  return std::max(of_many,
                  relative_distance(first, std::span(expected.values).first(first.size())));
}

/// Several sequences, prompts and single tokens in one step, a fork: model file `name`.gguf gives
/// the same logits as for each sequence alone, up to the order of sums.
inline void expect_undisturbed_sequences(const std::string& name, SessionOptions options) {
  const Model model = Model::open(name + ".gguf");
  const auto file = read_npy<std::int32_t>(name + ".tokens.npy");
  const std::span<const std::int32_t> tokens(file.values);
  ASSERT_GE(tokens.size(), 40u);
  SessionOptions alone_options = options;
  alone_options.batch = SessionOptions().batch;
  const std::vector<float> alone = engine_logits(model, tokens.first(40), alone_options);
  options.sequences = 3;
  Session session(model, options);
  const std::size_t vocabulary = model.config().vocabulary;
  session.feed(tokens.first(20), Logits::kNone, 0);
  session.fork(0, 1);
  const std::vector<SequenceInput> inputs = {{0, tokens.subspan(20, 20), Logits::kAll},
                                             {1, tokens.subspan(20, 1), Logits::kAll},
                                             {2, tokens.first(40), Logits::kLast}};
  const std::span<const float> logits = session.step(inputs);
  ASSERT_EQ(logits.size(), 22 * vocabulary);
  const std::span<const float> expected(alone);
  const auto near = [&](std::size_t row, std::size_t position, std::size_t rows) {
    EXPECT_LT(relative_distance(logits.subspan(row * vocabulary, rows * vocabulary),
                                expected.subspan(position * vocabulary, rows * vocabulary)),
              1e-5);
  };
  near(0, 20, 20);
  near(20, 20, 1);
  near(21, 39, 1);
}

/// The file's name.
inline std::string label(const std::string& path) { return std::filesystem::path(path).filename(); }

}  // namespace brink::testing

#endif  // BRINK_TESTS_SUPPORT_ENGINE_LOGITS_H_
