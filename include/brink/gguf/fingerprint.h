// The fingerprint of a model's weights, whatever its metadata say and however it is split.
#ifndef BRINK_GGUF_FINGERPRINT_H_
#define BRINK_GGUF_FINGERPRINT_H_

#include <string>

#include "brink/core/fingerprint.h"
#include "brink/gguf/reader.h"

namespace brink {

/// Over the names, types, shapes and data of all tensors, in the order of their names, so that
/// metadata, the order of tensors, alignment and splitting do not count. Reads all data.
std::string fingerprint(const Gguf& gguf);

}  // namespace brink

#endif  // BRINK_GGUF_FINGERPRINT_H_
