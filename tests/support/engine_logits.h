// Logits of the reference models, computed by the engine.
#ifndef BRINK_TESTS_SUPPORT_ENGINE_LOGITS_H_
#define BRINK_TESTS_SUPPORT_ENGINE_LOGITS_H_

#include <algorithm>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "brink/model/session.h"
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

/// The file's name.
inline std::string label(const std::string& path) { return std::filesystem::path(path).filename(); }

}  // namespace brink::testing

#endif  // BRINK_TESTS_SUPPORT_ENGINE_LOGITS_H_
