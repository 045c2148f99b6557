// The scalar pass of the encoders.
#ifndef BRINK_QUANT_ENCODE_IMPL_H_
#define BRINK_QUANT_ENCODE_IMPL_H_

#include "brink/quant/encode_includes.h"

#define BRINK_ENCODE_NAMESPACE encode_scalar
#define BRINK_ENCODE_BEFORE()
#define BRINK_ENCODE_AFTER()
// clang-format off
#include "brink/quant/encode_lanes_scalar-inl.h"
#include "brink/quant/encode_families-inl.h"
// clang-format on
#undef BRINK_ENCODE_NAMESPACE
#undef BRINK_ENCODE_BEFORE
#undef BRINK_ENCODE_AFTER

namespace brink {

EncodeFn reference_encoder(TensorType type) { return encode_scalar::EncoderOf(type); }

}  // namespace brink

#endif  // BRINK_QUANT_ENCODE_IMPL_H_
