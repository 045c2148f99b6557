// Element-wise operations of a transformer on one row. Included once per pass, after kv-inl.h.
// A row is always worked through from its start in vectors of one width, its last values padded to
// a vector: results depend neither on alignment nor on how a batch was split.

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

// exp(x) for x <= 0: 0 where the result would be subnormal (x < -87.336), NaN for NaN. exp(x) =
// 2^n e^r with n = round(x / ln 2) and ln 2 subtracted in two parts, the first so short that n
// times it is exact (Cody and Waite). On |r| <= 0.347, e^r = 1 + r + r^2 p(r) with p interpolated
// at Chebyshev nodes: relative error 1.1e-8, a tenth to a fifth of a unit in the last place.
HWY_INLINE LaneVec ExpNotPositive(Lane16 d, LaneVec x) {
  const hn::RebindToSigned<Lane16> di;
  const auto n = hn::Round(hn::Mul(x, hn::Set(d, 1.44269504f)));
  auto r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  auto p = hn::Set(d, 0.00139261817f);
  p = hn::MulAdd(p, r, hn::Set(d, 0.008363178f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.0416665561f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.166665763f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.5f));
  p = hn::MulAdd(hn::Mul(r, r), p, r);
  p = hn::Add(p, hn::Set(d, 1.0f));
  const auto power = hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127)));
  const auto result = hn::Mul(p, hn::BitCast(d, power));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -87.336f)), result);
}

HWY_INLINE float SumLanes(Lane16 d, LaneVec v) { return hn::GetLane(hn::SumOfLanes(d, v)); }
HWY_INLINE float MaxLane(Lane16 d, LaneVec v) { return hn::GetLane(hn::MaxOfLanes(d, v)); }

void RmsNorm(const float* x, const float* weight, float eps, std::size_t n, float* out) {
  if (n == 0) return;
  const Lane16 d;
  // Four sums, for the latency of the additions and for precision: partial sums stay short.
  auto sum0 = hn::Zero(d), sum1 = hn::Zero(d), sum2 = hn::Zero(d), sum3 = hn::Zero(d);
  std::size_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    const auto x0 = hn::LoadU(d, x + i);
    const auto x1 = hn::LoadU(d, x + i + kLanes);
    const auto x2 = hn::LoadU(d, x + i + 2 * kLanes);
    const auto x3 = hn::LoadU(d, x + i + 3 * kLanes);
    sum0 = hn::MulAdd(x0, x0, sum0);
    sum1 = hn::MulAdd(x1, x1, sum1);
    sum2 = hn::MulAdd(x2, x2, sum2);
    sum3 = hn::MulAdd(x3, x3, sum3);
  }
  for (; i + kLanes <= n; i += kLanes) {
    const auto v = hn::LoadU(d, x + i);
    sum0 = hn::MulAdd(v, v, sum0);
  }
  if (i < n) {
    const auto v = LoadFirst(d, x + i, n - i);
    sum1 = hn::MulAdd(v, v, sum1);
  }
  const float sum = SumLanes(d, hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3)));
  const auto factor = hn::Set(d, 1.0f / std::sqrt(sum / static_cast<float>(n) + eps));
  for (i = 0; i + kLanes <= n; i += kLanes) {
    const auto scaled = hn::Mul(hn::LoadU(d, x + i), factor);
    hn::StoreU(hn::Mul(scaled, hn::LoadU(d, weight + i)), d, out + i);
  }
  if (i < n) {
    const auto scaled = hn::Mul(LoadFirst(d, x + i, n - i), factor);
    StoreFirst(hn::Mul(scaled, LoadFirst(d, weight + i, n - i)), d, out + i, n - i);
  }
}

void Add(float* x, const float* y, std::size_t n) {
  const Lane16 d;
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    hn::StoreU(hn::Add(hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, x + i);
  }
  for (; i < n; ++i) x[i] += y[i];
}

void AddScaled(float* x, const float* y, float factor, std::size_t n) {
  const Lane16 d;
  const auto f = hn::Set(d, factor);
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    hn::StoreU(hn::MulAdd(f, hn::LoadU(d, y + i), hn::LoadU(d, x + i)), d, x + i);
  }
  if (i < n) {
    const auto sum = hn::MulAdd(f, LoadFirst(d, y + i, n - i), LoadFirst(d, x + i, n - i));
    StoreFirst(sum, d, x + i, n - i);
  }
}

// silu(v) = v / (1 + e^-v), with e^-|v| only, so that nothing overflows.
HWY_INLINE LaneVec Silu(Lane16 d, LaneVec v) {
  const auto one = hn::Set(d, 1.0f);
  const auto e = ExpNotPositive(d, hn::Neg(hn::Abs(v)));
  const auto numerator = hn::IfThenElse(hn::Lt(v, hn::Zero(d)), hn::Mul(v, e), v);
  return hn::Div(numerator, hn::Add(one, e));
}

