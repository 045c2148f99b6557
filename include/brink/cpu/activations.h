// Activations in the forms that products read.
#ifndef BRINK_CPU_ACTIVATIONS_H_
#define BRINK_CPU_ACTIVATIONS_H_

#include <cstddef>
#include <cstdint>

namespace brink {

/// How activations enter a product.
enum class Activations : std::uint8_t {
  kF32,   ///< unchanged: the truth about weight-only quantization
  kBf16,  ///< rounded to bf16 (weights too, in products of many tokens)
  kQ8,    ///< int8 with one f32 scale per 256 or 32 values (Format::q8_block)
};

/// Where one row of q8 activations is written. With s = max|x| / 127 over a block (0 when the
/// block is all zero), q = round-half-to-even(x / s), and x is stood for by s * q.
struct Q8Row {
  std::int8_t* q = nullptr;       ///< [count] values in [-127, 127]
  float* scales = nullptr;        ///< [count / block]
  float* sums = nullptr;          ///< [ceil(count / 16)] s * sum of 16 consecutive q
  std::int32_t* sums4 = nullptr;  ///< [count / 4] sums of 4 consecutive q, times -128
};

/// A batch of activation rows. Only the form that the product's kernel reads need be set.
struct ActivationRows {
  std::size_t tokens = 0;
  std::size_t columns = 0;

  const float* f32 = nullptr;  ///< [tokens][f32_stride]
  std::size_t f32_stride = 0;

  const std::uint16_t* bf16 = nullptr;  ///< [tokens][columns]

  std::uint32_t q8_block = 0;           ///< 32 or 256
  const std::int8_t* q8 = nullptr;      ///< [tokens][columns]
  const float* scales = nullptr;        ///< [tokens][columns / q8_block]
  const float* sums = nullptr;          ///< [tokens][ceil(columns / 16)]
  const std::int32_t* sums4 = nullptr;  ///< [tokens][columns / 4]
};

}  // namespace brink

#endif  // BRINK_CPU_ACTIVATIONS_H_
