// How much the tensors of a model take.
#ifndef BRINK_TOOLS_SUPPORT_MODEL_SIZE_H_
#define BRINK_TOOLS_SUPPORT_MODEL_SIZE_H_

#include <cstdint>

#include "brink/gguf/reader.h"

namespace brink::tools {

/// Of all tensors, without padding and metadata.
std::uint64_t data_bytes(const Gguf& gguf);

/// 8 x bytes / weights; 0 where there are none.
double bits_per_weight(std::uint64_t bytes, std::uint64_t weights);
/// Of all tensors.
double bits_per_weight(const Gguf& gguf);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_SUPPORT_MODEL_SIZE_H_
