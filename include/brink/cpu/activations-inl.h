// Rounding of activations to int8. Included once per pass by kernels-inl.h.

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

HWY_INLINE float MaxAbs(const float* HWY_RESTRICT x, std::size_t count) {
  const hn::CappedTag<float, 16> d;
  auto max = hn::Zero(d);
  for (std::size_t i = 0; i < count; i += hn::Lanes(d)) {
    max = hn::Max(max, hn::Abs(hn::LoadU(d, x + i)));
  }
  return hn::GetLane(hn::MaxOfLanes(d, max));
}

void QuantizeQ8(const float* HWY_RESTRICT x, std::size_t count, std::uint32_t block,
                const Q8Row& out) {
  const hn::CappedTag<float, 16> df;
  const hn::Rebind<std::int8_t, decltype(df)> d8;
  for (std::size_t b = 0; b < count; b += block) {
    const float max = MaxAbs(x + b, block);
    const float scale = max / 127.0f;
    // A subnormal maximum would make the reciprocal infinite; it is as good as zero.
    const float inverse = max > 1e-35f ? 127.0f / max : 0.0f;
    out.scales[b / block] = inverse > 0.0f ? scale : 0.0f;
    for (std::size_t i = b; i < b + block; i += hn::Lanes(df)) {
      const auto q = hn::NearestInt(hn::Mul(hn::LoadU(df, x + i), hn::Set(df, inverse)));
      hn::StoreU(hn::DemoteTo(d8, q), d8, out.q + i);
    }
  }
  const hn::FixedTag<std::int32_t, 4> d4;
  const hn::FixedTag<std::uint8_t, 16> du8;
  const hn::FixedTag<std::int8_t, 16> ds8;
  float previous = 0.0f;
  for (std::size_t i = 0; i < count; i += 16) {
    const auto fours = DotU8S8(d4, hn::Zero(d4), hn::Set(du8, 1), hn::LoadU(ds8, out.q + i));
    hn::StoreU(hn::Neg(hn::ShiftLeft<7>(fours)), d4, out.sums4 + i / 4);
    const float sum = static_cast<float>(hn::GetLane(hn::SumOfLanes(d4, fours)));
    out.sums16[i / 16] = sum;
    if (i % 32 != 0) out.sums32[i / 32] = previous + sum;
    previous = sum;
  }
}

#if BRINK_HAVE_VNNI
// vpdpbusd takes unsigned activations and signed weights: q + 128, whose surplus is put right by
// the value the accumulators start from (matmul-inl.h).
using PanelElement = std::uint8_t;
#else
// Without vpdpbusd, 16-bit multiply-adds are exact for every type and exist everywhere.
using PanelElement = std::int16_t;
#endif

void PackQ8(const std::int8_t* HWY_RESTRICT q, std::size_t count, std::uint8_t* HWY_RESTRICT out) {
  PanelElement unit[kUnit];
  for (std::size_t i = 0; i < kUnit; ++i) {
    const int value = i < count ? q[i] : 0;
    unit[i] = static_cast<PanelElement>(BRINK_HAVE_VNNI ? value + 128 : value);
  }
  std::memcpy(out, unit, sizeof(unit));
}

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
