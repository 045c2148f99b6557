// Definitions of model/model.h.
#ifndef BRINK_MODEL_MODEL_IMPL_H_
#define BRINK_MODEL_MODEL_IMPL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "brink/core/error.h"
#include "brink/model/model.h"
#include "brink/quant/format.h"
#include "brink/text/tokenizer.h"

namespace brink {

struct Model::File {
  explicit File(Gguf file) : gguf(std::move(file)) {}

  Gguf gguf;
  // A vocabulary of 128k tokens takes longer to index than the rest of the file to open, and not
  // every use of a model needs it.
  mutable std::once_flag tokenizer_once;
  mutable std::optional<Tokenizer> tokenizer;
  mutable std::vector<std::string> warnings;
};

struct Model::Data {
  explicit Data(std::shared_ptr<const File> source)
      : file(std::move(source)),
        config(Config::from_gguf(file->gguf)),
        weights(Weights::from_gguf(file->gguf, config)) {}

  std::shared_ptr<const File> file;
  Config config;
  Weights weights;
  std::vector<std::shared_ptr<const TensorBlocks>> replaced;  // what `weights` points to beside it
};

Model::Model(std::shared_ptr<const Data> data) : data_(std::move(data)) {}

Model Model::open(const std::string& path) {
  return Model(std::make_shared<const Data>(std::make_shared<const File>(Gguf::open(path))));
}

Model Model::with_tensors(std::vector<TensorBlocks> replaced) const {
  auto data = std::make_shared<Data>(*data_);
  for (TensorBlocks& blocks : replaced) {
    const ErrorPlace place{.file = gguf().path(), .tensor = blocks.name};
    const GgufTensor* tensor = gguf().find_tensor(blocks.name);
    if (tensor == nullptr) throw Error("there is no such tensor to replace", place);
    const std::uint64_t columns = tensor->shape[0];
    if (columns % size_of(blocks.type).block_size != 0 ||
        blocks.blocks.size() != row_bytes(blocks.type, columns) * tensor->rows())
      throw Error("the blocks to replace it with do not have its shape", place);
    const auto kept = std::make_shared<const TensorBlocks>(std::move(blocks));
    const auto* begin = reinterpret_cast<const std::uint8_t*>(tensor->data);
    const std::size_t old_row = row_bytes(tensor->type, columns);
    bool used = false;
    Weights& weights = data->weights;
    const bool tied = weights.output.matrix.data == weights.embedding.data;
    // A tensor may be several matrices: those of the experts.
    for_each_matrix(weights, [&](WeightMatrix& matrix) {
      if (matrix.data < begin || matrix.data >= begin + tensor->bytes) return;
      const std::size_t row = static_cast<std::size_t>(matrix.data - begin) / old_row;
      matrix.data = kept->blocks.data() + row * row_bytes(kept->type, columns);
      matrix.type = kept->type;
      used = true;
    });
    if (tied) {
      weights.output.matrix.data = weights.embedding.data;
      weights.output.matrix.type = weights.embedding.type;
    }
    if (!used) throw Error("is no matrix of the forward pass", place);
    data->replaced.push_back(kept);
  }
  return Model(std::move(data));
}

const Gguf& Model::gguf() const { return data_->file->gguf; }
const Config& Model::config() const { return data_->config; }
const Weights& Model::weights() const { return data_->weights; }

const Tokenizer& Model::tokenizer() const {
  const File& file = *data_->file;
  std::call_once(file.tokenizer_once,
                 [&] { file.tokenizer.emplace(Tokenizer::load(file.gguf, &file.warnings)); });
  return *file.tokenizer;
}

std::span<const std::string> Model::tokenizer_warnings() const {
  tokenizer();
  return data_->file->warnings;
}

}  // namespace brink

#endif  // BRINK_MODEL_MODEL_IMPL_H_
