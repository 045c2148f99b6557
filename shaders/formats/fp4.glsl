// MXFP4 and NVFP4; layouts in brink/quant/fp4.h. Quants are twice the E2M1 values and scales half
// of what their bytes stand for.

#define BRINK_OFFSETS 0

/// Twice the E2M1 values of codes, one a byte: 0, 1, 2, 3, 4, 6, 8, 12 and their negatives.
uvec4 e2m1_doubled(uvec4 codes) {
  const uvec4 magnitudes = codes & 0x07070707u;
  // Codes 0 to 4 are their values. From 4 on the low two bits count twice, and 3 of them 2 more.
  const uvec4 large = codes >> 2 & 0x01010101u;
  const uvec4 most = codes >> 1 & codes & large;
  const uvec4 doubled = magnitudes + (codes & (large << 1 | large)) + (most << 1);
  // 128 + v - 2 v for negative ones: no byte borrows, and minus zero is zero.
  const uvec4 minus = codes >> 3 & 0x01010101u;
  return 0x80808080u + doubled - ((doubled & whole_bytes(minus)) << 1) ^ uvec4(0x80808080u);
}

#if BRINK_TYPE == BRINK_TYPE_MXFP4

const uint kBlockValues = 32;
const uint kBlockBytes = 17;
const uint kScaleValues = 32;

uvec4 quants16(uint64_t block, uint group) {
  return e2m1_doubled(load_quad_1(block + 1) >> 4u * group & 0x0f0f0f0fu);
}

/// 2^(e - 128). For e of 0 and 1 that is subnormal, which a device may take for 0.
vec2 scale16(uint64_t block, uint group) {
  const uint e = load_byte(block);
  return vec2(uintBitsToFloat(e < 2u ? 0x00200000u << e : e - 1 << 23), 0.0);
}

#elif BRINK_TYPE == BRINK_TYPE_NVFP4

const uint kBlockValues = 64;
const uint kBlockBytes = 36;
const uint kScaleValues = 16;

uvec4 quants16(uint64_t block, uint group) {
  const uvec2 bytes = load_pair_4(block + (4 + 8 * group));
  return e2m1_doubled(uvec4(bytes, bytes >> 4) & 0x0f0f0f0fu);
}

/// Half of an unsigned E4M3 number; bit 7 has no meaning, except that it makes 0xff a number.
vec2 scale16(uint64_t block, uint group) {
  const uint code = load_byte(block + group);
  const uint bits = code & 127u;
  const float normal = uintBitsToFloat((bits << 20) + (119u << 23));
  const float half_scale = bits < 8u ? float(bits) * (1.0 / 1024.0) : normal;
  return vec2(code == 127u ? 0.0 : half_scale, 0.0);
}

#endif
