// y[t][r] = scale * sum over k of W[r][k] x[t][k], f32 activations, for many tokens: tiles of
// 64 rows x 64 tokens, 32 values deep, each of the 256 invocations making 4 x 4 of them. Half of the
// invocations decode the weights' part (one group of 16 values each), the other half loads the
// activations' part, so that both are done at once.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "formats/format.glsl"

layout(push_constant, std430) uniform Push {
  uint64_t weights;  // [rows][row_bytes]
  uint64_t x;        // [tokens][x_stride] f32
  uint64_t y;        // [tokens][y_stride] f32
  uint64_t table_address;
  uint rows;
  uint columns;
  uint row_bytes;
  uint x_stride;
  uint y_stride;
  uint tokens;
  float scale;
} push;

layout(constant_id = 1) const bool kAligned = true;  // x_stride is a multiple of 4

const uint kTile = 64, kDepth = 32;
// Values of one k lie together; a row is longer by four, which keeps the invocations that write
// one row each off the same bank.
shared float a[kDepth][kTile + 4];
shared float b[kDepth][kTile + 4];

void main() {
  tables = push.table_address;
  const uint i = gl_LocalInvocationID.x;
  const uint row0 = gl_WorkGroupID.x * kTile, token0 = gl_WorkGroupID.y * kTile;
  const uint mine = i % 128;
  const uint line = mine / 2, half_of = mine % 2;  // a row or a token; which group of the depth
  const uint row = min(row0 + line, push.rows - 1);
  const uint token = min(token0 + line, push.tokens - 1);
  const uint64_t w_row = push.weights + uint64_t(row) * push.row_bytes;
  const uint64_t x_row = push.x + uint64_t(token) * push.x_stride * 4;
  const uint r4 = i % 16 * 4, t4 = i / 16 * 4;
  float sums[4][4];
  [[unroll]] for (uint r = 0; r < 4; ++r)
    [[unroll]] for (uint t = 0; t < 4; ++t) sums[r][t] = 0.0;

  for (uint k0 = 0; k0 < push.columns; k0 += kDepth) {
    const uint g = k0 / 16 + half_of;
    const uint k = half_of * 16;
    float v[16];
    [[unroll]] for (uint j = 0; j < 16; ++j) v[j] = 0.0;
    if (i < 128) {
      if (g * 16 + 16 <= push.columns)
        values16(w_row + g / (kBlockValues / 16) * kBlockBytes, g % (kBlockValues / 16), v);
#if !BRINK_INT8_GROUPS
      else
        [[unroll]] for (uint j = 0; j < 16; ++j)
          if (g * 16 + j < push.columns) v[j] = value1(w_row + g * kBlockBytes, j);
#endif
      [[unroll]] for (uint j = 0; j < 16; ++j) a[k + j][line] = v[j];
    } else {
      if (g * 16 + 16 <= push.columns) {
        [[unroll]] for (uint j = 0; j < 4; ++j) {
          const vec4 four = load_group4(x_row, g * 4 + j, kAligned);
          v[4 * j] = four.x;
          v[4 * j + 1] = four.y;
          v[4 * j + 2] = four.z;
          v[4 * j + 3] = four.w;
        }
      } else {
        [[unroll]] for (uint j = 0; j < 16; ++j)
          if (g * 16 + j < push.columns) v[j] = Floats(x_row).v[g * 16 + j];
      }
      [[unroll]] for (uint j = 0; j < 16; ++j) b[k + j][line] = v[j];
    }
    barrier();
    for (uint d = 0; d < kDepth; ++d) {
      float av[4], bv[4];
      [[unroll]] for (uint j = 0; j < 4; ++j) av[j] = a[d][r4 + j];
      [[unroll]] for (uint j = 0; j < 4; ++j) bv[j] = b[d][t4 + j];
      [[unroll]] for (uint r = 0; r < 4; ++r)
        [[unroll]] for (uint t = 0; t < 4; ++t) sums[r][t] = fma(av[r], bv[t], sums[r][t]);
    }
    barrier();
  }
  [[unroll]] for (uint t = 0; t < 4; ++t) {
    if (token0 + t4 + t >= push.tokens) break;
    const uint64_t out_row = push.y + uint64_t(token0 + t4 + t) * push.y_stride * 4;
    [[unroll]] for (uint r = 0; r < 4; ++r)
      if (row0 + r4 + r < push.rows) Floats(out_row).v[row0 + r4 + r] = push.scale * sums[r][t];
  }
}
