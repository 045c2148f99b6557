// The instruction sets that slow tests go through.
#ifndef BRINK_TESTS_SUPPORT_TESTED_KERNELS_H_
#define BRINK_TESTS_SUPPORT_TESTED_KERNELS_H_

#include <cstddef>
#include <vector>

#include "brink/cpu/kernels.h"

namespace brink::testing {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
inline constexpr bool kSanitized = __has_feature(address_sanitizer);
#else
inline constexpr bool kSanitized = false;
#endif

/// All that this processor runs; under AddressSanitizer, which makes them twenty times slower, the
/// narrowest and the widest: whole models say no more about memory errors with the others, which
/// the tests of the kernels themselves still cover.
inline std::vector<const Kernels*> tested_kernels() {
  const auto all = available_kernels();
  if (kSanitized && all.size() > 2) return {all.front(), all.back()};
  return {all.begin(), all.end()};
}

/// With sanitizers every `step`-th of cases that go through the same code of the host, for numbers
/// that the other build checks in all of them; otherwise all.
template <class T>
std::vector<T> sanitized_sample(const std::vector<T>& cases, std::size_t step) {
  if (!kSanitized) return cases;
  std::vector<T> some;
  for (std::size_t i = 0; i < cases.size(); i += step) some.push_back(cases[i]);
  return some;
}

}  // namespace brink::testing

#endif  // BRINK_TESTS_SUPPORT_TESTED_KERNELS_H_
