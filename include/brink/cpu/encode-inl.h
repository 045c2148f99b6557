// The encoders of one instruction set: the families of quant/encode_families-inl.h over vectors.
// Included once per pass.

#define BRINK_ENCODE_NAMESPACE BRINK_ISA::encode
#define BRINK_ENCODE_BEFORE() BRINK_BEFORE_ISA()
#define BRINK_ENCODE_AFTER() BRINK_AFTER_ISA()
// clang-format off
#if HWY_ARCH_X86 || HWY_TARGET == HWY_NEON
#include "brink/cpu/encode_lanes-inl.h"
#else
#include "brink/quant/encode_lanes_scalar-inl.h"
#endif
#include "brink/quant/encode_families-inl.h"
// clang-format on
#undef BRINK_ENCODE_NAMESPACE
#undef BRINK_ENCODE_BEFORE
#undef BRINK_ENCODE_AFTER
