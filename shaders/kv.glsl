// Rows of the KV cache: their types, where they lie, and how eight values at a time are read.
//
// The cache is a pool of pages of kKvPage positions of all layers. Within a page the keys of a
// layer start at its `k_offset`: slot s of head h is row h * kKvPage + s, and likewise the values.
// A row of the batch has a place, uvec2(index of its sequence's first entry in the page table,
// position). Pages and offsets are multiples of 16 bytes.
#ifndef BRINK_KV_GLSL_
#define BRINK_KV_GLSL_

#include "common.glsl"

const uint kKvPage = 64;

// The numbers of KvType on the host.
const uint kKvF32 = 0;   // dimensions a multiple of 4
const uint kKvF16 = 1;   // dimensions a multiple of 8
const uint kKvQ8_0 = 2;  // blocks of 32: f16 scale, 32 int8
const uint kKvQ4_0 = 3;  // blocks of 32: f16 scale, 16 bytes: nibbles of value j, above them j + 16

const uint kKvBlock = 32;
const uint kKvBytesQ8_0 = 34;
const uint kKvBytesQ4_0 = 18;

uint kv_row_bytes(uint type, uint dim) {
  if (type == kKvF32) return dim * 4;
  if (type == kKvF16) return dim * 2;
  return dim / kKvBlock * (type == kKvQ8_0 ? kKvBytesQ8_0 : kKvBytesQ4_0);
}

// First byte of `page` (an entry of the page table).
uint64_t kv_page(uint64_t pool, uint64_t pages, uint entry, uint page_bytes) {
  return pool + uint64_t(Uints(pages).v[entry]) * page_bytes;
}

// Eight bytes at a multiple of two, in words that are aligned; nothing behind them is read.
uvec2 kv_load_bytes8(uint64_t address) {
  const bool odd = (uint(address) & 2u) != 0u;
  Uints words = Uints(odd ? address - 2 : address);
  uvec2 bytes = uvec2(words.v[0], words.v[1]);
  if (odd) {
    const uint last = uint(Halves(address + 6).v[0]);
    bytes = uvec2(bytes.x >> 16 | bytes.y << 16, bytes.y >> 16 | last << 16);
  }
  return bytes;
}

vec4 kv_signed_bytes(uint word) {
  const int w = int(word);
  return vec4(bitfieldExtract(w, 0, 8), bitfieldExtract(w, 8, 8), bitfieldExtract(w, 16, 8),
              w >> 24);
}

vec4 kv_bytes(uint word) {
  return vec4(word & 0xffu, bitfieldExtract(word, 8, 8), bitfieldExtract(word, 16, 8), word >> 24);
}

// Values [8 i, 8 i + 8) of a row. `type` is a constant, so that one branch is left.
void kv_load8(uint type, uint64_t row, uint i, out vec4 a, out vec4 b) {
  if (type == kKvF32) {
    a = Vec4s(row).v[2 * i];
    b = Vec4s(row).v[2 * i + 1];
  } else if (type == kKvF16) {
    const uvec4 halves = Uvec4s(row).v[i];
    a = vec4(unpackHalf2x16(halves.x), unpackHalf2x16(halves.y));
    b = vec4(unpackHalf2x16(halves.z), unpackHalf2x16(halves.w));
  } else if (type == kKvQ8_0) {
    const uint64_t block = row + (i / 4) * kKvBytesQ8_0;
    const float scale = f16_to_f32(uint(Halves(block).v[0]));
    const uvec2 q = kv_load_bytes8(block + 2 + i % 4 * 8);
    a = scale * kv_signed_bytes(q.x);
    b = scale * kv_signed_bytes(q.y);
  } else {
    const uint64_t block = row + (i / 4) * kKvBytesQ4_0;
    const float scale = f16_to_f32(uint(Halves(block).v[0]));
    const uvec2 bytes = kv_load_bytes8(block + 2 + i % 2 * 8);
    const uvec2 q = bytes >> (i % 4 / 2 * 4) & 0x0f0f0f0fu;
    a = scale * (kv_bytes(q.x) - 8.0);
    b = scale * (kv_bytes(q.y) - 8.0);
  }
}

#endif  // BRINK_KV_GLSL_
