// brink: an inference engine for quantized language models in GGUF files.
//
//   auto model = brink::Model::open("qwen3-0.6b-q4_k_m.gguf");
//   brink::Session session(model, {.context = 4096});
//   for (std::string_view piece : session.generate("Why is the sky blue?", {.max_tokens = 128}))
//     std::cout << piece << std::flush;
//
// Include this header in any number of translation units. Exactly one of them defines
// BRINK_IMPLEMENTATION before it and so compiles the implementation; the CMake target
// brink::brink has that unit already. Everything is in namespace brink; whatever goes wrong is a
// brink::Error with file, tensor and byte offset where they apply.
#ifndef BRINK_BRINK_H_
#define BRINK_BRINK_H_

#include "brink/core/error.h"
#include "brink/eval/calibration.h"
#include "brink/eval/divergence.h"
#include "brink/eval/generation.h"
#include "brink/eval/graders.h"
#include "brink/eval/importance.h"
#include "brink/eval/paired.h"
#include "brink/eval/perplexity.h"
#include "brink/eval/proportions.h"
#include "brink/eval/verdict.h"
#include "brink/gguf/reader.h"
#include "brink/gguf/writer.h"
#include "brink/model/model.h"
#include "brink/model/session.h"
#include "brink/quant/format.h"
#include "brink/quantize/budget.h"
#include "brink/quantize/plan.h"
#include "brink/quantize/quantize.h"
#include "brink/quantize/verify.h"
#include "brink/text/chat_template.h"
#include "brink/text/sampler.h"
#include "brink/text/tokenizer.h"

#endif  // BRINK_BRINK_H_

#ifdef BRINK_IMPLEMENTATION
#include "brink/brink_impl.h"
#endif
