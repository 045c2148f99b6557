// y[t][r] = scale * sum over k of W[r][k] x[t][k], f32 activations, for many tokens: tiles of
// 64 rows x 64 tokens, 32 values deep, each of the 256 invocations making 4 x 4 of them. Half of the
// invocations decode the weights' part (one group of 16 values each), the other half loads the
// activations' part, so that both are done at once.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "tiles.glsl"
#include "formats/format.glsl"

layout(constant_id = 2) const bool kAligned = true;  // x_stride is a multiple of 4

const uint kTile = 64, kDepth = 32;
// Values of one k lie together; a row is longer by four, which keeps the invocations that write
// one row each off the same bank.
shared float a[kDepth][kTile + 4];
shared float b[kDepth][kTile + 4];

void main() {
  tables = push.table_address;
  const Tile tile = find_tile(kTile, kTile);
  if (tile.tokens == 0) return;
  const uint i = gl_LocalInvocationID.x;
  const uint mine = i % 128;
  const uint line = mine / 2, half_of = mine % 2;  // a row or a token; which group of the depth
  const uint64_t w_row = weights_row(tile, line);
  const uint64_t x_row = push.x + uint64_t(input_row(tile, line)) * push.x_stride * 4;
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
      weights16(w_row, g, push.columns, v);
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
  store_tile4(tile, r4, t4, sums);
}
