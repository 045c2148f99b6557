// Decoding of one weight type, BRINK_TYPE (a GGUF type number): what every shader that reads
// weights includes. The layouts are those of brink/quant; the including shader has
// `#extension GL_GOOGLE_include_directive : require`.
//
// A group is 16 consecutive values of a block. Each type has
//
//   const uint kBlockValues, kBlockBytes;
//   const uint kScaleValues;  // consecutive values, from a multiple of it, with the same scale16
//   void values16(uint64_t block, uint group, out float v[16]);
//
// and the quantized ones (BRINK_INT8_GROUPS is 1), with value = scale * q + offset and q in int8,
//
//   uvec4 quants16(uint64_t block, uint group);  // q; value j is byte j % 4 of component j / 4
//   vec2 scale16(uint64_t block, uint group);    // (scale, offset)
//   BRINK_OFFSETS: 0 where offset is always 0
//
// and F32, F16 and BF16, whose rows may have any width,
//
//   float value1(uint64_t block, uint i);  // value i of what starts at `block`
//
// and for all of them
//
//   // Group `group` of a row of `columns` values, zeros past its end.
//   void weights16(uint64_t row, uint group, uint columns, out float v[16]);
//
// Tensors start at multiples of 16 bytes and lie in buffers of whole words (load.glsl). Products of
// scale and q are exact in f32, as brink/quant/load.h explains, so the one rounding is that of
// adding the offset.
#ifndef BRINK_FORMATS_FORMAT_GLSL_
#define BRINK_FORMATS_FORMAT_GLSL_

#extension GL_GOOGLE_include_directive : require

#define BRINK_TYPE_F32 0
#define BRINK_TYPE_F16 1
#define BRINK_TYPE_Q4_0 2
#define BRINK_TYPE_Q4_1 3
#define BRINK_TYPE_Q5_0 6
#define BRINK_TYPE_Q5_1 7
#define BRINK_TYPE_Q8_0 8
#define BRINK_TYPE_Q2_K 10
#define BRINK_TYPE_Q3_K 11
#define BRINK_TYPE_Q4_K 12
#define BRINK_TYPE_Q5_K 13
#define BRINK_TYPE_Q6_K 14
#define BRINK_TYPE_IQ2_XXS 16
#define BRINK_TYPE_IQ2_XS 17
#define BRINK_TYPE_IQ3_XXS 18
#define BRINK_TYPE_IQ1_S 19
#define BRINK_TYPE_IQ4_NL 20
#define BRINK_TYPE_IQ3_S 21
#define BRINK_TYPE_IQ2_S 22
#define BRINK_TYPE_IQ4_XS 23
#define BRINK_TYPE_IQ1_M 29
#define BRINK_TYPE_BF16 30
#define BRINK_TYPE_TQ1_0 34
#define BRINK_TYPE_TQ2_0 35
#define BRINK_TYPE_MXFP4 39
#define BRINK_TYPE_NVFP4 40
#define BRINK_TYPE_Q1_0 41
#define BRINK_TYPE_Q2_0 42

#include "formats/load.glsl"

/// Address of the codebooks (brink/vulkan/format_tables.h), set by the including shader before it
/// decodes anything; only the IQ1, IQ2 and IQ3 types read them.
uint64_t tables;

#if BRINK_TYPE == BRINK_TYPE_F32 || BRINK_TYPE == BRINK_TYPE_F16 || BRINK_TYPE == BRINK_TYPE_BF16
#define BRINK_INT8_GROUPS 0
#include "formats/plain.glsl"
#else
#define BRINK_INT8_GROUPS 1
#if BRINK_TYPE <= BRINK_TYPE_Q8_0
#include "formats/legacy.glsl"
#elif BRINK_TYPE <= BRINK_TYPE_Q6_K
#include "formats/k_quants.glsl"
#elif BRINK_TYPE <= BRINK_TYPE_IQ4_XS || BRINK_TYPE == BRINK_TYPE_IQ1_M
#include "formats/i_quants.glsl"
#elif BRINK_TYPE == BRINK_TYPE_TQ1_0 || BRINK_TYPE == BRINK_TYPE_TQ2_0
#include "formats/ternary.glsl"
#elif BRINK_TYPE == BRINK_TYPE_MXFP4 || BRINK_TYPE == BRINK_TYPE_NVFP4
#include "formats/fp4.glsl"
#elif BRINK_TYPE == BRINK_TYPE_Q1_0 || BRINK_TYPE == BRINK_TYPE_Q2_0
#include "formats/small.glsl"
#else
#error "BRINK_TYPE is no weight type"
#endif

void values16(uint64_t block, uint group, out float v[16]) {
  const uvec4 q = quants16(block, group);
  const vec2 s = scale16(block, group);
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    const ivec4 four = ivec4(uvec4(q[i]) << uvec4(24, 16, 8, 0)) >> 24;
    [[unroll]] for (uint j = 0; j < 4; ++j) {
#if BRINK_OFFSETS
      v[4 * i + j] = s.x * float(four[j]) + s.y;
#else
      v[4 * i + j] = s.x * float(four[j]);
#endif
    }
  }
}
#endif

void weights16(uint64_t row, uint group, uint columns, out float v[16]) {
  const uint per_block = kBlockValues / 16;
  if (group * 16 + 16 <= columns) {
    values16(row + group / per_block * kBlockBytes, group % per_block, v);
    return;
  }
  [[unroll]] for (uint i = 0; i < 16; ++i) v[i] = 0.0;
#if !BRINK_INT8_GROUPS
  [[unroll]] for (uint i = 0; i < 16; ++i)
    if (group * 16 + i < columns) v[i] = value1(row + group * kBlockBytes, i);
#endif
}

#endif  // BRINK_FORMATS_FORMAT_GLSL_
