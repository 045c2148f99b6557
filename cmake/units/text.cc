// The unit that compiles the implementation of text.
#include <brink/text/text_unit.h>
