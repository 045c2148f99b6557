// Finishes q, k and v of the batch: biases, head norms, rotation; q is written back, k and v go to
// the KV cache. One workgroup a head; dispatch (heads + 2 * kv_heads, rows): the heads of q, then
// of k, then of v. A workgroup of half a head's dimensions leaves no invocation idle.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "kv.glsl"

layout(constant_id = 1) const uint kKDim = 8;
layout(constant_id = 2) const uint kVDim = 8;
layout(constant_id = 3) const uint kRotary = 0;  // even, at most kKDim
layout(constant_id = 4) const uint kNeox = 0;    // 1: pairs are (i, i + kRotary / 2)
layout(constant_id = 5) const uint kKvType = 0;

layout(push_constant, std430) uniform Push {
  uint64_t q;        // [rows][heads][kKDim], in and out
  uint64_t k;        // [rows][kv_heads][kKDim]
  uint64_t v;        // [rows][kv_heads][kVDim]
  uint64_t q_bias;   // [heads][kKDim] or 0
  uint64_t k_bias;   // [kv_heads][kKDim] or 0
  uint64_t v_bias;   // [kv_heads][kVDim] or 0
  uint64_t q_norm;   // [kKDim] or 0
  uint64_t k_norm;   // [kKDim] or 0
  uint64_t cos_sin;  // [rows][kRotary]: kRotary / 2 cosines, then as many sines
  uint64_t places;   // [rows] uvec2, see kv.glsl
  uint64_t pages;    // page table
  uint64_t pool;
  uint page_bytes;
  uint k_offset;
  uint v_offset;
  uint heads;
  uint kv_heads;
  float eps;
};

shared float head[kKDim > kVDim ? kKDim : kVDim];

void rotate(uint row) {
  const uint pairs = kRotary / 2;
  Floats turn = Floats(row_address(cos_sin, row, kRotary));
  for (uint i = gl_LocalInvocationID.x; i < pairs; i += gl_WorkGroupSize.x) {
    const uint first = kNeox != 0 ? i : 2 * i;
    const uint second = kNeox != 0 ? i + pairs : 2 * i + 1;
    const float a = head[first];
    const float b = head[second];
    const float cosine = turn.v[i];
    const float sine = turn.v[pairs + i];
    head[first] = a * cosine - b * sine;
    head[second] = a * sine + b * cosine;
  }
  barrier();
}

// The magnitude of the largest value of a block as the bits of a float, which order as the numbers
// do, with infinity and NaN above all; `signed_` is the first value that has it.
uint largest_of_block(uint block, out float signed_) {
  uint most = 0u;
  signed_ = 0.0;
  for (uint i = 0; i < kKvBlock; ++i) {
    const float value = head[block * kKvBlock + i];
    const uint magnitude = floatBitsToUint(value) & 0x7fffffffu;
    if (magnitude > most) {
      most = magnitude;
      signed_ = value;
    }
  }
  return most;
}

// The scale of a block as f16: it gives the largest value the quant `quant`. A NaN or infinity in
// the block makes it NaN: it must not vanish.
uint scale_of_block(uint most, float value, float quant) {
  if (most >= 0x7f800000u) return 0x7e00u;
  return f32_to_f16(clamp(value / quant, -65504.0, 65504.0));
}

// The quant of value `i` for the rounded scale, beyond the limits only by that rounding.
int quant_of(uint i, float scale, float lowest, float highest) {
  return int(roundEven(clamp(head[i] / scale, lowest, highest)));
}

bool quants_exist(uint scale_bits) { return (scale_bits & 0x7fffu) - 1u < 0x7bffu; }

// Both quantized types: every invocation makes two bytes of quants at a time, and finds the scale
// of their block by itself.
void store_q8_0(uint64_t row, uint dim) {
  for (uint i = gl_LocalInvocationID.x; i < dim / 2; i += gl_WorkGroupSize.x) {
    const uint block = i / 16;
    float largest;
    const uint most = largest_of_block(block, largest);
    const uint bits = scale_of_block(most, abs(largest), 127.0);
    uint quants = 0u;
    if (quants_exist(bits)) {
      const float scale = f16_to_f32(bits);
      quants = uint(quant_of(2 * i, scale, -127.0, 127.0)) & 0xffu |
               uint(quant_of(2 * i + 1, scale, -127.0, 127.0)) << 8;
    }
    Halves halves = Halves(row + block * kKvBytesQ8_0);
    if (i % 16 == 0) halves.v[0] = uint16_t(bits);
    halves.v[1 + i % 16] = uint16_t(quants & 0xffffu);
  }
}

