// The device's rate of int8 dot products (four multiply-adds each): eight chains of them that do not
// wait for one another. Every invocation does 8 * 4 * count multiply-adds; dispatch (any).
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "dot_i8.glsl"

layout(push_constant, std430) uniform Push {
  uint64_t out_;  // [invocations] int, so that nothing can be left out
  uint count;
};

void main() {
  const uint i = gl_GlobalInvocationID.x;
  int sums[8];
  [[unroll]] for (uint k = 0; k < 8; ++k) sums[k] = int(i + k);
  for (uint n = 0; n < count; ++n) {
    // Each product depends on the last one of its own chain only.
    [[unroll]] for (uint k = 0; k < 8; ++k) sums[k] += dot4_i8(sums[k], int(n + k), 0);
  }
  int sum = 0;
  [[unroll]] for (uint k = 0; k < 8; ++k) sum ^= sums[k];
  Uints(out_).v[i] = uint(sum);
}
