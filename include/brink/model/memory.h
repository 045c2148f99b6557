// How much memory a session takes.
#ifndef BRINK_MODEL_MEMORY_H_
#define BRINK_MODEL_MEMORY_H_

#include <cstdint>

namespace brink {

/// Bytes. Weights are mapped from the file and shared by all sessions and processes; of the KV
/// cache only what is used is ever touched.
struct MemoryUse {
  std::uint64_t weights = 0;   ///< tensors that the forward pass reads
  std::uint64_t kv_cache = 0;  ///< for the whole context of all sequences
  std::uint64_t working = 0;   ///< activations of one batch, logits of one row per sequence

  std::uint64_t device = 0;  ///< of all these, what a Vulkan device holds; where its memory is the
                             ///< host's, weights stay in the mapped file

  std::uint64_t total() const { return weights + kv_cache + working; }
};

}  // namespace brink

#endif  // BRINK_MODEL_MEMORY_H_
