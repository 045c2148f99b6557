// Working memory that a kernel needs beyond its stack frame.
#ifndef BRINK_CPU_THREAD_SCRATCH_H_
#define BRINK_CPU_THREAD_SCRATCH_H_

#include <cstddef>

#include "brink/core/aligned.h"

namespace brink {

/// At least `floats` values of uninitialised memory at a 64-byte boundary, the same again for the
/// next caller on this thread; kept (at the largest size asked for) until the thread ends. Not on
/// the stack, because threads get as little as 128 KiB of that with some C libraries. Throws Error
/// when there is not enough memory.
inline float* thread_scratch(std::size_t floats) {
  thread_local AlignedBuffer<float> buffer;
  buffer.reserve_discarding(floats);
  return buffer.data();
}

}  // namespace brink

#endif  // BRINK_CPU_THREAD_SCRATCH_H_
