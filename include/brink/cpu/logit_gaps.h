// Rows of logits in 16 bits a value: how far each lies below the row's largest.
//
// A gap g >= 0 is stored as the exponent and the first 13 bits of the mantissa of g + 1/2, rounded
// to nearest: steps of 2^-14 next to the largest logit, 2^-10 at a gap of 10, 2^-8 at 64. The
// largest logit is exact, and what lies 127.5 or more below it has probability 0 in f32 anyway.
//
// What that costs: let p be the distribution of the true gaps and p' that of the stored ones, each
// normalised over what it has. Their log-probabilities differ by at most half a step each way, so
// D(p' || p) <= step^2 / 8 (Hoeffding's lemma): 1.2e-7 for a step of 2^-10, where all but
// vocabulary * e^-15.5 of the probability lies. Rounding is to nearest, so first-order errors of
// D(p' || q) average out over tokens.
#ifndef BRINK_CPU_LOGIT_GAPS_H_
#define BRINK_CPU_LOGIT_GAPS_H_

#include <algorithm>
#include <bit>
#include <cstdint>

namespace brink {

inline constexpr float kGapOffset = 0.5f;
inline constexpr std::uint32_t kGapOffsetBits = std::bit_cast<std::uint32_t>(kGapOffset);
inline constexpr int kGapShift = 10;  // bits of an f32 mantissa that are dropped
inline constexpr std::uint32_t kMaxGapCode = 65535;

/// `gap`: largest logit - logit, at least 0; may be infinite.
inline std::uint16_t encode_logit_gap(float gap) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(gap + kGapOffset) - kGapOffsetBits;
  return static_cast<std::uint16_t>(
      std::min((bits + (1u << (kGapShift - 1))) >> kGapShift, kMaxGapCode));
}

/// Exact: every code is a number that f32 holds.
inline float decode_logit_gap(std::uint16_t code) {
  const std::uint32_t bits = (std::uint32_t{code} << kGapShift) + kGapOffsetBits;
  return std::bit_cast<float>(bits) - kGapOffset;
}

}  // namespace brink

#endif  // BRINK_CPU_LOGIT_GAPS_H_
