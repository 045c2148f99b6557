// The search for Q3_K and Q6_K: w = d s q with signed s and q. Included once per pass by
// encode_families-inl.h, after encode_k_block-inl.h.

BRINK_ENCODE_BEFORE()
namespace brink::BRINK_ENCODE_NAMESPACE {

// Scale of every sub-block, x = scale q, and the error that it leaves.
struct Scaled {
  F32x16 scale, error;
};

// Sums over a sub-block for some levels q: of w q^2 and w x q.
struct ScaledSums {
  F32x16 qq, xq;
};

// What will be stored: scale d s of every sub-block.
struct ScaledCode {
  HalfScale d;
  F32x16 s;
  float error;
};

BRINK_ENCODE_INLINE void Take(const Scaled& candidate, Scaled* best) {
  const Mask16 better = candidate.error < best->error;
  best->scale = IfThenElse(better, candidate.scale, best->scale);
  best->error = IfThenElse(better, candidate.error, best->error);
}

// Levels -kLevels..kLevels-1, scales -kScales..kScales-1, sub-blocks of 16.
template <int kLevels_, int kScales_, class Widths>
struct ScaledSearch {
  static constexpr float kLevels = kLevels_;
  static constexpr float kScales = kScales_;
  using Block = SuperBlock<16>;

  static BRINK_ENCODE_INLINE F32x16 Level(F32x16 x, F32x16 inverse) {
    return Clamp(Round(x * inverse), -kLevels, kLevels - 1.0f);
  }

  // Of the levels nearest to x * inverse.
  static ScaledSums SumsAt(const Block& b, F32x16 inverse) {
    ScaledSums sums{Set(0.0f), Set(0.0f)};
    for (std::size_t i = 0; i < 256; i += 16) {
      const F32x16 q = Level(Load(b.x + i), inverse);
      sums.qq = sums.qq + Load(b.w + i) * q * q;
      sums.xq = sums.xq + Load(b.wx + i) * q;
    }
    return sums;
  }

  // The error with the levels nearest for this scale.
  static F32x16 ErrorAt(const Block& b, F32x16 scale) {
    const F32x16 inverse = InverseOrZero(scale);
    F32x16 error = Set(0.0f);
    for (std::size_t i = 0; i < 256; i += 16) {
      const F32x16 x = Load(b.x + i);
      const F32x16 e = x - scale * Level(x, inverse);
      error = error + Load(b.w + i) * e * e;
    }
    return error;
  }

  // Least squares for given levels.
  static BRINK_ENCODE_INLINE Scaled Fit(const Block& b, const ScaledSums& sums) {
    const Mask16 some = Set(0.0f) < sums.qq;
    const F32x16 scale =
        IfThenElse(some, sums.xq / IfThenElse(some, sums.qq, Set(1.0f)), Set(0.0f));
    return {scale, b.sum_wxx - scale * sums.xq};
  }

  // Lets levels and least squares follow each other.
  static void Descend(const Block& b, int steps, Scaled* best) {
    for (int i = 0; i < steps; ++i) {
      Take(Fit(b, SumsAt(b, InverseOrZero(best->scale))), best);
    }
  }

  // The scale of each sub-block by itself, better ones than `best`.
  static void SearchGroups(const Block& b, const SearchWidth& width, Scaled* best) {
    const F32x16 extreme = IfThenElse(Neg(b.low) < b.high, b.high, b.low);
    const F32x16 unit = InverseOrZero(Neg(extreme));
    for (int i = 0; i < width.scales; ++i) {
      const F32x16 inverse = unit * Set(kLevels + width.first +
                                        quant::exact_product(width.step, static_cast<float>(i)));
      Take(Fit(b, SumsAt(b, inverse)), best);
      if (width.shifts > 0) Take(Fit(b, SumsAt(b, Neg(inverse))), best);
    }
    Descend(b, width.descents, best);
  }

  // Chooses s of every sub-block for this super-block scale: up to `reach` away from the nearest
  // to what the sub-block wants by itself.
  static ScaledCode Quantize(const Block& b, const Scaled& wanted, float d, int reach) {
    ScaledCode code;
    code.d = RoundScale(b, d);
    const F32x16 unit = Set(code.d.value);
    const F32x16 nearest = Round(wanted.scale * Set(InverseOrZero(code.d.value)));
    Scaled best{Set(0.0f), Set(kNoError)};  // in units
    for (int away = -reach; away <= reach; ++away) {
      const F32x16 s = Clamp(nearest + Set(static_cast<float>(away)), -kScales, kScales - 1.0f);
      Take({s, ErrorAt(b, s * unit)}, &best);
    }
    code.s = best.scale;
    code.error = SumOfLanes(best.error);
    return code;
  }

  // The super-block scale that is best for the levels and s of `code`.
  static float FitScale(const Block& b, const ScaledCode& code) {
    const ScaledSums sums = SumsAt(b, InverseOrZero(code.s * Set(code.d.value)));
    const float ss = SumOfLanes(code.s * code.s * sums.qq);
    return ss > 0.0f ? SumOfLanes(code.s * sums.xq) / ss : code.d.value;
  }

  // The scale of the largest magnitude, such that it is -kScales super-block scales.
  static float LargestScale(const Scaled& wanted) {
    const float low = MinOfLanes(wanted.scale), high = MaxOfLanes(wanted.scale);
    return (-low < high ? high : low) / -kScales;
  }

  static void SearchScales(const Block& b, const SearchWidth& width, const Scaled& wanted,
                           ScaledCode* best) {
    const float d = LargestScale(wanted);
    for (int i = 0; i < width.factors; ++i) {
      const ScaledCode code = Quantize(b, wanted, d * width.Factor(i), width.reach);
      if (code.error < best->error) *best = code;
    }
    for (int i = 0; i < width.fits; ++i) {
      const ScaledCode code = Quantize(b, wanted, FitScale(b, *best), width.fit_reach);
      if (!(code.error < best->error)) break;
      *best = code;
    }
  }

  static ScaledCode Search(const Block& b, Effort effort) {
    // All weights zero.
    ScaledCode best{{0, 0.0f}, Set(0.0f), SumOfLanes(b.sum_wxx)};
    Scaled wanted{Set(0.0f), b.sum_wxx};
    SearchGroups(b, Widths::kDefault, &wanted);
    SearchScales(b, Widths::kDefault, wanted, &best);
    if (effort == Effort::kHigh) {
      SearchGroups(b, Widths::kHigh, &wanted);
      SearchScales(b, Widths::kHigh, wanted, &best);
    }
    return best;
  }

  // q + kLevels
  static void Levels(const Block& b, const ScaledCode& code, std::uint8_t* levels) {
    const F32x16 inverse = InverseOrZero(code.s * Set(code.d.value));
    std::uint8_t lanes[256];
    for (std::size_t i = 0; i < 256; i += 16) {
      StoreBytes(RoundToInt(Level(Load(b.x + i), inverse) + Set(kLevels)), lanes + i);
    }
    OrderLevels<16>(lanes, levels);
  }
};

}  // namespace brink::BRINK_ENCODE_NAMESPACE
BRINK_ENCODE_AFTER()
