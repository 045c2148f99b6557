// How a model file is called by its quantization.
#ifndef BRINK_TOOLS_SUPPORT_TYPE_NAME_H_
#define BRINK_TOOLS_SUPPORT_TYPE_NAME_H_

#include <string>

#include "brink/gguf/reader.h"

namespace brink::tools {

/// The mix by which the file was made, else the type of most of its bytes.
std::string type_name(const Gguf& gguf);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_SUPPORT_TYPE_NAME_H_
