// Decodes weights of one type, in order: 16 f32 values a group, with BRINK_DECODE_ONE
// through value1, or with BRINK_DECODE_INT8 the 16 int8 values as int32, the scale and the offset.
// One invocation a group.
#version 460
#extension GL_GOOGLE_include_directive : require

#include "formats/format.glsl"

layout(local_size_x = 64) in;

layout(buffer_reference, std430, buffer_reference_align = 4) writeonly buffer Words { uint at[]; };

layout(push_constant) uniform Push {
  uint64_t weights;
  uint64_t out_address;
  uint64_t tables_address;
  uint groups;
};

void main() {
  const uint index = gl_GlobalInvocationID.x;
  if (index >= groups) return;
  tables = tables_address;
  const uint groups_of_block = kBlockValues / 16;
  const uint64_t block = weights + uint64_t(index / groups_of_block) * kBlockBytes;
  const uint group = index % groups_of_block;
#ifdef BRINK_DECODE_INT8
  Words to = Words(out_address + uint64_t(index) * 72);
  const uvec4 q = quants16(block, group);
  [[unroll]] for (uint i = 0; i < 16; ++i)
    to.at[i] = uint(int(q[i / 4] << 24 - i % 4 * 8) >> 24);
  // The scale of the first group that has the same, if kScaleValues is right.
  const vec2 scale = scale16(block, group / (kScaleValues / 16) * (kScaleValues / 16));
  to.at[16] = floatBitsToUint(scale.x);
  to.at[17] = floatBitsToUint(scale.y);
#elif defined(BRINK_DECODE_ONE)
  Words to = Words(out_address + uint64_t(index) * 64);
  for (uint i = 0; i < 16; ++i) to.at[i] = floatBitsToUint(value1(block, i));
#else
  Words to = Words(out_address + uint64_t(index) * 64);
  float v[16];
  values16(block, group, v);
  [[unroll]] for (uint i = 0; i < 16; ++i) to.at[i] = floatBitsToUint(v[i]);
#endif
}
