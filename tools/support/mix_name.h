// Mixes of weight types as they are named on command lines.
#ifndef BRINK_TOOLS_SUPPORT_MIX_NAME_H_
#define BRINK_TOOLS_SUPPORT_MIX_NAME_H_

#include <string>

#include "brink/quant/mixes.h"

namespace brink::tools {

/// A mix by the name that people type, in any case. Throws UsageError naming the known ones.
Mix parse_mix(const std::string& name);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_SUPPORT_MIX_NAME_H_
