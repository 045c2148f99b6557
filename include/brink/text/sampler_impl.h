#ifndef BRINK_TEXT_SAMPLER_IMPL_H_
#define BRINK_TEXT_SAMPLER_IMPL_H_

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "brink/core/error.h"
#include "brink/text/sampler.h"

namespace brink {

namespace sampler_detail {

// Also false for NaN.
bool within(float value, float low, float high) { return value >= low && value <= high; }

void require(bool holds, const std::string& option, const std::string& range, double value) {
  if (!holds) throw Error(option + " must be " + range + ", not " + std::to_string(value));
}

// Relative to the best candidate. The best itself is 1 even where it is infinite.
double weight(float logit, float best, double temperature) {
  if (logit == best) return 1.0;
  return std::exp((static_cast<double>(logit) - static_cast<double>(best)) / temperature);
}

}  // namespace sampler_detail

Sampler::Sampler(SamplingOptions options) : options_(options), generator_(options.seed) {
  using sampler_detail::require;
  using sampler_detail::within;
  const float largest = std::numeric_limits<float>::max();
  require(within(options.temperature, 0.0f, largest), "temperature", "0 (greedy) or more",
          static_cast<double>(options.temperature));
  require(options.top_k >= 0, "top_k", "0 (no limit) or more", options.top_k);
  require(within(options.top_p, 0.0f, 1.0f), "top_p", "between 0 and 1",
          static_cast<double>(options.top_p));
  require(within(options.min_p, 0.0f, 1.0f), "min_p", "between 0 and 1",
          static_cast<double>(options.min_p));
  require(within(options.repetition_penalty, std::numeric_limits<float>::min(), largest),
          "repetition_penalty", "above 0", static_cast<double>(options.repetition_penalty));
  require(options.repetition_window >= 0, "repetition_window", "0 (none) or more",
          options.repetition_window);
}

void Sampler::accept(std::int32_t id) {
  const auto window = static_cast<std::size_t>(options_.repetition_window);
  if (window == 0) return;
  if (recent_.size() < window) {
    recent_.push_back(id);
  } else {
    recent_[recent_at_] = id;
    recent_at_ = (recent_at_ + 1) % window;
  }
}

bool Sampler::better(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

std::span<const float> Sampler::penalise(std::span<const float> logits) {
  if (options_.repetition_penalty == 1.0f || recent_.empty()) return logits;
  penalised_.assign(logits.begin(), logits.end());
  for (const std::int32_t id : recent_) {
    if (id < 0 || static_cast<std::size_t>(id) >= logits.size()) continue;
    const auto at = static_cast<std::size_t>(id);
    // From the original: a token that occurs twice is penalised once.
    penalised_[at] = logits[at] > 0.0f ? logits[at] / options_.repetition_penalty
                                       : logits[at] * options_.repetition_penalty;
  }
  return penalised_;
}

// One pass with a heap whose front is the worst of the best: most of a vocabulary is turned away
// by one comparison.
void Sampler::keep_top_k(std::span<const float> logits) {
  const auto limit = options_.top_k == 0 ? logits.size() : static_cast<std::size_t>(options_.top_k);
  candidates_.clear();
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const Candidate candidate{logits[i], static_cast<std::int32_t>(i)};
    if (!(candidate.logit > -std::numeric_limits<float>::infinity())) continue;
    if (candidates_.size() == limit) {
      if (!better(candidate, candidates_.front())) continue;
      std::pop_heap(candidates_.begin(), candidates_.end(), better);
      candidates_.back() = candidate;
    } else {
      candidates_.push_back(candidate);
    }
    if (limit < logits.size()) std::push_heap(candidates_.begin(), candidates_.end(), better);
  }
  if (candidates_.empty()) return;
  // Best first, as the later stages expect it; without a limit the order is made only as far as
  // top-p needs it.
  if (limit < logits.size()) {
    std::sort(candidates_.begin(), candidates_.end(), better);
  } else {
    std::iter_swap(candidates_.begin(),
                   std::min_element(candidates_.begin(), candidates_.end(), better));
  }
}

void Sampler::keep_top_p() {
  if (options_.top_p >= 1.0f) return;
  const float best = candidates_.front().logit;
  double total = 0.0;
  for (const Candidate& c : candidates_) total += sampler_detail::weight(c.logit, best, 1.0);
  const double wanted = static_cast<double>(options_.top_p) * total;
  double sum = 0.0;
  std::size_t kept = 0;
  std::size_t sorted = 0;
  while (kept < candidates_.size()) {
    if (kept == sorted) {
      // The next best, in blocks that grow: few tokens usually suffice, and where they do not the
      // passes over the rest stay few.
      const auto from = candidates_.begin() + static_cast<std::ptrdiff_t>(sorted);
      sorted = std::min(candidates_.size(), std::max<std::size_t>(64, 8 * sorted));
      const auto to = candidates_.begin() + static_cast<std::ptrdiff_t>(sorted);
      if (to != candidates_.end()) std::nth_element(from, to, candidates_.end(), better);
      std::sort(from, to, better);
    }
    sum += sampler_detail::weight(candidates_[kept].logit, best, 1.0);
    ++kept;
    if (sum >= wanted) break;
  }
  candidates_.resize(kept);
}

void Sampler::keep_min_p() {
  if (options_.min_p <= 0.0f) return;
  const float best = candidates_.front().logit;
  std::erase_if(candidates_, [&](const Candidate& c) {
    return sampler_detail::weight(c.logit, best, 1.0) < static_cast<double>(options_.min_p);
  });
}

// SplitMix64 (Steele, Lea, Flood 2014; public-domain constants by Vigna).
double Sampler::uniform() {
  generator_ += 0x9E3779B97F4A7C15u;
  std::uint64_t z = generator_;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1p-53;
}

std::int32_t Sampler::draw() {
  const float best = candidates_.front().logit;
  const auto temperature = static_cast<double>(options_.temperature);
  weights_.resize(candidates_.size());
  double total = 0.0;
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    weights_[i] = sampler_detail::weight(candidates_[i].logit, best, temperature);
    total += weights_[i];
  }
  const double target = uniform() * total;
  double sum = 0.0;
  std::int32_t chosen = candidates_.front().id;
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    if (weights_[i] <= 0.0) continue;
    // Rounding may leave the whole sum at the target: then the last possible one is taken.
    chosen = candidates_[i].id;
    sum += weights_[i];
    if (sum > target) break;
  }
  return chosen;
}

