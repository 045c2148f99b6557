#include "tools/support/upload_progress.h"

#include <memory>

#include "brink/core/progress.h"

namespace brink::tools {

std::function<void(std::uint64_t, std::uint64_t)> upload_progress() {
  // Each upload that starts gets a bar of its own; they come one after the other.
  return [progress = std::shared_ptr<Progress>()](std::uint64_t done, std::uint64_t total) mutable {
    if (progress == nullptr)
      progress =
          std::make_shared<Progress>("weights to the device", total,
                                     ProgressOptions{.unit = ProgressUnit::kBytes, .delay_s = 1.0});
    progress->set(done);
    if (done < total) return;
    progress->finish();
    progress = nullptr;
  };
}

}  // namespace brink::tools
