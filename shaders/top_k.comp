// The k largest values of each row, largest first, the lower index first among equals; NaN come
// last. One workgroup a row, k at most its size and `width`; dispatch (rows).
//
// The k-th largest of the invocations' own maxima is a bound: at least k values reach it, and
// mostly few more. Those are collected in shared memory and ranked by counting. If there are too
// many (most of the row may be equal, as where logits are masked) the exact bound is found first.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(push_constant, std430) uniform Push {
  uint64_t logits;  // [rows][width]
  uint64_t ids;     // [rows][k] uint
  uint64_t values;  // [rows][k] f32
  uint width;       // below 2^24: counts are summed up as floats
  uint k;
};

const uint kCandidates = 2 * gl_WorkGroupSize.x;
shared uint maxima[gl_WorkGroupSize.x];
shared uint candidate_orders[kCandidates];
shared uint candidate_ids[kCandidates];
shared uint candidates;
shared uint shared_bound;

// 0 for NaN and past the end, so that they are below all numbers.
uvec4 orders_of(uint64_t row, uint i) {
  const vec4 v = load_row4(row, i, width);
  uvec4 orders;
  [[unroll]] for (uint j = 0; j < 4; ++j) {
    orders[j] = is_nan(v[j]) || 4 * i + j >= width ? 0u : order_of(v[j]);
  }
  return orders;
}

// Values before or at (bound, index): a larger order, or the same one and an index up to `last`.
bool reaches(uint order, uint index, uint bound, uint last) {
  return index < width && (order > bound || (order == bound && index <= last));
}

uint count_reaching(uint64_t row, uint bound, uint last) {
  uint count = 0;
  for (uint i = gl_LocalInvocationID.x; 4 * i < width; i += gl_WorkGroupSize.x) {
    const uvec4 orders = orders_of(row, i);
    [[unroll]] for (uint j = 0; j < 4; ++j) {
      count += uint(reaches(orders[j], 4 * i + j, bound, last));
    }
  }
  return uint(workgroup_sum(float(count)));
}

void collect(uint64_t row, uint bound, uint last) {
  if (gl_LocalInvocationID.x == 0) candidates = 0;
  barrier();
  for (uint i = gl_LocalInvocationID.x; 4 * i < width; i += gl_WorkGroupSize.x) {
    const uvec4 orders = orders_of(row, i);
    [[unroll]] for (uint j = 0; j < 4; ++j) {
      if (!reaches(orders[j], 4 * i + j, bound, last)) continue;
      const uint at = atomicAdd(candidates, 1u);
      if (at < kCandidates) {
        candidate_orders[at] = orders[j];
        candidate_ids[at] = 4 * i + j;
      }
    }
  }
  barrier();
}

void main() {
  const uint self = gl_LocalInvocationID.x;
  const uint64_t row = row_address(logits, gl_WorkGroupID.x, width);

  uint most = 0u;
  for (uint i = self; 4 * i < width; i += gl_WorkGroupSize.x) {
    const uvec4 orders = orders_of(row, i);
    most = max(most, max(max(orders.x, orders.y), max(orders.z, orders.w)));
  }
  maxima[self] = most;
  barrier();
  uint rank = 0;
  for (uint other = 0; other < gl_WorkGroupSize.x; ++other) {
    rank += uint(maxima[other] > most || (maxima[other] == most && other < self));
  }
  if (rank == k - 1) shared_bound = most;
  barrier();
  collect(row, shared_bound, width);

  if (candidates > kCandidates) {
    // Largest bound that k values reach, then the lowest last index among those equal to it.
    uint bound = 0u;
    for (uint bit = 0x80000000u; bit != 0u; bit >>= 1) {
      if (count_reaching(row, bound | bit, width) >= k) bound |= bit;
    }
    uint low = 0;
    uint high = width - 1;
    while (low < high) {
      const uint middle = (low + high) / 2;
      if (count_reaching(row, bound, middle) >= k) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    collect(row, bound, low);
  }

  const uint count = candidates;
  for (uint i = self; i < count; i += gl_WorkGroupSize.x) {
    const uint order = candidate_orders[i];
    const uint id = candidate_ids[i];
    uint before = 0;
    for (uint other = 0; other < count; ++other) {
      before += uint(candidate_orders[other] > order ||
                     (candidate_orders[other] == order && candidate_ids[other] < id));
    }
    if (before < k) {
      Uints(ids).v[gl_WorkGroupID.x * k + before] = id;
      Floats(values).v[gl_WorkGroupID.x * k + before] = Floats(row).v[id];
    }
  }
}
