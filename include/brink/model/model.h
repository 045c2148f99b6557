// A model file, opened and checked.
#ifndef BRINK_MODEL_MODEL_H_
#define BRINK_MODEL_MODEL_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "brink/gguf/reader.h"
#include "brink/model/config.h"
#include "brink/model/weights.h"

namespace brink {

class Tokenizer;

/// A tensor's contents in some type.
struct TensorBlocks {
  std::string name;
  TensorType type = TensorType::kF32;
  std::vector<std::uint8_t> blocks;  ///< rows x row_bytes(type, columns)
};

/// An opened model: hyper-parameters and weights, mapped from the file. Immutable; cheap to copy
/// (copies share it) and safe to share between threads.
class Model {
 public:
  /// Maps `path` and checks metadata and tensors. Throws Error: see Gguf::open,
  /// Config::from_gguf and Weights::from_gguf. To read only the vocabulary of a file, use
  /// Tokenizer::load(Gguf::open(path)).
  static Model open(const std::string& path);

  /// The same model with some matrices replaced by other blocks, in memory: what a quantization of
  /// these tensors would compute, without writing a file. Everything else is shared; gguf() remains
  /// that of the file. Throws Error when the file has no such tensor, it is no matrix of the
  /// forward pass, or the blocks are not as many as its shape takes.
  Model with_tensors(std::vector<TensorBlocks> replaced) const;

  const Gguf& gguf() const;
  const Config& config() const;
  const Weights& weights() const;

  /// Built at the first call. Throws Error when the file's vocabulary is missing or not supported.
  const Tokenizer& tokenizer() const;
  /// What was assumed for lack of metadata, from loading the tokenizer.
  std::span<const std::string> tokenizer_warnings() const;

 private:
  struct File;
  struct Data;
  explicit Model(std::shared_ptr<const Data> data);
  std::shared_ptr<const Data> data_;
};

}  // namespace brink

#endif  // BRINK_MODEL_MODEL_H_
