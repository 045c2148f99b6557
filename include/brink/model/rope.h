// Angles of the rotary position embedding, with every kind of context scaling.
#ifndef BRINK_MODEL_ROPE_H_
#define BRINK_MODEL_ROPE_H_

#include <cstddef>
#include <span>
#include <vector>

#include "brink/model/config.h"
#include "brink/model/weights.h"

namespace brink {

/// Radians per position of every rotated pair. Angles are computed from the position in double,
/// never by adding up, so that a position has the same cosines however it is reached.
class RopeTable {
 public:
  /// `context` decides between the long and the short factors of LongRoPE.
  RopeTable(const Config& config, const Weights& weights, std::size_t context);

  std::size_t pairs() const { return frequencies_.size(); }

  /// Writes pairs() cosines, then pairs() sines, both times the magnitude.
  void fill(std::size_t position, float* cos_sin) const;

 private:
  std::vector<double> frequencies_;
  double magnitude_;
};

/// Frequencies after scaling; `factors` (empty, or one per pair) divide them.
std::vector<double> rope_frequencies(const RopeConfig& rope, std::span<const float> factors);

}  // namespace brink

#endif  // BRINK_MODEL_ROPE_H_