std::int32_t Sampler::sample(std::span<const float> logits) {
  if (logits.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw Error("more logits than token ids");
  }
  const std::span<const float> penalised = penalise(logits);
  if (options_.temperature == 0.0f) {
    Candidate best{-std::numeric_limits<float>::infinity(), -1};
    for (std::size_t i = 0; i < penalised.size(); ++i) {
      if (penalised[i] > best.logit) best = {penalised[i], static_cast<std::int32_t>(i)};
    }
    if (best.id < 0) throw Error("no logit is a number above -infinity: nothing to sample");
    return best.id;
  }
  keep_top_k(penalised);
  return choose_candidate();
}

std::int32_t Sampler::choose_candidate() {
  if (candidates_.empty()) throw Error("no logit is a number above -infinity: nothing to sample");
  keep_top_p();
  keep_min_p();
  return draw();
}

std::size_t Sampler::needed() const {
  const bool penalises = options_.repetition_penalty != 1.0f && options_.repetition_window > 0;
  if (penalises) return 0;
  return options_.temperature == 0.0f ? 1 : static_cast<std::size_t>(options_.top_k);
}

std::int32_t Sampler::sample(std::span<const std::int32_t> best_ids,
                             std::span<const float> best_logits) {
  candidates_.clear();
  if (options_.temperature == 0.0f) {
    if (!best_ids.empty() && best_ids.front() >= 0) return best_ids.front();
  } else {
    for (std::size_t i = 0; i < best_ids.size(); ++i)
      if (best_logits[i] > -std::numeric_limits<float>::infinity())
        candidates_.push_back({best_logits[i], best_ids[i]});
  }
  return choose_candidate();
}

}  // namespace brink

#endif  // BRINK_TEXT_SAMPLER_IMPL_H_
