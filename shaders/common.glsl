// What every compute shader shares: extensions, the workgroup's size, buffers by address, numbers
// bit for bit, reductions over a workgroup. A shader includes it right after
// GL_GOOGLE_include_directive.
//
// There are no descriptors: a shader gets 64-bit addresses in its push constants, address 0 stands
// for an operand that is absent. Addresses of f32 data are multiples of 16 bytes.
#ifndef BRINK_COMMON_GLSL_
#define BRINK_COMMON_GLSL_

#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference2 : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_KHR_shader_subgroup_basic : require

// A power of two.
layout(local_size_x_id = 0) in;

layout(buffer_reference, std430, buffer_reference_align = 2) buffer Halves { uint16_t v[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer Uints { uint v[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer Floats { float v[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) buffer Uvec2s { uvec2 v[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) buffer Vec2s { vec2 v[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Uvec4s { uvec4 v[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Vec4s { vec4 v[]; };

// Row `row` of a matrix of f32, `width` values a row.
uint64_t row_address(uint64_t base, uint row, uint width) {
  return base + (uint64_t(row) * width) * 4;
}

// Value `i` at `address`, or `otherwise` where that is 0. Mesa 26's lavapipe loads a single value
// ahead of the branch that guards it: it must find something to read, which `readable` has.
float optional_float(uint64_t address, uint i, uint64_t readable, float otherwise) {
  const float value = Floats(address != 0 ? address : readable).v[address != 0 ? i : 0u];
  return address != 0 ? value : otherwise;
}

// Values [4 i, 4 i + 4) of a row of `width` f32, zeros past its end. One load where rows start at
// multiples of 16 bytes, as nearly all do.
vec4 load_row4(uint64_t row, uint i, uint width) {
  if (width % 4 == 0) return Vec4s(row).v[i];
  vec4 value = vec4(0);
  for (uint k = 0; k < 4; ++k) {
    if (4 * i + k < width) value[k] = Floats(row).v[4 * i + k];
  }
  return value;
}

// The same for four values that the row has, where it is known beforehand whether rows start at
// multiples of 16 bytes: pass a specialization constant.
vec4 load_group4(uint64_t row, uint i, bool aligned) {
  if (aligned) return Vec4s(row).v[i];
  Floats values = Floats(row + 16 * i);
  return vec4(values.v[0], values.v[1], values.v[2], values.v[3]);
}

void store_row4(uint64_t row, uint i, uint width, vec4 value) {
  if (width % 4 == 0) {
    Vec4s(row).v[i] = value;
  } else {
    for (uint k = 0; k < 4; ++k) {
      if (4 * i + k < width) Floats(row).v[4 * i + k] = value[k];
    }
  }
}

// --- Numbers ------------------------------------------------------------------------------------

const float kLowest = -3.402823466e+38;  // the lowest finite f32

// In integers: isnan() may be assumed away.
bool is_nan(float f) { return (floatBitsToUint(f) & 0x7fffffffu) > 0x7f800000u; }

// A number that orders as `f` does, with both zeros equal; never 0 but for NaN with a sign, which
// are below all numbers. NaN without are above them.
uint order_of(float f) {
  const uint bits = f == 0.0 ? 0u : floatBitsToUint(f);
  return (bits & 0x80000000u) != 0u ? ~bits : bits | 0x80000000u;
}

// Rounded to nearest even; from 65520 on infinity; NaN stays NaN. packHalf2x16 may round otherwise.
uint f32_to_f16(float f) {
  const uint bits = floatBitsToUint(f);
  const uint sign = bits >> 16 & 0x8000u;
  const uint magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;
  if (magnitude >= 0x38800000u) {  // 2^-14: normal in f16
    return sign | (magnitude + 0xfffu + (magnitude >> 13 & 1u) - (112u << 23)) >> 13;
  }
  if (magnitude < 0x33000000u) return sign;  // below 2^-25
  const uint shift = 126u - (magnitude >> 23);
  const uint mantissa = (magnitude & 0x7fffffu) | 0x800000u;
  const uint kept = mantissa >> shift;
  const uint last_place = 1u << shift;
  const uint rest = mantissa & (last_place - 1u);
  return sign | (2u * rest + (kept & 1u) > last_place ? kept + 1u : kept);
}

float f16_to_f32(uint h) { return unpackHalf2x16(h).x; }

// The nearest bf16 as f32, ties to even, beyond the largest infinity; NaN stays NaN.
float round_to_bf16(float f) {
  const uint bits = floatBitsToUint(f);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return uintBitsToFloat((bits & 0xffff0000u) | 0x400000u);
  return uintBitsToFloat((bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u);
}

float sigmoid(float v) {
  // exp of what is not positive cannot overflow.
  const float e = exp(-abs(v));
  return (v < 0.0 ? e : 1.0) / (1.0 + e);
}

vec4 silu(vec4 v) {
  const vec4 e = exp(-abs(v));
  return mix(v, v * e, lessThan(v, vec4(0))) / (1.0 + e);
}

// --- Reductions over a workgroup ----------------------------------------------------------------
// Called by all invocations; all get the result. First over subgroups, then over their results in
// shared memory: one barrier to make those known and one so that they may be overwritten. No
// subgroup has fewer than four invocations, so this many results at most.

const uint kReducedMax = gl_WorkGroupSize.x / 4 + 1;
shared uint reduced_[kReducedMax];

float workgroup_sum(float value) {
  value = subgroupAdd(value);
  if (gl_NumSubgroups == 1) return value;
  if (subgroupElect()) reduced_[gl_SubgroupID] = floatBitsToUint(value);
  barrier();
  value = 0.0;
  for (uint i = gl_SubgroupInvocationID; i < gl_NumSubgroups; i += gl_SubgroupSize) {
    value += uintBitsToFloat(reduced_[i]);
  }
  value = subgroupAdd(value);
  barrier();
  return value;
}

uint workgroup_max(uint value) {
  value = subgroupMax(value);
  if (gl_NumSubgroups == 1) return value;
  if (subgroupElect()) reduced_[gl_SubgroupID] = value;
  barrier();
  value = 0u;
  for (uint i = gl_SubgroupInvocationID; i < gl_NumSubgroups; i += gl_SubgroupSize) {
    value = max(value, reduced_[i]);
  }
  value = subgroupMax(value);
  barrier();
  return value;
}

uint workgroup_min(uint value) { return ~workgroup_max(~value); }

#endif  // BRINK_COMMON_GLSL_
