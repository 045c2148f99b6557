// The fingerprint of a model: what decides its results, whatever it is called and however it is
// split.
#ifndef BRINK_GGUF_FINGERPRINT_H_
#define BRINK_GGUF_FINGERPRINT_H_

#include <string>

#include "brink/core/fingerprint.h"
#include "brink/gguf/reader.h"

namespace brink {

/// Over the names, types, shapes and data of all tensors and over the metadata, both in the order
/// of their names, so that this order, alignment and splitting do not count. Metadata that tell
/// where a file comes from do not count either: general.* (but the architecture), quantize.*,
/// split.*. Those of the architecture and the tokenizer change results without a tensor being
/// another. Reads all data.
std::string fingerprint(const Gguf& gguf);

}  // namespace brink

#endif  // BRINK_GGUF_FINGERPRINT_H_
