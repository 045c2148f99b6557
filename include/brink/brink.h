// brink: a header-only inference engine for quantized language models in GGUF files.
//
//   #include <brink/brink.h>
//
//   auto model = brink::Model::open("qwen3-0.6b-q4_k_m.gguf");
//   brink::Session session(model, {.context = 4096});
//   for (std::string_view piece : session.generate("Why is the sky blue?", {.max_tokens = 128}))
//     std::cout << piece << std::flush;
//
// Any number of units may include this header. The CMake target brink::brink compiles the
// implementation; without CMake, exactly one unit of a program defines BRINK_IMPLEMENTATION before
// including it (C++20; link libhwy and threads; GCC and Clang: -ffp-contract=off).
#ifndef BRINK_BRINK_H_
#define BRINK_BRINK_H_

#include "brink/core/error.h"
#include "brink/core/progress.h"
#include "brink/gguf/reader.h"
#include "brink/gguf/writer.h"
#include "brink/model/model.h"
#include "brink/model/session.h"
#include "brink/quant/format.h"
#include "brink/quant/mixes.h"
#include "brink/text/chat_template.h"
#include "brink/text/sampler.h"
#include "brink/text/tokenizer.h"

#ifdef BRINK_IMPLEMENTATION
#include "brink/brink_impl.h"
#endif

#endif  // BRINK_BRINK_H_
