// The ends of the matrix-vector shaders, which differ in how they multiply only. Included after
// their push constants, kTokens and kRows.
#ifndef BRINK_MATVEC_SUMS_GLSL_
#define BRINK_MATVEC_SUMS_GLSL_

const uint kSums = kRows * kTokens;
// [subgroups][kSums]; no subgroup has fewer than four invocations.
shared float partial[gl_WorkGroupSize.x / 4 * kSums];

float sums[kSums];  // of this invocation: row r, token t at r * kTokens + t

// Adds up the invocations' sums and writes them, times `scale`, for rows from `first` on.
void write_sums(uint first, uint64_t y, float scale) {
  [[unroll]] for (uint i = 0; i < kSums; ++i) {
    const float sum = subgroupAdd(sums[i]);
    if (subgroupElect()) partial[gl_SubgroupID * kSums + i] = sum;
  }
  barrier();
  for (uint i = gl_LocalInvocationID.x; i < kSums; i += gl_WorkGroupSize.x) {
    float sum = 0.0;
    for (uint s = 0; s < gl_NumSubgroups; ++s) sum += partial[s * kSums + i];
    const uint row = first + i / kTokens, t = i % kTokens;
    if (row < push.rows && t < push.tokens)
      Floats(row_address(y, t, push.y_stride)).v[row] = scale * sum;
  }
}

#endif  // BRINK_MATVEC_SUMS_GLSL_
