// Q4_0, Q4_1, Q5_0, Q5_1, Q8_0; layouts in brink/quant/legacy.h. The two groups of the 4- and
// 5-bit types are the low and the high nibbles of the same 16 bytes.

const uint kBlockValues = 32;
const uint kScaleValues = 32;

#if BRINK_TYPE == BRINK_TYPE_Q4_0

const uint kBlockBytes = 18;
#define BRINK_OFFSETS 0

uvec4 quants16(uint64_t block, uint group) {
  return subtract_each(load_quad_2(block, 2) >> 4u * group & 0x0f0f0f0fu, 8u);
}

vec2 scale16(uint64_t block, uint group) { return vec2(f16(load_half(block)), 0.0); }

#elif BRINK_TYPE == BRINK_TYPE_Q4_1

const uint kBlockBytes = 20;
#define BRINK_OFFSETS 1

uvec4 quants16(uint64_t block, uint group) {
  return load_quad_4(block + 4) >> 4u * group & 0x0f0f0f0fu;
}

vec2 scale16(uint64_t block, uint group) { return unpackHalf2x16(load_word_4(block)); }

#elif BRINK_TYPE == BRINK_TYPE_Q5_0

const uint kBlockBytes = 22;
#define BRINK_OFFSETS 0

uvec4 quants16(uint64_t block, uint group) {
  const uvec4 low = load_quad_2(block, 6) >> 4u * group & 0x0f0f0f0fu;
  const uvec4 high = spread_bits(load_half(block + (2 + 2 * group))) << 4;
  return subtract_each(low | high, 16u);
}

vec2 scale16(uint64_t block, uint group) { return vec2(f16(load_half(block)), 0.0); }

#elif BRINK_TYPE == BRINK_TYPE_Q5_1

const uint kBlockBytes = 24;
#define BRINK_OFFSETS 1

uvec4 quants16(uint64_t block, uint group) {
  const uvec4 low = load_quad_8(block + 8) >> 4u * group & 0x0f0f0f0fu;
  return low | spread_bits(load_word_4(block + 4) >> 16u * group) << 4;
}

vec2 scale16(uint64_t block, uint group) { return unpackHalf2x16(load_word_4(block)); }

#elif BRINK_TYPE == BRINK_TYPE_Q8_0

const uint kBlockBytes = 34;
#define BRINK_OFFSETS 0

uvec4 quants16(uint64_t block, uint group) { return load_quad_2(block, 2 + 16 * group); }

vec2 scale16(uint64_t block, uint group) { return vec2(f16(load_half(block)), 0.0); }

#endif
