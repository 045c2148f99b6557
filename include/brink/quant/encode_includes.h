// What the families of encoders need, for both kinds of passes: they have no includes of their own,
// because they are included inside the passes.
#ifndef BRINK_QUANT_ENCODE_INCLUDES_H_
#define BRINK_QUANT_ENCODE_INCLUDES_H_

// IWYU pragma: begin_exports
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "brink/core/half.h"
#include "brink/gguf/tensor_types.h"
#include "brink/quant/encode.h"
#include "brink/quant/encode_codebook.h"
#include "brink/quant/encode_exact.h"
#include "brink/quant/fp4.h"
#include "brink/quant/i_quants.h"
#include "brink/quant/k_quants.h"
#include "brink/quant/legacy.h"
#include "brink/quant/plain.h"
#include "brink/quant/small.h"
#include "brink/quant/ternary.h"
// IWYU pragma: end_exports

#endif  // BRINK_QUANT_ENCODE_INCLUDES_H_
