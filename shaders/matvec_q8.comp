// The product of matvec.comp with activations rounded to int8 (quantize_q8.comp): integer dot
// products of 16 values, then the scales of both sides.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "dot_i8.glsl"
#include "formats/format.glsl"

layout(constant_id = 1) const uint kTokens = 1;
layout(constant_id = 2) const uint kRows = 2;

layout(push_constant, std430) uniform Push {
  uint64_t weights;   // [rows][row_bytes]
  uint64_t x;         // [tokens][x_stride] int8
  uint64_t x_scales;  // [tokens][x_stride / 16] (scale, scale * sum of the 16 values)
  uint64_t y;         // [tokens][y_stride] f32
  uint64_t table_address;
  uint64_t ids;           // experts: [slots] uint
  uint64_t expert_bytes;  // experts: from one matrix to the next
  uint64_t scales;        // experts: one more factor for each, or 0
  uint rows;
  uint columns;
  uint row_bytes;
  uint x_stride;
  uint y_stride;
  uint tokens;  // at most kTokens
  uint x_divisor;
  float scale;
} push;

#include "matvec_sums.glsl"

void main() {
  const uint first = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * kRows;
  if (first >= push.rows) return;
  tables = push.table_address;
  uint64_t weights = push.weights;
  uint64_t y = push.y;
  float scale = push.scale;
  uint x_row = 0;
#ifdef BRINK_EXPERTS
  const uint slot = gl_WorkGroupID.z;
  weights += Uints(push.ids).v[slot] * push.expert_bytes;
  x_row = slot / push.x_divisor;
  y += uint64_t(slot) * push.y_stride * 4;
  scale *= optional_float(push.scales, Uints(push.ids).v[slot], push.weights, 1.0);
#endif
  [[unroll]] for (uint i = 0; i < kSums; ++i) sums[i] = 0.0;

  const uint groups = push.columns / 16;
  for (uint g = gl_LocalInvocationID.x; g < groups; g += gl_WorkGroupSize.x) {
    const uint block = g / (kBlockValues / 16), inner = g % (kBlockValues / 16);
    uvec4 q[kRows];
    vec2 scales[kRows];
    [[unroll]] for (uint r = 0; r < kRows; ++r) {
      const uint row = min(first + r, push.rows - 1);
      const uint64_t at = weights + uint64_t(row) * push.row_bytes + block * kBlockBytes;
      q[r] = quants16(at, inner);
      scales[r] = scale16(at, inner);
    }
    [[unroll]] for (uint t = 0; t < kTokens; ++t) {
      const uint64_t row = x_row + min(t, push.tokens - 1);
      const uvec4 xq = Uvec4s(push.x + row * push.x_stride).v[g];
      // (scale, scale * sum of the 16 values)
      const vec2 xs = Vec2s(push.x_scales + row * (push.x_stride / 16) * 8).v[g];
      [[unroll]] for (uint r = 0; r < kRows; ++r) {
        const int dot = dot16_i8(q[r], xq);
        sums[r * kTokens + t] =
            fma(scales[r].x * xs.x, float(dot), fma(scales[r].y, xs.y, sums[r * kTokens + t]));
      }
    }
  }
  write_sums(first, y, scale);
}
