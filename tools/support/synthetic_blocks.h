// Seeded random weights in any type: random bits whose scales are set so that the decoded weights
// have a wanted spread. No encoder is involved, so that gigabytes take seconds.
#ifndef BRINK_TOOLS_SUPPORT_SYNTHETIC_BLOCKS_H_
#define BRINK_TOOLS_SUPPORT_SYNTHETIC_BLOCKS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "brink/gguf/tensor_types.h"

namespace brink::tools {

/// A small fast generator (SplitMix64, Steele et al. 2014); the same numbers everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
  }

 private:
  std::uint64_t state_;
};

/// Fills blocks of one tensor.
class BlockFiller {
 public:
  /// Decoded weights get a mean near 0 and a standard deviation of about `deviation` (floats within
  /// a factor of 1.5; quantized types as near as their scales allow).
  BlockFiller(TensorType type, double deviation, std::uint64_t seed);

  /// `bytes` is whole blocks.
  void fill(std::span<std::uint8_t> bytes);

 private:
  /// `width` bytes at `offset` of a block: those bits that `mask` has are set to `bits`.
  struct Field {
    std::size_t offset;
    std::size_t width;
    std::uint32_t mask;
    std::uint32_t bits;
  };
  std::vector<Field> fields(double scale) const;
  double calibrate();
  void fill_random(std::span<std::uint8_t> bytes);

  TensorType type_;
  std::vector<Field> fields_;
  Random random_;
};

}  // namespace brink::tools

#endif  // BRINK_TOOLS_SUPPORT_SYNTHETIC_BLOCKS_H_
