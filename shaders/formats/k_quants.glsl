// Q2_K to Q6_K; layouts in brink/quant/k_quants.h. Groups that share bytes: g and g + 2 in Q4_K and
// Q5_K (in pairs of 64 values), g, g + 2, g + 4 and g + 6 in the others (in halves of a block).

const uint kBlockValues = 256;

#if BRINK_TYPE == BRINK_TYPE_Q2_K

const uint kBlockBytes = 84;
const uint kScaleValues = 16;
#define BRINK_OFFSETS 1

uvec4 quants16(uint64_t block, uint group) {
  const uvec4 bytes = load_quad_4(block + (16 + group / 8 * 32 + group % 2 * 16));
  return bytes >> (group & 6u) & 0x03030303u;
}

vec2 scale16(uint64_t block, uint group) {
  const uint scale = load_byte(block + group);
  return unpackHalf2x16(load_word_4(block + 80)) * vec2(scale & 15u, -float(scale >> 4));
}

#elif BRINK_TYPE == BRINK_TYPE_Q3_K

const uint kBlockBytes = 110;
const uint kScaleValues = 16;
#define BRINK_OFFSETS 0

uvec4 quants16(uint64_t block, uint group) {
  const uvec4 low = load_quad_2(block, 32 + group / 8 * 32 + group % 2 * 16) >> (group & 6u);
  const uvec4 high = load_quad_2(block, group % 2 * 16) >> group / 2;
  return subtract_each(low & 0x03030303u | (high & 0x01010101u) << 2, 4u);
}

vec2 scale16(uint64_t block, uint group) {
  const uint low = load_byte(block + (96 + group % 8)) >> group / 8 * 4 & 15u;
  const uint high = load_byte(block + (104 + group % 4)) >> group / 4 * 2 & 3u;
  return vec2(f16(load_half(block + 108)) * float(int(low | high << 4) - 32), 0.0);
}

#elif BRINK_TYPE == BRINK_TYPE_Q4_K || BRINK_TYPE == BRINK_TYPE_Q5_K

const uint kScaleValues = 32;
#define BRINK_OFFSETS 1

/// The head of a block (blocks are 16-byte aligned) has all scales.
vec2 scale16(uint64_t block, uint group) {
  const uvec4 head = load_quad_16(block);
  const uint shift = 4u * group & 24u;  // 8 (sub-block % 4)
  const uvec3 bytes = head.yzw >> shift;
  // (scale, minimum), six bits each: in a byte of their own, or nibbles and the others' top bits.
  const uvec2 low = bytes.xy & 63u;
  const uvec2 high = uvec2(bytes.z, bytes.z >> 4) & 15u | bytes.xy >> 2 & 48u;
  const vec2 factors = vec2(group < 8u ? low : high);
  return unpackHalf2x16(head.x) * vec2(factors.x, -factors.y);
}

#if BRINK_TYPE == BRINK_TYPE_Q4_K

const uint kBlockBytes = 144;

uvec4 quants16(uint64_t block, uint group) {
  const uvec4 bytes = load_quad_16(block + (16 + group / 4 * 32 + group % 2 * 16));
  return bytes >> (2u * group & 4u) & 0x0f0f0f0fu;
}

#else

const uint kBlockBytes = 176;

uvec4 quants16(uint64_t block, uint group) {
  const uvec4 low = load_quad_16(block + (48 + group / 4 * 32 + group % 2 * 16));
  const uvec4 high = load_quad_16(block + (16 + group % 2 * 16));
  return low >> (2u * group & 4u) & 0x0f0f0f0fu | (high >> group / 2 & 0x01010101u) << 4;
}

#endif

#elif BRINK_TYPE == BRINK_TYPE_Q6_K

const uint kBlockBytes = 210;
const uint kScaleValues = 16;
#define BRINK_OFFSETS 0

uvec4 quants16(uint64_t block, uint group) {
  const uint at = group / 8 * 32 + group % 2 * 16;
  const uvec4 low = load_quad_2(block, group / 8 * 32 + (group & 2u) * 16 + at);
  const uvec4 high = load_quad_2(block, 128 + at);
  const uvec4 q = low >> (group & 4u) & 0x0f0f0f0fu | (high >> (group & 6u) & 0x03030303u) << 4;
  return subtract_each(q, 32u);
}

vec2 scale16(uint64_t block, uint group) {
  const int scale = int(load_byte(block + (192 + group)) << 24) >> 24;
  return vec2(f16(load_half(block + 208)) * float(scale), 0.0);
}

#endif
