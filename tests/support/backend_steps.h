// Steps of all kinds on a backend without a session, and models with more layers than the reference
// models have.
#ifndef BRINK_TESTS_SUPPORT_BACKEND_STEPS_H_
#define BRINK_TESTS_SUPPORT_BACKEND_STEPS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "brink/model/model.h"
#include "brink/model/transformer.h"

namespace brink::testing {

/// The layers of `model` in turn, until there are `layers`.
struct DeepModel {
  DeepModel(Model base, std::size_t layers)
      : model(std::move(base)), config(model.config()), weights(model.weights()) {
    for (std::size_t i = config.layers.size(); i < layers; ++i) {
      config.layers.push_back(LayerConfig(config.layers[i % model.config().layers.size()]));
      weights.layers.push_back(
          LayerWeights(model.weights().layers[i % model.config().layers.size()]));
    }
  }
  Model model;
  Config config;
  Weights weights;
};

/// What backend_steps() needs of a backend's options.
inline constexpr std::size_t kStepsContext = 128, kStepsPages = 4, kStepsBatch = 64;
inline constexpr std::size_t kStepsSequences = 2;

/// Logits of: a prompt with some outputs; two sequences, of which the second starts from a copy of
/// the first one's page, with prompts and single tokens mixed; a run without outputs; single tokens
/// of both, several times.
inline std::vector<float> backend_steps(const Config& config, Backend& backend) {
  std::vector<std::int32_t> tokens;
  for (std::size_t i = 0; i < 64; ++i)
    tokens.push_back(static_cast<std::int32_t>((i * 71 + i * i * 3 + 97) % config.vocabulary));
  const std::vector<std::uint32_t> first = {0, 1}, second = {2, 3};
  std::vector<float> all;
  const auto step = [&](std::size_t count, const std::vector<BatchSequence>& sequences,
                        const std::vector<std::uint32_t>& outputs) {
    const std::span<const float> rows =
        forward(config, backend, {std::span(tokens).first(count), sequences, outputs}).logits;
    all.insert(all.end(), rows.begin(), rows.end());
  };
  step(40, {{0, 40, 0, first}}, {3, 20, 39});
  backend.copy_page(0, 2);
  step(31, {{0, 30, 40, first}, {30, 1, 40, second}}, {5, 29, 30});
  step(12, {{0, 1, 70, first}, {1, 11, 41, second}}, {});
  for (std::size_t i = 0; i < 3; ++i)
    step(2, {{0, 1, 71 + i, first}, {1, 1, 52 + i, second}}, {0, 1});
  step(1, {{0, 1, 74, first}}, {0});
  step(1, {{0, 1, 55, second}}, {0});
  return all;
}

}  // namespace brink::testing

#endif  // BRINK_TESTS_SUPPORT_BACKEND_STEPS_H_
