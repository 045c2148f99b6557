// Highway's list of targets, for every unit that includes Highway.
#ifndef BRINK_CPU_HIGHWAY_TARGETS_H_
#define BRINK_CPU_HIGHWAY_TARGETS_H_

// Highway 1.0.3 refuses to compile when the compiler's flags (-march=native on Zen 4 or later, say)
// allow more than its list of dynamic targets: its test for AVX3_DL reads a macro that is not yet
// defined. brink does not use that target.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS HWY_AVX3_DL
#endif
#include "hwy/detect_targets.h"

#endif  // BRINK_CPU_HIGHWAY_TARGETS_H_
