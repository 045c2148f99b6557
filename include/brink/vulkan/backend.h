// The Vulkan backend, as the rest of brink sees it: no header of Vulkan's is needed here.
#ifndef BRINK_VULKAN_BACKEND_H_
#define BRINK_VULKAN_BACKEND_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "brink/cpu/activations.h"
#include "brink/cpu/kernels.h"
#include "brink/model/backend.h"
#include "brink/model/config.h"
#include "brink/model/weights.h"

namespace brink {

struct VulkanBackendOptions {
  std::size_t context = 4096;  ///< positions of the longest sequence
  std::size_t pages = 64;      ///< KV pages
  std::size_t batch = 512;     ///< largest number of tokens in a Batch
  std::size_t sequences = 1;   ///< most sequences in a Batch
  Activations activations = Activations::kQ8;
  KvType kv_type = KvType::kF16;
  bool profile = false;     ///< time each shader, at the cost of running them one by one
  std::string device = {};  ///< number or part of the name; empty: the best one
  /// Bytes of the device's memory that may be used; 0: what is free.
  std::uint64_t memory = 0;
  /// One kind of kernel for any number of rows, see SessionOptions::same_kernels.
  bool same_kernels = false;
  /// Copies weights even where the device could use them where they lie in the host's memory.
  bool copy_weights = false;
  /// Called from the constructor while weights are copied, with the bytes copied and all there are;
  /// what it throws ends the construction. Never called where nothing need be copied.
  std::function<void(std::uint64_t done, std::uint64_t total)> on_upload = {};
};

/// Uploads the weights and returns the backend. `config` and what the matrices of `weights` point
/// to must outlive it, `weights` itself need not. Throws Error where this build has no Vulkan, the
/// machine has none, the device lacks a feature or memory, all by name and with the numbers; memory
/// is checked before anything is copied, and the error says how many layers would fit.
std::unique_ptr<Backend> make_vulkan_backend(const Config& config, const Weights& weights,
                                             const VulkanBackendOptions& options);

}  // namespace brink

#endif  // BRINK_VULKAN_BACKEND_H_
