// TQ1_0 and TQ2_0; layouts in brink/quant/ternary.h.

const uint kBlockValues = 256;
const uint kScaleValues = 256;
#define BRINK_OFFSETS 0

#if BRINK_TYPE == BRINK_TYPE_TQ1_0

const uint kBlockBytes = 54;

/// Base-3 digit n of every byte, given 3^n.
uvec4 ternary_digits(uvec4 bytes, uvec4 powers) {
  const uvec4 even = (bytes & 0x00ff00ffu) * powers & 0x00ff00ffu;
  const uvec4 odd = (bytes >> 8 & 0x00ff00ffu) * powers & 0x00ff00ffu;
  return even * 3u >> 8 & 0x00030003u | odd * 3u & 0x03000300u;
}

uvec4 quants16(uint64_t block, uint group) {
  uvec4 digits;
  if (group < 15u) {
    // Ten groups are five digits of two times 16 bytes, five those of the third 16 bytes.
    const uint n = group < 10u ? group / 2 : group - 10;
    const uint at = group < 10u ? group % 2 * 16 : 32;
    const uint power = n < 4u ? 0x1b090301u >> 8 * n & 255u : 81u;
    digits = ternary_digits(load_quad_2(block, at), uvec4(power));
  } else {
    digits = ternary_digits(uvec4(load_word_2(block + 48)), uvec4(1, 3, 9, 27));
  }
  return subtract_each(digits, 1u);
}

vec2 scale16(uint64_t block, uint group) { return vec2(f16(load_half(block + 52)), 0.0); }

#elif BRINK_TYPE == BRINK_TYPE_TQ2_0

const uint kBlockBytes = 66;

uvec4 quants16(uint64_t block, uint group) {
  const uvec4 bytes = load_quad_2(block, group / 8 * 32 + group % 2 * 16);
  return subtract_each(bytes >> (group & 6u) & 0x03030303u, 1u);
}

vec2 scale16(uint64_t block, uint group) { return vec2(f16(load_half(block + 64)), 0.0); }

#endif
