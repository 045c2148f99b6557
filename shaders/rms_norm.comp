// Adds what waits for the residual stream and normalises it. One workgroup a row; dispatch (rows).
//   x[row] += residual[row] + bias          where residual, bias are given
//   norm[row] = x[row] / sqrt(mean(x[row]^2) + eps) * weight
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(push_constant, std430) uniform Push {
  uint64_t x;         // [rows][width], written only if something is added
  uint64_t residual;  // [rows][width] or 0
  uint64_t bias;      // [width] or 0
  uint64_t weight;    // [width]
  uint64_t norm;      // [rows][width], may be x
  uint width;
  float eps;
};

// What one invocation keeps of its row between the two passes, in registers: enough for 4096 values
// with 256 invocations. The rest is read again.
const uint kKept = 4;

vec4 load_sum(uint64_t x_row, uint64_t residual_row, uint i) {
  vec4 value = load_row4(x_row, i, width);
  if (residual != 0) value += load_row4(residual_row, i, width);
  if (bias != 0) value += load_row4(bias, i, width);
  if (residual != 0 || bias != 0) store_row4(x_row, i, width, value);
  return value;
}

void main() {
  const uint64_t x_row = row_address(x, gl_WorkGroupID.x, width);
  const uint64_t residual_row = row_address(residual, gl_WorkGroupID.x, width);
  const uint64_t norm_row = row_address(norm, gl_WorkGroupID.x, width);
  const uint size = gl_WorkGroupSize.x;
  const uint quads = (width + 3) / 4;

  vec4 kept[kKept];
  vec4 sums = vec4(0);
  [[unroll]] for (uint k = 0; k < kKept; ++k) {
    const uint i = gl_LocalInvocationID.x + k * size;
    kept[k] = i < quads ? load_sum(x_row, residual_row, i) : vec4(0);
    sums += kept[k] * kept[k];
  }
  for (uint i = gl_LocalInvocationID.x + kKept * size; i < quads; i += size) {
    const vec4 value = load_sum(x_row, residual_row, i);
    sums += value * value;
  }
  const float sum = workgroup_sum((sums.x + sums.y) + (sums.z + sums.w));
  const float factor = 1.0 / sqrt(sum / float(width) + eps);

  [[unroll]] for (uint k = 0; k < kKept; ++k) {
    const uint i = gl_LocalInvocationID.x + k * size;
    if (i < quads) store_row4(norm_row, i, width, kept[k] * factor * load_row4(weight, i, width));
  }
  for (uint i = gl_LocalInvocationID.x + kKept * size; i < quads; i += size) {
    const vec4 value = load_row4(x_row, i, width);
    store_row4(norm_row, i, width, value * factor * load_row4(weight, i, width));
  }
}
