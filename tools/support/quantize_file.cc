#include "tools/support/quantize_file.h"

#include <cstdint>

#include "brink/core/progress.h"

namespace brink::tools {

QuantizeResult quantize_file(const std::string& label, const Gguf& gguf,
                             const std::vector<PlannedTensor>& plan, const std::string& output,
                             QuantizeOptions options, bool silent) {
  std::uint64_t source_bytes = 0;
  for (const PlannedTensor& planned : plan) source_bytes += planned.source->bytes;
  Progress progress(label, source_bytes,
                    {.unit = ProgressUnit::kBytes, .silent = silent, .delay_s = 1});
  options.on_progress = [&](std::uint64_t bytes) { progress.add(bytes); };
  QuantizeResult result = quantize(gguf, plan, output, options);
  progress.finish();
  return result;
}

}  // namespace brink::tools
