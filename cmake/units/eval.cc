// The unit that compiles the implementation of evaluation.
#include <brink/eval/eval_unit.h>
