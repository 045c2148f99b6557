// Attention of few rows over long contexts (generation): the positions of a row are shared out
// among `splits` workgroups, and attention_combine.comp puts their parts together.
//   out[row][head] = sum over j of softmax(scale * q[row][head] . k[j]) v[j], j <= row's position
// A workgroup has kHeads query heads that share one KV head, so that K and V are loaded once for
// all of them; dispatch (splits, heads / kHeads, rows). Positions are read from `places`: recorded
// once, the dispatch serves any length.
//
// Invocations form a grid twice, once over the dimensions of K and once over those of V: the column
// is a piece of eight dimensions, the row a position of the tile. Loads are then consecutive, and
// an invocation's piece of the queries (of the outputs) stays in registers. Per tile of kTile
// positions dot products go piecewise to shared memory, are summed up and weighed there, and the
// weights serve the values.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "kv.glsl"

layout(constant_id = 1) const uint kKDim = 8;  // multiples of 8, at most 8 * workgroup size
layout(constant_id = 2) const uint kVDim = 8;
layout(constant_id = 3) const uint kKvType = 0;
layout(constant_id = 4) const uint kHeads = 1;  // divides heads / kv_heads; registers: 16 * kHeads
layout(constant_id = 5) const uint kTile = 32;  // divides kKvPage

layout(push_constant, std430) uniform Push {
  uint64_t q;         // [rows][heads][kKDim]
  uint64_t attended;  // [rows][heads][kVDim], written if there is one split
  uint64_t places;    // [rows] uvec2, see kv.glsl
  uint64_t pages;     // page table
  uint64_t pool;
  uint64_t stats;     // [rows][heads][splits] vec2: largest score * log2(e), sum of weights
  uint64_t partials;  // [rows][heads][splits][kVDim]: weighted sums; stale where the sum is 0
  uint page_bytes;
  uint k_offset;
  uint v_offset;
  uint heads;
  uint kv_heads;
  float scale;
};

const uint kSize = gl_WorkGroupSize.x;
const uint kKPieces = kKDim / 8;
const uint kVPieces = kVDim / 8;
const uint kKLanes = kSize / kKPieces;  // positions at once
const uint kVLanes = kSize / kVPieces;

// Dot products of pieces, [kHeads][kTile][kDotStride]; at the end one head's outputs
// [kVLanes][kVDim] and sums [kVLanes]. An odd stride spreads the rows over the banks.
const uint kDotStride = kKPieces | 1;
const uint kDots = kHeads * kTile * kDotStride;
const uint kResults = kVLanes * (kVDim + 1);
shared float scratch[kDots > kResults ? kDots : kResults];
shared float scores[kHeads * kTile];  // all scores are times log2(e): weights are powers of two
shared float weights[kHeads * kTile];
shared float largest[2 * kHeads];  // of all tiles so far; two, as one is read while one is written
shared float factors[kHeads];      // 2^(before - now)

vec4 q_piece[2 * kHeads];
vec4 acc[2 * kHeads];
float sums[kHeads];

void load_queries(uint row, uint first_head) {
  const uint piece = gl_LocalInvocationID.x % kKPieces;
  const uint64_t base = row_address(q, row * heads + first_head, kKDim);
  const float factor = scale * 1.44269504;
  [[unroll]] for (uint h = 0; h < kHeads; ++h) {
    [[unroll]] for (uint k = 0; k < 2; ++k) {
      q_piece[2 * h + k] = factor * Vec4s(base).v[(h * kKPieces + piece) * 2 + k];
    }
  }
}

// Pieces of the scores of the tile whose row 0 is `keys`. `last`: its last row that exists.
void multiply_keys(uint64_t keys, uint last) {
  const uint piece = gl_LocalInvocationID.x % kKPieces;
  const uint lane = gl_LocalInvocationID.x / kKPieces;
  if (lane >= kKLanes) return;
  const uint bytes = kv_row_bytes(kKvType, kKDim);
  for (uint t = lane; t < kTile; t += kKLanes) {
    vec4 a, b;
    kv_load8(kKvType, keys + min(t, last) * bytes, piece, a, b);
    [[unroll]] for (uint h = 0; h < kHeads; ++h) {
      scratch[(h * kTile + t) * kDotStride + piece] =
          dot(a, q_piece[2 * h]) + dot(b, q_piece[2 * h + 1]);
    }
  }
}

void sum_scores(uint last) {
  for (uint i = gl_LocalInvocationID.x; i < kHeads * kTile; i += kSize) {
    float score = 0.0;
    for (uint piece = 0; piece < kKPieces; ++piece) score += scratch[i * kDotStride + piece];
    scores[i] = i % kTile <= last ? score : kLowest;
  }
}

// Weights relative to the largest score so far, at `now` of `largest`.
void weigh_scores(uint last, uint now) {
  for (uint i = gl_LocalInvocationID.x; i < kHeads * kTile; i += kSize) {
    const uint h = i / kTile;
    const float before = largest[(1 - now) * kHeads + h];
    float most = before;
    for (uint t = 0; t < kTile; ++t) most = max(most, scores[h * kTile + t]);
    weights[i] = i % kTile <= last ? exp2(scores[i] - most) : 0.0;
    if (i % kTile == 0) {
      largest[now * kHeads + h] = most;
      factors[h] = exp2(before - most);
    }
  }
}

