// Encoders of the IQ1, IQ2 and IQ3 types: packing what encode_grid_scales-inl.h finds. Included
// once per pass by encode_families-inl.h.

BRINK_ENCODE_BEFORE()
namespace brink::BRINK_ENCODE_NAMESPACE {

/// s of a sub-block, whose multiplier is 2 s + 1.
BRINK_ENCODE_INLINE std::uint32_t StepOf(const GridSolution& solution, std::size_t sub) {
  return (static_cast<std::uint32_t>(solution.multipliers[sub]) - 1) / 2;
}

template <class T>
BRINK_ENCODE_INLINE void StoreLittle(T value, std::uint8_t* p) {
  std::memcpy(p, &value, sizeof(value));
}

template <class Block>
struct GridPacking;

template <>
struct GridPacking<quant::BlockIQ1_S> {
  static constexpr GridFormat kFormat = {TensorType::kIQ1_S,
                                         GridSigns::kSharedDelta,
                                         4,
                                         15.0f,
                                         0.125f,
                                         6.0f,
                                         {{3, 1.35f, 2}, {4, 1.25f, 3}}};
  static void Pack(const GridSolution& solution, std::uint16_t d, quant::BlockIQ1_S& b) {
    StoreLittle(d, b.d);
    for (std::size_t g = 0; g < 8; ++g) {
      std::uint32_t qh = StepOf(solution, g) << 12 | std::uint32_t{solution.signs[4 * g]} << 15;
      for (std::size_t l = 0; l < 4; ++l) {
        const std::uint32_t code = solution.codes[4 * g + l];
        b.qs[4 * g + l] = static_cast<std::uint8_t>(code & 255);
        qh |= code >> 8 << (3 * l);
      }
      StoreLittle(static_cast<std::uint16_t>(qh), b.qh + 2 * g);
    }
  }
};

template <>
struct GridPacking<quant::BlockIQ1_M> {
  static constexpr GridFormat kFormat = {
      TensorType::kIQ1_M, GridSigns::kDelta, 2, 15.0f, 0.125f, 6.0f, {{5, 1.2f, 3}, {9, 1.12f, 3}}};
  static void Pack(const GridSolution& solution, std::uint16_t d, quant::BlockIQ1_M& b) {
    for (std::size_t i = 0; i < 4; ++i) {
      std::uint32_t scales = std::uint32_t{d} >> (4 * i) << 12 & 0xf000;
      for (std::size_t j = 0; j < 4; ++j) scales |= StepOf(solution, 4 * i + j) << (3 * j);
      StoreLittle(static_cast<std::uint16_t>(scales), b.scales + 2 * i);
    }
    for (std::size_t l = 0; l < 32; ++l) {
      const std::uint32_t code = solution.codes[l];
      const std::uint32_t high = code >> 8 | std::uint32_t{solution.signs[l]} << 3;
      b.qs[l] = static_cast<std::uint8_t>(code & 255);
      b.qh[l / 2] = static_cast<std::uint8_t>(l % 2 == 0 ? high : b.qh[l / 2] | high << 4);
    }
  }
};

/// Of eight signs the seven that are stored, the number of minus signs being even.
BRINK_ENCODE_INLINE std::uint32_t SevenSigns(const GridSolution& solution, std::size_t octet) {
  return solution.signs[octet] & 127u;
}

template <>
struct GridPacking<quant::BlockIQ2_XXS> {
  static constexpr GridFormat kFormat = {
      TensorType::kIQ2_XXS,         GridSigns::kEven, 4, 31.0f, 0.125f, 21.0f,
      {{5, 1.2f, 3}, {9, 1.12f, 3}}};
  static void Pack(const GridSolution& solution, std::uint16_t d, quant::BlockIQ2_XXS& b) {
    StoreLittle(d, b.d);
    for (std::size_t g = 0; g < 8; ++g) {
      std::uint32_t bits = StepOf(solution, g) << 28;
      for (std::size_t l = 0; l < 4; ++l) {
        b.qs[8 * g + l] = static_cast<std::uint8_t>(solution.codes[4 * g + l]);
        bits |= SevenSigns(solution, 4 * g + l) << (7 * l);
      }
      StoreLittle(bits, b.qs + 8 * g + 4);
    }
  }
};

/// Scales of 16 sub-blocks as nibbles.
BRINK_ENCODE_INLINE void StoreSteps(const GridSolution& solution, std::size_t bytes,
                                    std::uint8_t* scales) {
  for (std::size_t i = 0; i < bytes; ++i) {
    scales[i] =
        static_cast<std::uint8_t>(StepOf(solution, 2 * i) | StepOf(solution, 2 * i + 1) << 4);
  }
}

template <>
struct GridPacking<quant::BlockIQ2_XS> {
  static constexpr GridFormat kFormat = {
      TensorType::kIQ2_XS,          GridSigns::kEven, 2, 31.0f, 0.125f, 21.0f,
      {{5, 1.2f, 3}, {9, 1.12f, 3}}};
  static void Pack(const GridSolution& solution, std::uint16_t d, quant::BlockIQ2_XS& b) {
    StoreLittle(d, b.d);
    for (std::size_t l = 0; l < 32; ++l) {
      const std::uint32_t bits = solution.codes[l] | SevenSigns(solution, l) << 9;
      StoreLittle(static_cast<std::uint16_t>(bits), b.qs + 2 * l);
    }
    StoreSteps(solution, sizeof(b.scales), b.scales);
  }
};

template <>
struct GridPacking<quant::BlockIQ2_S> {
  static constexpr GridFormat kFormat = {
      TensorType::kIQ2_S, GridSigns::kFree, 2, 31.0f, 0.125f, 21.0f, {{5, 1.2f, 3}, {9, 1.12f, 3}}};
  static void Pack(const GridSolution& solution, std::uint16_t d, quant::BlockIQ2_S& b) {
    StoreLittle(d, b.d);
    for (std::size_t g = 0; g < 8; ++g) {
      std::uint32_t qh = 0;
      for (std::size_t l = 0; l < 4; ++l) {
        const std::uint32_t code = solution.codes[4 * g + l];
        b.qs[4 * g + l] = static_cast<std::uint8_t>(code & 255);
        qh |= code >> 8 << (2 * l);
      }
      b.qh[g] = static_cast<std::uint8_t>(qh);
    }
    std::memcpy(b.signs, solution.signs, sizeof(b.signs));
    StoreSteps(solution, sizeof(b.scales), b.scales);
  }
};

template <>
struct GridPacking<quant::BlockIQ3_XXS> {
  static constexpr GridFormat kFormat = {
      TensorType::kIQ3_XXS,         GridSigns::kEven, 4, 31.0f, 0.25f, 26.0f,
      {{5, 1.2f, 3}, {9, 1.12f, 3}}};
  static void Pack(const GridSolution& solution, std::uint16_t d, quant::BlockIQ3_XXS& b) {
    StoreLittle(d, b.d);
    for (std::size_t g = 0; g < 8; ++g) {
      std::uint32_t bits = StepOf(solution, g) << 28;
      for (std::size_t l = 0; l < 4; ++l) bits |= SevenSigns(solution, 4 * g + l) << (7 * l);
      StoreLittle(bits, b.signs + 4 * g);
    }
    for (std::size_t i = 0; i < 64; ++i) b.qs[i] = static_cast<std::uint8_t>(solution.codes[i]);
  }
};

template <>
struct GridPacking<quant::BlockIQ3_S> {
  static constexpr GridFormat kFormat = {
      TensorType::kIQ3_S, GridSigns::kFree, 4, 31.0f, 1.0f, 6.3f, {{5, 1.2f, 3}, {9, 1.12f, 3}}};
  static void Pack(const GridSolution& solution, std::uint16_t d, quant::BlockIQ3_S& b) {
    StoreLittle(d, b.d);
    for (std::size_t g = 0; g < 8; ++g) {
      std::uint32_t qh = 0;
      for (std::size_t i = 0; i < 8; ++i) {
        const std::uint32_t code = solution.codes[8 * g + i];
        b.qs[8 * g + i] = static_cast<std::uint8_t>(code & 255);
        qh |= code >> 8 << i;
      }
      b.qh[g] = static_cast<std::uint8_t>(qh);
    }
    std::memcpy(b.signs, solution.signs, sizeof(b.signs));
    StoreSteps(solution, sizeof(b.scales), b.scales);
  }
};

template <class Block>
void EncodeGrid(const float* weights, const float* importance, std::size_t count, Effort effort,
                std::uint8_t* blocks) {
  using Packing = GridPacking<Block>;
  GridBlock block;
  block.book = &quant::codebook_of(Packing::kFormat.type);
  GridSolution solution;
  for (std::size_t at = 0; at < count; at += 256, blocks += sizeof(Block)) {
    const float* columns = importance != nullptr ? importance + at : nullptr;
    if (SearchGridBlock(Packing::kFormat, weights + at, columns, effort, block, solution)) {
      Block packed;
      const float d = quant::exact_product(solution.scale, block.to_f16);
      Packing::Pack(solution, f32_to_f16(d), packed);
      std::memcpy(blocks, &packed, sizeof(packed));
    } else {
      std::memset(blocks, 0, sizeof(Block));
    }
  }
}

template <>
inline constexpr EncodeFn kEncoder<TensorType::kIQ1_S> = &EncodeGrid<quant::BlockIQ1_S>;
template <>
inline constexpr EncodeFn kEncoder<TensorType::kIQ1_M> = &EncodeGrid<quant::BlockIQ1_M>;
template <>
inline constexpr EncodeFn kEncoder<TensorType::kIQ2_XXS> = &EncodeGrid<quant::BlockIQ2_XXS>;
template <>
inline constexpr EncodeFn kEncoder<TensorType::kIQ2_XS> = &EncodeGrid<quant::BlockIQ2_XS>;
template <>
inline constexpr EncodeFn kEncoder<TensorType::kIQ2_S> = &EncodeGrid<quant::BlockIQ2_S>;
template <>
inline constexpr EncodeFn kEncoder<TensorType::kIQ3_XXS> = &EncodeGrid<quant::BlockIQ3_XXS>;
template <>
inline constexpr EncodeFn kEncoder<TensorType::kIQ3_S> = &EncodeGrid<quant::BlockIQ3_S>;

}  // namespace brink::BRINK_ENCODE_NAMESPACE
BRINK_ENCODE_AFTER()
