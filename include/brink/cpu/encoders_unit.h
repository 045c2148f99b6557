// The encoders' implementation unit where the implementation is split (BRINK_SPLIT): one
// instruction set with BRINK_ONLY_ISA. Encoders and kernels change at different times.
#ifndef BRINK_CPU_ENCODERS_UNIT_H_
#define BRINK_CPU_ENCODERS_UNIT_H_

#include "brink/cpu/kernels.h"
#include "brink/quant/encode_includes.h"
#include "hwy/base.h"
#include "hwy/cache_control.h"

#define BRINK_PASS_INCLUDE "brink/cpu/encoders-inl.h"
#include "brink/cpu/passes.h"

#endif  // BRINK_CPU_ENCODERS_UNIT_H_
