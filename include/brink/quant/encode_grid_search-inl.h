// The nearest points of the codebooks of the IQ1, IQ2 and IQ3 types, exactly. Included once per
// pass by encode_families-inl.h.
//
// A group of 8 weights x (IQ3: 4) with importances w is decoded to scale * p, p a point of the
// codebook with signs. The error of a point, less that of zeros, divided by the scale, is its cost
//     scale * sum w p^2 - 2 sum w |x| p     (IQ1: x, as its points have signs)
// and a sum over two halves of the coordinates. The codebook is a subset of all pairs of half
// points, so the best partner of the cheapest half point bounds the cost, and only few half points
// are cheap enough to have a better one.
//
// Where the number of minus signs must be even but is odd, one coordinate gets the wrong sign: what
// costs least is the smallest w |x| p of the point, which therefore is part of the point's cost.

BRINK_ENCODE_BEFORE()
namespace brink::BRINK_ENCODE_NAMESPACE {

/// A group, ready for any scale.
struct GridGroup {
  alignas(64) float dots[2][quant::Codebook::kMaxPadded];     // 2 sum w |x| p of either half
  alignas(64) float flipped[2][quant::Codebook::kMaxPadded];  // with one wrong sign in it
  alignas(64) float weighted_norms[2][2][quant::Codebook::kMaxPadded];
  // [delta][half]: sum w p^2 where all importances are 1, or of weighted_norms
  const float* norms[2][2];
};

/// Cost of a pair and its index, high * half_points + low.
struct GridPoint {
  float cost;
  std::size_t pair;
};

// `pull` is 2 w |x| (IQ1: 2 w x); `importance` nullptr where all are 1.
inline void PrepareGroup(const quant::Codebook& book, bool flips, const float* pull,
                         const float* importance, GridGroup& group) {
  const std::size_t dims = book.half_group;
  for (std::size_t half = 0; half < 2; ++half, pull += dims) {
    for (std::size_t j = 0; j < book.padded; j += 16) {
      F32x16 dot = Set(pull[0]) * Load(book.points[0] + j);
      F32x16 least = dot;
      for (std::size_t i = 1; i < dims; ++i) {
        const F32x16 product = Set(pull[i]) * Load(book.points[i] + j);
        dot = dot + product;
        least = Min(least, product);
      }
      Store(dot, group.dots[half] + j);
      if (flips) Store(dot - (least + least), group.flipped[half] + j);
    }
    group.norms[0][half] = book.norms[0];
    group.norms[1][half] = book.norms[1];
    if (importance == nullptr) continue;
    for (std::size_t j = 0; j < book.padded; j += 16) {
      F32x16 squares = Set(0.0f), sum = Set(0.0f);
      for (std::size_t i = 0; i < dims; ++i) {
        const F32x16 p = Load(book.points[i] + j);
        const F32x16 product = Set(importance[i]) * p;
        squares = squares + product * p;
        sum = sum + product;
      }
      const F32x16 twice = book.has_delta ? sum + sum : Set(0.0f);
      Store(squares + twice, group.weighted_norms[0][half] + j);
      Store(squares - twice, group.weighted_norms[1][half] + j);
    }
    group.norms[0][half] = group.weighted_norms[0][half];
    group.norms[1][half] = group.weighted_norms[1][half];
    importance += dims;
  }
}

template <std::size_t kParts16>
BRINK_ENCODE_INLINE F32x16 CheapestPartners(const F32x16* low, const float* walls) {
  F32x16 least = low[0] + Load(walls);
  for (std::size_t part = 1; part < kParts16; ++part) {
    least = Min(least, low[part] + Load(walls + 16 * part));
  }
  return least;
}

/// The cheapest pair that costs less than `bound.cost`; else `bound`. Of equal ones any, but always
/// the same. The index is only found with kIndex.
template <std::size_t kParts16, bool kIndex>
GridPoint SearchPairs(const quant::Codebook& book, const float* low_dots, const float* low_norms,
                      const float* high_dots, const float* high_norms, float scale,
                      GridPoint bound) {
  F32x16 low[kParts16], high[kParts16];
  alignas(64) float high_costs[16 * kParts16];
  const F32x16 scales = Set(scale);
  for (std::size_t part = 0; part < kParts16; ++part) {
    const std::size_t j = 16 * part;
    low[part] = scales * Load(low_norms + j) - Load(low_dots + j);
    high[part] = scales * Load(high_norms + j) - Load(high_dots + j);
    Store(high[part], high_costs + j);
  }
  F32x16 low_lanes = low[0], high_lanes = high[0];
  for (std::size_t part = 1; part < kParts16; ++part) {
    low_lanes = Min(low_lanes, low[part]);
    high_lanes = Min(high_lanes, high[part]);
  }
  const float low_least = MinOfLanes(low_lanes);
  const float high_least = MinOfLanes(high_lanes);
  if (high_least + low_least >= bound.cost) return bound;

  const F32x16 least_high_cost = Set(high_least);
  std::uint64_t words[2] = {};
  for (std::size_t part = 0; part < kParts16; ++part) {
    words[part / 4] |= std::uint64_t{BitsOfMask(high[part] == least_high_cost)} << (part % 4 * 16);
  }
  const std::size_t first = static_cast<std::size_t>(
      words[0] != 0 ? std::countr_zero(words[0]) : 64 + std::countr_zero(words[1]));
  const float* walls = book.walls;
  const float first_cost =
      high_least + MinOfLanes(CheapestPartners<kParts16>(low, walls + first * book.padded));
  const bool first_is_less = first_cost < bound.cost;
  float best = first_is_less ? first_cost : bound.cost;
  constexpr std::size_t kNone = ~std::size_t{0};
  std::size_t best_high = first_is_less ? first : kNone;

  if (first_cost > high_least + low_least) {
    const F32x16 limit = Set(best - low_least);
    F32x16 least = Set(best);
    I32x16 least_high = SetInt(-1);
    std::uint64_t cheap[2] = {};
    for (std::size_t part = 0; part < kParts16; ++part) {
      cheap[part / 4] |= std::uint64_t{BitsOfMask(high[part] < limit)} << (part % 4 * 16);
    }
    // Not again the repetitions that fill the last vector up.
    if (kParts16 > 4) cheap[1] &= (std::uint64_t{1} << (book.half_points - 64)) - 1;
    for (std::size_t word = 0; word < (kParts16 + 3) / 4; ++word) {
      for (std::uint64_t bits = cheap[word]; bits != 0; bits &= bits - 1) {
        const std::size_t j = 64 * word + static_cast<std::size_t>(std::countr_zero(bits));
        const F32x16 costs =
            CheapestPartners<kParts16>(low, walls + j * book.padded) + Set(high_costs[j]);
        if (kIndex) {
          least_high = IfThenElse(costs < least, SetInt(static_cast<std::int32_t>(j)), least_high);
        }
        least = Min(costs, least);
      }
    }
    const float found = MinOfLanes(least);
    if (found < best) {
      best = found;
      if (kIndex) {
        std::int32_t highs[16];
        StoreInt(least_high, highs);
        best_high =
            static_cast<std::size_t>(highs[std::countr_zero(BitsOfMask(least == Set(found)))]);
      }
    }
  }
  if (!kIndex || best_high == kNone) return {best, bound.pair};

  walls += best_high * book.padded;
  const F32x16 partner = Set(MinOfLanes(CheapestPartners<kParts16>(low, walls)));
  for (std::size_t part = 0;; ++part) {
    const std::uint32_t bits = BitsOfMask(low[part] + Load(walls + 16 * part) == partner);
    if (bits == 0) continue;
    const std::size_t best_low = 16 * part + static_cast<std::size_t>(std::countr_zero(bits));
    return {best, best_high * book.half_points + best_low};
  }
}

/// The cheapest point of a group with all signs as they are; IQ1: with one of the two deltas.
template <bool kIndex>
GridPoint CheapestPoint(const quant::Codebook& book, const GridGroup& group, std::size_t delta,
                        float scale, GridPoint bound) {
  const auto search = book.padded == 64 ? &SearchPairs<4, kIndex> : &SearchPairs<6, kIndex>;
  return search(book, group.dots[0], group.norms[delta][0], group.dots[1], group.norms[delta][1],
                scale, bound);
}

/// The same with one wrong sign, and in which half.
template <bool kIndex>
GridPoint CheapestFlippedPoint(const quant::Codebook& book, const GridGroup& group, float scale,
                               GridPoint bound, std::size_t& half) {
  const auto search = book.padded == 64 ? &SearchPairs<4, kIndex> : &SearchPairs<6, kIndex>;
  const GridPoint low = search(book, group.flipped[0], group.norms[0][0], group.dots[1],
                               group.norms[0][1], scale, bound);
  const GridPoint high = search(book, group.dots[0], group.norms[0][0], group.flipped[1],
                                group.norms[0][1], scale, low);
  half = high.cost < low.cost;
  return high;
}

}  // namespace brink::BRINK_ENCODE_NAMESPACE
BRINK_ENCODE_AFTER()
