// Rounds activations to int8 with one scale per kBlock values (32 or 256): scale = max|x| / 127, as
// cpu/activations-inl.h does. Beside each group of 16 values stand the scale of its block and
// scale * (sum of the 16 rounded values), which multiplies the offset of formats that have one.
// One workgroup of 32 per block; the last block of a row may be shorter (columns is a multiple of
// 32).
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(constant_id = 1) const uint kBlock = 32;

layout(push_constant, std430) uniform Push {
  uint64_t x;       // [tokens][x_stride] f32
  uint64_t q;       // [tokens][q_stride] int8, packed in uints
  uint64_t scales;  // [tokens][q_stride / 16] vec2
  uint columns;
  uint x_stride;
  uint q_stride;
} push;

shared uint maxima[32];
shared int sums[64];

// a / b for positive numbers with a quotient that is normal, to the nearest, ties to even, as C++
// has it: a device's own division may be off by 2.5 units in the last place, and values next to a
// tie would be rounded otherwise than on the CPU.
float divide(float a, float b) {
  const uint a_bits = floatBitsToUint(a), b_bits = floatBitsToUint(b);
  const uint m = (a_bits & 0x7fffffu) | 0x800000u, n = (b_bits & 0x7fffffu) | 0x800000u;
  // The quotient's 24 bits and what is left, which is small: its low 32 bits are all of it.
  const uint shift = m < n ? 24u : 23u;
  uint quotient = uint(float(m) / float(n) * float(1u << shift));
  int rest = int((m << shift) - quotient * n);
  [[unroll]] for (uint i = 0; i < 6; ++i) {
    const int step = rest < 0 ? -1 : rest >= int(n) ? 1 : 0;
    quotient += uint(step);
    rest -= step * int(n);
  }
  quotient += uint(2 * rest + int(quotient & 1u) > int(n));
  // The leading one counts in the exponent.
  return uintBitsToFloat(((a_bits >> 23) - (b_bits >> 23) + 149u - shift << 23) + quotient);
}

void main() {
  const uint i = gl_LocalInvocationID.x;
  const uint block = gl_WorkGroupID.x, token = gl_WorkGroupID.y;
  const uint begin = block * kBlock;
  const uint count = min(kBlock, push.columns - begin);  // of which each invocation takes fours
  const uint64_t x = push.x + (uint64_t(token) * push.x_stride + begin) * 4;
  const uint64_t q = push.q + uint64_t(token) * push.q_stride + begin;
  // Magnitudes order as their bits do, with infinity above all numbers and NaN above it.
  uint largest = 0u;
  for (uint four = i; four * 4 < count; four += 32) {
    const uvec4 v = floatBitsToUint(Vec4s(x).v[four]) & 0x7fffffffu;
    largest = max(largest, max(max(v.x, v.y), max(v.z, v.w)));
  }
  maxima[i] = largest;
  barrier();
  for (uint step = 16; step > 0; step /= 2) {
    if (i < step) maxima[i] = max(maxima[i], maxima[i + step]);
    barrier();
  }
  largest = maxima[0];
  // A subnormal maximum would make the reciprocal infinite; it is as good as zero. A block that is
  // not finite becomes NaN.
  const bool finite = largest < 0x7f800000u;
  const float most = uintBitsToFloat(finite ? largest : 0u);
  const bool zero = !(most > 1e-35);
  const float inverse = zero ? 0.0 : divide(127.0, most);
  const float scale = !finite ? uintBitsToFloat(0x7fc00000u) : zero ? 0.0 : divide(most, 127.0);
  for (uint four = i; four * 4 < count; four += 32) {
    const ivec4 r = finite ? ivec4(roundEven(Vec4s(x).v[four] * inverse)) : ivec4(0);
    Uints(q).v[four] = uint(r.x & 255) | uint(r.y & 255) << 8 | uint(r.z & 255) << 16 |
                       uint(r.w & 255) << 24;
    sums[four] = r.x + r.y + r.z + r.w;
  }
  barrier();
  if (i * 16 < count) {
    const int sum = sums[4 * i] + sums[4 * i + 1] + sums[4 * i + 2] + sums[4 * i + 3];
    const uint64_t at = push.scales + (uint64_t(token) * push.q_stride + begin) / 16 * 8;
    Vec2s(at).v[i] = vec2(scale, scale * float(sum));
  }
}
