// Encoders of the IQ1, IQ2 and IQ3 types: the scales of a super-block and its points. Included
// once per pass by encode_families-inl.h, after encode_grid_search-inl.h.
//
// A super-block has a scale d (f16), a sub-block of 16 or 32 weights the odd multiplier
// 2 s + 1 of unit * d. The cost of a sub-block (see GridPoint) as a function of its scale is a
// minimum of lines, so concave: known at a few samples, its chords are a good guess of it between
// them. Guesses of all sub-blocks choose d among many f16 numbers; then the multipliers are chosen
// by true costs among those nearest to the guess, and d again by least squares.

BRINK_ENCODE_BEFORE()
namespace brink::BRINK_ENCODE_NAMESPACE {

enum class GridSigns {
  kFree,
  kEven,         // an even number of minus signs in 8 weights
  kDelta,        // points have signs; 8 weights share the sign of delta
  kSharedDelta,  // points have signs; a sub-block shares the sign of delta
};

// For how many scales the error of a sub-block is computed: samples, with the ratio of neighbours,
// and then multipliers of the scale of the super-block.
struct GridSampling {
  std::size_t samples;
  float ratio;
  std::size_t multipliers;
};

struct GridFormat {
  TensorType type;
  GridSigns signs;
  std::size_t octets;  // of 8 weights, in a sub-block
  float largest;       // multiplier
  float unit;
  // Decoded weights over the scale of a sub-block, root mean square in a typical one.
  float typical;
  GridSampling sampling[2];  // Effort::kDefault, Effort::kHigh
};

inline constexpr std::size_t kMaxGridSamples = 16;

/// A super-block of weights to encode, times a power of two so that the largest is near 1.
struct GridBlock {
  const quant::Codebook* book;
  float to_f16;    // from scales here (unit * d) to d
  float from_f16;  // its inverse
  bool weighted;
  alignas(64) float weights[256];
  alignas(64) float importance[256];  // at most 2
  alignas(64) float pulls[256];       // 2 w |x| (IQ1: 2 w x)
  std::uint8_t minus[32];             // bit i: weight i of 8 is negative
};

struct GridSolution {
  float scale;            // unit * d, exact
  float multipliers[16];  // of sub-blocks
  std::uint16_t codes[64];
  std::uint8_t signs[32];         // of 8 weights; IQ1: whether delta is negative
  alignas(64) float levels[256];  // decoded weights over the scale of the sub-block
  float error;                    // as in GridBlock
};

/// Costs of a sub-block at sampled scales, and the lines through neighbours.
struct GridSamples {
  alignas(64) float scales[kMaxGridSamples];
  alignas(64) float costs[kMaxGridSamples];
  alignas(64) float slopes[kMaxGridSamples];
  alignas(64) float offsets[kMaxGridSamples];
  std::size_t count;
  float best;  // scale of the least error
};

/// 2^exponent for -126 <= exponent <= 127.
BRINK_ENCODE_INLINE float PowerOfTwo(int exponent) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(exponent + 127) << 23);
}
/// Rounded down to a power of two: its exponent, -127 for subnormals and 0.
BRINK_ENCODE_INLINE int ExponentOf(float positive) {
  return static_cast<int>(std::bit_cast<std::uint32_t>(positive) >> 23) - 127;
}

