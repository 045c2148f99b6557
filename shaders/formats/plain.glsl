// F32, F16 and BF16. A block is 16 values here, so group is always 0; blocks need no more alignment
// than a value has (rows of any width), but whole vectors are read where the address allows it.

#define BRINK_OFFSETS 0
const uint kBlockValues = 16;
const uint kScaleValues = 16;

#if BRINK_TYPE == BRINK_TYPE_F32

const uint kBlockBytes = 64;

float value1(uint64_t block, uint i) { return uintBitsToFloat(load_word_4(block + 4 * i)); }

void values16(uint64_t block, uint group, out float v[16]) {
  if ((uint(block) & 15u) == 0u) {
    WeightQuads quads = WeightQuads(block);
    [[unroll]] for (uint i = 0; i < 4; ++i) {
      const vec4 four = uintBitsToFloat(quads.at[i]);
      [[unroll]] for (uint j = 0; j < 4; ++j) v[4 * i + j] = four[j];
    }
  } else {
    WeightWords words = WeightWords(block);
    [[unroll]] for (uint i = 0; i < 16; ++i) v[i] = uintBitsToFloat(words.at[i]);
  }
}

#else

const uint kBlockBytes = 32;

/// The two values of a word, the first in the lower half.
vec2 two_values(uint bits) {
#if BRINK_TYPE == BRINK_TYPE_F16
  return unpackHalf2x16(bits);
#else
  return uintBitsToFloat(uvec2(bits << 16, bits & 0xffff0000u));
#endif
}

float value1(uint64_t block, uint i) { return two_values(load_half(block + 2 * i)).x; }

void values16(uint64_t block, uint group, out float v[16]) {
  uvec4 words[2];
  if ((uint(block) & 15u) == 0u) {
    WeightQuads quads = WeightQuads(block);
    words[0] = quads.at[0];
    words[1] = quads.at[1];
  } else {
    words[0] = load_quad_2(block, 0);
    words[1] = load_quad_2(block, 16);
  }
  [[unroll]] for (uint i = 0; i < 8; ++i) {
    const vec2 two = two_values(words[i / 4][i % 4]);
    v[2 * i] = two.x;
    v[2 * i + 1] = two.y;
  }
}

#endif
