// The encoders of one instruction set.
#define BRINK_ONLY_ISA 4
#include <brink/cpu/encoders_unit.h>
