// y[t][r] = scale * sum over k of W[r][k] x[t][k] for up to kTokens rows of f32 activations.
//
// A workgroup makes kRows rows of W: its invocations take the groups of 16 values in turn, so that
// neighbours read neighbouring weights, and add up at the end. Every group of activations that is
// loaded serves kRows rows, every group of weights kTokens tokens.
//
// With BRINK_EXPERTS each slot of the batch has a matrix of its own: workgroup z makes slot z with
// expert ids[z], from row z / x_divisor of x.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "formats/format.glsl"

layout(constant_id = 1) const uint kTokens = 1;
layout(constant_id = 2) const uint kRows = 2;
layout(constant_id = 3) const bool kAligned = true;  // x_stride is a multiple of 4

layout(push_constant, std430) uniform Push {
  uint64_t weights;  // [rows][row_bytes]
  uint64_t x;        // [tokens][x_stride] f32
  uint64_t y;        // [tokens][y_stride] f32
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
  uint64_t x = push.x;
  uint64_t y = push.y;
  float scale = push.scale;
#ifdef BRINK_EXPERTS
  const uint slot = gl_WorkGroupID.z;
  weights += Uints(push.ids).v[slot] * push.expert_bytes;
  x += uint64_t(slot / push.x_divisor) * push.x_stride * 4;
  y += uint64_t(slot) * push.y_stride * 4;
  scale *= optional_float(push.scales, Uints(push.ids).v[slot], push.weights, 1.0);
#endif
  [[unroll]] for (uint i = 0; i < kSums; ++i) sums[i] = 0.0;

  const uint groups = push.columns / 16;
  for (uint g = gl_LocalInvocationID.x; g < groups; g += gl_WorkGroupSize.x) {
    const uint block = g / (kBlockValues / 16), inner = g % (kBlockValues / 16);
    float w[kRows * 16];
    [[unroll]] for (uint r = 0; r < kRows; ++r) {
      // The last workgroup's missing rows repeat the last one.
      const uint row = min(first + r, push.rows - 1);
      float v[16];
      values16(weights + uint64_t(row) * push.row_bytes + block * kBlockBytes, inner, v);
      [[unroll]] for (uint i = 0; i < 16; ++i) w[r * 16 + i] = v[i];
    }
    [[unroll]] for (uint t = 0; t < kTokens; ++t) {
      const uint64_t at = row_address(x, min(t, push.tokens - 1), push.x_stride);
      [[unroll]] for (uint i = 0; i < 4; ++i) {
        const vec4 v = load_group4(at, 4 * g + i, kAligned);
        [[unroll]] for (uint r = 0; r < kRows; ++r)
          [[unroll]] for (uint j = 0; j < 4; ++j)
            sums[r * kTokens + t] = fma(w[r * 16 + 4 * i + j], v[j], sums[r * kTokens + t]);
      }
    }
  }
#if !BRINK_INT8_GROUPS
  // Rows of plain floats can have any width.
  for (uint k = groups * 16 + gl_LocalInvocationID.x; k < push.columns; k += gl_WorkGroupSize.x) {
    [[unroll]] for (uint r = 0; r < kRows; ++r) {
      const uint row = min(first + r, push.rows - 1);
      const uint64_t block = weights + uint64_t(row) * push.row_bytes + groups * kBlockBytes;
      const float w = value1(block, k - groups * 16);
      [[unroll]] for (uint t = 0; t < kTokens; ++t)
        sums[r * kTokens + t] +=
            w * Floats(row_address(x, min(t, push.tokens - 1), push.x_stride)).v[k];
    }
  }
#endif
  write_sums(first, y, scale);
}
