// The search for Q2_K, Q4_K and Q5_K: w = d s q - dmin m with q from 0. Included once per pass by
// encode_families-inl.h, after encode_k_block-inl.h.

BRINK_ENCODE_BEFORE()
namespace brink::BRINK_ENCODE_NAMESPACE {

// Scale and minimum of every sub-block, x = scale q - min, and the error that they leave.
struct Affine {
  F32x16 scale, min, error;
};

// Sums over a sub-block for some levels q: of w q, w q^2 and w x q.
struct AffineSums {
  F32x16 q, qq, xq;
};

// What will be stored: scale d s and minimum dmin m of every sub-block.
struct AffineCode {
  HalfScale d, dmin;
  F32x16 s, m;
  float error;
};

BRINK_ENCODE_INLINE void Take(const Affine& candidate, Affine* best) {
  const Mask16 better = candidate.error < best->error;
  best->scale = IfThenElse(better, candidate.scale, best->scale);
  best->min = IfThenElse(better, candidate.min, best->min);
  best->error = IfThenElse(better, candidate.error, best->error);
}

template <std::size_t kGroup_, int kLevels_, int kScales_, class Widths>
struct AffineSearch {
  static constexpr std::size_t kGroup = kGroup_;
  static constexpr float kLevels = kLevels_;  // the largest q
  static constexpr float kScales = kScales_;  // the largest s and m
  using Block = SuperBlock<kGroup>;

  static BRINK_ENCODE_INLINE F32x16 Level(F32x16 x, F32x16 inverse, F32x16 offset) {
    return Clamp(Round(x * inverse + offset), 0.0f, kLevels);
  }

  // Of the levels nearest to x * inverse + offset.
  static AffineSums SumsAt(const Block& b, F32x16 inverse, F32x16 offset) {
    AffineSums sums{Set(0.0f), Set(0.0f), Set(0.0f)};
    for (std::size_t i = 0; i < 256; i += 16) {
      const F32x16 q = Level(Load(b.x + i), inverse, offset);
      const F32x16 wq = Load(b.w + i) * q;
      sums.q = sums.q + wq;
      sums.qq = sums.qq + wq * q;
      sums.xq = sums.xq + Load(b.wx + i) * q;
    }
    return {Total<kGroup>(sums.q), Total<kGroup>(sums.qq), Total<kGroup>(sums.xq)};
  }

  // The error with the levels nearest for this scale and minimum.
  static F32x16 ErrorAt(const Block& b, F32x16 scale, F32x16 min) {
    const F32x16 inverse = InverseOrZero(scale);
    const F32x16 offset = min * inverse;
    F32x16 error = Set(0.0f);
    for (std::size_t i = 0; i < 256; i += 16) {
      const F32x16 x = Load(b.x + i);
      const F32x16 e = (x + min) - scale * Level(x, inverse, offset);
      error = error + Load(b.w + i) * e * e;
    }
    return Total<kGroup>(error);
  }

  // Least squares for given levels, with a minimum >= 0; no error is infinite where there is no
  // solution.
  static BRINK_ENCODE_INLINE Affine Fit(const Block& b, const AffineSums& sums) {
    const F32x16 zero = Set(0.0f), two = Set(2.0f);
    const F32x16 all = b.sum_w * sums.qq;
    const F32x16 determinant = all - sums.q * sums.q;
    const Mask16 solvable = all * Set(1e-5f) < determinant;
    const F32x16 divisor = IfThenElse(solvable, determinant, Set(1.0f));
    F32x16 scale = (b.sum_w * sums.xq - b.sum_wx * sums.q) / divisor;
    F32x16 min = (scale * sums.q - b.sum_wx) / b.sum_w;
    const Mask16 negative = min < zero;
    min = IfThenElse(negative, zero, min);
    scale = IfThenElse(negative, sums.xq / IfThenElse(solvable, sums.qq, Set(1.0f)), scale);
    const F32x16 error = b.sum_wxx + scale * (scale * sums.qq - two * (sums.xq + min * sums.q)) +
                         min * (min * b.sum_w + two * b.sum_wx);
    const Mask16 good = solvable & (zero < scale);
    return {IfThenElse(good, scale, zero), IfThenElse(good, min, zero),
            IfThenElse(good, error, Set(kNoError))};
  }

  // The best constant: what a scale of zero gives.
  static BRINK_ENCODE_INLINE Affine Constant(const Block& b) {
    const F32x16 min = Max(Neg(b.sum_wx) / b.sum_w, Set(0.0f));
    return {Set(0.0f), min, b.sum_wxx + min * (min * b.sum_w + Set(2.0f) * b.sum_wx)};
  }

  // Lets levels and least squares follow each other.
  static void Descend(const Block& b, int steps, Affine* best) {
    for (int i = 0; i < steps; ++i) {
      const F32x16 inverse = InverseOrZero(best->scale);
      Take(Fit(b, SumsAt(b, inverse, best->min * inverse)), best);
    }
  }

  // Scale and minimum of each sub-block by itself, better ones than `best`.
  static void SearchGroups(const Block& b, const SearchWidth& width, Affine* best) {
    const F32x16 low = Min(b.low, Set(0.0f));
    const F32x16 range = b.high - low;
    const Mask16 some = Set(0x1p-60f) < range;
    const F32x16 unit = IfThenElse(some, Set(1.0f) / IfThenElse(some, range, Set(1.0f)), Set(0.0f));
    for (int i = 0; i < width.scales; ++i) {
      const F32x16 inverse = unit * Set(kLevels + width.first +
                                        quant::exact_product(width.step, static_cast<float>(i)));
      for (int shift = -width.shifts; shift <= width.shifts; ++shift) {
        const F32x16 offset = Set(0.2f * static_cast<float>(shift)) - low * inverse;
        Take(Fit(b, SumsAt(b, inverse, offset)), best);
      }
    }
    Descend(b, width.descents, best);
  }

