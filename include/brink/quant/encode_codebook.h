// The codebooks of the IQ1, IQ2 and IQ3 types (i_quant_grids.h), laid out to be searched: a group
// of 8 (IQ3: 4) coordinates is two halves, each a point of a full lattice of 3^4 (IQ3: 8^2), and a
// codebook says which pairs of half points have a code.
#ifndef BRINK_QUANT_ENCODE_CODEBOOK_H_
#define BRINK_QUANT_ENCODE_CODEBOOK_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "brink/core/error.h"
#include "brink/gguf/tensor_types.h"
#include "brink/quant/i_quant_grids.h"

namespace brink::quant {

struct Codebook {
  static constexpr std::size_t kMaxHalfPoints = 81;
  static constexpr std::size_t kMaxPadded = 96;
  /// Added to the cost of pairs without a code.
  static constexpr float kWall = 1e30f;

  bool has_delta;           ///< IQ1
  std::size_t half_group;   ///< coordinates of a half: 4, IQ3: 2
  std::size_t half_points;  ///< 81 or 64
  std::size_t padded;       ///< half_points rounded up to a multiple of 16; repeats the last point

  /// Coordinate i of half point j. IQ1's are 8 t, without the delta.
  alignas(64) float points[4][kMaxPadded];
  /// Sums of squares of the coordinates; IQ1: of (8 t + 1), then of (8 t - 1), less what does not
  /// depend on t.
  alignas(64) float norms[2][kMaxPadded];
  /// [high * padded + low]: 0 where the pair has a code, else kWall.
  alignas(64) float walls[kMaxHalfPoints * kMaxPadded];
  /// [high * half_points + low], for pairs that have one.
  std::uint16_t codes[kMaxHalfPoints * kMaxHalfPoints];

  /// `Point`s have a coordinate a byte, level l being levels[l]; `bias` is taken off each.
  template <class Point, std::size_t Count, std::size_t Base>
  Codebook(const std::array<Point, Count>& grid, const std::array<std::uint8_t, Base>& levels,
           int bias)
      : has_delta(bias != 0),
        half_group(sizeof(Point) / 2),
        half_points(1),
        padded(0),
        walls{},
        codes{} {
    for (std::size_t i = 0; i < half_group; ++i) half_points *= Base;
    padded = (half_points + 15) / 16 * 16;
    for (std::size_t j = 0; j < padded; ++j) {
      std::size_t digits = j < half_points ? j : half_points - 1;
      float squares = 0.0f, sum = 0.0f;
      for (std::size_t i = 0; i < half_group; ++i, digits /= Base) {
        points[i][j] = static_cast<float>(levels[digits % Base] - bias);
        squares += points[i][j] * points[i][j];
        sum += points[i][j];
      }
      norms[0][j] = has_delta ? squares + 2.0f * sum : squares;
      norms[1][j] = has_delta ? squares - 2.0f * sum : squares;
    }
    for (float& wall : walls) wall = kWall;
    for (std::size_t code = 0; code < Count; ++code) {
      std::size_t half[2] = {0, 0};
      for (std::size_t i = 2 * half_group; i-- > 0;) {
        const std::size_t level = static_cast<std::size_t>(grid[code] >> (8 * i) & 255);
        std::size_t digit = 0;
        while (levels[digit] != level) ++digit;
        half[i / half_group] = half[i / half_group] * Base + digit;
      }
      walls[half[1] * padded + half[0]] = 0.0f;
      codes[half[1] * half_points + half[0]] = static_cast<std::uint16_t>(code);
    }
  }
};

/// Made at first use, by any thread.
inline const Codebook& codebook_of(TensorType type) {
  switch (type) {
    case TensorType::kIQ1_S:
    case TensorType::kIQ1_M: {
      static const Codebook codebook(kIq1Grid, kIq1Levels, 8);
      return codebook;
    }
    case TensorType::kIQ2_XXS: {
      static const Codebook codebook(kIq2XxsGrid, kIq2Levels, 0);
      return codebook;
    }
    case TensorType::kIQ2_XS: {
      static const Codebook codebook(kIq2XsGrid, kIq2Levels, 0);
      return codebook;
    }
    case TensorType::kIQ2_S: {
      static const Codebook codebook(kIq2SGrid, kIq2Levels, 0);
      return codebook;
    }
    case TensorType::kIQ3_XXS: {
      static const Codebook codebook(kIq3XxsGrid, kIq3XxsLevels, 0);
      return codebook;
    }
    case TensorType::kIQ3_S: {
      static const Codebook codebook(kIq3SGrid, kIq3SLevels, 0);
      return codebook;
    }
    default:
      throw Error(std::string(size_of(type).name) + " has no codebook");
  }
}

}  // namespace brink::quant

#endif  // BRINK_QUANT_ENCODE_CODEBOOK_H_
