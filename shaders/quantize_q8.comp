// Rounds activations to int8 with one scale per kBlock values (32 or 256): scale = max|x| / 127, as
// cpu/activations-inl.h does. Beside each group of 16 values stand the scale of its block and
// scale * (sum of the 16 rounded values), which multiplies the offset of formats that have one.
// One workgroup of 32 per block; the last block of a row may be shorter (columns is a multiple of 32).
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

shared float maxima[32];
shared int sums[64];

void main() {
  const uint i = gl_LocalInvocationID.x;
  const uint block = gl_WorkGroupID.x, token = gl_WorkGroupID.y;
  const uint begin = block * kBlock;
  const uint count = min(kBlock, push.columns - begin);  // of which each invocation takes fours
  const uint64_t x = push.x + (uint64_t(token) * push.x_stride + begin) * 4;
  const uint64_t q = push.q + uint64_t(token) * push.q_stride + begin;
  float most = 0.0;
  for (uint four = i; four * 4 < count; four += 32) {
    const vec4 v = abs(Vec4s(x).v[four]);
    most = max(most, max(max(v.x, v.y), max(v.z, v.w)));
  }
  maxima[i] = most;
  barrier();
  for (uint step = 16; step > 0; step /= 2) {
    if (i < step) maxima[i] = max(maxima[i], maxima[i + step]);
    barrier();
  }
  most = maxima[0];
  // A subnormal maximum would make the reciprocal infinite; it is as good as zero.
  const float inverse = most > 1e-35 ? 127.0 / most : 0.0;
  const float scale = inverse > 0.0 ? most / 127.0 : 0.0;
  for (uint four = i; four * 4 < count; four += 32) {
    const ivec4 r = ivec4(roundEven(Vec4s(x).v[four] * inverse));
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
