// The IQ types; layouts in brink/quant/i_quants.h. Codebooks are read from the buffer at `tables`.

#if BRINK_TYPE == BRINK_TYPE_IQ4_NL
const uint kBlockValues = 32;
#else
const uint kBlockValues = 256;
#endif
#define BRINK_OFFSETS 0

// Byte offsets in the buffer of tables, as brink/vulkan/format_tables.h has them.
const uint kTableIq2Xxs = 0;      // 256 points of eight magnitudes, a byte each
const uint kTableIq2Xs = 2048;    // 512
const uint kTableIq2S = 6144;     // 1024
const uint kTableIq3Xxs = 14336;  // 256 points of four magnitudes, a byte each
const uint kTableIq3S = 15360;    // 512
const uint kTableIq1 = 17408;     // 2048 points of eight values, a nibble each: see iq1_quants

/// Magnitudes of two points of IQ2.
uvec4 two_points(uint table, uvec2 codes) {
  WeightPairs points = WeightPairs(tables + table);
  return uvec4(points.at[codes.x], points.at[codes.y]);
}

/// Magnitudes of four points of IQ3.
uvec4 four_points(uint table, uvec4 codes) {
  WeightWords points = WeightWords(tables + table);
  return uvec4(points.at[codes.x], points.at[codes.y], points.at[codes.z], points.at[codes.w]);
}

/// Two points of IQ1, 8 t + 1 or 8 t - 1 where `minus` is 1. Values 0 to 3 of a point are the low
/// nibbles of a word of the table, values 4 to 7 the high ones: half the size of a byte a value.
uvec4 iq1_quants(uvec2 codes, uvec2 minus) {
  WeightWords points = WeightWords(tables + kTableIq1);
  const uvec2 words = uvec2(points.at[codes.x], points.at[codes.y]);
  const uvec4 eights = uvec4(words << 3, words >> 1).xzyw & 0x18181818u;  // 8 (t + 1)
  const uvec2 bias = 0x79797979u - minus * 0x02020202u;                  // 128 - 8 + 1 or - 1
  return eights + bias.xxyy ^ uvec4(0x80808080u);
}

/// 14 bits, two times seven signs of which the eighth makes the number of minus signs even, as 16.
uint even_signs(uint bits) {
  const uint stored = bits & 0x7fu | bits << 1 & 0x7f00u;
  // The parity of both bytes, each in its lowest bit; what comes over from the upper byte stays in
  // bits that are not used.
  uint parity = stored ^ stored >> 4;
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  return stored | (parity & 0x0101u) << 7;
}

uvec4 apply_signs(uvec4 magnitudes, uint signs) {
  return negate_each(magnitudes, spread_bits(signs));
}

#if BRINK_TYPE == BRINK_TYPE_IQ1_S

const uint kBlockBytes = 50;
const uint kScaleValues = 32;

uvec4 quants16(uint64_t block, uint group) {
  const uint low = load_half(block + (2 + 2 * group));
  const uint qh = load_half(block + (34 + (group & 14u)));
  const uint high = qh >> group % 2 * 6;
  return iq1_quants(uvec2(low & 255u, low >> 8) | uvec2(high << 8, high << 5) & 0x700u,
                    uvec2(qh >> 15));
}

vec2 scale16(uint64_t block, uint group) {
  const uint qh = load_half(block + (34 + (group & 14u)));
  return vec2(f16(load_half(block)) * (float(qh >> 11 & 14u | 1u) * 0.125), 0.0);
}

#elif BRINK_TYPE == BRINK_TYPE_IQ1_M

const uint kBlockBytes = 56;
const uint kScaleValues = 16;

uvec4 quants16(uint64_t block, uint group) {
  const uint low = load_half(block + 2 * group);
  const uint high = load_byte(block + (32 + group));
  return iq1_quants(uvec2(low & 255u, low >> 8) | uvec2(high << 8, high << 4) & 0x700u,
                    uvec2(high >> 3, high >> 7) & 1u);
}

vec2 scale16(uint64_t block, uint group) {
  const uvec2 words = load_pair_8(block + 48);
  const uint d = words.x >> 12 & 0xfu | words.x >> 24 & 0xf0u | words.y >> 4 & 0xf00u |
                 words.y >> 16 & 0xf000u;
  const uint half_word = (group < 8u ? words.x : words.y) >> (4u * group & 16u);
  const uint scale = half_word >> group % 4 * 3 & 7u;
  return vec2(f16(d) * (float(2 * scale + 1) * 0.125), 0.0);
}

#elif BRINK_TYPE == BRINK_TYPE_IQ2_XXS

const uint kBlockBytes = 66;
const uint kScaleValues = 32;

uvec4 quants16(uint64_t block, uint group) {
  const uint codes = load_half(block + (2 + group / 2 * 8 + group % 2 * 2));
  const uint signs = load_word_2(block + (6 + group / 2 * 8)) >> group % 2 * 14;
  return apply_signs(two_points(kTableIq2Xxs, uvec2(codes & 255u, codes >> 8)), even_signs(signs));
}

vec2 scale16(uint64_t block, uint group) {
  const uint scale = load_half(block + (8 + group / 2 * 8)) >> 12;
  return vec2(f16(load_half(block)) * (float(2 * scale + 1) * 0.125), 0.0);
}

#elif BRINK_TYPE == BRINK_TYPE_IQ2_XS

const uint kBlockBytes = 74;
const uint kScaleValues = 16;

uvec4 quants16(uint64_t block, uint group) {
  const uint bits = load_word_2(block + (2 + 4 * group));
  const uint signs = even_signs(bits >> 9 & 0x7fu | bits >> 18 & 0x3f80u);
  return apply_signs(two_points(kTableIq2Xs, uvec2(bits, bits >> 16) & 511u), signs);
}

