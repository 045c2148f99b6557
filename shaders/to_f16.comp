// Activations as f16 operands of cooperative matrices: f32 as it is (kForm 0) or rounded to bf16
// first (1), or int8 with scales from quantize_q8.comp (2). A row is divided by a power of two that
// puts its largest magnitude between 2^14 and 2^15: nothing overflows, and what is smaller by 2^28
// is still a normal f16. Columns up to out_stride become zero. One workgroup a row.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(constant_id = 1) const uint kForm = 0;
layout(constant_id = 2) const bool kAligned = true;  // x_stride is a multiple of 4

layout(push_constant, std430) uniform Push {
  uint64_t x;         // [tokens][x_stride] f32 or int8
  uint64_t x_scales;  // of int8: [tokens][x_stride / 16] (scale, scale * sum)
  uint64_t out_rows;  // [tokens][out_stride] f16
  uint64_t factors;   // [tokens] f32: what the row was divided by
  uint columns;
  uint x_stride;
  uint out_stride;  // a multiple of 4
} push;

vec4 load_values(uint64_t row, uint four) {
  if (kForm == 2) {
    const float scale = Vec2s(push.x_scales + uint64_t(gl_WorkGroupID.x) * (push.x_stride / 16) * 8)
                            .v[four / 4]
                            .x;
    return scale * vec4(ivec4(uvec4(Uints(row).v[four]) << uvec4(24, 16, 8, 0)) >> 24);
  }
  vec4 v = vec4(0.0);
  if (4 * four + 4 <= push.columns) {
    v = load_group4(row, four, kAligned);
  } else {
    [[unroll]] for (uint i = 0; i < 4; ++i)
      if (4 * four + i < push.columns) v[i] = Floats(row).v[4 * four + i];
  }
  if (kForm == 1)
    [[unroll]] for (uint i = 0; i < 4; ++i) v[i] = round_to_bf16(v[i]);
  return v;
}

void main() {
  const uint i = gl_LocalInvocationID.x, size = gl_WorkGroupSize.x, token = gl_WorkGroupID.x;
  const uint64_t row = push.x + uint64_t(token) * push.x_stride * (kForm == 2 ? 1 : 4);
  const uint64_t out_row = push.out_rows + uint64_t(token) * push.out_stride * 2;
  // Magnitudes order as their bits do; those that are no numbers stay what they are.
  uint largest = 0u;
  for (uint four = i; 4 * four < push.columns; four += size) {
    const uvec4 bits = floatBitsToUint(load_values(row, four)) & 0x7fffffffu;
    [[unroll]] for (uint j = 0; j < 4; ++j)
      if (bits[j] < 0x7f800000u) largest = max(largest, bits[j]);
  }
  largest = workgroup_max(largest);
  // Exponents of the factor and its reciprocal, both those of normal numbers.
  const int exponent = largest == 0u ? 0 : max(int(largest >> 23) - 127 - 14, -126);
  const float reciprocal = uintBitsToFloat(uint(127 - exponent) << 23);
  if (i == 0) Floats(push.factors).v[token] = uintBitsToFloat(uint(127 + exponent) << 23);
  for (uint four = i; 4 * four < push.out_stride; four += size) {
    vec4 v = vec4(0.0);
    if (4 * four < push.columns) v = reciprocal * load_values(row, four);
    Uvec2s(out_row).v[four] = uvec2(f32_to_f16(v.x) | f32_to_f16(v.y) << 16,
                                    f32_to_f16(v.z) | f32_to_f16(v.w) << 16);
  }
}
