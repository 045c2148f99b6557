// Encoders of IQ4_NL and IQ4_XS (quant/i_quants.h): sixteen uneven levels. Included once per pass
// by encode_families-inl.h.

BRINK_ENCODE_BEFORE()
namespace brink::BRINK_ENCODE_NAMESPACE {

struct Iq4Levels {
  static constexpr float kTargets[] = {
      -138.0f, -133.0f, -129.0f, -125.0f, -121.0f, -117.0f, -113.0f, -109.0f, -104.0f, -98.0f,
      98.0f, 103.0f, 108.0f, 113.0f, 118.0f, 124.0f,
      // The levels find the scale of weights that have one.
      -83.0f, -65.0f, -49.0f, -35.0f, -22.0f, -10.0f, 1.0f, 13.0f, 25.0f, 38.0f, 53.0f, 69.0f,
      89.0f, -145.0f, -154.0f, -165.0f, -135.5f, -131.0f, -127.0f, -123.0f, -119.0f, -115.0f,
      -111.0f, -94.0f, 93.0f, 105.5f, 110.5f, 115.5f, 121.0f, 130.0f, 138.0f, 148.0f};
  static constexpr std::size_t kDefaultTargets = 16;
  static constexpr int kRefits = 0;

  // Halfway between level k and the one before it.
  static constexpr float Border(std::size_t k) {
    return 0.5f * static_cast<float>(quant::kIq4Values[k - 1] + quant::kIq4Values[k]);
  }
  // Unrolled by recursion: the borders and levels are then constants.
  template <std::size_t kLast = 15>
  BRINK_ENCODE_INLINE static F32x16 Nearest(F32x16 t) {
    constexpr float kLevel = quant::kIq4Values[kLast];
    if constexpr (kLast == 0) {
      return Set(kLevel);
    } else {
      constexpr float kBorder = Border(kLast);
      return IfThenElse(Set(kBorder) < t, Set(kLevel), Nearest<kLast - 1>(t));
    }
  }
  template <std::size_t kLast = 15>
  BRINK_ENCODE_INLINE static I32x16 Code(F32x16 t) {
    if constexpr (kLast == 0) {
      return SetInt(0);
    } else {
      constexpr float kBorder = Border(kLast);
      return IfThenElse(Set(kBorder) < t, SetInt(kLast), Code<kLast - 1>(t));
    }
  }
};

struct FormatIQ4_NL {
  using Block = quant::BlockIQ4_NL;

  template <bool kWeighted, bool kHigh>
  BRINK_ENCODE_INLINE static void EncodeBlock(const float* weights, const float* importance,
                                              Block& block) {
    SearchBlock<32> b;
    Prepare<kWeighted>(weights, importance, b);
    const std::uint16_t half = SearchScale<Iq4Levels, kWeighted, kHigh>(b);
    quant::store_f16(half, block.d);
    const F32x16 inverse = InverseScale(b, half);
    StoreNibbles(Iq4Levels::Code(Load(b.x) * inverse), Iq4Levels::Code(Load(b.x + 16) * inverse),
                 block.qs);
  }
};

// IQ4_XS: the scale of a group is that of the block times a whole number from -32 to 31.
struct FormatIQ4_XS {
  using Block = quant::BlockIQ4_XS;
  static constexpr std::size_t kGroups = 8;

  // What the largest group scale is divided by to get the block's scale in the candidates.
  static constexpr float kDivisors[] = {
      -32.4f, -32.0f, -31.2f, -30.3f, -29.3f, -28.3f, -27.2f, -26.0f, -24.6f, -23.0f, 31.4f,
      30.6f,  29.6f,  28.4f,  27.0f,  25.0f,  -32.8f, -31.6f, -30.8f, -29.8f, -28.8f, -27.7f,
      -26.6f, -25.3f, -23.8f, -22.0f, 31.0f,  30.1f,  29.0f,  27.7f,  26.0f,  24.0f};

  // Scales of groups: `best` the best one, as found without regard to the others, and the curvature
  // of the error there; `steps` what the block has.
  struct Groups {
    alignas(64) float best[16];
    alignas(64) float curvature[16];
    float steps[kGroups];
  };

  BRINK_ENCODE_INLINE static F32x16 NearestStep(F32x16 t) {
    return Max(Min(Round(t), Set(31.0f)), Set(-32.0f));
  }

  BRINK_ENCODE_INLINE static void TakeBest(const LaneBest& best, std::size_t g, Groups& groups) {
    const std::size_t lane = BestLane(best);
    groups.curvature[g] = LaneAt(best.qq, lane);
    groups.best[g] = LaneAt(best.xq, lane) / groups.curvature[g];
  }

