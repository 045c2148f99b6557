// Attention of many rows of a sequence (prompts): tiles of queries of one head against pages of
// keys.
//   out[row][head] = sum over j of softmax(scale * q[row][head] . k[j]) v[j], j <= row's position
// A tile is up to kQueries consecutive rows of one sequence; dispatch (heads, tiles).
//
// Invocations form a grid of kRowGroups x kLanes. Row group g has queries 4 g .. 4 g + 3, for which
// lane l computes the scores of keys l, l + 16, l + 32, l + 48 and quads l, l + 16, ... of the
// outputs: products of small matrices from registers. Queries and keys are staged in shared memory
// kSlice dimensions at a time, values some rows at a time, so that any head size fits.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "kv.glsl"

layout(constant_id = 1) const uint kKDim = 8;  // multiples of 8, kVDim at most 512
layout(constant_id = 2) const uint kVDim = 8;
layout(constant_id = 3) const uint kKvType = 0;

layout(push_constant, std430) uniform Push {
  uint64_t q;         // [rows][heads][kKDim]
  uint64_t attended;  // [rows][heads][kVDim]
  uint64_t places;    // [rows] uvec2, see kv.glsl
  uint64_t pages;     // page table
  uint64_t pool;
  uint64_t tiles;  // [tiles] uvec2: first row, number of rows (1 .. kQueries)
  uint page_bytes;
  uint k_offset;
  uint v_offset;
  uint heads;
  uint kv_heads;
  float scale;
};

const uint kSize = gl_WorkGroupSize.x;
const uint kLanes = 16;
const uint kRowGroups = kSize / kLanes;
const uint kQueries = 4 * kRowGroups;  // a quarter of the workgroup's size
const uint kKeys = kKvPage;
const uint kKeysALane = kKeys / kLanes;

// Staged rows of queries and keys have an odd number of quads: consecutive rows start in other
// banks.
const uint kSlice = 32;
const uint kSliceStride = kSlice / 4 + 1;
const uint kVQuads = kVDim / 4;
const uint kVRows = kVDim <= 64 ? 64 : kVDim <= 128 ? 32 : kVDim <= 256 ? 16 : 8;
const uint kVQuadsALane = (kVQuads + kLanes - 1) / kLanes;

const uint kStagedSlices = (kKeys + kQueries) * kSliceStride;
const uint kStagedValues = kVRows * kVQuads;
shared vec4 staged[kStagedSlices > kStagedValues ? kStagedSlices : kStagedValues];
// Of four queries each: [kKeys][kWeightStride] weights and [kLanes][kRowGroups] results of a lane.
const uint kWeightStride = kRowGroups | 1;
shared vec4 weights[kKeys * kWeightStride];
shared vec4 of_lanes[kLanes * kRowGroups];

vec4 score[kKeysALane];      // of four queries
vec4 acc[4 * kVQuadsALane];  // [kVQuadsALane][query]

// Dimensions [first, first + kSlice) of the queries and of `keys` rows, as far as there are.
void stage_slice(uint first, uint row, uint rows, uint64_t page_keys, uint keys) {
  const float factor = scale * 1.44269504;  // log2(e): weights are powers of two
  const uint head = gl_WorkGroupID.x;
  for (uint i = gl_LocalInvocationID.x; i < kQueries * (kSlice / 4); i += kSize) {
    const uint r = i / (kSlice / 4);
    const uint quad = i % (kSlice / 4);
    if (first + 4 * quad < kKDim) {
      const uint64_t from = row_address(q, (row + min(r, rows - 1)) * heads + head, kKDim);
      staged[kKeys * kSliceStride + r * kSliceStride + quad] =
          factor * Vec4s(from).v[first / 4 + quad];
    }
  }
  for (uint i = gl_LocalInvocationID.x; i < kKeys * (kSlice / 8); i += kSize) {
    const uint key = i / (kSlice / 8);
    const uint piece = i % (kSlice / 8);
    if (first + 8 * piece < kKDim && key < keys) {
      vec4 a, b;
      kv_load8(kKvType, page_keys + key * kv_row_bytes(kKvType, kKDim), first / 8 + piece, a, b);
      staged[key * kSliceStride + 2 * piece] = a;
      staged[key * kSliceStride + 2 * piece + 1] = b;
    }
  }
}

void multiply_slice(uint quads, uint group, uint lane) {
  for (uint i = 0; i < quads; ++i) {
    vec4 k[kKeysALane];
    [[unroll]] for (uint j = 0; j < kKeysALane; ++j) {
      k[j] = staged[(lane + kLanes * j) * kSliceStride + i];
    }
    [[unroll]] for (uint r = 0; r < 4; ++r) {
      const vec4 query = staged[(kKeys + 4 * group + r) * kSliceStride + i];
      [[unroll]] for (uint j = 0; j < kKeysALane; ++j) score[j][r] += dot(query, k[j]);
    }
  }
}

// Values of `count` positions from row `first` of a page on.
void stage_values(uint64_t page_values, uint first, uint count) {
  for (uint i = gl_LocalInvocationID.x; i < count * (kVDim / 8); i += kSize) {
    const uint t = i / (kVDim / 8);
    const uint piece = i % (kVDim / 8);
    vec4 a, b;
    kv_load8(kKvType, page_values + (first + t) * kv_row_bytes(kKvType, kVDim), piece, a, b);
    staged[t * kVQuads + 2 * piece] = a;
    staged[t * kVQuads + 2 * piece + 1] = b;
  }
}

