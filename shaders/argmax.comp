// ids[row] = index of the largest value of a row: the lowest among equals; -1 where no value is a
// number above -infinity. One workgroup a row; dispatch (rows).
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(push_constant, std430) uniform Push {
  uint64_t logits;  // [rows][width]
  uint64_t ids;     // [rows] int
  uint width;
};

void main() {
  const uint64_t row = row_address(logits, gl_WorkGroupID.x, width);
  uint best = 0u;  // below the order of every number
  uint index = 0u;
  for (uint i = gl_LocalInvocationID.x; 4 * i < width; i += gl_WorkGroupSize.x) {
    const vec4 v = load_row4(row, i, width);
    [[unroll]] for (uint k = 0; k < 4; ++k) {
      const uint order = is_nan(v[k]) || 4 * i + k >= width ? 0u : order_of(v[k]);
      if (order > best) {
        best = order;
        index = 4 * i + k;
      }
    }
  }
  const uint largest = workgroup_max(best);
  index = workgroup_min(best == largest ? index : 0xffffffffu);
  if (gl_LocalInvocationID.x != 0) return;
  Uints(ids).v[gl_WorkGroupID.x] = largest > order_of(uintBitsToFloat(0xff800000u)) ? index : ~0u;
}
