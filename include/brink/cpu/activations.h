// Activations in the forms that products read.
#ifndef BRINK_CPU_ACTIVATIONS_H_
#define BRINK_CPU_ACTIVATIONS_H_

#include <cstddef>
#include <cstdint>

namespace brink {

/// How activations enter a product. The last three are there to measure what schemes of others
/// cost: values are rounded as those do (cpu/simulated_activations.h) and multiplied as f32.
enum class Activations : std::uint8_t {
  kF32,         ///< unchanged: the truth about weight-only quantization
  kBf16,        ///< rounded to bf16 (weights too, in products of many tokens)
  kQ8,          ///< int8 with one f32 scale per 256 or 32 values (Format::q8_block)
  kInt8Token,   ///< int8 with one f32 scale for the whole row of a token
  kInt8Tensor,  ///< int8 with one f32 scale per matrix, set before (model/activation_scales.h)
  kFp8,         ///< FP8 E4M3 with one f32 scale for the whole row of a token
};

/// Rounded, but multiplied as f32; CPU only.
constexpr bool is_simulated(Activations activations) {
  return activations >= Activations::kInt8Token;
}

/// What products see: f32 where the rounding is simulated.
constexpr Activations as_multiplied(Activations activations) {
  return is_simulated(activations) ? Activations::kF32 : activations;
}

/// Values per unit: products walk the columns in steps of one super-block.
inline constexpr std::size_t kUnit = 256;

/// Where one row of q8 activations is written. With s = max|x| / 127 over a block, q is
/// x * (127 / max|x|) rounded to the nearest integer, ties to even, all in f32, and x is stood for
/// by s * q. A block whose max|x| is below 1e-35 becomes zero.
struct Q8Row {
  std::int8_t* q = nullptr;                ///< [count] values in [-127, 127]
  float* scales = nullptr;                 ///< [count / block]
  float* sums16 = nullptr;                 ///< [count / 16] sum of 16 consecutive q
  float* sums32 = nullptr;                 ///< [count / 32] sum of 32 consecutive q
  std::int32_t* sums4 = nullptr;           ///< [count / 4] -128 * sum of 4 consecutive q
  std::int16_t* integer_sums16 = nullptr;  ///< [count / 16] as sums16
  std::int16_t* integer_sums32 = nullptr;  ///< [count / 32] as sums32

  /// The same arrays from value `at` on, a multiple of `block`, the values per scale.
  Q8Row from(std::size_t at, std::size_t block) const {
    return {q + at,         scales + at / block,      sums16 + at / 16,        sums32 + at / 32,
            sums4 + at / 4, integer_sums16 + at / 16, integer_sums32 + at / 32};
  }
};

/// The order in which a matrix-vector kernel wants the 16-value chunks of each whole unit of q8
/// activations (kHalves: of half a unit left at the end too): that of the quants as they come out
/// of a block. For vectors of four chunks:
enum class Q8Order : std::uint8_t {
  kNatural,   ///< 0 1 2 3 | 4 5 6 7 | 8 9 10 11 | 12 13 14 15
  kHalves,    ///< 0 2 4 6 | 1 3 5 7 | 8 10 12 14 | 9 11 13 15
  kNibbles,   ///< 0 4 8 12 | 1 5 9 13 | 2 6 10 14 | 3 7 11 15
  kQuarters,  ///< 0 1 8 9 | 2 3 10 11 | 4 5 12 13 | 6 7 14 15
};
inline constexpr std::size_t kQ8Orders = 4;

/// The chunk (0..15) at a position (0..15) of an order.
constexpr std::size_t q8_chunk(Q8Order order, std::size_t position) {
  const std::size_t vector = position / 4, lane = position % 4;
  switch (order) {
    case Q8Order::kHalves:
      return vector / 2 * 8 + lane * 2 + vector % 2;
    case Q8Order::kNibbles:
      return lane * 4 + vector;
    case Q8Order::kQuarters:
      return lane / 2 * 8 + vector * 2 + lane % 2;
    default:
      return position;
  }
}

/// Where one unit of a row is written for products of many tokens, rounded in the same way.
struct Q8Unit {
  std::int8_t* q = nullptr;          ///< [kUnit]
  float* scales = nullptr;           ///< [kUnit / block]
  std::int32_t* starts16 = nullptr;  ///< [kUnit / 16] -128 * sum of 16 consecutive q
  std::int32_t* starts32 = nullptr;  ///< [kUnit / 32] -128 * sum of 32 consecutive q
  std::int16_t* sums16 = nullptr;    ///< [kUnit / 16] sum of 16 consecutive q
  std::int16_t* sums32 = nullptr;    ///< [kUnit / 32] sum of 32 consecutive q
};

/// A batch of activation rows for products of few tokens. Only the form that the product's kernel
/// reads need be set. All arrays are [tokens][...] without gaps, `f32` excepted.
struct ActivationRows {
  std::size_t tokens = 0;
  std::size_t columns = 0;
  const float* f32 = nullptr;  ///< token t at f32 + t * f32_stride
  std::size_t f32_stride = 0;
  Q8Row q8;  ///< of token 0; later tokens follow; q in the order of Kernels::matvec_order
};

/// The same for products of many tokens: unit after unit, so that a product reads memory in order
/// and a power-of-two row length does not map all tokens to the same cache sets. Values past the
/// last column are zero.
struct ActivationPanels {
  std::size_t tokens = 0;
  std::size_t columns = 0;
  const float* f32 = nullptr;           ///< [units][tokens][kUnit]
  const std::uint16_t* bf16 = nullptr;  ///< [units][tokens][kUnit]
  const std::int8_t* q8 = nullptr;      ///< [units][tokens][kUnit]
  // Of q8, as in Q8Unit: [units][tokens][as many as of a unit].
  const float* scales = nullptr;
  const std::int32_t* starts16 = nullptr;
  const std::int32_t* starts32 = nullptr;
  const std::int16_t* sums16 = nullptr;
  const std::int16_t* sums32 = nullptr;
};

}  // namespace brink

#endif  // BRINK_CPU_ACTIVATIONS_H_
