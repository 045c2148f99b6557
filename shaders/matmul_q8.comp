// The product of matmul.comp with activations rounded to int8 (quantize_q8.comp; x_scales has
// (scale, scale * sum) of every 16): tiles of 64 rows x 64 tokens, two groups of 16 values deep, by
// integer dot products.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "tiles.glsl"
#include "dot_i8.glsl"
#include "formats/format.glsl"

const uint kTile = 64;
shared uvec4 a[2][kTile], b[2][kTile];          // 16 int8 of two groups
shared vec2 a_scales[2][kTile], b_scales[2][kTile];

void main() {
  tables = push.table_address;
  const Tile tile = find_tile(kTile, kTile);
  if (tile.tokens == 0) return;
  const uint i = gl_LocalInvocationID.x;
  const uint mine = i % 128;
  const uint line = mine / 2, half_of = mine % 2;
  const uint64_t w_row = weights_row(tile, line);
  const uint64_t token = input_row(tile, line);
  const uint64_t x_row = push.x + token * push.x_stride;
  const uint64_t s_row = push.x_scales + token * (push.x_stride / 16) * 8;
  const uint r4 = i % 16 * 4, t4 = i / 16 * 4;
  float sums[4][4];
  [[unroll]] for (uint r = 0; r < 4; ++r)
    [[unroll]] for (uint t = 0; t < 4; ++t) sums[r][t] = 0.0;

  const uint groups = push.columns / 16;
  for (uint g0 = 0; g0 < groups; g0 += 2) {
    const uint g = g0 + half_of;
    if (i < 128) {
      uvec4 q = uvec4(0);
      vec2 s = vec2(0.0);
      if (g < groups) {
        const uint64_t block = w_row + g / (kBlockValues / 16) * kBlockBytes;
        q = quants16(block, g % (kBlockValues / 16));
        s = scale16(block, g % (kBlockValues / 16));
      }
      a[half_of][line] = q;
      a_scales[half_of][line] = s;
    } else {
      b[half_of][line] = g < groups ? Uvec4s(x_row).v[g] : uvec4(0);
      b_scales[half_of][line] = g < groups ? Vec2s(s_row).v[g] : vec2(0.0);
    }
    barrier();
    [[unroll]] for (uint h = 0; h < 2; ++h) {
      [[unroll]] for (uint t = 0; t < 4; ++t) {
        const uvec4 xq = b[h][t4 + t];
        const vec2 xs = b_scales[h][t4 + t];
        [[unroll]] for (uint r = 0; r < 4; ++r) {
          const vec2 s = a_scales[h][r4 + r];
          const int dot = dot16_i8(a[h][r4 + r], xq);
          sums[r][t] = fma(s.x * xs.x, float(dot), fma(s.y, xs.y, sums[r][t]));
        }
      }
    }
    barrier();
  }
  store_tile4(tile, r4, t4, sums);
}
