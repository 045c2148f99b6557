// Dot products of packed signed bytes. Debian 12's glslang has no name for the instruction
// (OpSDotKHR, core in SPIR-V 1.6 as OpSDot), so it is spelled out.
#ifndef BRINK_DOT_I8_GLSL_
#define BRINK_DOT_I8_GLSL_
#extension GL_EXT_spirv_intrinsics : require

spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6019, 6018], id = 4450)
int dot4_i8(int a, int b, spirv_literal int packed_4x8_bits);

int dot16_i8(uvec4 a, uvec4 b) {
  return dot4_i8(int(a.x), int(b.x), 0) + dot4_i8(int(a.y), int(b.y), 0) +
         dot4_i8(int(a.z), int(b.z), 0) + dot4_i8(int(a.w), int(b.w), 0);
}
#endif
