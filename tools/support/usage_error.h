// Wrong usage.
#ifndef BRINK_TOOLS_SUPPORT_USAGE_ERROR_H_
#define BRINK_TOOLS_SUPPORT_USAGE_ERROR_H_

#include <stdexcept>

namespace brink::tools {

/// Wrong usage that parsing alone cannot find. Exit code 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace brink::tools

#endif  // BRINK_TOOLS_SUPPORT_USAGE_ERROR_H_
