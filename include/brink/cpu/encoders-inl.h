// One pass: every encoder for one instruction set. Included by passes.h as BRINK_PASS_INCLUDE, or
// by kernels-inl.h where everything is one unit.

// clang-format off
#include "hwy/highway.h"
#ifdef BRINK_SPLIT
#include "brink/cpu/simd-inl.h"
#endif
#include "brink/cpu/encode-inl.h"
// clang-format on

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {

// nullptr for types that weights cannot be turned into.
EncodeFn EncoderOf(TensorType type);
EncodeFn EncoderOf(TensorType type) { return encode::EncoderOf(type); }

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
