// Loads of weights from 64-bit addresses, and arithmetic on four packed bytes at once.
//
// An address must be aligned to the bytes in the name's suffix. Blocks of most types have an even
// size and start at any even address: their quants are read in whole words with the halves moved
// into place, because loads cost more than arithmetic. Words are read only where some byte of them
// is wanted, so a buffer of weights must start at a multiple of 4 and have a multiple of 4 bytes.
#ifndef BRINK_FORMATS_LOAD_GLSL_
#define BRINK_FORMATS_LOAD_GLSL_

#extension GL_EXT_buffer_reference : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_shader_8bit_storage : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require

layout(buffer_reference, std430, buffer_reference_align = 1) readonly buffer WeightBytes {
  uint8_t at[];
};
layout(buffer_reference, std430, buffer_reference_align = 2) readonly buffer WeightHalves {
  uint16_t at[];
};
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer WeightWords {
  uint at[];
};
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer WeightPairs {
  uvec2 at[];
};
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer WeightQuads {
  uvec4 at[];
};

uint load_byte(uint64_t address) { return uint(WeightBytes(address).at[0]); }
uint load_half(uint64_t address) { return uint(WeightHalves(address).at[0]); }
uint load_word_4(uint64_t address) { return WeightWords(address).at[0]; }
uvec2 load_pair_8(uint64_t address) { return WeightPairs(address).at[0]; }
uvec4 load_quad_16(uint64_t address) { return WeightQuads(address).at[0]; }

uint load_word_2(uint64_t address) {
  WeightHalves halves = WeightHalves(address);
  return uint(halves.at[0]) | uint(halves.at[1]) << 16;
}

uvec2 load_pair_4(uint64_t address) {
  WeightWords words = WeightWords(address);
  return uvec2(words.at[0], words.at[1]);
}

uvec4 load_quad_4(uint64_t address) {
  WeightWords words = WeightWords(address);
  return uvec4(words.at[0], words.at[1], words.at[2], words.at[3]);
}

uvec4 load_quad_8(uint64_t address) {
  WeightPairs pairs = WeightPairs(address);
  return uvec4(pairs.at[0], pairs.at[1]);
}

/// 16 bytes at an even offset of a block: five words, or four where they are enough (the fifth load
/// then repeats the fourth). Which of the two depends on the block alone where the offset's
/// remainder by 4 is fixed, so that compilers take it out of loops over groups.
uvec4 load_quad_2(uint64_t block, uint offset) {
  const uint odd = (uint(block) ^ offset) & 2u;
  WeightWords words = WeightWords(block - odd + offset);
  const uvec4 low = uvec4(words.at[0], words.at[1], words.at[2], words.at[3]);
  const uvec4 high = uvec4(low.yzw, words.at[3u + (odd >> 1)]);
  return odd != 0u ? low >> 16 | high << 16 : low;
}

uvec4 load_quad_1(uint64_t address) {
  const uint skip = uint(address) & 3u;
  WeightWords words = WeightWords(address - skip);
  const uvec4 low = uvec4(words.at[0], words.at[1], words.at[2], words.at[3]);
  const uvec4 high = uvec4(low.yzw, words.at[skip == 0u ? 3u : 4u]);
  // Two shifts, as one by 32 is undefined.
  return low >> (8u * skip) | high << 1 << (31u - 8u * skip);
}

float f16(uint bits) { return unpackHalf2x16(bits).x; }

/// Every byte less n, for bytes below 128 + n and n up to 128: no byte borrows from the next,
/// because 128 is added first and taken off again by the exclusive or.
uvec4 subtract_each(uvec4 bytes, uint n) {
  return bytes + (128u - n) * 0x01010101u ^ uvec4(0x80808080u);
}

/// Bit j of 16 becomes bit 0 of byte j.
uvec4 spread_bits(uint bits) {
  // A product with 1 + 2^7 + 2^14 + 2^21 has a copy of bit i of four at 8 i; no two bits meet.
  return (uvec4(bits) >> uvec4(0, 4, 8, 12) & 15u) * 0x00204081u & 0x01010101u;
}

/// 255 for each byte that is 1, 0 for those that are 0. Not a product: that is slow on some GPUs.
uvec4 whole_bytes(uvec4 ones) { return (ones << 8) - ones; }

/// Minus the byte where the one in `minus` is 1, the byte itself where it is 0. No byte may be 0:
/// its two's complement would carry into the next.
uvec4 negate_each(uvec4 bytes, uvec4 minus) { return (bytes ^ whole_bytes(minus)) + minus; }

/// The four fields of 2 bits of each component, which is below 256, one a byte.
uvec4 spread_pairs(uvec4 bytes) {
  const uvec4 halves = (bytes | bytes << 12) & 0x000f000fu;
  return (halves | halves << 6) & 0x03030303u;
}

#endif  // BRINK_FORMATS_LOAD_GLSL_
