// The scalar encoders, the reference of the others.
#include <brink/quant/encode_impl.h>
