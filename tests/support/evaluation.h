// Texts and models for the tests of evaluation, and plain float64 computations beside it.
#ifndef BRINK_TESTS_SUPPORT_EVALUATION_H_
#define BRINK_TESTS_SUPPORT_EVALUATION_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "brink/eval/windows.h"
#include "brink/model/session.h"
#include "tests/support/npy.h"
#include "tests/support/reference_data.h"

namespace brink::testing {

inline Model quantized_model(const std::string& type) {
  return Model::open(reference_data("quantized/micro-llama-" + type + ".gguf"));
}

/// The tokens beside reference model `name`, "models/tiny-mixtral-f16".
inline std::vector<std::int32_t> reference_tokens(const std::string& name) {
  return read_npy<std::int32_t>(reference_data(name + ".tokens.npy")).values;
}

inline SessionOptions exact_options() {
  SessionOptions options;
  options.activations = Activations::kF32;
  options.kv_type = KvType::kF32;
  options.threads = 2;
  return options;
}

/// ln p of every token of the vocabulary, for each scored token of the windows: each window alone,
/// fed whole, straight from the definition.
inline std::vector<std::vector<double>> scored_log_probabilities(const Model& model,
                                                                 const TokenWindows& windows,
                                                                 SessionOptions options) {
  const std::size_t vocabulary = model.config().vocabulary;
  options.context = windows.context();
  std::vector<std::vector<double>> all;
  for (std::size_t w = 0; w < windows.size(); ++w) {
    Session session(model, options);
    const std::span<const float> logits = session.feed(windows[w], Logits::kAll);
    for (std::size_t i = 0; i < windows.scored_per_window(); ++i) {
      const auto row = logits.subspan((windows.first_scored() + i) * vocabulary, vocabulary);
      const double largest = static_cast<double>(*std::max_element(row.begin(), row.end()));
      double sum = 0;
      for (const float v : row) sum += std::exp(static_cast<double>(v) - largest);
      std::vector<double> p;
      for (const float v : row) p.push_back(static_cast<double>(v) - largest - std::log(sum));
      all.push_back(std::move(p));
    }
  }
  return all;
}

}  // namespace brink::testing

#endif  // BRINK_TESTS_SUPPORT_EVALUATION_H_
