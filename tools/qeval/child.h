// Measurements in processes of their own: this program again, with other arguments.
#ifndef BRINK_TOOLS_QEVAL_CHILD_H_
#define BRINK_TOOLS_QEVAL_CHILD_H_

#include <string>
#include <vector>

namespace brink::tools {

struct ChildResult {
  std::string output;   ///< its standard output
  std::string failure;  ///< "exit code 1", "signal 9"; empty when all went well
};

/// Runs this program with `arguments` (without its name) and waits. Its standard error is ours. It
/// is killed when this process ends, however that happens. Throws Error when it cannot be started.
ChildResult run_child(const std::vector<std::string>& arguments);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_CHILD_H_
