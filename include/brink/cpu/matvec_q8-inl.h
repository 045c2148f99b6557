// Which matrix-vector product goes with a type. Included once per pass by kernels-inl.h.

BRINK_BEFORE_ISA()
namespace brink {
namespace BRINK_ISA {

template <TensorType T>
constexpr Q8Order MatvecOrder() {
#if HWY_TARGET == HWY_AVX3
  if constexpr (HasIntegerScales<T>()) return Arranged<T>::kOrder;
#endif
  return HasHalves<T>() ? Q8Order::kHalves : Q8Order::kNatural;
}

// Tokens share the unpacking of weights; more at a time than this spill their sums.
inline constexpr std::size_t kMostTogether = HWY_TARGET == HWY_AVX3 ? 8 : 4;

template <TensorType T, std::size_t kTokens>
void MatvecQ8Tokens(const MatvecArgs& args, std::size_t first_token) {
#if HWY_TARGET == HWY_AVX3
  if constexpr (HasIntegerScales<T>()) {
    return MatvecIntegerScales<T, kTokens>(args, first_token);
  }
#endif
#if BRINK_HAVE_VNNI
  if constexpr (HasHalves<T>()) return MatvecHalves<T, kTokens>(args, first_token);
#endif
#if HWY_TARGET == HWY_AVX2
  if constexpr (SumsSuperBlocks<T>()) return MatvecSuperBlocks<T, kTokens>(args, first_token);
  if constexpr (HasVectorBlocks<T>()) return MatvecVectorBlocks<T, kTokens>(args, first_token);
#endif
  if constexpr (!HasIntegerScales<T>() && !HasHalves<T>() && !SumsSuperBlocks<T>() &&
                !HasVectorBlocks<T>()) {
    MatvecTokens<T, kTokens>(args, first_token);
  }
}

// Where tiles are unpacked sixteen rows at a time the matrix-matrix product is faster from two
// tokens on, for three and five to seven by half; at four both are about equal.
template <TensorType T>
constexpr std::size_t MostMatvecTokens() {
  return UnpacksSixteenRows<T>() ? 1 : kMatvecTokens;
}

template <TensorType T>
void MatvecQ8(const MatvecArgs& args) {
  constexpr std::size_t kMost = HWY_MIN(kMostTogether, MostMatvecTokens<T>());
  std::size_t t = 0;
  if constexpr (kMost >= 8) {
    for (; t + 8 <= args.x.tokens; t += 8) MatvecQ8Tokens<T, 8>(args, t);
  }
  if constexpr (kMost >= 4) {
    for (; t + 4 <= args.x.tokens; t += 4) MatvecQ8Tokens<T, 4>(args, t);
  }
  for (; t < args.x.tokens; ++t) MatvecQ8Tokens<T, 1>(args, t);
}

}  // namespace BRINK_ISA
}  // namespace brink
BRINK_AFTER_ISA()
