#include "tools/support/synthetic_blocks.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "brink/core/half.h"
#include "brink/quant/format.h"
#include "brink/quant/fp4.h"
#include "brink/quant/i_quants.h"
#include "brink/quant/k_quants.h"
#include "brink/quant/legacy.h"
#include "brink/quant/small.h"
#include "brink/quant/ternary.h"

namespace brink::tools {
namespace {

// 2^e times this is the root mean square of a float whose mantissa is uniform and whose exponent is
// e or e - 1 with equal chance: sqrt((7/3 + 7/12) / 2).
constexpr double kTwoExponentsRms = 1.2076;

int exponent_for(double deviation) {
  return static_cast<int>(std::lround(std::log2(deviation / kTwoExponentsRms)));
}

template <class T>
void set_bits(std::span<std::uint8_t> bytes, std::size_t stride, std::uint32_t mask,
              std::uint32_t bits) {
  for (std::size_t i = 0; i + sizeof(T) <= bytes.size(); i += stride) {
    T value;
    std::memcpy(&value, bytes.data() + i, sizeof(T));
    value = static_cast<T>((value & ~mask) | bits);
    std::memcpy(bytes.data() + i, &value, sizeof(T));
  }
}

// Floats as wide as T: the exponent (where `mask` is set) becomes `bits`, or one less where its
// lowest bit was set. Exponents in `bits` are at least 1, so that nothing is borrowed.
template <class T>
void set_exponents(std::span<std::uint8_t> bytes, std::uint32_t mask, std::uint32_t bits) {
  const std::uint32_t low = mask & (~mask + 1);
  for (std::size_t i = 0; i + sizeof(T) <= bytes.size(); i += sizeof(T)) {
    T value;
    std::memcpy(&value, bytes.data() + i, sizeof(T));
    value = static_cast<T>((value & ~mask) | (bits - (value & low)));
    std::memcpy(bytes.data() + i, &value, sizeof(T));
  }
}

}  // namespace

BlockFiller::BlockFiller(TensorType type, double deviation, std::uint64_t seed)
    : type_(type), random_(seed) {
  fields_ = fields(1.0);
  const bool exponents_only = size_of(type).block_size == 1;
  fields_ = fields(exponents_only ? deviation : deviation / calibrate());
}

// For floats `scale` is the deviation itself, otherwise the factor of the quantized integers. Types
// with a minimum get one that moves the mean of their random integers to 0.
std::vector<BlockFiller::Field> BlockFiller::fields(double scale) const {
  using namespace brink::quant;
  const auto f16 = [&](std::size_t offset, double factor = 1.0) {
    return Field{offset, 2, 0xffff, f32_to_f16(static_cast<float>(scale * factor))};
  };
  switch (type_) {
    case TensorType::kQ4_0:
      return {f16(offsetof(BlockQ4_0, d))};
    case TensorType::kQ4_1:
      return {f16(offsetof(BlockQ4_1, d)), f16(offsetof(BlockQ4_1, m), -7.5)};
    case TensorType::kQ5_0:
      return {f16(offsetof(BlockQ5_0, d))};
    case TensorType::kQ5_1:
      return {f16(offsetof(BlockQ5_1, d)), f16(offsetof(BlockQ5_1, m), -15.5)};
    case TensorType::kQ8_0:
      return {f16(offsetof(BlockQ8_0, d))};
    case TensorType::kQ2_K:
      return {f16(offsetof(BlockQ2_K, d)), f16(offsetof(BlockQ2_K, dmin), 1.5)};
    case TensorType::kQ3_K:
      return {f16(offsetof(BlockQ3_K, d))};
    case TensorType::kQ4_K:
      return {f16(offsetof(BlockQ4_K, d)), f16(offsetof(BlockQ4_K, dmin), 7.5)};
    case TensorType::kQ5_K:
      return {f16(offsetof(BlockQ5_K, d)), f16(offsetof(BlockQ5_K, dmin), 15.5)};
    case TensorType::kQ6_K:
      return {f16(offsetof(BlockQ6_K, d))};
    case TensorType::kIQ1_S:
      return {f16(offsetof(BlockIQ1_S, d))};
    case TensorType::kIQ1_M: {
      // Its f16 lies in the top nibbles of four 16-bit words.
      const std::uint32_t d = f32_to_f16(static_cast<float>(scale));
      std::vector<Field> nibbles;
      for (std::size_t i = 0; i < 4; ++i)
        nibbles.push_back(
            {offsetof(BlockIQ1_M, scales) + 2 * i, 2, 0xf000, (d >> (4 * i) & 15) << 12});
      return nibbles;
    }
    case TensorType::kIQ2_XXS:
      return {f16(offsetof(BlockIQ2_XXS, d))};
    case TensorType::kIQ2_XS:
      return {f16(offsetof(BlockIQ2_XS, d))};
    case TensorType::kIQ2_S:
      return {f16(offsetof(BlockIQ2_S, d))};
    case TensorType::kIQ3_XXS:
      return {f16(offsetof(BlockIQ3_XXS, d))};
    case TensorType::kIQ3_S:
      return {f16(offsetof(BlockIQ3_S, d))};
    case TensorType::kIQ4_NL:
      return {f16(offsetof(BlockIQ4_NL, d))};
    case TensorType::kIQ4_XS:
      return {f16(offsetof(BlockIQ4_XS, d))};
    case TensorType::kTQ1_0:
      return {f16(offsetof(BlockTQ1_0, d))};
    case TensorType::kTQ2_0:
      return {f16(offsetof(BlockTQ2_0, d))};
    case TensorType::kQ1_0:
      return {f16(offsetof(BlockQ1_0, d))};
    case TensorType::kQ2_0:
      return {f16(offsetof(BlockQ2_0, d))};
    case TensorType::kMXFP4: {
      const int exponent = 127 + static_cast<int>(std::lround(std::log2(scale)));
      return {{offsetof(BlockMXFP4, e), 1, 0xff,
               static_cast<std::uint32_t>(std::clamp(exponent, 1, 254))}};
    }
    case TensorType::kNVFP4: {
      std::uint8_t code = 1;  // the nearest by ratio
      while (code < 0x7e && double{ue4m3_half(code)} *
                                    double{ue4m3_half(static_cast<std::uint8_t>(code + 1))} * 4 <
                                scale * scale)
        ++code;
      std::vector<Field> scales;
      for (std::size_t i = 0; i < 4; ++i)
        scales.push_back({offsetof(BlockNVFP4, d) + i, 1, 0xff, code});
      return scales;
    }
    // Floats: sign, mantissa and the lowest bit of the exponent stay random.
    case TensorType::kF16: {
      const auto biased = static_cast<std::uint32_t>(std::clamp(15 + exponent_for(scale), 1, 30));
      return {{0, 2, 0x7c00, biased << 10}};
    }
    case TensorType::kBF16: {
      const auto biased = static_cast<std::uint32_t>(127 + exponent_for(scale));
      return {{0, 2, 0x7f80, biased << 7}};
    }
    default: {  // F32
      const auto biased = static_cast<std::uint32_t>(127 + exponent_for(scale));
      return {{0, 4, 0x7f800000, biased << 23}};
    }
  }
}

// Root mean square of the weights that the present fields give.
double BlockFiller::calibrate() {
  constexpr std::size_t kBlocks = 256;
  const TensorTypeSize& size = size_of(type_);
  std::vector<std::uint8_t> blocks(kBlocks * size.block_bytes);
  std::vector<float> weights(kBlocks * size.block_size);
  fill(blocks);
  format_of(type_).decode(blocks.data(), weights.data(), weights.size());
  double sum = 0;
  for (const float w : weights) sum += double{w} * double{w};
  return std::sqrt(sum / static_cast<double>(weights.size()));
}

void BlockFiller::fill_random(std::span<std::uint8_t> bytes) {
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    const std::uint64_t word = random_.next();
    std::memcpy(bytes.data() + i, &word, 8);
  }
  const std::uint64_t word = random_.next();
  if (i < bytes.size()) std::memcpy(bytes.data() + i, &word, bytes.size() - i);
}

void BlockFiller::fill(std::span<std::uint8_t> bytes) {
  fill_random(bytes);
  const TensorTypeSize& size = size_of(type_);
  for (const Field& field : fields_) {
    if (size.block_size == 1 && field.width == 2)
      set_exponents<std::uint16_t>(bytes, field.mask, field.bits);
    else if (size.block_size == 1)
      set_exponents<std::uint32_t>(bytes, field.mask, field.bits);
    else if (field.width == 1)
      set_bits<std::uint8_t>(bytes.subspan(field.offset), size.block_bytes, field.mask, field.bits);
    else
      set_bits<std::uint16_t>(bytes.subspan(field.offset), size.block_bytes, field.mask,
                              field.bits);
  }
}

}  // namespace brink::tools
