// The implementation of evaluation: part of brink_impl.h, or, where BRINK_SPLIT is defined, a unit
// of its own.
#ifndef BRINK_EVAL_EVAL_UNIT_H_
#define BRINK_EVAL_EVAL_UNIT_H_

#include "brink/eval/base_logits_impl.h"
#include "brink/eval/calibration_impl.h"
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

#endif  // BRINK_EVAL_EVAL_UNIT_H_
