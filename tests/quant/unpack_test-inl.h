// One pass of unpack_test.cc: every unpack step of this instruction set, put into the list of
// cases.

#include "brink/cpu/simd-inl.h"
#include "brink/cpu/unpack-inl.h"
#include "brink/cpu/unpack_i_quants-inl.h"
#include "brink/cpu/unpack_k-inl.h"
#include "brink/cpu/unpack_small-inl.h"
#include "hwy/highway.h"

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {
namespace hn = hwy::HWY_NAMESPACE;

// Decodes one block by nothing but the contract of unpack-inl.h.
template <TensorType T, std::size_t kLanes>
void DecodeByContract(const std::uint8_t* block, float* out) {
  using Format = Unpack<T>;
  static_assert(Format::kBlock == size_of(T).block_size);
  static_assert(Format::kSigned || (Format::kOffset >= 0 && Format::kOffset <= 127));
  const hn::FixedTag<std::uint8_t, kLanes> d;
  float scales[Format::kBlock / Format::kGroup];
  float mins[Format::kBlock / Format::kGroup] = {};
  Format::Scales(block, scales, mins);
  alignas(64) std::uint8_t quants[kLanes];
  for (std::size_t k = 0; k < Format::kBlock; k += kLanes) {
    hn::Store(Format::Quants(d, block, k), d, quants);
    for (std::size_t i = 0; i < kLanes; ++i) {
      const std::size_t g = (k + i) / Format::kGroup;
      int q = quants[i];
      if (Format::kSigned) {
        q = static_cast<std::int8_t>(quants[i]);
      } else if (q > 127) {
        q = 1 << 20;  // breaks the contract: give a weight that cannot be right
      }
      float w = scales[g] * static_cast<float>(q - Format::kOffset);
      if (Format::kHasMin) w -= mins[g];
      out[k + i] = w;
    }
  }
}

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()

// Runs on any machine, hence outside the pass's attributes.
namespace brink {
namespace BRINK_ISA {

inline bool runnable() {
#if BRINK_HAVE_VNNI
  if (!__builtin_cpu_supports("avx512vnni") || !__builtin_cpu_supports("avx512bf16")) return false;
#endif
  return (hwy::SupportedTargets() & HWY_TARGET) != 0;
}

template <TensorType T>
void AddCases() {
  constexpr std::size_t kWidest = hwy::HWY_NAMESPACE::MaxLanes(Bytes());
  constexpr std::size_t kBlock = Unpack<T>::kBlock;
  unpack_cases().push_back({BRINK_ISA_NAME, &runnable, T, 16, &DecodeByContract<T, 16>});
  if constexpr (kWidest >= 32 && kBlock >= 32)
    unpack_cases().push_back({BRINK_ISA_NAME, &runnable, T, 32, &DecodeByContract<T, 32>});
  if constexpr (kWidest >= 64 && kBlock >= 64)
    unpack_cases().push_back({BRINK_ISA_NAME, &runnable, T, 64, &DecodeByContract<T, 64>});
}

[[maybe_unused]] const bool added = [] {
#define X(name) AddCases<TensorType::k##name>();
  BRINK_TEST_UNPACKED_TYPES(X)
#undef X
  return true;
}();

}  // namespace BRINK_ISA
}  // namespace brink
