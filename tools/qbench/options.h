// What qbench was asked to measure.
#ifndef BRINK_TOOLS_QBENCH_OPTIONS_H_
#define BRINK_TOOLS_QBENCH_OPTIONS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "brink/brink.h"
#include "tools/support/engine_options.h"

namespace brink::tools {

struct BenchOptions {
  std::vector<std::string> models;
  // Every prompt and every generation is measured at every depth; a number of 0 tokens is no test.
  std::vector<std::size_t> prompts = {512};
  std::vector<std::size_t> generations = {128};
  std::vector<std::size_t> depths = {0};     // tokens in the context before the test
  std::vector<std::size_t> sequences = {1};  // generated together; 1 is always measured
  std::size_t repetitions = 5;
  EngineOptions engine;  // threads are never 0 once parsed
  std::vector<std::string> shapes;
  std::vector<std::string> types = {"Q8_0", "Q4_K_M"};
  std::string cache_folder;
  bool delete_cache = false;
  bool logits = false;  // prompts with the logits of their second half, as qeval measures
  bool profile = false;
  bool json = false;
  bool csv = false;
  std::uint64_t measure_start = 0;  // in the child process: see start.h
};

inline std::size_t largest(const std::vector<std::size_t>& values) {
  return *std::max_element(values.begin(), values.end());
}

inline SessionOptions session_options(const BenchOptions& options) {
  SessionOptions session;
  session.context = largest(options.depths) +
                    std::max(largest(options.prompts), largest(options.generations)) + 1;
  session.sequences = largest(options.sequences);
  options.engine.apply(session);
  session.profile = options.profile;
  return session;
}

/// Token ids for prompts: seeded, all over the vocabulary.
std::vector<std::int32_t> random_tokens(std::size_t count, std::size_t vocabulary);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QBENCH_OPTIONS_H_
