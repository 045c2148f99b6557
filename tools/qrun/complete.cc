// qrun -p: continues one prompt.
#include <cstdio>

#include "tools/qrun/options.h"
#include "tools/qrun/stream.h"
#include "tools/support/json.h"

namespace brink::tools {

int complete(const RunOptions& options) {
  const Model model = Model::open(options.model);
  for (const std::string& warning : model.tokenizer_warnings())
    std::fprintf(stderr, "qrun: warning: %s\n", warning.c_str());
  Session session(model, session_options(options, kDefaultContext));
  const Generated result =
      run_generation(session.generate(*options.prompt, options.generate), !options.json);
  if (options.json) {
    std::fputs(to_text(result.json()).c_str(), stdout);
  } else {
    std::fputc('\n', stdout);
    std::fflush(stdout);
    std::fprintf(stderr, "%s\n", result.summary().c_str());
  }
  constexpr int kInterruptedExit = 130;  // what shells report for SIGINT
  return result.interrupted ? kInterruptedExit : 0;
}

}  // namespace brink::tools