void add_values(uint64_t values, uint last) {
  const uint piece = gl_LocalInvocationID.x % kVPieces;
  const uint lane = gl_LocalInvocationID.x / kVPieces;
  if (lane >= kVLanes) return;
  const uint bytes = kv_row_bytes(kKvType, kVDim);
  [[unroll]] for (uint h = 0; h < kHeads; ++h) {
    acc[2 * h] *= factors[h];
    acc[2 * h + 1] *= factors[h];
    sums[h] *= factors[h];
  }
  for (uint t = lane; t < kTile; t += kVLanes) {
    vec4 a, b;
    kv_load8(kKvType, values + min(t, last) * bytes, piece, a, b);
    [[unroll]] for (uint h = 0; h < kHeads; ++h) {
      const float weight = weights[h * kTile + t];
      acc[2 * h] += weight * a;
      acc[2 * h + 1] += weight * b;
      sums[h] += weight;
    }
  }
}

// Sums over the lanes, head by head. `now`: where the largest scores are.
void write_results(uint row, uint first_head, uint now) {
  const uint piece = gl_LocalInvocationID.x % kVPieces;
  const uint lane = gl_LocalInvocationID.x / kVPieces;
  const uint split = gl_WorkGroupID.x;
  const uint splits = gl_NumWorkGroups.x;
  [[unroll]] for (uint h = 0; h < kHeads; ++h) {
    barrier();
    if (lane < kVLanes) {
      [[unroll]] for (uint k = 0; k < 4; ++k) {
        scratch[lane * kVDim + 8 * piece + k] = acc[2 * h][k];
        scratch[lane * kVDim + 8 * piece + 4 + k] = acc[2 * h + 1][k];
      }
      if (piece == 0) scratch[kVLanes * kVDim + lane] = sums[h];
    }
    barrier();
    float sum = 0.0;
    for (uint l = 0; l < kVLanes; ++l) sum += scratch[kVLanes * kVDim + l];
    const uint result = row * heads + first_head + h;
    const uint part = result * splits + split;
    // All scores minus infinity: nothing is attended.
    const float factor = splits > 1 ? 1.0 : sum == 0.0 ? 0.0 : 1.0 / sum;
    Floats to = Floats(splits > 1 ? row_address(partials, part, kVDim)
                                  : row_address(attended, result, kVDim));
    for (uint i = gl_LocalInvocationID.x; i < kVDim; i += kSize) {
      float value = 0.0;
      for (uint l = 0; l < kVLanes; ++l) value += scratch[l * kVDim + i];
      to.v[i] = value * factor;
    }
    if (splits > 1 && gl_LocalInvocationID.x == 0) {
      Vec2s(stats).v[part] = vec2(largest[now * kHeads + h], sum);
    }
  }
}

void main() {
  const uint row = gl_WorkGroupID.z;
  const uint first_head = gl_WorkGroupID.y * kHeads;
  const uint kv_head = first_head / (heads / kv_heads);
  const uvec2 place = Uvec2s(places).v[row];
  const uint tiles = place.y / kTile + 1;
  const uint tiles_a_split = (tiles + gl_NumWorkGroups.x - 1) / gl_NumWorkGroups.x;
  const uint begin = gl_WorkGroupID.x * tiles_a_split;
  const uint end = min(begin + tiles_a_split, tiles);
  if (begin >= end) {  // never with one split
    if (gl_LocalInvocationID.x < kHeads) {
      const uint result = row * heads + first_head + gl_LocalInvocationID.x;
      Vec2s(stats).v[result * gl_NumWorkGroups.x + gl_WorkGroupID.x] = vec2(kLowest, 0);
    }
    return;
  }

  load_queries(row, first_head);
  [[unroll]] for (uint h = 0; h < kHeads; ++h) {
    acc[2 * h] = vec4(0);
    acc[2 * h + 1] = vec4(0);
    sums[h] = 0.0;
  }
  // Finite: a score of minus infinity then has weight 0 and not NaN.
  for (uint i = gl_LocalInvocationID.x; i < 2 * kHeads; i += kSize) largest[i] = kLowest;

  uint now = 0;
  for (uint tile = begin; tile < end; ++tile) {
    const uint first = tile * kTile;
    const uint last = min(place.y - first, kTile - 1);
    const uint64_t page = kv_page(pool, pages, place.x + first / kKvPage, page_bytes);
    const uint slot = kv_head * kKvPage + first % kKvPage;
    now = 1 - now;
    multiply_keys(page + k_offset + slot * kv_row_bytes(kKvType, kKDim), last);
    barrier();
    sum_scores(last);
    barrier();
    weigh_scores(last, now);
    barrier();
    add_values(page + v_offset + slot * kv_row_bytes(kKvType, kVDim), last);
  }
  write_results(row, first_head, now);
}
