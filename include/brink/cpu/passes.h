// Compiles the file named by BRINK_PASS_INCLUDE once per instruction set of this architecture.
//
// Highway's foreach_target.h decides by itself which targets there are and works once per unit;
// brink wants one more set than Debian's Highway has (AVX-512 with VNNI and bf16) and wants to be
// able to compile sets in separate units, so it makes the passes itself. Each pass sees
//   HWY_TARGET       Highway's target (its operations: hwy::HWY_NAMESPACE)
//   BRINK_ISA        namespace of this pass: isa_sse4, isa_avx2, isa_avx512, isa_avx512_vnni, ...
//   BRINK_ISA_NAME   the same as a string, without "isa_"
//   BRINK_HAVE_VNNI  1 where vpdpbusd, vpdpwssd, vdpbf16ps, vpermi2b, vpmultishiftqb and
//                    gf2p8affineqb may be used on 512-bit vectors
// and puts its code between BRINK_BEFORE_ISA() and BRINK_AFTER_ISA(), outside any namespace.
//
// BRINK_ONLY_ISA restricts to one pass: 1 = sse4, 2 = avx2, 3 = avx512, 4 = avx512_vnni.
#ifndef BRINK_CPU_PASSES_H_
#define BRINK_CPU_PASSES_H_

#include "brink/cpu/highway_targets.h"

#ifndef BRINK_PASS_INCLUDE
#error "define BRINK_PASS_INCLUDE before including brink/cpu/passes.h"
#endif

// The attributes of a pass; the VNNI pass adds to those of Highway's AVX3 target.
#define BRINK_BEFORE_ISA() HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR BRINK_TARGET_EXTRA)
#define BRINK_AFTER_ISA() HWY_POP_ATTRIBUTES

#ifndef BRINK_ONLY_ISA
#define BRINK_ONLY_ISA 0
#endif

#if HWY_ARCH_X86
#include "brink/cpu/passes_x86.h"
#else
// NEON, WASM, RVV, SVE: the one target that the compiler's flags make the baseline.
#undef HWY_TARGET
#define HWY_TARGET HWY_STATIC_TARGET
#define BRINK_HAVE_VNNI 0
#define BRINK_TARGET_EXTRA ""
#if HWY_ARCH_ARM
#define BRINK_ISA isa_neon
#define BRINK_ISA_NAME "neon"
#else
#define BRINK_ISA isa_static
#define BRINK_ISA_NAME "static"
#endif
#include BRINK_PASS_INCLUDE
#endif

#endif  // BRINK_CPU_PASSES_H_
