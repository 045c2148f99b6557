// The unit that compiles the implementation of brink.
#define BRINK_IMPLEMENTATION
#include <brink/brink.h>
