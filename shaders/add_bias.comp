// x[row] += bias. Four values an invocation; dispatch (ceil(width / (4 * size)), rows).
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(push_constant, std430) uniform Push {
  uint64_t x;     // [rows][width]
  uint64_t bias;  // [width]
  uint width;
};

void main() {
  const uint i = gl_GlobalInvocationID.x;
  if (4 * i >= width) return;
  const uint64_t row = row_address(x, gl_WorkGroupID.y, width);
  store_row4(row, i, width, load_row4(row, i, width) + load_row4(bias, i, width));
}
