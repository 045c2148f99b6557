// Chooses experts: for every row the `used` largest of softmax(logits), largest first, the lower
// index first among equals, and their weights. One workgroup a row; dispatch (rows).
//
// An expert's rank is the number of those before it, so one pass over shared memory orders all of
// them. Ranks are a permutation whatever the logits are, NaN included: ids are always valid.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(constant_id = 1) const uint kExperts = 1;

layout(push_constant, std430) uniform Push {
  uint64_t logits;   // [rows][kExperts]
  uint64_t ids;      // [rows][used] uint
  uint64_t weights;  // [rows][used] f32
  uint used;
  uint normalize;  // 1: the weights of a row have sum 1 (before `scale`)
  float scale;
};

shared uint orders[kExperts];
shared float exps[kExperts];     // an entry is used by one invocation only
shared float by_rank[kExperts];  // exps, ordered

void main() {
  const uint size = gl_WorkGroupSize.x;
  const uint64_t row = row_address(logits, gl_WorkGroupID.x, kExperts);
  uint most = 0u;
  for (uint e = gl_LocalInvocationID.x; e < kExperts; e += size) {
    const float v = Floats(row).v[e];
    orders[e] = order_of(v);
    exps[e] = v;
    most = max(most, orders[e]);
  }
  most = workgroup_max(most);
  const float largest =
      uintBitsToFloat((most & 0x80000000u) != 0u ? most & 0x7fffffffu : ~most);
  float all = 0.0;
  for (uint e = gl_LocalInvocationID.x; e < kExperts; e += size) {
    exps[e] = exp(exps[e] - largest);
    all += exps[e];
  }
  all = workgroup_sum(all);
  barrier();  // orders are known
  for (uint e = gl_LocalInvocationID.x; e < kExperts; e += size) {
    const uint order = orders[e];
    uint rank = 0;
    for (uint other = 0; other < kExperts; ++other) {
      const uint theirs = orders[other];
      rank += uint(theirs > order || (theirs == order && other < e));
    }
    by_rank[rank] = exps[e];
    if (rank < used) Uints(ids).v[gl_WorkGroupID.x * used + rank] = e;
  }
  barrier();
  float chosen = 0.0;
  for (uint rank = gl_LocalInvocationID.x; rank < used; rank += size) chosen += by_rank[rank];
  chosen = workgroup_sum(chosen);
  // A NaN makes all weights NaN, as in any softmax: it may be among those not chosen.
  const float factor = scale / (normalize != 0 && !is_nan(all) ? chosen : all);
  for (uint rank = gl_LocalInvocationID.x; rank < used; rank += size) {
    Floats(weights).v[gl_WorkGroupID.x * used + rank] = by_rank[rank] * factor;
  }
}
