// The product of matmul.comp by cooperative matrices: f16 operands, f32 sums. x comes from
// to_f16.comp, x_scales has what its rows were divided by. A workgroup makes kTileRows x kTileTokens
// results, 32 values deep, each of its subgroups a part of kPartRows x kPartTokens in fragments of
// kM x kN. While a step is multiplied the next one is loaded and decoded into registers.
//
// Written for GL_NV_cooperative_matrix, which old compilers know; brink/vulkan/cooperative.h turns
// the module into one for VK_KHR_cooperative_matrix. That tells by a fragment's type what it is used
// for, so each use needs its own pair of constants.
#version 460
#pragma use_vulkan_memory_model
#extension GL_GOOGLE_include_directive : require
#extension GL_NV_cooperative_matrix : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_memory_scope_semantics : require
#include "tiles.glsl"
#include "formats/format.glsl"

layout(constant_id = 2) const uint kM = 16;
layout(constant_id = 3) const uint kN = 16;
layout(constant_id = 4) const uint kK = 16;
layout(constant_id = 5) const uint kTileRows = 64;
layout(constant_id = 6) const uint kTileTokens = 64;
layout(constant_id = 7) const uint kPartRows = 32;
layout(constant_id = 8) const uint kPartTokens = 32;

const uint kDepth = 32, kGroups = kDepth / 16;
// Eight f16 an element; rows are longer by one, which spreads those of a fragment over all banks.
const uint kPitch = kDepth / 8 + 1;
shared uvec4 a[kTileRows * kPitch];    // weights, row by row
shared uvec4 b[kTileTokens * kPitch];  // activations, token by token
const uint kParts = (kTileRows / kPartRows) * (kTileTokens / kPartTokens);
shared float results[kParts * kM * kN];  // one fragment of each subgroup

#define FragmentA fcoopmatNV<16, gl_ScopeSubgroup, kM, kK>
#define FragmentB fcoopmatNV<16, gl_ScopeSubgroup, kK, kN>
#define FragmentC fcoopmatNV<32, gl_ScopeSubgroup, kM, kN>

const uint kLocal = gl_WorkGroupSize.x;
const uint kLoadsA = (kTileRows * kGroups + kLocal - 1) / kLocal;  // of an invocation
const uint kLoadsB = (kTileTokens * kGroups + kLocal - 1) / kLocal;
const uint kDown = kPartRows / kM, kAcross = kPartTokens / kN;

// What the invocation has loaded for the next step.
uvec4 next_a[2 * kLoadsA], next_b[2 * kLoadsB];

uint two_f16(float low, float high) { return packFloat2x16(f16vec2(low, high)); }

void load_step(Tile tile, uint step_) {
  [[unroll]] for (uint n = 0; n < kLoadsA; ++n) {
    const uint g = n * kLocal + gl_LocalInvocationID.x;
    if (g >= kTileRows * kGroups) break;
    float v[16];
    weights16(weights_row(tile, g / kGroups), step_ * kGroups + g % kGroups, push.columns, v);
    [[unroll]] for (uint j = 0; j < 2; ++j)
      next_a[2 * n + j] =
          uvec4(two_f16(v[8 * j], v[8 * j + 1]), two_f16(v[8 * j + 2], v[8 * j + 3]),
                two_f16(v[8 * j + 4], v[8 * j + 5]), two_f16(v[8 * j + 6], v[8 * j + 7]));
  }
  [[unroll]] for (uint n = 0; n < kLoadsB; ++n) {
    const uint g = n * kLocal + gl_LocalInvocationID.x;
    if (g >= kTileTokens * kGroups) break;
    const uint64_t row = push.x + uint64_t(input_row(tile, g / kGroups)) * push.x_stride * 2;
    [[unroll]] for (uint j = 0; j < 2; ++j)
      next_b[2 * n + j] = Uvec4s(row).v[(step_ * kGroups + g % kGroups) * 2 + j];
  }
}

void store_step() {
  [[unroll]] for (uint n = 0; n < kLoadsA; ++n) {
    const uint g = n * kLocal + gl_LocalInvocationID.x;
    if (g >= kTileRows * kGroups) break;
    [[unroll]] for (uint j = 0; j < 2; ++j)
      a[g / kGroups * kPitch + g % kGroups * 2 + j] = next_a[2 * n + j];
  }
  [[unroll]] for (uint n = 0; n < kLoadsB; ++n) {
    const uint g = n * kLocal + gl_LocalInvocationID.x;
    if (g >= kTileTokens * kGroups) break;
    [[unroll]] for (uint j = 0; j < 2; ++j)
      b[g / kGroups * kPitch + g % kGroups * 2 + j] = next_b[2 * n + j];
  }
}

void main() {
  tables = push.table_address;
  const Tile tile = find_tile(kTileRows, kTileTokens);
  if (tile.tokens == 0) return;
  const uint part_row = gl_SubgroupID % (kTileRows / kPartRows) * kPartRows;
  const uint part_token = gl_SubgroupID / (kTileRows / kPartRows) * kPartTokens;

  FragmentC sums[kDown * kAcross];
  [[unroll]] for (uint f = 0; f < kDown * kAcross; ++f) sums[f] = FragmentC(0.0);

  const uint steps = (push.columns + kDepth - 1) / kDepth;
  load_step(tile, 0);
  for (uint s = 0; s < steps; ++s) {
    store_step();
    barrier();
    if (s + 1 < steps) load_step(tile, s + 1);
    [[unroll]] for (uint k = 0; k < kDepth; k += kK) {
      FragmentA down[kDown];
      [[unroll]] for (uint m = 0; m < kDown; ++m)
        coopMatLoadNV(down[m], a, (part_row + m * kM) * kPitch + k / 8, kPitch, false);
      [[unroll]] for (uint n = 0; n < kAcross; ++n) {
        FragmentB across;
        coopMatLoadNV(across, b, (part_token + n * kN) * kPitch + k / 8, kPitch, true);
        [[unroll]] for (uint m = 0; m < kDown; ++m)
          sums[n * kDown + m] = coopMatMulAddNV(down[m], across, sums[n * kDown + m]);
      }
    }
    barrier();
  }

  // Through shared memory, as nobody knows which invocation has which result of a fragment.
  const uint mine = gl_SubgroupID * kM * kN;
  [[unroll]] for (uint n = 0; n < kAcross; ++n)
    [[unroll]] for (uint m = 0; m < kDown; ++m) {
      coopMatStoreNV(sums[n * kDown + m], results, mine, kM, true);
      subgroupBarrier();
      for (uint e = gl_SubgroupInvocationID; e < kM * kN; e += gl_SubgroupSize) {
        const uint row = tile.row0 + part_row + m * kM + e % kM;
        const uint t = part_token + n * kN + e / kM;
        if (row >= push.rows || t >= tile.tokens) continue;
        const uint token = token_of(tile, t);
        const float factor = Floats(push.x_scales).v[kExperts ? token / push.x_divisor : token];
        Floats(push.y + uint64_t(token) * push.y_stride * 4).v[row] =
            tile.scale * (factor * results[mine + e]);
      }
      subgroupBarrier();
    }
}
