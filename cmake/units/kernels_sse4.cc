// The CPU kernels of one instruction set.
#define BRINK_ONLY_ISA 1
#include <brink/cpu/kernels_unit.h>
