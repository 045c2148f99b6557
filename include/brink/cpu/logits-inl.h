// What evaluation needs of a row of logits. Included once per pass, after ops-inl.h. Exponentials
// are f32, sums f64: over a vocabulary of 10^5 an f32 sum would lose more than they do.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "brink/cpu/logit_gaps.h"
#include "hwy/highway.h"

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

// A sum of f32 vectors in f64, one part for each half of a vector.
using Half16 = hn::Half<Lane16>;
using Wide = hn::Rebind<double, Half16>;
using WideVec = hn::Vec<Wide>;

HWY_INLINE void AddWide(LaneVec v, WideVec& low, WideVec& high) {
  low = hn::Add(low, hn::PromoteTo(Wide(), hn::LowerHalf(Half16(), v)));
  high = hn::Add(high, hn::PromoteTo(Wide(), hn::UpperHalf(Half16(), v)));
}
HWY_INLINE double SumWide(WideVec low, WideVec high) {
  return hn::GetLane(hn::SumOfLanes(Wide(), hn::Add(low, high)));
}

// The first of `n` values that equals `value`; there is one.
HWY_INLINE std::size_t FindFirst(const float* x, std::size_t n, float value) {
  const Lane16 d;
  const auto wanted = hn::Set(d, value);
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const auto equal = hn::Eq(hn::LoadU(d, x + i), wanted);
    const auto at = hn::FindFirstTrue(d, equal);
    if (at >= 0) return i + static_cast<std::size_t>(at);
  }
  while (i + 1 < n && x[i] != value) ++i;
  return i;
}

void SumLogits(const float* x, std::size_t n, LogitSums* out) {
  *out = {};
  if (n == 0) return;
  const Lane16 d;
  auto most = hn::Set(d, x[0]), least = most;
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const auto v = hn::LoadU(d, x + i);
    most = hn::Max(most, v);
    least = hn::Min(least, v);
  }
  float largest = MaxLane(d, most), smallest = hn::GetLane(hn::MinOfLanes(d, least));
  for (; i < n; ++i) {
    largest = HWY_MAX(largest, x[i]);
    smallest = HWY_MIN(smallest, x[i]);
  }
  out->largest = largest;
  out->sum = std::numeric_limits<double>::quiet_NaN();
  // A NaN may be lost by Min and Max, but not by the sum.
  if (!std::isfinite(largest) || !std::isfinite(smallest)) return;
  out->top = static_cast<std::uint32_t>(FindFirst(x, n, largest));
  const auto largest_v = hn::Set(d, largest);
  auto low = hn::Zero(Wide()), high = low;
  for (i = 0; i + kLanes <= n; i += kLanes)
    AddWide(ExpNotPositive(d, hn::Sub(hn::LoadU(d, x + i), largest_v)), low, high);
  if (i < n) {
    const auto e = ExpNotPositive(d, hn::Sub(LoadFirst(d, x + i, n - i), largest_v));
    AddWide(hn::IfThenElseZero(hn::FirstN(d, n - i), e), low, high);
  }
  out->sum = SumWide(low, high);
}

void StoreGaps(const float* x, std::size_t n, float largest, std::uint16_t* out) {
  const Lane16 d;
  const hn::RebindToSigned<Lane16> di;
  const hn::Rebind<std::uint16_t, Lane16> d16;
  // Rounds and takes away the offset's bits in one addition.
  const auto bias = hn::Set(di, (1 << (kGapShift - 1)) - static_cast<std::int32_t>(kGapOffsetBits));
  const auto largest_v = hn::Set(d, largest);
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const auto gap = hn::Sub(largest_v, hn::LoadU(d, x + i));
    const auto bits = hn::BitCast(di, hn::Add(gap, hn::Set(d, kGapOffset)));
    // Demotion stops at the largest code.
    hn::StoreU(hn::DemoteTo(d16, hn::ShiftRight<kGapShift>(hn::Add(bits, bias))), d16, out + i);
  }
  for (; i < n; ++i) out[i] = encode_logit_gap(largest - x[i]);
}

void SumDivergence(const float* x, std::size_t n, float largest, const std::uint16_t* gaps,
                   DivergenceSums* out) {
  const Lane16 d;
  const hn::RebindToSigned<Lane16> di;
  const hn::Rebind<std::uint16_t, Lane16> d16;
  const auto largest_v = hn::Set(d, largest);
  const auto offset_bits = hn::Set(di, static_cast<std::int32_t>(kGapOffsetBits));
  auto mass_low = hn::Zero(Wide()), mass_high = mass_low;
  auto cross_low = mass_low, cross_high = mass_low;
  // Adds e^-g and e^-g (gap - g).
  const auto add = [&](LaneVec gap, LaneVec stored) HWY_ATTR {
    const auto weight = ExpNotPositive(d, hn::Neg(stored));
    AddWide(weight, mass_low, mass_high);
    AddWide(hn::Mul(weight, hn::Sub(gap, stored)), cross_low, cross_high);
  };
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const auto codes = hn::PromoteTo(di, hn::LoadU(d16, gaps + i));
    const auto bits = hn::Add(hn::ShiftLeft<kGapShift>(codes), offset_bits);
    const auto stored = hn::Sub(hn::BitCast(d, bits), hn::Set(d, kGapOffset));
    add(hn::Sub(largest_v, hn::LoadU(d, x + i)), stored);
  }
  if (i < n) {
    // Beyond the end a gap that weighs nothing.
    HWY_ALIGN float stored[kLanes], gap[kLanes];
    for (std::size_t k = 0; k < kLanes; ++k) {
      const bool inside = i + k < n;
      stored[k] = decode_logit_gap(inside ? gaps[i + k] : std::uint16_t{kMaxGapCode});
      gap[k] = inside ? largest - x[i + k] : stored[k];
    }
    add(hn::Load(d, gap), hn::Load(d, stored));
  }
  *out = {SumWide(mass_low, mass_high), SumWide(cross_low, cross_high)};
}

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
