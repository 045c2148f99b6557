// What quantize was asked to do.
#ifndef BRINK_TOOLS_QUANTIZE_OPTIONS_H_
#define BRINK_TOOLS_QUANTIZE_OPTIONS_H_

#include <string>
#include <vector>

#include "brink/brink.h"

namespace brink::tools {

struct QuantizeRequest {
  std::vector<std::string> arguments;  ///< IN OUT TYPE, or with `verify` A B
  bool pure = false;
  std::vector<std::string> tensor_types;
  std::string output_type;
  std::string embedding_type;
  std::string imatrix;
  Effort effort = Effort::kDefault;
  bool allow_nonfinite = false;
  bool allow_requantize = false;
  bool verify = false;
  bool dry_run = false;
  bool json = false;
  unsigned threads = 0;
};

/// quantize IN OUT TYPE.
void run_quantize(const QuantizeRequest& request);

/// quantize --verify A B.
void run_verify(const QuantizeRequest& request);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QUANTIZE_OPTIONS_H_
