// Definitions of model/model.h.
#ifndef BRINK_MODEL_MODEL_IMPL_H_
#define BRINK_MODEL_MODEL_IMPL_H_

#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "brink/model/model.h"
#include "brink/text/tokenizer.h"

namespace brink {

struct Model::Data {
  explicit Data(Gguf file)
      : gguf(std::move(file)),
        config(Config::from_gguf(gguf)),
        weights(Weights::from_gguf(gguf, config)) {}

  Gguf gguf;
  Config config;
  Weights weights;

  // A vocabulary of 128k tokens takes longer to index than the rest of the file to open, and not
  // every use of a model needs it.
  mutable std::once_flag tokenizer_once;
  mutable std::optional<Tokenizer> tokenizer;
  mutable std::vector<std::string> warnings;
};

Model::Model(std::shared_ptr<const Data> data) : data_(std::move(data)) {}

Model Model::open(const std::string& path) {
  return Model(std::make_shared<const Data>(Gguf::open(path)));
}

const Gguf& Model::gguf() const { return data_->gguf; }
const Config& Model::config() const { return data_->config; }
const Weights& Model::weights() const { return data_->weights; }

const Tokenizer& Model::tokenizer() const {
  const Data& data = *data_;
  std::call_once(data.tokenizer_once,
                 [&] { data.tokenizer.emplace(Tokenizer::load(data.gguf, &data.warnings)); });
  return *data.tokenizer;
}

std::span<const std::string> Model::tokenizer_warnings() const {
  tokenizer();
  return data_->warnings;
}

}  // namespace brink

#endif  // BRINK_MODEL_MODEL_IMPL_H_
