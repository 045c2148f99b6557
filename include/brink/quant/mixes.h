// Quantization mixes: which type each tensor of a model gets in a file called, say, Q4_K_M. The
// rules are those of the files that are published under these names (llama.cpp's llama-quantize,
// August 2026), so that sizes and speeds can be compared like with like.
#ifndef BRINK_QUANT_MIXES_H_
#define BRINK_QUANT_MIXES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "brink/gguf/tensor_types.h"

namespace brink {

struct Mix {
  std::string name;                        ///< "Q4_K_M", or "pure:Q4_K"
  TensorType base = TensorType::kF32;      ///< type of the tensors that no rule concerns
  bool pure = false;                       ///< every matrix gets `base`
  std::optional<std::uint32_t> file_type;  ///< value of general.file_type, where there is one
};

/// A mix by its name: a published one ("Q4_K_M", "IQ4_XS", "Q8_0"), one of the aliases "Q3_K",
/// "Q4_K" and "Q5_K" (their _M), or "pure:TYPE" for any type of weights. A type that no published
/// mix is named after ("NVFP4") stands for its pure mix. Case-sensitive; empty when unknown.
std::optional<Mix> find_mix(std::string_view name);

/// The published mix that a file's general.file_type names; empty when there is none.
std::optional<Mix> mix_of_file_type(std::uint64_t file_type);

/// Names of the published mixes, the most bits first.
std::vector<std::string_view> mix_names();

/// What the rules ask of a model.
struct MixModel {
  std::size_t layers = 0;
  std::size_t heads = 1;
  std::size_t kv_heads = 1;
  std::size_t experts = 0;
  bool tied_output = false;        ///< no output.weight: the token embeddings serve as the head
  bool importance_matrix = false;  ///< some mixes spend fewer bits when there is one
};

/// Whether a tensor is quantized at all: matrices whose name ends in "weight", but no norms and no
/// expert routers.
bool is_quantizable(std::string_view tensor, std::uint32_t dimensions);

/// The type of quantizable tensor `tensor` (a GGUF name, "blk.3.attn_v.weight") with rows of
/// `columns` weights.
TensorType mixed_type(const Mix& mix, const MixModel& model, std::string_view tensor,
                      std::uint64_t columns);

/// `type`, or what replaces it where rows of `columns` weights are no multiple of its block.
TensorType fitting_type(TensorType type, std::uint64_t columns);

}  // namespace brink

#endif  // BRINK_QUANT_MIXES_H_
