// Q1_0 and Q2_0; layouts in brink/quant/small.h.

const uint kBlockBytes = 18;
#define BRINK_OFFSETS 0

vec2 scale16(uint64_t block, uint group) { return vec2(f16(load_half(block)), 0.0); }

#if BRINK_TYPE == BRINK_TYPE_Q1_0

const uint kBlockValues = 128;
const uint kScaleValues = 128;

uvec4 quants16(uint64_t block, uint group) {
  return subtract_each(spread_bits(load_half(block + (2 + 2 * group))) << 1, 1u);
}

#elif BRINK_TYPE == BRINK_TYPE_Q2_0

const uint kBlockValues = 64;
const uint kScaleValues = 64;

uvec4 quants16(uint64_t block, uint group) {
  const uvec4 bytes = uvec4(load_word_2(block + (2 + 4 * group))) >> uvec4(0, 8, 16, 24) & 255u;
  return subtract_each(spread_pairs(bytes), 1u);
}

#endif
