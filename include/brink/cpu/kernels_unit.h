// The kernels' implementation unit: all instruction sets, or with BRINK_ONLY_ISA one of them, so
// that a build may spread them over several units.
#ifndef BRINK_CPU_KERNELS_UNIT_H_
#define BRINK_CPU_KERNELS_UNIT_H_

#include <cmath>
#include <cstring>

#include "brink/core/half.h"
#include "brink/cpu/kernels.h"
#ifndef BRINK_SPLIT
#include "brink/quant/encode_includes.h"
#endif
#include "hwy/base.h"
#include "hwy/cache_control.h"

// The types that have an unpack step.
// clang-format off
#define BRINK_QUANTIZED_TYPES(X)                                              \
  X(Q4_0) X(Q4_1) X(Q5_0) X(Q5_1) X(Q8_0)                                     \
  X(Q2_K) X(Q3_K) X(Q4_K) X(Q5_K) X(Q6_K)                                     \
  X(IQ1_S) X(IQ1_M) X(IQ2_XXS) X(IQ2_XS) X(IQ2_S) X(IQ3_XXS) X(IQ3_S) X(IQ4_NL) X(IQ4_XS) \
  X(TQ1_0) X(TQ2_0) X(MXFP4) X(NVFP4) X(Q1_0) X(Q2_0)
// clang-format on

// Kernels index registers with loop counters, so these loops must be unrolled whatever the
// optimisation level thinks of their size.
#define BRINK_UNROLL_LOOP(n) HWY_PRAGMA(GCC unroll n)

#define BRINK_PASS_INCLUDE "brink/cpu/kernels-inl.h"
#include "brink/cpu/passes.h"

#endif  // BRINK_CPU_KERNELS_UNIT_H_
