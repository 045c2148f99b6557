// Random weights of any type: random bit patterns, but with the magnitudes of real weights.
#ifndef BRINK_TESTS_SUPPORT_RANDOM_BLOCKS_H_
#define BRINK_TESTS_SUPPORT_RANDOM_BLOCKS_H_

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "brink/quant/format.h"

namespace brink::testing {

/// `count` weights (a multiple of the block size). Blocks are drawn as random bytes until all their
/// weights are finite and the largest magnitude lies in [0.05, 4], so that no block dwarfs the
/// others in a sum.
inline std::vector<std::uint8_t> random_blocks(TensorType type, std::size_t count,
                                               std::mt19937_64& random) {
  const Format& format = format_of(type);
  std::vector<std::uint8_t> bytes(count / format.block_size * format.block_bytes);
  std::vector<float> weights(format.block_size);
  for (std::size_t at = 0; at < bytes.size(); at += format.block_bytes) {
    float largest = 0.0f;
    do {
      for (std::size_t i = 0; i < format.block_bytes; ++i) {
        bytes[at + i] = static_cast<std::uint8_t>(random());
      }
      format.decode(bytes.data() + at, weights.data(), format.block_size);
      largest = 0.0f;
      for (const float w : weights) {
        largest = std::isfinite(w) ? std::max(largest, std::fabs(w)) : INFINITY;
      }
    } while (!(largest >= 0.05f && largest <= 4.0f));
  }
  return bytes;
}

}  // namespace brink::testing

#endif  // BRINK_TESTS_SUPPORT_RANDOM_BLOCKS_H_
