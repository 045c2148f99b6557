// The CPU kernels of one instruction set.
#define BRINK_ONLY_ISA 2
#include <brink/cpu/kernels_unit.h>
