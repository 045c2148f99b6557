// What the tiled products (matmul*.comp) share: their push constants, which rows of weights and
// which tokens a workgroup has, and where its results go. Workgroup (x, y) makes tile y of the
// tokens and tile x of the rows.
//
// With kExperts each token of a tile is a slot of a mixture of experts: group_experts.comp has put
// the slots of an expert together, and a tile has slots of one expert only.
#ifndef BRINK_TILES_GLSL_
#define BRINK_TILES_GLSL_
#include "common.glsl"

layout(push_constant, std430) uniform Push {
  uint64_t weights;   // [rows][row_bytes], of each expert
  uint64_t x;         // [tokens][x_stride], f32, f16 or int8 as the shader says
  uint64_t x_scales;  // what belongs to x
  uint64_t y;         // [tokens][y_stride] f32
  uint64_t table_address;
  uint64_t tiles;          // [tiles] (expert, its first place in `slots`, places)
  uint64_t slots;          // [slots] slots, ordered by expert
  uint64_t expert_scales;  // [experts] f32 or 0
  uint64_t expert_bytes;
  uint rows;
  uint columns;
  uint row_bytes;
  uint x_stride;
  uint y_stride;
  uint tokens;
  uint x_divisor;  // slot s has row s / x_divisor of x
  float scale;
} push;

layout(constant_id = 1) const bool kExperts = false;

struct Tile {
  uint64_t weights;  // of row 0
  float scale;
  uint row0;    // first row of weights
  uint first;   // first token, or place among the slots
  uint tokens;  // that the tile has; 0: there is no such tile
};

Tile find_tile(uint tile_rows, uint tile_tokens) {
  Tile tile;
  tile.row0 = gl_WorkGroupID.x * tile_rows;
  tile.weights = push.weights;
  tile.scale = push.scale;
  if (kExperts) {
    const uint at = gl_WorkGroupID.y * 3;
    const uint expert = Uints(push.tiles).v[at];
    tile.first = Uints(push.tiles).v[at + 1];
    tile.tokens = Uints(push.tiles).v[at + 2];
    tile.weights += expert * push.expert_bytes;
    tile.scale *= optional_float(push.expert_scales, expert, push.weights, 1.0);
  } else {
    tile.first = gl_WorkGroupID.y * tile_tokens;
    tile.tokens = min(push.tokens - tile.first, tile_tokens);
  }
  return tile;
}

// Token `t` of the tile: the row of y, and (divided) of x.
uint token_of(Tile tile, uint t) {
  return kExperts ? Uints(push.slots).v[tile.first + t] : tile.first + t;
}

uint64_t weights_row(Tile tile, uint line) {
  return tile.weights + uint64_t(min(tile.row0 + line, push.rows - 1)) * push.row_bytes;
}

// The row of x that line `line` of the tile has; lines past the end repeat the last.
uint input_row(Tile tile, uint line) {
  const uint token = token_of(tile, min(line, tile.tokens - 1));
  return kExperts ? token / push.x_divisor : token;
}

// Stores an invocation's 4 x 4 results, from row r4 and token t4 of the tile.
void store_tile4(Tile tile, uint r4, uint t4, float sums[4][4]) {
  [[unroll]] for (uint t = 0; t < 4; ++t) {
    if (t4 + t >= tile.tokens) break;
    const uint64_t row = push.y + uint64_t(token_of(tile, t4 + t)) * push.y_stride * 4;
    [[unroll]] for (uint r = 0; r < 4; ++r) {
      const uint at = tile.row0 + r4 + r;
      if (at < push.rows) Floats(row).v[at] = tile.scale * sums[r][t];
    }
  }
}
#endif
