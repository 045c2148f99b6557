// What a user waits for and what it takes, measured in a process that does nothing else: load time,
// time to the first token, peak memory.
#ifndef BRINK_TOOLS_QBENCH_START_H_
#define BRINK_TOOLS_QBENCH_START_H_

#include <cstdint>
#include <string>

#include "tools/qbench/options.h"

namespace brink::tools {

struct Start {
  double load_seconds = 0;         ///< opening the model and making a session
  double first_token_seconds = 0;  ///< from the start of the process to the first token after a
                                   ///< prompt of 16 tokens, loading and tokenizer included
  std::uint64_t peak_rss_bytes = 0;
};

/// Runs this program again for one file. Throws Error when that fails.
Start measure_start(const std::string& model, const BenchOptions& options);

/// The other side: measures and prints. `options.measure_start` is when the process was started.
int report_start(const BenchOptions& options);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QBENCH_START_H_
