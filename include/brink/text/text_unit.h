// The implementation of text: part of brink_impl.h, or, where BRINK_SPLIT is defined, a unit of
// its own.
#ifndef BRINK_TEXT_TEXT_UNIT_H_
#define BRINK_TEXT_TEXT_UNIT_H_

#include "brink/text/chat_template_impl.h"
#include "brink/text/sampler_impl.h"
#include "brink/text/stop_matcher_impl.h"
#include "brink/text/tokenizer_impl.h"

#endif  // BRINK_TEXT_TEXT_UNIT_H_
