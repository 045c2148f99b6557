// The two 16-bit floats, IEEE binary16 and bfloat16, converted one value at a time in integer
// arithmetic: exact and the same on every machine, so it is what vector kernels are tested against.
#ifndef BRINK_CORE_HALF_H_
#define BRINK_CORE_HALF_H_

#include <bit>
#include <cstdint>

namespace brink {

/// Exact for every input; subnormals, infinities and the sign of zero are kept, NaN stays NaN.
constexpr float f16_to_f32(std::uint16_t h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000u) << 16;
  const std::uint32_t exponent = (h >> 10) & 0x1fu;
  std::uint32_t mantissa = h & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | mantissa << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  if (mantissa == 0) return std::bit_cast<float>(sign);
  // A subnormal f16 is a normal f32: move its leading bit to bit 10, where it becomes implicit.
  const std::uint32_t shift = static_cast<std::uint32_t>(std::countl_zero(mantissa)) - 21;
  mantissa = (mantissa << shift) & 0x3ffu;
  return std::bit_cast<float>(sign | (113 - shift) << 23 | mantissa << 13);
}

/// Rounds to nearest, ties to even; beyond 65504 (from 65520 on) gives infinity, NaN stays NaN.
constexpr std::uint16_t f32_to_f16(float f) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(f);
  const std::uint32_t sign = bits >> 16 & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u)  // quiet bit set, so that a payload of low bits only stays NaN
    return static_cast<std::uint16_t>(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu));
  if (magnitude >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);
  std::uint32_t result = 0;
  std::uint32_t rest = 0;  // what is cut off, and half of the last kept place
  std::uint32_t half = 0;
  if (magnitude >= 0x38800000u) {  // normal in f16: 2^-14 and up
    result = (magnitude >> 13) - (112u << 10);
    rest = magnitude & 0x1fffu;
    half = 0x1000u;
  } else if (magnitude >= 0x33000000u) {  // 2^-25 and up: subnormal, or rounds up to the first one
    const std::uint32_t shift = 126 - (magnitude >> 23);
    const std::uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    result = mantissa >> shift;
    rest = mantissa & ((1u << shift) - 1);
    half = 1u << (shift - 1);
  }
  if (rest > half || (rest == half && half != 0 && (result & 1u) != 0)) ++result;
  return static_cast<std::uint16_t>(sign | result);
}

/// Exact; all bits are kept.
constexpr float bf16_to_f32(std::uint16_t h) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(h) << 16);
}

/// Rounds to nearest, ties to even (subnormals too), overflows to infinity, NaN stays NaN.
constexpr std::uint16_t f32_to_bf16(float f) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(f);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

}  // namespace brink

#endif  // BRINK_CORE_HALF_H_
