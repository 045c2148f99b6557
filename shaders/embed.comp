// x[t] = scale * row ids[t] of a weight matrix. One workgroup per token.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "formats/format.glsl"


layout(push_constant, std430) uniform Push {
  uint64_t weights;  // [rows][row_bytes]
  uint64_t ids;      // [tokens] int
  uint64_t x;        // [tokens][x_stride] f32
  uint64_t table_address;
  uint columns;
  uint x_stride;
  uint row_bytes;
  uint first_row;  // of the part of the matrix that lies at `weights`
  uint rows;       // of that part; other ids are left alone
  float scale;
} push;

void main() {
  tables = push.table_address;
  const uint token = gl_WorkGroupID.x;
  const uint id = Uints(push.ids).v[token];
  if (id < push.first_row || id - push.first_row >= push.rows) return;
  const uint64_t row = push.weights + uint64_t(id - push.first_row) * push.row_bytes;
  const uint64_t x = push.x + uint64_t(token) * push.x_stride * 4;
  const uint groups = push.columns / 16;
  for (uint g = gl_LocalInvocationID.x; g < groups; g += gl_WorkGroupSize.x) {
    float v[16];
    values16(row + g / (kBlockValues / 16) * kBlockBytes, g % (kBlockValues / 16), v);
    for (uint i = 0; i < 16; ++i) Floats(x).v[g * 16 + i] = push.scale * v[i];
  }
#if !BRINK_INT8_GROUPS
  const uint rest = groups * 16 + gl_LocalInvocationID.x;
  if (rest < push.columns)
    Floats(x).v[rest] = push.scale * value1(row + groups * kBlockBytes, gl_LocalInvocationID.x);
#endif
}
