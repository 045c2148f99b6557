// Rows of weights for the tests of encoders: usual ones, and whatever is hard on a scale.
#ifndef BRINK_TESTS_SUPPORT_WEIGHT_ROWS_H_
#define BRINK_TESTS_SUPPORT_WEIGHT_ROWS_H_

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace brink::testing {

struct WeightRow {
  std::string name;
  std::vector<float> weights;
};

/// One row of each kind, `count` weights long.
inline std::vector<WeightRow> weight_rows(std::size_t count, std::mt19937_64& random) {
  std::vector<WeightRow> rows;
  const auto add = [&](const char* name, auto draw) {
    WeightRow row{name, std::vector<float>(count)};
    for (std::size_t i = 0; i < count; ++i) row.weights[i] = draw(i);
    rows.push_back(std::move(row));
  };
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::student_t_distribution<float> heavy(2.5f);
  const std::size_t outlier = random() % count;
  constexpr float kMax = std::numeric_limits<float>::max();
  constexpr float kSmallest = std::numeric_limits<float>::denorm_min();
  add("normal", [&](std::size_t) { return 0.02f * normal(random); });
  add("uniform", [&](std::size_t) { return uniform(random); });
  add("heavy-tailed", [&](std::size_t) { return 0.02f * heavy(random); });
  add("positive", [&](std::size_t) { return 0.5f + 0.1f * normal(random); });
  add("negative", [&](std::size_t) { return -0.5f + 0.1f * normal(random); });
  add("zero", [](std::size_t) { return 0.0f; });
  add("negative zero", [](std::size_t) { return -0.0f; });
  add("constant", [](std::size_t) { return 0.0371f; });
  add("negative constant", [](std::size_t) { return -0.0371f; });
  add("one outlier", [&](std::size_t i) { return i == outlier ? 7.5f : 0.01f * normal(random); });
  add("one number", [&](std::size_t i) { return i == outlier ? -0.3f : 0.0f; });
  add("two values", [&](std::size_t) { return random() % 2 ? 0.1f : -0.1f; });
  add("sparse", [&](std::size_t) { return random() % 16 ? 0.0f : normal(random); });
  add("integers", [&](std::size_t) { return std::round(8.0f * uniform(random)); });
  add("rows of steps", [&](std::size_t i) { return 0.001f * static_cast<float>(i % 64); });
  add("large", [&](std::size_t) { return 1e5f * normal(random); });
  add("huge", [&](std::size_t) { return 3e38f * uniform(random); });
  add("largest", [&](std::size_t i) { return i % 3 == 0 ? kMax : i % 3 == 1 ? -kMax : 0.0f; });
  add("small", [&](std::size_t) { return 1e-6f * normal(random); });
  add("tiny", [&](std::size_t) { return 1e-12f * normal(random); });
  add("subnormal", [&](std::size_t) { return 1e-40f * normal(random); });
  add("smallest", [&](std::size_t) { return random() % 2 ? kSmallest : -kSmallest; });
  add("all magnitudes", [&](std::size_t) {
    const float x =
        std::ldexp(1.0f + std::fabs(uniform(random)) / 2, static_cast<int>(random() % 250) - 125);
    return random() % 2 ? x : -x;
  });
  return rows;
}

/// Importances of `count` columns: of very different sizes, some of them zero.
inline std::vector<float> column_importance(std::size_t count, std::mt19937_64& random) {
  std::vector<float> importance(count);
  std::lognormal_distribution<float> lognormal(0.0f, 1.5f);
  for (float& v : importance) v = random() % 32 == 0 ? 0.0f : lognormal(random);
  return importance;
}

}  // namespace brink::testing

#endif  // BRINK_TESTS_SUPPORT_WEIGHT_ROWS_H_
