// What qbench was asked to measure.
#ifndef BRINK_TOOLS_QBENCH_OPTIONS_H_
#define BRINK_TOOLS_QBENCH_OPTIONS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "brink/brink.h"
#include "tools/support/cli.h"

namespace brink::tools {

struct BenchOptions {
  std::vector<std::string> models;
  std::size_t prompt = 512;    // tokens; 0: no prompt test
  std::size_t generate = 128;  // tokens; 0: no generation test
  std::size_t repetitions = 5;
  EngineOptions engine;  // threads are never 0 once parsed
  std::vector<std::string> shapes;
  std::vector<std::string> types = {"Q8_0", "Q4_K_M"};
  std::string cache_folder;
  bool delete_cache = false;
  bool json = false;
  bool csv = false;
  std::uint64_t measure_start = 0;  // in the child process: see start.h
};

inline SessionOptions session_options(const BenchOptions& options) {
  SessionOptions session;
  session.context = std::max(options.prompt, options.generate) + 1;
  session.activations = options.engine.activations;
  session.kv_type = options.engine.kv_type;
  session.threads = options.engine.threads;
  return session;
}

/// Token ids for prompts: seeded, all over the vocabulary.
std::vector<std::int32_t> random_tokens(std::size_t count, std::size_t vocabulary);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QBENCH_OPTIONS_H_