vec2 scale16(uint64_t block, uint group) {
  const uint scale = load_byte(block + (66 + group / 2)) >> group % 2 * 4 & 15u;
  return vec2(f16(load_half(block)) * (float(2 * scale + 1) * 0.125), 0.0);
}

#elif BRINK_TYPE == BRINK_TYPE_IQ2_S

const uint kBlockBytes = 82;
const uint kScaleValues = 16;

uvec4 quants16(uint64_t block, uint group) {
  const uint low = load_half(block + (2 + 2 * group));
  const uint signs = load_half(block + (34 + 2 * group));
  const uint high = load_byte(block + (66 + group / 2)) >> group % 2 * 4;
  const uvec2 codes = uvec2(low & 255u, low >> 8) | uvec2(high << 8, high << 6) & 0x300u;
  return apply_signs(two_points(kTableIq2S, codes), signs);
}

vec2 scale16(uint64_t block, uint group) {
  const uint scale = load_byte(block + (74 + group / 2)) >> group % 2 * 4 & 15u;
  return vec2(f16(load_half(block)) * (float(2 * scale + 1) * 0.125), 0.0);
}

#elif BRINK_TYPE == BRINK_TYPE_IQ3_XXS

const uint kBlockBytes = 98;
const uint kScaleValues = 32;

uvec4 quants16(uint64_t block, uint group) {
  const uvec4 codes = uvec4(load_word_2(block + (2 + 4 * group))) >> uvec4(0, 8, 16, 24) & 255u;
  const uint signs = load_word_2(block + (66 + group / 2 * 4)) >> group % 2 * 14;
  return apply_signs(four_points(kTableIq3Xxs, codes), even_signs(signs));
}

vec2 scale16(uint64_t block, uint group) {
  const uint scale = load_half(block + (68 + group / 2 * 4)) >> 12;
  return vec2(f16(load_half(block)) * (float(2 * scale + 1) * 0.25), 0.0);
}

#elif BRINK_TYPE == BRINK_TYPE_IQ3_S

const uint kBlockBytes = 110;
const uint kScaleValues = 32;

uvec4 quants16(uint64_t block, uint group) {
  const uvec4 low = uvec4(load_word_2(block + (2 + 4 * group))) >> uvec4(0, 8, 16, 24) & 255u;
  const uint high = load_byte(block + (66 + group / 2)) >> group % 2 * 4;
  const uvec4 codes = low | uvec4(high) << uvec4(8, 7, 6, 5) & 256u;
  return apply_signs(four_points(kTableIq3S, codes), load_half(block + (74 + 2 * group)));
}

vec2 scale16(uint64_t block, uint group) {
  const uint scale = load_byte(block + (106 + group / 4)) >> (2u * group & 4u) & 15u;
  return vec2(f16(load_half(block)) * float(2 * scale + 1), 0.0);
}

#else  // IQ4_NL, IQ4_XS

const uint kScaleValues = 32;

/// Bits of `one` where those of `mask` are set, of `zero` elsewhere.
uvec4 choose(uvec4 mask, uvec4 zero, uvec4 one) { return one & mask | zero & ~mask; }

/// The values of two neighbouring codes of which bit 0 chooses.
uvec4 choose_value(uvec4 mask, int zero, int one) {
  return choose(mask, uvec4(uint(zero & 255) * 0x01010101u), uvec4(uint(one & 255) * 0x01010101u));
}

/// The table's values of codes, one a byte: a tree of choices by the code's bits, four bytes in an
/// operation, instead of sixteen look-ups.
uvec4 iq4_values(uvec4 codes) {
  const uvec4 bit0 = whole_bytes(codes & 0x01010101u);
  const uvec4 bit1 = whole_bytes(codes >> 1 & 0x01010101u);
  const uvec4 bit2 = whole_bytes(codes >> 2 & 0x01010101u);
  const uvec4 bit3 = whole_bytes(codes >> 3 & 0x01010101u);
  const uvec4 from_0 = choose(bit1, choose_value(bit0, -127, -104), choose_value(bit0, -83, -65));
  const uvec4 from_4 = choose(bit1, choose_value(bit0, -49, -35), choose_value(bit0, -22, -10));
  const uvec4 from_8 = choose(bit1, choose_value(bit0, 1, 13), choose_value(bit0, 25, 38));
  const uvec4 from_12 = choose(bit1, choose_value(bit0, 53, 69), choose_value(bit0, 89, 113));
  return choose(bit3, choose(bit2, from_0, from_4), choose(bit2, from_8, from_12));
}

#if BRINK_TYPE == BRINK_TYPE_IQ4_NL

const uint kBlockBytes = 18;

uvec4 quants16(uint64_t block, uint group) {
  return iq4_values(load_quad_2(block, 2) >> 4u * group & 0x0f0f0f0fu);
}

vec2 scale16(uint64_t block, uint group) { return vec2(f16(load_half(block)), 0.0); }

#else

const uint kBlockBytes = 136;

uvec4 quants16(uint64_t block, uint group) {
  const uvec4 bytes = load_quad_8(block + (8 + group / 2 * 16));
  return iq4_values(bytes >> group % 2 * 4 & 0x0f0f0f0fu);
}

vec2 scale16(uint64_t block, uint group) {
  const uvec2 head = load_pair_8(block);
  const uint low = head.y >> group / 2 * 4 & 15u;
  const uint high = head.x >> 16 + group / 2 * 2 & 3u;
  return vec2(f16(head.x) * float(int(low | high << 4) - 32), 0.0);
}

#endif
#endif
