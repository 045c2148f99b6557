// The x86 passes of passes.h. A guard of Highway's per-target headers flips with
// HWY_TARGET_TOGGLE, so it is flipped between targets (not between the two AVX3 passes, which
// share Highway's operations).
#ifndef BRINK_CPU_PASSES_X86_H_
#define BRINK_CPU_PASSES_X86_H_

#define BRINK_TARGET_EXTRA ""
#define BRINK_HAVE_VNNI 0

#if BRINK_ONLY_ISA == 0 || BRINK_ONLY_ISA == 1
#undef HWY_TARGET
#define HWY_TARGET HWY_SSE4
#define BRINK_ISA isa_sse4
#define BRINK_ISA_NAME "sse4"
#include BRINK_PASS_INCLUDE
#undef BRINK_ISA
#undef BRINK_ISA_NAME
#include "brink/cpu/passes_toggle.h"
#endif

#if BRINK_ONLY_ISA == 0 || BRINK_ONLY_ISA == 2
#undef HWY_TARGET
#define HWY_TARGET HWY_AVX2
#define BRINK_ISA isa_avx2
#define BRINK_ISA_NAME "avx2"
#include BRINK_PASS_INCLUDE
#undef BRINK_ISA
#undef BRINK_ISA_NAME
#include "brink/cpu/passes_toggle.h"
#endif

#if BRINK_ONLY_ISA == 0 || BRINK_ONLY_ISA == 3
#undef HWY_TARGET
#define HWY_TARGET HWY_AVX3
#define BRINK_ISA isa_avx512
#define BRINK_ISA_NAME "avx512"
#include BRINK_PASS_INCLUDE
#undef BRINK_ISA
#undef BRINK_ISA_NAME
#endif

#if BRINK_ONLY_ISA == 0 || BRINK_ONLY_ISA == 4
#undef HWY_TARGET
#define HWY_TARGET HWY_AVX3
#undef BRINK_HAVE_VNNI
#undef BRINK_TARGET_EXTRA
#define BRINK_HAVE_VNNI 1
#define BRINK_TARGET_EXTRA ",avx512vnni,avx512bf16,avx512vbmi,gfni"
#define BRINK_ISA isa_avx512_vnni
#define BRINK_ISA_NAME "avx512_vnni"
#include BRINK_PASS_INCLUDE
#undef BRINK_ISA
#undef BRINK_ISA_NAME
#endif

#endif  // BRINK_CPU_PASSES_X86_H_
