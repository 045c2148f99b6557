// quantize() as tools run it.
#ifndef BRINK_TOOLS_SUPPORT_QUANTIZE_FILE_H_
#define BRINK_TOOLS_SUPPORT_QUANTIZE_FILE_H_

#include <string>
#include <vector>

#include "brink/quantize/quantize.h"

namespace brink::tools {

/// quantize() with a line of progress, in bytes of the source; `options.on_progress` is not used.
QuantizeResult quantize_file(const std::string& label, const Gguf& gguf,
                             const std::vector<PlannedTensor>& plan, const std::string& output,
                             QuantizeOptions options, bool silent = false);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_SUPPORT_QUANTIZE_FILE_H_
