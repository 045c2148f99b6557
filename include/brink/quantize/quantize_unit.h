// The implementation of quantizing: part of brink_impl.h, or, where BRINK_SPLIT is defined, a unit
// of its own.
#ifndef BRINK_QUANTIZE_QUANTIZE_UNIT_H_
#define BRINK_QUANTIZE_QUANTIZE_UNIT_H_

#include "brink/quantize/budget_impl.h"
#include "brink/quantize/plan_impl.h"
#include "brink/quantize/quantize_impl.h"
#include "brink/quantize/row_encoder_impl.h"
#include "brink/quantize/verify_impl.h"

#endif  // BRINK_QUANTIZE_QUANTIZE_UNIT_H_