// `base`: the position of the first of `count` staged rows; those that all four queries see need no
// mask. A row that a query does not see must not be multiplied by 0: it may hold an infinity or NaN.
void add_values(uint base, uint first, uint count, uvec4 positions, uint group, uint lane) {
  const uint seen_by_all = min(max(positions.x + 1, base) - base, count);
  const uint seen = min(max(positions.w + 1, base) - base, count);
  for (uint t = 0; t < seen_by_all; ++t) {
    const vec4 weight = weights[(first + t) * kWeightStride + group];
    [[unroll]] for (uint c = 0; c < kVQuadsALane; ++c) {
      // Past the last quad the sum is not used.
      const vec4 value = staged[t * kVQuads + min(lane + kLanes * c, kVQuads - 1)];
      [[unroll]] for (uint r = 0; r < 4; ++r) acc[4 * c + r] += weight[r] * value;
    }
  }
  for (uint t = seen_by_all; t < seen; ++t) {  // three rows at most, on the diagonal
    const vec4 weight = weights[(first + t) * kWeightStride + group];
    [[unroll]] for (uint c = 0; c < kVQuadsALane; ++c) {
      const vec4 value = staged[t * kVQuads + min(lane + kLanes * c, kVQuads - 1)];
      [[unroll]] for (uint r = 0; r < 4; ++r) {
        if (base + t <= positions[r]) acc[4 * c + r] += weight[r] * value;
      }
    }
  }
}

void main() {
  const uint group = gl_LocalInvocationID.x / kLanes;
  const uint lane = gl_LocalInvocationID.x % kLanes;
  const uint head = gl_WorkGroupID.x;
  const uint kv_head = head / (heads / kv_heads);
  // The last tiles see most positions: they start first.
  const uvec2 tile = Uvec2s(tiles).v[gl_NumWorkGroups.y - 1 - gl_WorkGroupID.y];
  const uvec2 place = Uvec2s(places).v[tile.x];
  const uvec4 positions = place.y + min(4 * group + uvec4(0, 1, 2, 3), uvec4(tile.y - 1));
  const uint last = place.y + tile.y - 1;

  [[unroll]] for (uint i = 0; i < 4 * kVQuadsALane; ++i) acc[i] = vec4(0);
  vec4 largest = vec4(kLowest);  // finite: scores of minus infinity get weight 0 and not NaN
  vec4 sums = vec4(0);           // of the lane's own keys

  for (uint first = 0; first <= last; first += kKeys) {
    const uint64_t page = kv_page(pool, pages, place.x + first / kKvPage, page_bytes);
    const uint64_t keys = page + k_offset + kv_head * kKvPage * kv_row_bytes(kKvType, kKDim);
    const uint64_t values = page + v_offset + kv_head * kKvPage * kv_row_bytes(kKvType, kVDim);
    const uint count = min(last + 1 - first, kKeys);

    [[unroll]] for (uint j = 0; j < kKeysALane; ++j) score[j] = vec4(0);
    for (uint i = 0; i < kKDim; i += kSlice) {
      barrier();  // what was staged before is used
      stage_slice(i, tile.x, tile.y, keys, count);
      barrier();
      multiply_slice(min(kSlice, kKDim - i) / 4, group, lane);
    }

    vec4 most = vec4(kLowest);
    [[unroll]] for (uint j = 0; j < kKeysALane; ++j) {
      const uint position = first + lane + kLanes * j;
      score[j] = mix(vec4(kLowest), score[j], lessThanEqual(uvec4(position), positions));
      most = max(most, score[j]);
    }
    of_lanes[lane * kRowGroups + group] = most;
    barrier();  // also: keys are used
    const vec4 before = largest;
    for (uint l = 0; l < kLanes; ++l) largest = max(largest, of_lanes[l * kRowGroups + group]);
    const vec4 factor = exp2(before - largest);
    sums *= factor;
    [[unroll]] for (uint j = 0; j < kKeysALane; ++j) {
      const uint position = first + lane + kLanes * j;
      const vec4 weight = mix(vec4(0), exp2(score[j] - largest),
                              lessThanEqual(uvec4(position), positions));
      sums += weight;
      weights[(lane + kLanes * j) * kWeightStride + group] = weight;
    }
    [[unroll]] for (uint i = 0; i < 4 * kVQuadsALane; ++i) acc[i] *= factor[i % 4];

    for (uint t = 0; t < count; t += kVRows) {
      if (t > 0) barrier();
      stage_values(values, t, min(count - t, kVRows));
      barrier();
      add_values(first + t, t, min(count - t, kVRows), positions, group, lane);
    }
  }

  of_lanes[lane * kRowGroups + group] = sums;
  barrier();
  vec4 sum = vec4(0);
  for (uint l = 0; l < kLanes; ++l) sum += of_lanes[l * kRowGroups + group];
  [[unroll]] for (uint r = 0; r < 4; ++r) {
    if (4 * group + r >= tile.y) break;
    const uint64_t to = row_address(attended, (tile.x + 4 * group + r) * heads + head, kVDim);
    // All scores minus infinity: nothing is attended.
    const float factor = sum[r] == 0.0 ? 0.0 : 1.0 / sum[r];
    [[unroll]] for (uint c = 0; c < kVQuadsALane; ++c) {
      const uint quad = lane + kLanes * c;
      if (quad < kVQuads) Vec4s(to).v[quad] = acc[4 * c + r] * factor;
    }
  }
}
