// All encoders, and which one belongs to which type. Included once by the scalar pass
// (quant/encode_impl.h) and once per instruction set (cpu/encode-inl.h), which define
//   BRINK_ENCODE_NAMESPACE                      where the code goes
//   BRINK_ENCODE_BEFORE(), BRINK_ENCODE_AFTER() around it, outside any namespace
// and have made the lane layer there. The families have no guards.

// clang-format off
#include "brink/quant/encode_common-inl.h"
#include "brink/quant/encode_plain-inl.h"
#include "brink/quant/encode_search-inl.h"
#include "brink/quant/encode_legacy-inl.h"
#include "brink/quant/encode_k_block-inl.h"
#include "brink/quant/encode_k_affine-inl.h"
#include "brink/quant/encode_k_scaled-inl.h"
#include "brink/quant/encode_k-inl.h"
#include "brink/quant/encode_grid_search-inl.h"
#include "brink/quant/encode_grid_scales-inl.h"
#include "brink/quant/encode_grids-inl.h"
#include "brink/quant/encode_iq4-inl.h"
#include "brink/quant/encode_small-inl.h"
#include "brink/quant/encode_fp4-inl.h"
// clang-format on

BRINK_ENCODE_BEFORE()
namespace brink::BRINK_ENCODE_NAMESPACE {

constexpr EncodeFn EncoderOf(TensorType type) {
  switch (type) {
#define X(name, id, block, bytes) \
  case TensorType::k##name:       \
    return kEncoder<TensorType::k##name>;
    BRINK_TENSOR_TYPES(X)
#undef X
  }
  return nullptr;
}

}  // namespace brink::BRINK_ENCODE_NAMESPACE
BRINK_ENCODE_AFTER()
