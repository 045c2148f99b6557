// Adds what the experts gave to the residual stream, in the order of each row's own choices:
//   x[row] += sum over rank of weights[row][rank] * y[row * used + rank]
//   x[row] += sigmoid(shared_gate[row]) * shared_y[row]        where there is a shared expert
// Four values an invocation; dispatch (ceil(width / (4 * size)), rows).
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(push_constant, std430) uniform Push {
  uint64_t x;            // [rows][width], in and out
  uint64_t y;            // [rows * used][width]
  uint64_t weights;      // [rows][used]
  uint64_t shared_gate;  // [rows], logits
  uint64_t shared_y;     // [rows][width] or 0
  uint width;
  uint used;
};

void main() {
  const uint i = gl_GlobalInvocationID.x;
  const uint row = gl_WorkGroupID.y;
  if (4 * i >= width) return;
  const uint64_t x_row = row_address(x, row, width);
  vec4 sum = load_row4(x_row, i, width);
  for (uint slot = row * used; slot < (row + 1) * used; ++slot) {
    sum += Floats(weights).v[slot] * load_row4(row_address(y, slot, width), i, width);
  }
  if (shared_y != 0) {
    const float factor = sigmoid(Floats(shared_gate).v[row]);
    sum += factor * load_row4(row_address(shared_y, row, width), i, width);
  }
  store_row4(x_row, i, width, sum);
}
