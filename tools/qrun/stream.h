// Runs a generation: prints its text as it comes, stops at Ctrl-C, and takes the times.
#ifndef BRINK_TOOLS_QRUN_STREAM_H_
#define BRINK_TOOLS_QRUN_STREAM_H_

#include <cstddef>
#include <string>

#include "brink/brink.h"
#include "tools/support/json.h"

namespace brink::tools {

/// While one exists, Ctrl-C is noted instead of ending the program; a second Ctrl-C ends it.
class Interrupt {
 public:
  Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  ~Interrupt();
  static bool seen();
};

struct Generated {
  std::string text;
  std::size_t prompt_tokens = 0;
  std::size_t tokens = 0;
  double prompt_seconds = 0;      // up to the first piece of text
  double generation_seconds = 0;  // from there on
  std::size_t timed_tokens = 0;   // of generation_seconds
  Finish finish = Finish::kNone;
  bool interrupted = false;

  double prompt_rate() const;      ///< tokens per second; 0 when there was nothing to time
  double generation_rate() const;  ///< the same
  Json json() const;
  /// One line for people.
  std::string summary() const;
};

/// Takes pieces until the end or an interrupt; with `print` each goes to stdout at once.
Generated run_generation(Generation generation, bool print);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QRUN_STREAM_H_
