// gate = silu(gate + gate_bias) * (up + up_bias), silu(v) = v / (1 + exp(-v)), without overflow for
// any finite gate. Four values an invocation; dispatch (ceil(width / (4 * size)), rows).
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(push_constant, std430) uniform Push {
  uint64_t gate;       // [rows][width], in and out
  uint64_t up;         // [rows][width]
  uint64_t gate_bias;  // [width] or 0
  uint64_t up_bias;    // [width] or 0
  uint width;
};

void main() {
  const uint i = gl_GlobalInvocationID.x;
  if (4 * i >= width) return;
  const uint64_t gate_row = row_address(gate, gl_WorkGroupID.y, width);
  vec4 g = load_row4(gate_row, i, width);
  vec4 u = load_row4(row_address(up, gl_WorkGroupID.y, width), i, width);
  if (gate_bias != 0) g += load_row4(gate_bias, i, width);
  if (up_bias != 0) u += load_row4(up_bias, i, width);
  store_row4(gate_row, i, width, silu(g) * u);
}
