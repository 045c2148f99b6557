// The unit that compiles the implementation of quantizing.
#include <brink/quantize/quantize_unit.h>
