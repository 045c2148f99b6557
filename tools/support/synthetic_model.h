// Model files with the shapes of well-known models and random weights, so that anybody can measure
// a machine without a download. Speed does not depend on the values.
#ifndef BRINK_TOOLS_SUPPORT_SYNTHETIC_MODEL_H_
#define BRINK_TOOLS_SUPPORT_SYNTHETIC_MODEL_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "brink/quant/mixes.h"

namespace brink::tools {

/// The dimensions of a published model.
struct SyntheticShape {
  std::string_view name;          ///< "llama-3.2-1b"
  std::string_view architecture;  ///< "llama", "qwen2", "qwen3"
  std::uint32_t layers;
  std::uint32_t width;
  std::uint32_t ffn;
  std::uint32_t heads;
  std::uint32_t kv_heads;
  std::uint32_t head_dim;
  std::uint32_t vocabulary;
  std::uint32_t context;
  bool tied_output;
  bool qkv_bias;
  bool qk_norm;
  float rope_base;
  float rope_factor;  ///< of Llama 3's frequency scaling; 0: none
  float norm_epsilon;
  std::string_view tokenizer_pre;
  std::uint32_t bos;
  std::uint32_t eos;
  bool add_bos;
};

std::span<const SyntheticShape> synthetic_shapes();

/// Throws Error naming the known ones.
const SyntheticShape& find_shape(std::string_view name);

/// Where files are kept: $XDG_CACHE_HOME/brink, else ~/.cache/brink. Throws Error when neither
/// variable is set.
std::string default_cache_folder();

/// Path of the file of `shape` with the types of `mix` in `folder`, built now if it is not there
/// yet (a part of a file is never left under that name). Progress goes to stderr unless `silent`.
std::string synthetic_model(const SyntheticShape& shape, const Mix& mix, const std::string& folder,
                            bool silent);

/// Removes all synthetic files in `folder` (and nothing else); returns their bytes.
std::uint64_t delete_synthetic_models(const std::string& folder);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_SUPPORT_SYNTHETIC_MODEL_H_
