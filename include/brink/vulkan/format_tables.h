// The codebooks of the IQ1, IQ2 and IQ3 types as shaders read them: one buffer for all, because a
// large constant array in a shader may end up in slow memory.
#ifndef BRINK_VULKAN_FORMAT_TABLES_H_
#define BRINK_VULKAN_FORMAT_TABLES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "brink/quant/i_quant_grids.h"

namespace brink::vulkan {

// Byte offsets in the buffer; shaders/formats/i_quants.glsl has the same numbers.
inline constexpr std::uint32_t kTableIq2Xxs = 0;
inline constexpr std::uint32_t kTableIq2Xs = 2048;
inline constexpr std::uint32_t kTableIq2S = 6144;
inline constexpr std::uint32_t kTableIq3Xxs = 14336;
inline constexpr std::uint32_t kTableIq3S = 15360;
inline constexpr std::uint32_t kTableIq1 = 17408;
inline constexpr std::uint32_t kTableBytes = 25600;

/// The buffer's contents, kTableBytes bytes; it must start at a multiple of 8. A point is its
/// magnitudes, a byte each, as in brink's own tables; one of IQ1 is a word of eight numbers t + 1,
/// numbers 0 to 3 in the low nibbles of its bytes and 4 to 7 in the high ones.
inline std::vector<std::uint32_t> format_tables() {
  std::vector<std::uint32_t> words(kTableBytes / 4);
  const auto put_eights = [&words](std::uint32_t offset, const auto& grid) {
    std::size_t at = offset / 4;
    for (const std::uint64_t point : grid) {
      words[at++] = static_cast<std::uint32_t>(point);
      words[at++] = static_cast<std::uint32_t>(point >> 32);
    }
  };
  put_eights(kTableIq2Xxs, quant::kIq2XxsGrid);
  put_eights(kTableIq2Xs, quant::kIq2XsGrid);
  put_eights(kTableIq2S, quant::kIq2SGrid);

  const auto put_fours = [&words](std::uint32_t offset, const auto& grid) {
    std::size_t at = offset / 4;
    for (const std::uint32_t point : grid) words[at++] = point;
  };
  put_fours(kTableIq3Xxs, quant::kIq3XxsGrid);
  put_fours(kTableIq3S, quant::kIq3SGrid);

  std::size_t at = kTableIq1 / 4;
  for (const std::uint64_t point : quant::kIq1Grid) {
    const std::uint64_t levels = point >> 3;  // bytes 0, 8, 16 become 0, 1, 2
    words[at++] = static_cast<std::uint32_t>(levels | levels >> 32 << 4);
  }
  return words;
}

static_assert(kTableIq2Xs == kTableIq2Xxs + sizeof(quant::kIq2XxsGrid) &&
              kTableIq2S == kTableIq2Xs + sizeof(quant::kIq2XsGrid) &&
              kTableIq3Xxs == kTableIq2S + sizeof(quant::kIq2SGrid) &&
              kTableIq3S == kTableIq3Xxs + sizeof(quant::kIq3XxsGrid) &&
              kTableIq1 == kTableIq3S + sizeof(quant::kIq3SGrid) &&
              kTableBytes == kTableIq1 + 4 * quant::kIq1Grid.size());

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_FORMAT_TABLES_H_
