// The implementation of brink, in the one translation unit that defines BRINK_IMPLEMENTATION: all
// of it, unless BRINK_SPLIT is defined, so that a build may spread it over several units. Then it
// is what is not in cpu/kernels_unit.h and cpu/encoders_unit.h (with BRINK_ONLY_ISA, one unit per
// instruction set: see cpu/passes.h), quant/encode_impl.h, eval/eval_unit.h,
// quantize/quantize_unit.h, text/text_unit.h and vulkan/vulkan_impl.h.
#ifndef BRINK_BRINK_IMPL_H_
#define BRINK_BRINK_IMPL_H_

#include "brink/core/fingerprint_impl.h"
#include "brink/core/mapped_file_impl.h"
#include "brink/core/progress_impl.h"
#include "brink/cpu/backend_experts_impl.h"
#include "brink/cpu/backend_impl.h"
#include "brink/cpu/kernels_impl.h"
#include "brink/cpu/product_impl.h"
#include "brink/cpu/simulated_activations_impl.h"
#include "brink/cpu/thread_pool_impl.h"
#include "brink/gguf/fingerprint_impl.h"
#include "brink/gguf/parser_impl.h"
#include "brink/gguf/reader_impl.h"
#include "brink/gguf/writer_impl.h"
#include "brink/model/activation_scales_impl.h"
#include "brink/model/config_impl.h"
#include "brink/model/generate_impl.h"
#include "brink/model/kv_cache_impl.h"
#include "brink/model/model_impl.h"
#include "brink/model/rope_impl.h"
#include "brink/model/session_impl.h"
#include "brink/model/split_backend_impl.h"
#include "brink/model/weights_impl.h"
#include "brink/quant/block_scales_impl.h"
#include "brink/quant/format_impl.h"
#include "brink/quant/importance_impl.h"
#include "brink/quant/mixes_impl.h"
#ifndef BRINK_SPLIT
#include "brink/eval/eval_unit.h"
#include "brink/quant/encode_impl.h"
#include "brink/quantize/quantize_unit.h"
#include "brink/text/text_unit.h"
#include "brink/vulkan/vulkan_impl.h"
#endif

#endif  // BRINK_BRINK_IMPL_H_