void store_q4_0(uint64_t row, uint dim) {
  for (uint i = gl_LocalInvocationID.x; i < dim / 4; i += gl_WorkGroupSize.x) {
    const uint block = i / 8;
    float largest;
    const uint most = largest_of_block(block, largest);
    const uint bits = scale_of_block(most, largest, -8.0);
    uint quants = 0x8888u;
    if (quants_exist(bits)) {
      const float scale = f16_to_f32(bits);
      const uint at = block * kKvBlock + i % 8 * 2;
      quants = uint(quant_of(at, scale, -8.0, 7.0) + 8) |
               uint(quant_of(at + 16, scale, -8.0, 7.0) + 8) << 4 |
               uint(quant_of(at + 1, scale, -8.0, 7.0) + 8) << 8 |
               uint(quant_of(at + 17, scale, -8.0, 7.0) + 8) << 12;
    }
    Halves halves = Halves(row + block * kKvBytesQ4_0);
    if (i % 8 == 0) halves.v[0] = uint16_t(bits);
    halves.v[1 + i % 8] = uint16_t(quants);
  }
}

void store_row(uint64_t row, uint dim) {
  const uint size = gl_WorkGroupSize.x;
  if (kKvType == kKvF32) {
    for (uint i = gl_LocalInvocationID.x; i < dim; i += size) Floats(row).v[i] = head[i];
  } else if (kKvType == kKvF16) {
    for (uint i = gl_LocalInvocationID.x; i < dim / 2; i += size) {
      Uints(row).v[i] = f32_to_f16(head[2 * i]) | f32_to_f16(head[2 * i + 1]) << 16;
    }
  } else if (kKvType == kKvQ8_0) {
    store_q8_0(row, dim);
  } else {
    store_q4_0(row, dim);
  }
}

void main() {
  const uint size = gl_WorkGroupSize.x;
  const uint row = gl_WorkGroupID.y;
  const uint unit = gl_WorkGroupID.x;
  const bool is_q = unit < heads;
  const bool is_k = !is_q && unit < heads + kv_heads;
  const uint h = is_q ? unit : is_k ? unit - heads : unit - heads - kv_heads;
  const uint dim = is_q || is_k ? kKDim : kVDim;
  const uint64_t base = is_q ? q : is_k ? k : v;
  const uint64_t bias = is_q ? q_bias : is_k ? k_bias : v_bias;
  const uint64_t norm = is_q ? q_norm : is_k ? k_norm : 0;

  Floats values = Floats(row_address(base, row * (is_q ? heads : kv_heads) + h, dim));
  float squares = 0.0;
  for (uint i = gl_LocalInvocationID.x; i < dim; i += size) {
    float value = values.v[i];
    if (bias != 0) value += Floats(bias).v[h * dim + i];
    head[i] = value;
    squares += value * value;
  }
  if (norm != 0) {
    const float factor = 1.0 / sqrt(workgroup_sum(squares) / float(dim) + eps);
    // Every invocation has its own values here.
    for (uint i = gl_LocalInvocationID.x; i < dim; i += size) head[i] *= factor * Floats(norm).v[i];
  }
  barrier();
  if (is_q || is_k) rotate(row);

  if (is_q) {
    for (uint i = gl_LocalInvocationID.x; i < dim; i += size) values.v[i] = head[i];
    return;
  }
  const uvec2 place = Uvec2s(places).v[row];
  const uint64_t page = kv_page(pool, pages, place.x + place.y / kKvPage, page_bytes);
  const uint slot = h * kKvPage + place.y % kKvPage;
  store_row(page + (is_k ? k_offset : v_offset) + slot * kv_row_bytes(kKvType, dim), dim);
}
