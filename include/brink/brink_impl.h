// The implementation of brink, in the one translation unit that defines BRINK_IMPLEMENTATION. The
// kernels of all instruction sets are part of it unless BRINK_SPLIT_KERNELS is defined: then units
// that include brink/cpu/kernels_unit.h and encoders_unit.h with BRINK_ONLY_ISA compile them (see
// cpu/passes.h), and one includes quant/encode_impl.h.
#ifndef BRINK_BRINK_IMPL_H_
#define BRINK_BRINK_IMPL_H_

#include "brink/core/fingerprint_impl.h"
#include "brink/core/mapped_file_impl.h"
#include "brink/core/progress_impl.h"
#include "brink/cpu/backend_experts_impl.h"
#include "brink/cpu/backend_impl.h"
#include "brink/cpu/kernels_impl.h"
#include "brink/cpu/product_impl.h"
#include "brink/cpu/thread_pool_impl.h"
#include "brink/eval/base_logits_impl.h"
#include "brink/eval/divergence_impl.h"
#include "brink/eval/generation_impl.h"
#include "brink/eval/graders_impl.h"
#include "brink/eval/importance_impl.h"
#include "brink/eval/paired_impl.h"
#include "brink/eval/perplexity_impl.h"
#include "brink/eval/proportions_impl.h"
#include "brink/eval/statistics_impl.h"
#include "brink/eval/verdict_impl.h"
#include "brink/eval/windows_impl.h"
#include "brink/gguf/fingerprint_impl.h"
#include "brink/gguf/parser_impl.h"
#include "brink/gguf/reader_impl.h"
#include "brink/gguf/writer_impl.h"
#include "brink/model/config_impl.h"
#include "brink/model/generate_impl.h"
#include "brink/model/kv_cache_impl.h"
#include "brink/model/model_impl.h"
#include "brink/model/rope_impl.h"
#include "brink/model/session_impl.h"
#include "brink/model/split_backend_impl.h"
#include "brink/model/weights_impl.h"
#include "brink/quant/block_scales_impl.h"
#ifndef BRINK_SPLIT_KERNELS
#include "brink/quant/encode_impl.h"
#endif
#include "brink/quant/format_impl.h"
#include "brink/quant/importance_impl.h"
#include "brink/quant/mixes_impl.h"
#include "brink/quantize/budget_impl.h"
#include "brink/quantize/plan_impl.h"
#include "brink/quantize/quantize_impl.h"
#include "brink/quantize/row_encoder_impl.h"
#include "brink/quantize/verify_impl.h"
#include "brink/text/chat_template_impl.h"
#include "brink/text/sampler_impl.h"
#include "brink/text/stop_matcher_impl.h"
#include "brink/text/tokenizer_impl.h"
#include "brink/vulkan/vulkan_impl.h"

#endif  // BRINK_BRINK_IMPL_H_