  // The best of the first kCount candidates for the block's scale in every lane, and what they add
  // to the error.
  template <std::size_t kCount>
  BRINK_ENCODE_INLINE static void TryBlockScales(const Groups& groups, F32x16& d, F32x16& added) {
    const F32x16 scales = Load(groups.best);
    const float greatest = MaxOfLanes(scales), least = MinOfLanes(scales);
    const F32x16 largest = Set(greatest < -least ? least : greatest);
    added = Set(std::numeric_limits<float>::max());
    d = Set(0.0f);
    for (std::size_t i = 0; i < kCount; i += 16) {
      const F32x16 candidate = largest / Load(kDivisors + i);
      const F32x16 error = AddedErrors(groups, candidate);
      d = IfThenElse(error < added, candidate, d);
      added = Min(error, added);
    }
  }

  // How much each candidate scale of the block adds to the errors of the groups with their best
  // scales, the levels being fixed.
  BRINK_ENCODE_INLINE static F32x16 AddedErrors(const Groups& groups, F32x16 d) {
    const F32x16 inverse = InverseOf(d);
    F32x16 sum = Set(0.0f);
    for (std::size_t g = 0; g < kGroups; ++g) {
      const F32x16 best = Set(groups.best[g]);
      const F32x16 e = best - NearestStep(best * inverse) * d;
      sum = sum + Set(groups.curvature[g]) * (e * e);
    }
    return sum;
  }

  // The best scale for the block with the steps as they are and the levels that `d` gives; `d`
  // where there is none.
  template <bool kWeighted>
  BRINK_ENCODE_INLINE static float Refit(const SearchBlock<256>& b, const Groups& groups, float d) {
    float sum_xq = 0.0f, sum_qq = 0.0f;
    for (std::size_t g = 0; g < kGroups; ++g) {
      const float step = groups.steps[g];
      float xq, qq;
      SumLevelsOnce<Iq4Levels, kWeighted>(PartOf<32>(b, 32 * g),
                                          InverseOf(quant::exact_product(d, step)), xq, qq);
      sum_xq += quant::exact_product(step, xq);
      sum_qq += quant::exact_product(step * step, qq);
    }
    return sum_qq > 0.0f ? sum_xq / sum_qq : d;
  }

  // The weighted squared error of group `g` with its scale in each lane.
  template <bool kWeighted>
  BRINK_ENCODE_INLINE static F32x16 GroupErrors(const SearchBlock<256>& b, std::size_t g,
                                                F32x16 scale) {
    return SumErrors<Iq4Levels, kWeighted>(PartOf<32>(b, 32 * g), scale);
  }

  template <bool kWeighted>
  BRINK_ENCODE_INLINE static float BlockError(const SearchBlock<256>& b, float d,
                                              const Groups& groups) {
    float total = 0.0f;
    for (std::size_t g = 0; g < kGroups; ++g) {
      const float scale = quant::exact_product(d, groups.steps[g]);
      total += LaneAt(GroupErrors<kWeighted>(b, g, Set(scale)), 0);
    }
    return total;
  }

  // The best steps for a block's scale, of those around the step nearest to the best scale of
  // the group. Returns the error of the block.
  template <bool kWeighted>
  BRINK_ENCODE_INLINE static float ChooseSteps(const SearchBlock<256>& b, float d, Groups& groups) {
    float total = 0.0f;
    const F32x16 block_scale = Set(d);
    const float inverse = InverseOf(d);
    for (std::size_t g = 0; g < kGroups; ++g) {
      const float center =
          std::clamp(std::nearbyint(quant::exact_product(groups.best[g], inverse)), -24.0f, 24.0f);
      const F32x16 steps = Set(center) + Load(kAround);
      alignas(64) float errors[16];
      const F32x16 error = GroupErrors<kWeighted>(b, g, steps * block_scale);
      Store(error, errors);
      const float least = MinOfLanes(error);
      groups.steps[g] = LaneAt(steps, LaneOf(errors, least));
      total += least;
    }
    return total;
  }
  static constexpr float kAround[16] = {0.0f, -1.0f, 1.0f, -2.0f, 2.0f, -3.0f, 3.0f, -4.0f,
                                        4.0f, -5.0f, 5.0f, -6.0f, 6.0f, -7.0f, 7.0f, -8.0f};

  BRINK_ENCODE_INLINE static void StoreGroup(const SearchBlock<256>& b, std::size_t g, float scale,
                                             int step, Block& block) {
    const F32x16 inverse = Set(InverseOf(scale));
    const float* x = b.x + 32 * g;
    StoreNibbles(Iq4Levels::Code(Load(x) * inverse), Iq4Levels::Code(Load(x + 16) * inverse),
                 block.qs + 16 * g);
    const unsigned code = static_cast<unsigned>(step + 32);
    block.scales_l[g / 2] =
        static_cast<std::uint8_t>(block.scales_l[g / 2] | (code & 15) << (g % 2 * 4));
    block.scales_h[g / 4] =
        static_cast<std::uint8_t>(block.scales_h[g / 4] | (code >> 4) << (g % 4 * 2));
  }

