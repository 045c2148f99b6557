// The tensor types of GGUF: ids, names and block sizes. This list is the only one; quant/format.h
// adds bits per weight, activation blocks and decoders to it.
#ifndef BRINK_GGUF_TENSOR_TYPES_H_
#define BRINK_GGUF_TENSOR_TYPES_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

// X(name, GGUF id, weights per block, bytes per block)
#define BRINK_TENSOR_TYPES(X) \
  X(F32, 0, 1, 4)             \
  X(F16, 1, 1, 2)             \
  X(Q4_0, 2, 32, 18)          \
  X(Q4_1, 3, 32, 20)          \
  X(Q5_0, 6, 32, 22)          \
  X(Q5_1, 7, 32, 24)          \
  X(Q8_0, 8, 32, 34)          \
  X(Q2_K, 10, 256, 84)        \
  X(Q3_K, 11, 256, 110)       \
  X(Q4_K, 12, 256, 144)       \
  X(Q5_K, 13, 256, 176)       \
  X(Q6_K, 14, 256, 210)       \
  X(IQ2_XXS, 16, 256, 66)     \
  X(IQ2_XS, 17, 256, 74)      \
  X(IQ3_XXS, 18, 256, 98)     \
  X(IQ1_S, 19, 256, 50)       \
  X(IQ4_NL, 20, 32, 18)       \
  X(IQ3_S, 21, 256, 110)      \
  X(IQ2_S, 22, 256, 82)       \
  X(IQ4_XS, 23, 256, 136)     \
  X(I8, 24, 1, 1)             \
  X(I16, 25, 1, 2)            \
  X(I32, 26, 1, 4)            \
  X(I64, 27, 1, 8)            \
  X(F64, 28, 1, 8)            \
  X(IQ1_M, 29, 256, 56)       \
  X(BF16, 30, 1, 2)           \
  X(TQ1_0, 34, 256, 54)       \
  X(TQ2_0, 35, 256, 66)       \
  X(MXFP4, 39, 32, 17)        \
  X(NVFP4, 40, 64, 36)        \
  X(Q1_0, 41, 128, 18)        \
  X(Q2_0, 42, 64, 18)

namespace brink {

/// Values are the GGUF type ids.
enum class TensorType : std::uint32_t {
#define X(name, id, block, bytes) k##name = id,
  BRINK_TENSOR_TYPES(X)
#undef X
};

/// One past the largest GGUF type id known; tables indexed by type have this many entries.
inline constexpr std::size_t kTensorTypeIds = 43;

struct TensorTypeSize {
  TensorType type;
  const char* name;           ///< GGUF's name, "Q4_K"
  std::uint32_t block_size;   ///< weights per block
  std::uint32_t block_bytes;  ///< bytes per block
};

inline constexpr TensorTypeSize kTensorTypeSizes[] = {
#define X(name, id, block, bytes) {TensorType::k##name, #name, block, bytes},
    BRINK_TENSOR_TYPES(X)
#undef X
};

/// nullptr when `id` is not a type brink knows.
constexpr const TensorTypeSize* find_tensor_type(std::uint32_t id) {
  for (const TensorTypeSize& t : kTensorTypeSizes)
    if (static_cast<std::uint32_t>(t.type) == id) return &t;
  return nullptr;
}

/// Case-sensitive GGUF name ("Q4_K"); nullptr when unknown.
constexpr const TensorTypeSize* find_tensor_type(std::string_view name) {
  for (const TensorTypeSize& t : kTensorTypeSizes)
    if (name == t.name) return &t;
  return nullptr;
}

constexpr const TensorTypeSize& size_of(TensorType type) {
  return *find_tensor_type(static_cast<std::uint32_t>(type));
}

}  // namespace brink

#endif  // BRINK_GGUF_TENSOR_TYPES_H_
