// The scalar pass of the encoders.
#ifndef BRINK_QUANT_ENCODE_IMPL_H_
#define BRINK_QUANT_ENCODE_IMPL_H_

#include "brink/quant/encode_includes.h"

#define BRINK_ENCODE_NAMESPACE encode_scalar
#define BRINK_ENCODE_BEFORE()
#define BRINK_ENCODE_AFTER()
// clang-format off
#include "brink/quant/encode_lanes_scalar-inl.h"
// As calls: all inlined, sixteen lanes one by one, it would be minutes of compiling for a reference.
#pragma push_macro("BRINK_ENCODE_INLINE")
#undef BRINK_ENCODE_INLINE
#define BRINK_ENCODE_INLINE inline __attribute__((noinline, unused))
#include "brink/quant/encode_families-inl.h"
#pragma pop_macro("BRINK_ENCODE_INLINE")
// clang-format on
#undef BRINK_ENCODE_NAMESPACE
#undef BRINK_ENCODE_BEFORE
#undef BRINK_ENCODE_AFTER

namespace brink {

EncodeFn reference_encoder(TensorType type) { return encode_scalar::EncoderOf(type); }

}  // namespace brink

#endif  // BRINK_QUANT_ENCODE_IMPL_H_
