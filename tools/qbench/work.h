// How many bytes are read and how many operations done for a token, by the matrices alone: what a
// measured rate is a share of.
#ifndef BRINK_TOOLS_QBENCH_WORK_H_
#define BRINK_TOOLS_QBENCH_WORK_H_

#include <cstddef>

#include "brink/model/model.h"

namespace brink::tools {

/// Embeddings are looked up, not multiplied, so they do not count unless they serve as the head.
/// Norms, attention over the KV cache and activations do not count either.
struct Work {
  double bytes = 0;  ///< of weights read
  double ops = 0;    ///< a multiply-add is two

  Work& operator+=(const Work& other) {
    bytes += other.bytes;
    ops += other.ops;
    return *this;
  }
};

/// A prompt of `tokens`, computed in batches of at most `batch`: each batch reads the layers'
/// matrices once (of experts as many as its tokens can have chosen), and the head is needed for the
/// last token only.
Work prompt_work(const Model& model, std::size_t tokens, std::size_t batch);

/// `tokens` generated one after the other.
Work generation_work(const Model& model, std::size_t tokens);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QBENCH_WORK_H_
