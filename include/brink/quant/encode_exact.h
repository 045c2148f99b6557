// Scalar steps of the encoders that must give the same bits wherever they are compiled.
#ifndef BRINK_QUANT_ENCODE_EXACT_H_
#define BRINK_QUANT_ENCODE_EXACT_H_

#include <algorithm>
#include <cstdint>

#include "brink/core/half.h"

#if defined(__SANITIZE_ADDRESS__)
#define BRINK_ENCODE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BRINK_ENCODE_SANITIZED 1
#endif
#endif
// As calls under AddressSanitizer: all of it inlined and instrumented takes minutes to compile.
#ifdef BRINK_ENCODE_SANITIZED
#define BRINK_ENCODE_INLINE inline __attribute__((noinline, unused))
#else
#define BRINK_ENCODE_INLINE inline __attribute__((always_inline, unused))
#endif

namespace brink::quant {

/// The largest finite f16.
inline constexpr float kLargestF16 = 65504.0f;

/// a * b, rounded: hidden from the compiler, which would otherwise make one FMA of this and a later
/// addition where the instruction set has that (GCC does so across statements).
BRINK_ENCODE_INLINE float exact_product(float a, float b) {
  float product = a * b;
#if defined(__x86_64__) || defined(__i386__)
  asm("" : "+x"(product));
#elif defined(__aarch64__)
  asm("" : "+w"(product));
#else
  asm("" : "+m"(product));
#endif
  return product;
}

/// The nearest f16, or the nearest finite one.
inline std::uint16_t finite_f16(float x) {
  return f32_to_f16(std::clamp(x, -kLargestF16, kLargestF16));
}

inline void store_f16(std::uint16_t half, std::uint8_t* p) {
  p[0] = static_cast<std::uint8_t>(half & 255);
  p[1] = static_cast<std::uint8_t>(half >> 8);
}

}  // namespace brink::quant

#endif  // BRINK_QUANT_ENCODE_EXACT_H_
