// Encoders of the k-quants (quant/k_quants.h): the searches' results put into blocks. Included once
// per pass by encode_families-inl.h, after the searches.

BRINK_ENCODE_BEFORE()
namespace brink::BRINK_ENCODE_NAMESPACE {

// Levels of two bits, as Q2_K and Q3_K have them.
inline void PackTwoBits(const std::uint8_t* levels, std::uint8_t* qs) {
  for (std::size_t half = 0; half < 2; ++half) {
    const std::uint8_t* q = levels + 128 * half;
    for (std::size_t l = 0; l < 32; ++l) {
      qs[32 * half + l] = static_cast<std::uint8_t>((q[l] & 3) | (q[32 + l] & 3) << 2 |
                                                    (q[64 + l] & 3) << 4 | (q[96 + l] & 3) << 6);
    }
  }
}

// The low four bits of Q4_K and Q5_K.
inline void PackFourBits(const std::uint8_t* levels, std::uint8_t* qs) {
  for (std::size_t h = 0; h < 4; ++h) {
    for (std::size_t l = 0; l < 32; ++l) {
      qs[32 * h + l] = static_cast<std::uint8_t>((levels[64 * h + l] & 15) |
                                                 (levels[64 * h + 32 + l] & 15) << 4);
    }
  }
}

// The inverse of q4_k_scale and q4_k_min.
inline void PackSixBits(const std::uint8_t* s, const std::uint8_t* m, std::uint8_t* scales) {
  for (std::size_t i = 0; i < 4; ++i) {
    scales[i] = static_cast<std::uint8_t>(s[i] | s[i + 4] >> 4 << 6);
    scales[i + 4] = static_cast<std::uint8_t>(m[i] | m[i + 4] >> 4 << 6);
    scales[i + 8] = static_cast<std::uint8_t>((s[i + 4] & 15) | (m[i + 4] & 15) << 4);
  }
}

inline void Pack(const std::uint8_t* s, const std::uint8_t* m, const std::uint8_t* levels,
                 quant::BlockQ2_K* block) {
  for (std::size_t i = 0; i < 16; ++i) {
    block->scales[i] = static_cast<std::uint8_t>(s[i] | m[i] << 4);
  }
  PackTwoBits(levels, block->qs);
}

inline void Pack(const std::uint8_t* s, const std::uint8_t* m, const std::uint8_t* levels,
                 quant::BlockQ4_K* block) {
  PackSixBits(s, m, block->scales);
  PackFourBits(levels, block->qs);
}

inline void Pack(const std::uint8_t* s, const std::uint8_t* m, const std::uint8_t* levels,
                 quant::BlockQ5_K* block) {
  PackSixBits(s, m, block->scales);
  PackFourBits(levels, block->qs);
  for (std::size_t l = 0; l < 32; ++l) {
    int bits = 0;
    for (std::size_t g = 0; g < 8; ++g) bits |= (levels[32 * g + l] >> 4) << g;
    block->qh[l] = static_cast<std::uint8_t>(bits);
  }
}

// `s` as two's complement.
inline void Pack(const std::uint8_t* s, const std::uint8_t* levels, quant::BlockQ3_K* block) {
  for (std::size_t i = 0; i < 12; ++i) block->scales[i] = 0;
  for (std::size_t i = 0; i < 16; ++i) {
    const int bits = (s[i] + 32) & 63;
    block->scales[i % 8] =
        static_cast<std::uint8_t>(block->scales[i % 8] | (bits & 15) << (i / 8 * 4));
    block->scales[8 + i % 4] =
        static_cast<std::uint8_t>(block->scales[8 + i % 4] | (bits >> 4) << (i / 4 * 2));
  }
  PackTwoBits(levels, block->qs);
  for (std::size_t l = 0; l < 32; ++l) {
    int bits = 0;
    for (std::size_t g = 0; g < 8; ++g) bits |= (levels[32 * g + l] >> 2) << g;
    block->hmask[l] = static_cast<std::uint8_t>(bits);
  }
}

inline void Pack(const std::uint8_t* s, const std::uint8_t* levels, quant::BlockQ6_K* block) {
  std::memcpy(block->scales, s, 16);
  for (std::size_t half = 0; half < 2; ++half) {
    const std::uint8_t* q = levels + 128 * half;
    for (std::size_t l = 0; l < 64; ++l) {
      block->ql[64 * half + l] = static_cast<std::uint8_t>((q[l] & 15) | (q[64 + l] & 15) << 4);
    }
    for (std::size_t l = 0; l < 32; ++l) {
      block->qh[32 * half + l] = static_cast<std::uint8_t>(
          q[l] >> 4 | (q[32 + l] >> 4) << 2 | (q[64 + l] >> 4) << 4 | (q[96 + l] >> 4) << 6);
    }
  }
}

template <class Block, class Search>
void EncodeAffine(const float* weights, const float* importance, std::size_t count, Effort effort,
                  std::uint8_t* blocks) {
  SuperBlock<Search::kGroup> b;
  for (std::size_t at = 0; at < count; at += 256, blocks += sizeof(Block)) {
    const float* columns = importance != nullptr ? importance + at : nullptr;
    LoadSuperBlock(weights + at, columns, false, &b);
    // Minima have one sign: that of what the formats are made for, sub-blocks with weights of both
    // signs or below zero. Others are encoded with both super-block scales negated.
    const float above = SumOfLanes(Max(b.low, Set(0.0f)));
    const float below = SumOfLanes(Max(Neg(b.high), Set(0.0f)));
    const bool negated = above > below;
    if (negated) LoadSuperBlock(weights + at, columns, true, &b);
    const AffineCode code = Search::Search(b, effort);
    std::uint8_t s[16], m[16], levels[256];
    StoreBytes(RoundToInt(code.s), s);
    StoreBytes(RoundToInt(code.m), m);
    Search::Levels(b, code, levels);
    Block block;
    Pack(s, m, levels, &block);
    const int sign = negated ? 0x8000 : 0;
    quant::store_f16(static_cast<std::uint16_t>(code.d.half ^ sign), block.d);
    quant::store_f16(static_cast<std::uint16_t>(code.dmin.half ^ sign), block.dmin);
    std::memcpy(blocks, &block, sizeof(Block));
  }
}

template <class Block, class Search>
void EncodeScaled(const float* weights, const float* importance, std::size_t count, Effort effort,
                  std::uint8_t* blocks) {
  SuperBlock<16> b;
  for (std::size_t at = 0; at < count; at += 256, blocks += sizeof(Block)) {
    LoadSuperBlock(weights + at, importance != nullptr ? importance + at : nullptr, false, &b);
    const ScaledCode code = Search::Search(b, effort);
    std::uint8_t s[16], levels[256];
    StoreBytes(RoundToInt(code.s), s);
    Search::Levels(b, code, levels);
    Block block;
    Pack(s, levels, &block);
    quant::store_f16(code.d.half, block.d);
    std::memcpy(blocks, &block, sizeof(Block));
  }
}

// Chosen by error and time on normal and on trained weights, among some dozens of other widths.
struct WidthsQ2_K {
  static constexpr SearchWidth kDefault{-1.2f, 0.3f, 7, 1, 1, 0.95f, 0.05f, 2, 0, 2, 1};
  static constexpr SearchWidth kHigh{-1.2f, 0.06f, 25, 2, 3, 0.8f, 0.07f, 5, 1, 4, 2};
};
struct WidthsQ3_K {
  static constexpr SearchWidth kDefault{-1.0f, 0.3f, 8, 1, 1, 0.97f, 0.03f, 3, 0, 1, 0};
  static constexpr SearchWidth kHigh{-1.4f, 0.1f, 25, 1, 2, 0.9f, 0.02f, 10, 0, 3, 2};
};
struct WidthsQ4_K {
  static constexpr SearchWidth kDefault{-3.0f, 0.4f, 10, 1, 1, 0.95f, 0.05f, 2, 0, 2, 1};
  static constexpr SearchWidth kHigh{-4.5f, 0.3f, 25, 2, 3, 0.8f, 0.07f, 5, 1, 4, 2};
};
struct WidthsQ5_K {
  static constexpr SearchWidth kDefault{-6.0f, 0.6f, 12, 1, 1, 0.95f, 0.05f, 2, 0, 2, 1};
  static constexpr SearchWidth kHigh{-9.0f, 0.6f, 25, 2, 3, 0.8f, 0.07f, 5, 1, 4, 2};
};
struct WidthsQ6_K {
  static constexpr SearchWidth kDefault{-10.0f, 0.4f, 32, 0, 1, 1.0f, 0.01f, 2, 0, 2, 1};
  static constexpr SearchWidth kHigh{-14.0f, 0.3f, 60, 0, 3, 0.76f, 0.02f, 25, 1, 4, 3};
};

template <>
inline constexpr EncodeFn kEncoder<TensorType::kQ2_K> =
    &EncodeAffine<quant::BlockQ2_K, AffineSearch<16, 3, 15, WidthsQ2_K>>;
template <>
inline constexpr EncodeFn kEncoder<TensorType::kQ3_K> =
    &EncodeScaled<quant::BlockQ3_K, ScaledSearch<4, 32, WidthsQ3_K>>;
template <>
inline constexpr EncodeFn kEncoder<TensorType::kQ4_K> =
    &EncodeAffine<quant::BlockQ4_K, AffineSearch<32, 15, 63, WidthsQ4_K>>;
template <>
inline constexpr EncodeFn kEncoder<TensorType::kQ5_K> =
    &EncodeAffine<quant::BlockQ5_K, AffineSearch<32, 31, 63, WidthsQ5_K>>;
template <>
inline constexpr EncodeFn kEncoder<TensorType::kQ6_K> =
    &EncodeScaled<quant::BlockQ6_K, ScaledSearch<32, 128, WidthsQ6_K>>;

}  // namespace brink::BRINK_ENCODE_NAMESPACE
BRINK_ENCODE_AFTER()
