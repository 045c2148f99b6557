// Puts the slots of each expert together, for the tiled products: `slots` gets all slots ordered by
// expert, `tiles` the (expert, first place, places) of each tile of at most kTile of them; tiles
// that are left over are zeros. Slots of one expert are in no particular order. One workgroup.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(constant_id = 1) const uint kExperts = 1;
layout(constant_id = 2) const uint kTile = 64;

layout(push_constant, std430) uniform Push {
  uint64_t ids;         // [slot_count] expert of each slot
  uint64_t slots;       // [slot_count]
  uint64_t tiles;       // [tile_count][3]
  uint slot_count;
  uint tile_count;      // at least slot_count / kTile + experts in use, rounded down
};

shared uint counts[kExperts];
shared uint places[kExperts];      // where the next slot goes
shared uint first_tiles[kExperts];
shared uint all_tiles;

void main() {
  const uint i = gl_LocalInvocationID.x, size = gl_WorkGroupSize.x;
  for (uint e = i; e < kExperts; e += size) counts[e] = 0u;
  barrier();
  for (uint s = i; s < slot_count; s += size) atomicAdd(counts[Uints(ids).v[s]], 1u);
  barrier();
  if (i == 0) {
    uint place = 0u, tile = 0u;
    for (uint e = 0; e < kExperts; ++e) {
      places[e] = place;
      first_tiles[e] = tile;
      place += counts[e];
      tile += (counts[e] + kTile - 1) / kTile;
    }
    all_tiles = tile;
  }
  barrier();
  for (uint e = i; e < kExperts; e += size)
    for (uint done = 0; done < counts[e]; done += kTile) {
      const uint at = (first_tiles[e] + done / kTile) * 3;
      Uints(tiles).v[at] = e;
      Uints(tiles).v[at + 1] = places[e] + done;
      Uints(tiles).v[at + 2] = min(counts[e] - done, kTile);
    }
  for (uint at = all_tiles * 3 + i; at < tile_count * 3; at += size) Uints(tiles).v[at] = 0u;
  barrier();
  for (uint s = i; s < slot_count; s += size)
    Uints(slots).v[atomicAdd(places[Uints(ids).v[s]], 1u)] = s;
}