/// False where all weights are zero, have no importance, or are too small for any scale.
inline bool PrepareBlock(const GridFormat& format, const float* weights, const float* importance,
                         GridBlock& block) {
  F32x16 largest_lanes = Set(0.0f), important_lanes = Set(0.0f);
  if (importance != nullptr) {
    for (std::size_t i = 0; i < 256; i += 16) {
      important_lanes = Max(Load(importance + i), important_lanes);
    }
  }
  const float most_important = MaxOfLanes(important_lanes);
  block.weighted = most_important > 0.0f;
  const F32x16 down = Set(PowerOfTwo(std::clamp(-ExponentOf(most_important), -126, 126)));
  for (std::size_t i = 0; i < 256; i += 16) {
    F32x16 x = Load(weights + i);
    F32x16 w = Set(1.0f);
    if (block.weighted) {
      w = Load(importance + i) * down;
      x = IfThenElse(w == Set(0.0f), Set(0.0f), x);
    }
    largest_lanes = Max(Abs(x), largest_lanes);
    Store(x, block.weights + i);
    Store(w, block.importance + i);
  }
  const float largest = MaxOfLanes(largest_lanes);
  // The smallest weight but 0 that any of the types has is 2^-27.
  if (largest < 0x1p-29f) return false;
  const int exponent = std::min(ExponentOf(largest), 124);
  block.to_f16 = PowerOfTwo(exponent) / format.unit;
  block.from_f16 = PowerOfTwo(-exponent) * format.unit;
  const F32x16 normal = Set(PowerOfTwo(-exponent));
  const bool signed_points = block.book->has_delta;
  for (std::size_t i = 0; i < 256; i += 16) {
    const F32x16 x = Load(block.weights + i) * normal;
    const F32x16 pull = (signed_points ? x : Abs(x)) * Load(block.importance + i);
    Store(x, block.weights + i);
    Store(pull + pull, block.pulls + i);
    const std::uint32_t minus = BitsOfMask(x < Set(0.0f));
    block.minus[i / 8] = static_cast<std::uint8_t>(minus & 255);
    block.minus[i / 8 + 1] = static_cast<std::uint8_t>(minus >> 8);
  }
  return true;
}

BRINK_ENCODE_INLINE bool MustFlip(const GridFormat& format, const GridBlock& block,
                                  std::size_t octet) {
  return format.signs == GridSigns::kEven && (std::popcount(block.minus[octet]) & 1) != 0;
}

/// One or two groups of an octet; returns how many.
inline std::size_t PrepareOctet(const GridFormat& format, const GridBlock& block, std::size_t octet,
                                GridGroup* groups) {
  const std::size_t dims = 2 * block.book->half_group;
  for (std::size_t g = 0; g < 8 / dims; ++g) {
    const std::size_t at = 8 * octet + dims * g;
    PrepareGroup(*block.book, MustFlip(format, block, octet), block.pulls + at,
                 block.weighted ? block.importance + at : nullptr, groups[g]);
  }
  return 8 / dims;
}

/// What a delta of either sign adds to the costs of points.
struct DeltaCosts {
  float pull = 0.0f, importance = 0.0f;

  DeltaCosts(const GridBlock& block, std::size_t octet) {
    for (std::size_t i = 8 * octet; i < 8 * octet + 8; ++i) {
      pull += block.pulls[i];
      importance += block.importance[i];
    }
  }
  float plus(float scale) const { return quant::exact_product(scale, importance) - pull; }
  float minus(float scale) const { return quant::exact_product(scale, importance) + pull; }
};

