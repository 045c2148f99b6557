// How many bytes are read and how many operations done for a token, by the matrices and from the KV
// cache: what a measured rate is a share of.
#ifndef BRINK_TOOLS_QBENCH_WORK_H_
#define BRINK_TOOLS_QBENCH_WORK_H_

#include <cstddef>

#include "brink/cpu/kernels.h"
#include "brink/model/model.h"

namespace brink::tools {

/// Embeddings are looked up, not multiplied, so they do not count unless they serve as the head.
/// Norms, the arithmetic of attention and activations do not count either.
struct Work {
  double bytes = 0;  ///< of weights and cached keys and values read
  double ops = 0;    ///< a multiply-add is two

  Work& operator+=(const Work& other) {
    bytes += other.bytes;
    ops += other.ops;
    return *this;
  }
};

/// A prompt of `tokens` after `depth` others, computed in batches of at most `batch`: each batch
/// reads the layers' matrices once (of experts as many as its tokens can have chosen) and the KV
/// cache up to its last token once; the head is read once, for the logits of `outputs` tokens.
Work prompt_work(const Model& model, KvType kv_type, std::size_t tokens, std::size_t depth,
                 std::size_t batch, std::size_t outputs);

/// `steps` tokens generated one after the other in each of `sequences`, after `depth` others: a
/// step reads the matrices once and the KV cache of every sequence.
Work generation_work(const Model& model, KvType kv_type, std::size_t steps, std::size_t depth,
                     std::size_t sequences);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QBENCH_WORK_H_
