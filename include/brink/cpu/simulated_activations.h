// Roundings of activations that other engines compute with (W8A8), for measuring what they cost: a
// row is rounded to 8 bits and decoded again, so that products in f32 see the rounded values.
#ifndef BRINK_CPU_SIMULATED_ACTIVATIONS_H_
#define BRINK_CPU_SIMULATED_ACTIVATIONS_H_

#include <cstddef>

namespace brink {

/// The largest quant of int8, of either sign: -128 is not used.
inline constexpr float kInt8Max = 127.0f;
/// The largest number of FP8 E4M3 (Micikevicius et al. 2022, arXiv:2209.05433): sign, 4 bits of
/// exponent with a bias of 7, 3 of mantissa, subnormal steps of 2^-9, no infinity.
inline constexpr float kE4M3Max = 448.0f;

/// The scale of a row of its own, max|x| / `largest` in f32: 0 where max|x| is below 1e-35, NaN
/// where a value is not finite.
float row_scale(const float* x, std::size_t n, float largest);

/// out[i] = scale * q, q = x[i] / scale rounded to the nearest integer, ties to even, and kept
/// within +-127; all in f32. With scale 0 zeros. NaN stays NaN. `out` may be `x`.
void round_int8(const float* x, std::size_t n, float scale, float* out);

/// out[i] = scale * q, q the E4M3 number nearest to x[i] / scale, ties to an even mantissa, and
/// kept within +-448; all in f32. With scale 0 zeros. NaN stays NaN. `out` may be `x`.
void round_fp8(const float* x, std::size_t n, float scale, float* out);

}  // namespace brink

#endif  // BRINK_CPU_SIMULATED_ACTIVATIONS_H_