void SwiGlu(const float* gate, const float* up, std::size_t n, float* out) {
  const Lane16 d;
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const auto activated = Silu(d, hn::LoadU(d, gate + i));
    hn::StoreU(hn::Mul(activated, hn::LoadU(d, up + i)), d, out + i);
  }
  if (i < n) {
    const auto activated = Silu(d, LoadFirst(d, gate + i, n - i));
    StoreFirst(hn::Mul(activated, LoadFirst(d, up + i, n - i)), d, out + i, n - i);
  }
}

void Softmax(float* x, std::size_t n) {
  if (n == 0) return;
  const Lane16 d;
  auto most = hn::Set(d, x[0]);
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) most = hn::Max(most, hn::LoadU(d, x + i));
  float largest = MaxLane(d, most);
  for (; i < n; ++i) largest = HWY_MAX(largest, x[i]);

  const auto largest_v = hn::Set(d, largest);
  auto sum = hn::Zero(d);
  for (i = 0; i + kLanes <= n; i += kLanes) {
    const auto e = ExpNotPositive(d, hn::Sub(hn::LoadU(d, x + i), largest_v));
    hn::StoreU(e, d, x + i);
    sum = hn::Add(sum, e);
  }
  if (i < n) {
    const auto e = ExpNotPositive(d, hn::Sub(LoadFirst(d, x + i, n - i), largest_v));
    StoreFirst(e, d, x + i, n - i);
    sum = hn::Add(sum, hn::IfThenElseZero(hn::FirstN(d, n - i), e));
  }
  const auto factor = hn::Set(d, 1.0f / SumLanes(d, sum));
  for (i = 0; i + kLanes <= n; i += kLanes) {
    hn::StoreU(hn::Mul(hn::LoadU(d, x + i), factor), d, x + i);
  }
  if (i < n) StoreFirst(hn::Mul(LoadFirst(d, x + i, n - i), factor), d, x + i, n - i);
}

// (a, b) turned by the angle of (cosine, sine).
HWY_INLINE void Rotate(LaneVec& a, LaneVec& b, LaneVec cosine, LaneVec sine) {
  const auto turned_a = hn::MulSub(a, cosine, hn::Mul(b, sine));
  b = hn::MulAdd(a, sine, hn::Mul(b, cosine));
  a = turned_a;
}

void Rope(float* x, const float* cos_sin, std::size_t rotary, bool neox) {
  const Lane16 d;
  const std::size_t pairs = rotary / 2;
  const float* sines = cos_sin + pairs;
  std::size_t i = 0;
  for (; i + kLanes <= pairs; i += kLanes) {
    const auto cosine = hn::LoadU(d, cos_sin + i);
    const auto sine = hn::LoadU(d, sines + i);
    LaneVec a, b;
    if (neox) {
      a = hn::LoadU(d, x + i);
      b = hn::LoadU(d, x + pairs + i);
      Rotate(a, b, cosine, sine);
      hn::StoreU(a, d, x + i);
      hn::StoreU(b, d, x + pairs + i);
    } else {
      hn::LoadInterleaved2(d, x + 2 * i, a, b);
      Rotate(a, b, cosine, sine);
      hn::StoreInterleaved2(a, b, d, x + 2 * i);
    }
  }
  if (i == pairs) return;
  const std::size_t rest = pairs - i;
  HWY_ALIGN float a_values[kLanes] = {};
  HWY_ALIGN float b_values[kLanes] = {};
  for (std::size_t k = 0; k < rest; ++k) {
    a_values[k] = neox ? x[i + k] : x[2 * (i + k)];
    b_values[k] = neox ? x[pairs + i + k] : x[2 * (i + k) + 1];
  }
  auto a = hn::Load(d, a_values);
  auto b = hn::Load(d, b_values);
  Rotate(a, b, LoadFirst(d, cos_sin + i, rest), LoadFirst(d, sines + i, rest));
  hn::Store(a, d, a_values);
  hn::Store(b, d, b_values);
  for (std::size_t k = 0; k < rest; ++k) {
    (neox ? x[i + k] : x[2 * (i + k)]) = a_values[k];
    (neox ? x[pairs + i + k] : x[2 * (i + k) + 1]) = b_values[k];
  }
}

void RoundBf16(const float* x, std::size_t count, std::uint16_t* out) {
  const Lane16 d;
  const hn::RebindToUnsigned<Lane16> du;
  const hn::RebindToSigned<Lane16> di;
  const hn::Rebind<std::uint16_t, Lane16> d16;
  const std::size_t rest = count % kLanes, whole = count - rest;
  for (std::size_t i = 0; i < whole; i += kLanes) {
    const auto v = hn::LoadU(d, x + i);
    const auto bits = hn::BitCast(du, v);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
    const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fffu)));
    const auto quieted = hn::Or(bits, hn::Set(du, 0x400000u));
    const auto nan = hn::RebindMask(du, hn::IsNaN(v));
    const auto high = hn::ShiftRight<16>(hn::IfThenElse(nan, quieted, rounded));
    hn::StoreU(hn::DemoteTo(d16, hn::BitCast(di, high)), d16, out + i);
  }
  // Counted to `rest`, which GCC can tell is small (otherwise it warns of overflow).
  for (std::size_t k = 0; k < rest; ++k) out[whole + k] = f32_to_bf16(x[whole + k]);
}

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
