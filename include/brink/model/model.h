// A model file, opened and checked.
#ifndef BRINK_MODEL_MODEL_H_
#define BRINK_MODEL_MODEL_H_

#include <memory>
#include <span>
#include <string>

#include "brink/gguf/reader.h"
#include "brink/model/config.h"
#include "brink/model/weights.h"

namespace brink {

class Tokenizer;

/// An opened model: hyper-parameters and weights, mapped from the file. Immutable; cheap to copy
/// (copies share it) and safe to share between threads.
class Model {
 public:
  /// Maps `path` and checks metadata and tensors. Throws Error: see Gguf::open,
  /// Config::from_gguf and Weights::from_gguf. To read only the vocabulary of a file, use
  /// Tokenizer::load(Gguf::open(path)).
  static Model open(const std::string& path);

  const Gguf& gguf() const;
  const Config& config() const;
  const Weights& weights() const;

  /// Built at the first call. Throws Error when the file's vocabulary is missing or not supported.
  const Tokenizer& tokenizer() const;
  /// What was assumed for lack of metadata, from loading the tokenizer.
  std::span<const std::string> tokenizer_warnings() const;

 private:
  struct Data;
  explicit Model(std::shared_ptr<const Data> data);
  std::shared_ptr<const Data> data_;
};

}  // namespace brink

#endif  // BRINK_MODEL_MODEL_H_
