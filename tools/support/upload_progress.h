// How weights get to a device, on standard error.
#ifndef BRINK_TOOLS_SUPPORT_UPLOAD_PROGRESS_H_
#define BRINK_TOOLS_SUPPORT_UPLOAD_PROGRESS_H_

#include <cstdint>
#include <functional>

namespace brink::tools {

/// For SessionOptions::on_upload: a bar on a terminal, lines elsewhere, nothing where it takes less
/// than a second.
std::function<void(std::uint64_t done, std::uint64_t total)> upload_progress();

}  // namespace brink::tools

#endif  // BRINK_TOOLS_SUPPORT_UPLOAD_PROGRESS_H_