/// costs[i] of a sub-block at scales[i], i < count.
inline void SubBlockCosts(const GridFormat& format, const GridBlock& block, std::size_t sub,
                          const float* scales, std::size_t count, float* costs) {
  constexpr GridPoint kNoBound = {INFINITY, 0};
  const quant::Codebook& book = *block.book;
  GridGroup groups[2];
  float sums[2][kMaxGridSamples] = {};
  for (std::size_t octet = sub * format.octets; octet < (sub + 1) * format.octets; ++octet) {
    const std::size_t group_count = PrepareOctet(format, block, octet, groups);
    const bool flip = MustFlip(format, block, octet);
    const DeltaCosts delta(block, octet);
    for (std::size_t i = 0; i < count; ++i) {
      const float scale = scales[i];
      std::size_t half;
      if (book.has_delta) {
        const float plus = CheapestPoint<false>(book, groups[0], 0, scale, kNoBound).cost;
        if (format.signs == GridSigns::kSharedDelta) {
          sums[0][i] += plus + delta.plus(scale);
          sums[1][i] +=
              CheapestPoint<false>(book, groups[0], 1, scale, kNoBound).cost + delta.minus(scale);
        } else {
          const float better = plus + delta.plus(scale);
          const GridPoint bound = {better - delta.minus(scale), 0};
          const float minus = CheapestPoint<false>(book, groups[0], 1, scale, bound).cost;
          sums[0][i] += std::min(better, minus + delta.minus(scale));
        }
      } else if (group_count == 1) {
        sums[0][i] += (flip ? CheapestFlippedPoint<false>(book, groups[0], scale, kNoBound, half)
                            : CheapestPoint<false>(book, groups[0], 0, scale, kNoBound))
                          .cost;
      } else {
        const float first = CheapestPoint<false>(book, groups[0], 0, scale, kNoBound).cost;
        const float second = CheapestPoint<false>(book, groups[1], 0, scale, kNoBound).cost;
        if (!flip) {
          sums[0][i] += first + second;
          continue;
        }
        const float first_flipped =
            CheapestFlippedPoint<false>(book, groups[0], scale, kNoBound, half).cost;
        // Only worth it where less is lost than by the first group.
        const GridPoint bound = {second + (first_flipped - first), 0};
        const float second_flipped =
            CheapestFlippedPoint<false>(book, groups[1], scale, bound, half).cost;
        sums[0][i] += std::min(first_flipped + second, first + second_flipped);
      }
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    costs[i] =
        format.signs == GridSigns::kSharedDelta ? std::min(sums[0][i], sums[1][i]) : sums[0][i];
  }
}

/// The point of `pair` as the code and levels of group `group` of the super-block; `flip_half` 0 or
/// 1 for a wrong sign in that half, else 2.
inline void SetPoint(const GridBlock& block, std::size_t group, std::size_t pair, float delta,
                     std::size_t flip_half, GridSolution& solution) {
  const quant::Codebook& book = *block.book;
  const std::size_t dims = book.half_group;
  const std::size_t half_points[2] = {pair % book.half_points, pair / book.half_points};
  solution.codes[group] = book.codes[pair];
  for (std::size_t half = 0; half < 2; ++half) {
    const std::size_t at = (2 * group + half) * dims;
    std::uint32_t minus = book.has_delta ? 0 : block.minus[at / 8] >> (at % 8);
    if (half == flip_half) {
      std::size_t least = 0;
      float least_pull = INFINITY;
      for (std::size_t i = 0; i < dims; ++i) {
        const float pull =
            quant::exact_product(block.pulls[at + i], book.points[i][half_points[half]]);
        if (pull < least_pull) {
          least_pull = pull;
          least = i;
        }
      }
      minus ^= 1u << least;
    }
    for (std::size_t i = 0; i < dims; ++i) {
      const float level = book.points[i][half_points[half]] + delta;
      solution.levels[at + i] = (minus >> i & 1) != 0 ? -level : level;
    }
    if (!book.has_delta) {
      const std::uint32_t mask = ((1u << dims) - 1) << (at % 8);
      solution.signs[at / 8] = static_cast<std::uint8_t>((solution.signs[at / 8] & ~mask) |
                                                         ((minus << (at % 8)) & mask));
    }
  }
}

/// The best signs and points of a sub-block at `scale`.
inline void ChoosePoints(const GridFormat& format, const GridBlock& block, std::size_t sub,
                         float scale, GridSolution& solution) {
  constexpr GridPoint kNoBound = {INFINITY, 0};
  constexpr std::size_t kNoFlip = 2;
  const quant::Codebook& book = *block.book;
  GridGroup groups[2];
  float delta_sums[2] = {};
  std::size_t delta_pairs[4][2];
  const std::size_t first_octet = sub * format.octets;
  for (std::size_t octet = first_octet; octet < first_octet + format.octets; ++octet) {
    const std::size_t group_count = PrepareOctet(format, block, octet, groups);
    const bool flip = MustFlip(format, block, octet);
    std::size_t half = kNoFlip;
    if (book.has_delta) {
      const DeltaCosts delta_costs(block, octet);
      float delta[2] = {delta_costs.plus(scale), delta_costs.minus(scale)};
      for (std::size_t d = 0; d < 2; ++d) {
        const GridPoint point = CheapestPoint<true>(book, groups[0], d, scale, kNoBound);
        delta[d] += point.cost;
        delta_sums[d] += delta[d];
        delta_pairs[octet - first_octet][d] = point.pair;
      }
      if (format.signs == GridSigns::kDelta) {
        const std::size_t d = delta[1] < delta[0];
        solution.signs[octet] = static_cast<std::uint8_t>(d);
        SetPoint(block, octet, delta_pairs[octet - first_octet][d], d != 0 ? -1.0f : 1.0f, kNoFlip,
                 solution);
      }
    } else if (group_count == 1) {
      const GridPoint point =
          flip ? CheapestFlippedPoint<true>(book, groups[0], scale, kNoBound, half)
               : CheapestPoint<true>(book, groups[0], 0, scale, kNoBound);
      SetPoint(block, octet, point.pair, 0.0f, half, solution);
    } else {
      GridPoint points[2];
      for (std::size_t g = 0; g < 2; ++g) {
        points[g] = CheapestPoint<true>(book, groups[g], 0, scale, kNoBound);
      }
      std::size_t halves[2] = {kNoFlip, kNoFlip};
      if (flip) {
        GridPoint flipped[2];
        std::size_t flipped_halves[2];
        for (std::size_t g = 0; g < 2; ++g) {
          flipped[g] =
              CheapestFlippedPoint<true>(book, groups[g], scale, kNoBound, flipped_halves[g]);
        }
        const std::size_t g = points[0].cost + flipped[1].cost < flipped[0].cost + points[1].cost;
        points[g] = flipped[g];
        halves[g] = flipped_halves[g];
      }
      for (std::size_t g = 0; g < 2; ++g) {
        SetPoint(block, 2 * octet + g, points[g].pair, 0.0f, halves[g], solution);
      }
    }
  }
  if (format.signs == GridSigns::kSharedDelta) {
    const std::size_t d = delta_sums[1] < delta_sums[0];
    for (std::size_t octet = 0; octet < format.octets; ++octet) {
      solution.signs[first_octet + octet] = static_cast<std::uint8_t>(d);
      SetPoint(block, first_octet + octet, delta_pairs[octet][d], d != 0 ? -1.0f : 1.0f, kNoFlip,
               solution);
    }
  }
}

/// Costs at scales around what is typical for the weights.
inline void SampleSubBlock(const GridFormat& format, const GridBlock& block, std::size_t sub,
                           const GridSampling& sampling, GridSamples& samples) {
  const std::size_t count = sampling.samples;
  const float ratio = sampling.ratio;
  const std::size_t first = 8 * format.octets * sub;
  F32x16 squares = Set(0.0f), importance = Set(0.0f);
  for (std::size_t i = first; i < first + 8 * format.octets; i += 16) {
    const F32x16 x = Load(block.weights + i);
    const F32x16 w = Load(block.importance + i);
    squares = squares + x * x * w;
    importance = importance + w;
  }
  // The least keeps all quotients finite.
  const float mean =
      std::max(SumOfLanes(squares) / std::max(SumOfLanes(importance), 0x1p-126f), 0x1p-120f);
  float scale = std::sqrt(mean) / format.typical;
  for (std::size_t i = 0; i < count / 2; ++i) scale = scale / ratio;
  for (std::size_t i = 0; i < kMaxGridSamples; ++i) {
    samples.scales[i] = scale;
    scale = quant::exact_product(scale, ratio);
    samples.costs[i] = 0.0f;
  }
  samples.count = count;
  SubBlockCosts(format, block, sub, samples.scales, count, samples.costs);
  const F32x16 scales = Load(samples.scales);
  const F32x16 costs = Load(samples.costs);
  float errors[kMaxGridSamples], next_scales[kMaxGridSamples] = {},
                                 next_costs[kMaxGridSamples] = {};
  Store(scales * costs, errors);
  samples.best = samples.scales[std::min_element(errors, errors + count) - errors];
  std::copy(samples.scales + 1, samples.scales + kMaxGridSamples, next_scales);
  std::copy(samples.costs + 1, samples.costs + kMaxGridSamples, next_costs);
  const F32x16 slopes = (Load(next_costs) - costs) / (Load(next_scales) - scales);
  Store(slopes, samples.slopes);
  Store(costs - slopes * scales, samples.offsets);
}

BRINK_ENCODE_INLINE F32x16 RoundScales(const GridBlock& block, F32x16 scales) {
  return RoundToF16(scales * Set(block.to_f16)) * Set(block.from_f16);
}

/// The odd multiplier nearest to `quotient`, within limits.
BRINK_ENCODE_INLINE F32x16 NearestMultiplier(F32x16 quotient, F32x16 largest) {
  const F32x16 one = Set(1.0f);
  const F32x16 clamped = Max(one, Min(quotient, largest));
  const F32x16 half = Round((clamped - one) * Set(0.5f));
  return half + half + one;
}

/// Guessed costs of a sub-block at 16 scales.
BRINK_ENCODE_INLINE F32x16 GuessCosts(const GridSamples& samples, F32x16 scales) {
  F32x16 costs = Set(samples.offsets[0]) + Set(samples.slopes[0]) * scales;
  for (std::size_t i = 1; i + 1 < samples.count; ++i) {
    costs = Min(costs, Set(samples.offsets[i]) + Set(samples.slopes[i]) * scales);
  }
  return costs;
}

/// Guessed error of the super-block for 16 scales.
inline F32x16 GuessErrors(const GridFormat& format, const GridSamples* samples, F32x16 scales) {
  const F32x16 largest = Set(format.largest);
  F32x16 sum = Set(0.0f);
  for (std::size_t sub = 0; sub < 32 / format.octets; ++sub) {
    const GridSamples& s = samples[sub];
    const F32x16 nearest = NearestMultiplier(Set(s.best) / scales, largest);
    F32x16 least = Set(INFINITY);
    for (const float step : {-2.0f, 0.0f, 2.0f}) {
      const F32x16 multipliers = Max(Set(1.0f), Min(nearest + Set(step), largest));
      const F32x16 at = multipliers * scales;
      least = Min(least, GuessCosts(s, at) * at);
    }
    sum = sum + least;
  }
  return sum;
}

struct GridSearchPlan {
  std::size_t guesses;  // scales of the super-block, a multiple of 16
  // The first guess, where 1 makes the largest multiplier fit, and the ratio of neighbours.
  float least_guess, ratio_of_guesses;
  int passes;
};

// Effort::kDefault, Effort::kHigh.
inline constexpr GridSearchPlan kGridPlans[] = {
    {.guesses = 16, .least_guess = 0.8f, .ratio_of_guesses = 1.025f, .passes = 1},
    {.guesses = 64, .least_guess = 0.6f, .ratio_of_guesses = 1.012f, .passes = 2}};

/// The best of those `tries` multipliers of a sub-block that are guessed to be the best for
/// `scale`.
inline float ChooseMultiplier(const GridFormat& format, const GridBlock& block, std::size_t sub,
                              const GridSamples& samples, std::size_t tries, float scale) {
  alignas(64) float multipliers[16], errors[16], chosen[16] = {}, scales[16], costs[16] = {};
  for (std::size_t i = 0; i < 16; ++i) multipliers[i] = static_cast<float>(2 * i + 1);
  const F32x16 candidates = Load(multipliers);
  const F32x16 at = candidates * Set(scale);
  Store(IfThenElse(candidates <= Set(format.largest), GuessCosts(samples, at) * at, Set(INFINITY)),
        errors);
  for (std::size_t i = 0; i < tries; ++i) {
    float* least = std::min_element(errors, errors + 16);
    *least = INFINITY;
    chosen[i] = multipliers[least - errors];
  }
  Store(Load(chosen) * Set(scale), scales);
  SubBlockCosts(format, block, sub, scales, tries, costs);
  Store(Load(costs) * Load(scales), errors);
  return chosen[std::min_element(errors, errors + tries) - errors];
}

/// Multipliers, signs and points for `scale`, then the scale that suits them best; with more passes
/// signs and points again, and so on.
inline void Refine(const GridFormat& format, const GridBlock& block, const GridSamples* samples,
                   const GridSearchPlan& plan, std::size_t tries, float scale,
                   GridSolution& solution) {
  const std::size_t subs = 32 / format.octets;
  for (std::size_t sub = 0; sub < subs; ++sub) {
    solution.multipliers[sub] = ChooseMultiplier(format, block, sub, samples[sub], tries, scale);
  }
  for (int pass = 0; pass < plan.passes; ++pass) {
    F32x16 product = Set(0.0f), norm = Set(0.0f);
    for (std::size_t sub = 0; sub < subs; ++sub) {
      const F32x16 m = Set(solution.multipliers[sub]);
      ChoosePoints(format, block, sub, MinOfLanes(m * Set(scale)), solution);
      for (std::size_t i = 8 * format.octets * sub; i < 8 * format.octets * (sub + 1); i += 16) {
        const F32x16 level = Load(solution.levels + i) * m;
        const F32x16 weighted = Load(block.importance + i) * level;
        product = product + weighted * Load(block.weights + i);
        norm = norm + weighted * level;
      }
    }
    const float norm_sum = SumOfLanes(norm);
    const float previous = scale;
    scale = norm_sum > 0.0f ? std::max(SumOfLanes(product) / norm_sum, 0.0f) : 0.0f;
    scale = MinOfLanes(RoundScales(block, Set(scale)));
    if (scale == previous || scale == 0.0f) break;
  }
  solution.scale = scale;
  F32x16 error = Set(0.0f);
  for (std::size_t i = 0; i < 256; i += 16) {
    const F32x16 m = Set(solution.multipliers[i / (8 * format.octets)]);
    const F32x16 difference =
        Load(block.weights + i) - Load(solution.levels + i) * (m * Set(scale));
    error = error + difference * difference * Load(block.importance + i);
  }
  solution.error = SumOfLanes(error);
}

/// False where all zeros are the best.
inline bool SolveBlock(const GridFormat& format, const GridBlock& block, Effort effort,
                       GridSolution& solution) {
  const GridSearchPlan& plan = kGridPlans[static_cast<int>(effort)];
  const GridSampling& sampling = format.sampling[static_cast<int>(effort)];
  GridSamples samples[16];
  const std::size_t subs = 32 / format.octets;
  float largest = 0.0f;
  for (std::size_t sub = 0; sub < subs; ++sub) {
    SampleSubBlock(format, block, sub, sampling, samples[sub]);
    largest = std::max(largest, samples[sub].best);
  }
  constexpr std::size_t kMaxGuesses = 64;
  alignas(64) float scales[kMaxGuesses], errors[kMaxGuesses];
  float scale = quant::exact_product(largest / format.largest, plan.least_guess);
  for (std::size_t i = 0; i < plan.guesses; ++i) {
    scales[i] = scale;
    scale = quant::exact_product(scale, plan.ratio_of_guesses);
  }
  for (std::size_t i = 0; i < plan.guesses; i += 16) {
    const F32x16 rounded = RoundScales(block, Load(scales + i));
    Store(rounded, scales + i);
    const F32x16 guessed = GuessErrors(format, samples, rounded);
    Store(IfThenElse(rounded == Set(0.0f), Set(INFINITY), guessed), errors + i);
  }
  const std::size_t i =
      static_cast<std::size_t>(std::min_element(errors, errors + plan.guesses) - errors);
  if (errors[i] == INFINITY) return false;
  Refine(format, block, samples, plan, sampling.multipliers, scales[i], solution);
  return solution.scale > 0.0f;
}

/// False where all zeros are the best.
inline bool SearchGridBlock(const GridFormat& format, const float* weights, const float* importance,
                            Effort effort, GridBlock& block, GridSolution& solution) {
  if (!PrepareBlock(format, weights, importance, block)) return false;
  const bool found = SolveBlock(format, block, Effort::kDefault, solution);
  if (effort == Effort::kDefault) return found;
  GridSolution other;
  const bool found_other = SolveBlock(format, block, Effort::kHigh, other);
  if (found_other && (!found || other.error < solution.error)) solution = other;
  return found || found_other;
}

}  // namespace brink::BRINK_ENCODE_NAMESPACE
BRINK_ENCODE_AFTER()
