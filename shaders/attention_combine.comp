// Puts together the parts of attention.comp: every split's outputs are relative to its own largest
// score. Dispatch (heads, rows).
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(push_constant, std430) uniform Push {
  uint64_t stats;     // [rows][heads][splits] vec2: largest score * log2(e), sum of weights
  uint64_t partials;  // [rows][heads][splits][v_dim], nothing where the sum is 0
  uint64_t attended;  // [rows][heads][v_dim]
  uint splits;
  uint v_dim;  // a multiple of 4
};

void main() {
  const uint result = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
  const uint first = result * splits;
  float largest = kLowest;
  for (uint s = 0; s < splits; ++s) largest = max(largest, Vec2s(stats).v[first + s].x);
  for (uint i = gl_LocalInvocationID.x; i < v_dim / 4; i += gl_WorkGroupSize.x) {
    vec4 value = vec4(0);
    float sum = 0.0;
    for (uint s = 0; s < splits; ++s) {
      const vec2 part = Vec2s(stats).v[first + s];
      if (part.y == 0.0) continue;
      const float factor = exp2(part.x - largest);
      sum += factor * part.y;
      value += factor * Vec4s(row_address(partials, first + s, v_dim)).v[i];
    }
    Vec4s(row_address(attended, result, v_dim)).v[i] = sum == 0.0 ? vec4(0) : value / sum;
  }
}
