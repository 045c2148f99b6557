// The definitions of everything that brink.h declares; for the one unit with BRINK_IMPLEMENTATION.
#ifndef BRINK_BRINK_IMPL_H_
#define BRINK_BRINK_IMPL_H_

#include "brink/core/fingerprint_impl.h"
#include "brink/core/mapped_file_impl.h"
#include "brink/core/progress_impl.h"
#include "brink/cpu/backend_impl.h"
#include "brink/cpu/kernels_impl.h"
#include "brink/cpu/product_impl.h"
#include "brink/cpu/thread_pool_impl.h"
#include "brink/gguf/fingerprint_impl.h"
#include "brink/gguf/reader_impl.h"
#include "brink/gguf/writer_impl.h"
#include "brink/model/config_impl.h"
#include "brink/model/generate_impl.h"
#include "brink/model/kv_cache_impl.h"
#include "brink/model/model_impl.h"
#include "brink/model/rope_impl.h"
#include "brink/model/session_impl.h"
#include "brink/model/weights_impl.h"
#include "brink/quant/format_impl.h"
#include "brink/quant/mixes_impl.h"
#include "brink/text/bpe_impl.h"
#include "brink/text/chat_template_impl.h"
#include "brink/text/pretokenizer_impl.h"
#include "brink/text/sampler_impl.h"
#include "brink/text/stop_matcher_impl.h"
#include "brink/text/tokenizer_impl.h"
#include "brink/text/vocabulary_impl.h"

#endif  // BRINK_BRINK_IMPL_H_
