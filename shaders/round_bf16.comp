// y = x rounded to bf16 (nearest, ties to even; NaN stays NaN), kept as f32. Four values an
// invocation; dispatch (ceil(count / (4 * size))).
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(push_constant, std430) uniform Push {
  uint64_t x;  // [count]
  uint64_t y;  // [count], may be x
  uint count;
};

void main() {
  const uint i = gl_GlobalInvocationID.x;
  if (4 * i >= count) return;
  const vec4 v = load_row4(x, i, count);
  const vec4 rounded =
      vec4(round_to_bf16(v.x), round_to_bf16(v.y), round_to_bf16(v.z), round_to_bf16(v.w));
  store_row4(y, i, count, rounded);
}