  // Chooses s and m of every sub-block for these super-block scales, near what the sub-block wants
  // by itself: s up to `reach` away from the nearest, m the nearest for the levels of that scale
  // and, with a reach, its other neighbour.
  static AffineCode Quantize(const Block& b, const Affine& wanted, float d, float dmin, int reach) {
    AffineCode code;
    code.d = RoundScale(b, d);
    code.dmin = RoundScale(b, dmin);
    const F32x16 scale_unit = Set(code.d.value), min_unit = Set(code.dmin.value);
    const F32x16 per_min = Set(InverseOrZero(code.dmin.value));
    const F32x16 nearest = Round(wanted.scale * Set(InverseOrZero(code.d.value)));
    Affine best{Set(0.0f), Set(0.0f), Set(kNoError)};  // in units
    for (int away = -reach; away <= reach; ++away) {
      const F32x16 s = Clamp(nearest + Set(static_cast<float>(away)), 0.0f, kScales);
      const F32x16 scale = s * scale_unit;
      const F32x16 inverse = InverseOrZero(scale);
      const AffineSums sums = SumsAt(b, inverse, wanted.min * inverse);
      const F32x16 exact = (scale * sums.q - b.sum_wx) / b.sum_w * per_min;
      const F32x16 m = Clamp(Round(exact), 0.0f, kScales);
      Take({s, m, ErrorAt(b, scale, m * min_unit)}, &best);
      if (reach > 0) {
        const F32x16 side = IfThenElse(m < exact, Set(1.0f), Set(-1.0f));
        const F32x16 other = Clamp(m + side, 0.0f, kScales);
        Take({s, other, ErrorAt(b, scale, other * min_unit)}, &best);
      }
    }
    code.s = best.scale;
    code.m = best.min;
    code.error = SumOfGroups<kGroup>(best.error);
    return code;
  }

  // The super-block scales that are best for the levels, s and m of `code`.
  static void FitScales(const Block& b, const AffineCode& code, float* d, float* dmin) {
    const F32x16 scale = code.s * Set(code.d.value);
    const F32x16 inverse = InverseOrZero(scale);
    const AffineSums sums = SumsAt(b, inverse, code.m * Set(code.dmin.value) * inverse);
    const float ss = SumOfLanes(code.s * code.s * sums.qq);
    const float sm = SumOfLanes(code.s * code.m * sums.q);
    const float mm = SumOfLanes(code.m * code.m * b.sum_w);
    const float xs = SumOfLanes(code.s * sums.xq);
    const float xm = SumOfLanes(code.m * b.sum_wx);
    // ss d - sm dmin = xs, -sm d + mm dmin = -xm
    const float all = quant::exact_product(ss, mm);
    const float determinant = all - quant::exact_product(sm, sm);
    *d = code.d.value;
    *dmin = code.dmin.value;
    if (determinant > 1e-5f * all) {
      *d = (quant::exact_product(xs, mm) - quant::exact_product(xm, sm)) / determinant;
      *dmin = (quant::exact_product(xs, sm) - quant::exact_product(xm, ss)) / determinant;
    } else if (mm == 0.0f && ss > 0.0f) {
      *d = xs / ss;
    } else if (ss == 0.0f && mm > 0.0f) {
      *dmin = -xm / mm;
    }
    if (!(*d >= 0.0f)) *d = 0.0f;
    if (!(*dmin >= 0.0f)) *dmin = 0.0f;
  }

  static void SearchScales(const Block& b, const SearchWidth& width, const Affine& wanted,
                           AffineCode* best) {
    const float d = MaxOfLanes(wanted.scale) / kScales;
    const float dmin = MaxOfLanes(wanted.min) / kScales;
    for (int i = 0; i < width.factors; ++i) {
      for (int j = 0; j < width.factors; ++j) {
        const AffineCode code =
            Quantize(b, wanted, d * width.Factor(i), dmin * width.Factor(j), width.reach);
        if (code.error < best->error) *best = code;
      }
    }
    for (int i = 0; i < width.fits; ++i) {
      float fit_d, fit_dmin;
      FitScales(b, *best, &fit_d, &fit_dmin);
      const AffineCode code = Quantize(b, wanted, fit_d, fit_dmin, width.fit_reach);
      if (!(code.error < best->error)) break;
      *best = code;
    }
  }

  static AffineCode Search(const Block& b, Effort effort) {
    // All weights zero.
    AffineCode best{{0, 0.0f}, {0, 0.0f}, Set(0.0f), Set(0.0f), SumOfGroups<kGroup>(b.sum_wxx)};
    Affine wanted = Constant(b);
    SearchGroups(b, Widths::kDefault, &wanted);
    SearchScales(b, Widths::kDefault, wanted, &best);
    if (effort == Effort::kHigh) {
      SearchGroups(b, Widths::kHigh, &wanted);
      SearchScales(b, Widths::kHigh, wanted, &best);
    }
    return best;
  }

  static void Levels(const Block& b, const AffineCode& code, std::uint8_t* levels) {
    const F32x16 inverse = InverseOrZero(code.s * Set(code.d.value));
    const F32x16 offset = code.m * Set(code.dmin.value) * inverse;
    std::uint8_t lanes[256];
    for (std::size_t i = 0; i < 256; i += 16) {
      StoreBytes(RoundToInt(Level(Load(b.x + i), inverse, offset)), lanes + i);
    }
    OrderLevels<kGroup>(lanes, levels);
  }
};

}  // namespace brink::BRINK_ENCODE_NAMESPACE
BRINK_ENCODE_AFTER()