  template <bool kWeighted, bool kHigh>
  BRINK_ENCODE_INLINE static void EncodeBlock(const float* weights, const float* importance,
                                              Block& block) {
    SearchBlock<256> b;
    Prepare<kWeighted>(weights, importance, b);
    Groups groups = {};
    LaneBest best[kGroups];
    for (std::size_t g = 0; g < kGroups; ++g) {
      const SearchPart<32> p = PartOf<32>(b, 32 * g);
      best[g] = NoneYet();
      const float largest = LargestOf<kWeighted>(p);
      if (largest == 0.0f) continue;
      TryTargets<Iq4Levels, kWeighted>(p, largest, 0, Iq4Levels::kDefaultTargets, best[g]);
      TakeBest(best[g], g, groups);
    }
    F32x16 d, added;
    TryBlockScales<16>(groups, d, added);
    std::uint16_t half = DefaultBlockScale<kWeighted>(b, added, d, groups);
    if constexpr (kHigh) {
      for (std::size_t g = 0; g < kGroups; ++g) {
        const SearchPart<32> p = PartOf<32>(b, 32 * g);
        const float largest = LargestOf<kWeighted>(p);
        if (largest == 0.0f) continue;
        TryTheRest<Iq4Levels, kWeighted>(p, largest, best[g]);
        TakeBest(best[g], g, groups);
      }
      TryBlockScales<std::size(kDivisors)>(groups, d, added);
      half = SearchBlockScale<kWeighted>(b, added, d, half, groups);
    }
    quant::store_f16(half, block.d);
    std::memset(block.scales_l, 0, sizeof(block.scales_l));
    std::memset(block.scales_h, 0, sizeof(block.scales_h));
    const float scale = quant::exact_product(f16_to_f32(half), b.per_unit);
    for (std::size_t g = 0; g < kGroups; ++g) {
      StoreGroup(b, g, quant::exact_product(scale, groups.steps[g]),
                 static_cast<int>(groups.steps[g]), block);
    }
  }

  BRINK_ENCODE_INLINE static float Rounded(const SearchBlock<256>& b, float d,
                                           std::uint16_t& half) {
    half = quant::finite_f16(quant::exact_product(d, b.unit));
    return quant::exact_product(f16_to_f32(half), b.per_unit);
  }

  BRINK_ENCODE_INLINE static void NearestSteps(float d, Groups& groups) {
    alignas(64) float steps[16];
    Store(NearestStep(Load(groups.best) * Set(InverseOf(d))), steps);
    std::copy_n(steps, kGroups, groups.steps);
  }

  template <bool kWeighted>
  BRINK_ENCODE_INLINE static std::uint16_t DefaultBlockScale(const SearchBlock<256>& b,
                                                             F32x16 added, F32x16 candidates,
                                                             Groups& groups) {
    alignas(64) float errors[16];
    Store(added, errors);
    std::uint16_t half;
    const float d = Rounded(b, LaneAt(candidates, LaneOf(errors, MinOfLanes(added))), half);
    NearestSteps(d, groups);
    Rounded(b, Refit<kWeighted>(b, groups, d), half);
    return half;
  }

  template <bool kWeighted>
  BRINK_ENCODE_INLINE static std::uint16_t SearchBlockScale(const SearchBlock<256>& b, F32x16 added,
                                                            F32x16 candidates, std::uint16_t first,
                                                            Groups& groups) {
    // `first` with the steps that are there, then the best lanes, each with the best steps and the
    // scale that these lead to.
    constexpr int kTried = 6;
    alignas(64) float errors[16];
    Store(added, errors);
    float best_error = quant::exact_product(
        BlockError<kWeighted>(b, quant::exact_product(f16_to_f32(first), b.per_unit), groups),
        kErrorMargin);
    std::uint16_t best_half = first;
    Groups best_groups = groups;
    for (int i = 0; i < kTried; ++i) {
      const std::size_t lane = LaneOf(errors, MinOfLanes(Load(errors)));
      errors[lane] = std::numeric_limits<float>::max();
      float d = LaneAt(candidates, lane);
      for (int pass = 0; pass < 2; ++pass) {
        std::uint16_t half;
        d = Rounded(b, d, half);
        const float error = ChooseSteps<kWeighted>(b, d, groups);
        if (error < best_error) {
          best_error = error;
          best_half = half;
          best_groups = groups;
        }
        d = Refit<kWeighted>(b, groups, d);
      }
    }
    groups = best_groups;
    return best_half;
  }
};

template <>
inline constexpr EncodeFn kEncoder<TensorType::kIQ4_NL> = &EncodeRow<FormatIQ4_NL>;
template <>
inline constexpr EncodeFn kEncoder<TensorType::kIQ4_XS> = &EncodeRow<FormatIQ4_XS>;

}  // namespace brink::BRINK_ENCODE_NAMESPACE
BRINK_ENCODE_AFTER()
