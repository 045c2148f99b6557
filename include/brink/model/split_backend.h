// A model whose first layers are computed by one backend and the others by another.
#ifndef BRINK_MODEL_SPLIT_BACKEND_H_
#define BRINK_MODEL_SPLIT_BACKEND_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "brink/model/backend.h"
#include "brink/model/config.h"
#include "brink/model/weights.h"

namespace brink {

/// Some consecutive layers of a model, which a backend takes for a model of its own: the embedding
/// is in the part with the first layer, the output in the one with the last.
struct ModelPart {
  /// Layers [first, first + count), at least one.
  ModelPart(const Config& whole, const Weights& weights, std::size_t first, std::size_t count);

  Config config;
  Weights weights;  ///< matrices where they lie for the whole; bytes of these layers only
};

/// Hands the residual stream over at one border: layers below it are the first backend's, the rest
/// and the output the second's. Each holds keys and values of its own layers only.
class SplitBackend final : public Backend {
 public:
  /// The arguments live as long as the backend that is made of them.
  using Make = std::function<std::unique_ptr<Backend>(const Config&, const Weights&)>;

  /// `border` from 1 to the number of layers - 1. What is in `weights` must outlive the backend.
  SplitBackend(const Config& config, const Weights& weights, std::size_t border, const Make& first,
               const Make& second);

  const char* name() const override { return name_.c_str(); }
  void begin(const Batch& batch) override;
  void embed() override { first_->embed(); }
  void take_rows(std::span<const float> rows) override { first_->take_rows(rows); }
  void project_heads(std::size_t layer) override;
  void attend(std::size_t layer) override { of(layer).attend(own(layer)); }
  void keep_outputs() override { second_->keep_outputs(); }
  void project_attention(std::size_t layer) override { of(layer).project_attention(own(layer)); }
  void gate_up(std::size_t layer) override { of(layer).gate_up(own(layer)); }
  void down(std::size_t layer) override { of(layer).down(own(layer)); }
  void experts(std::size_t layer) override { of(layer).experts(own(layer)); }
  void head() override { second_->head(); }
  Outputs end() override { return second_->end(); }
  std::size_t most_best() const override { return second_->most_best(); }
  std::span<const float> give_rows() override { return second_->give_rows(); }
  std::vector<Work> profile() const override;
  void reset_profile() override;
  void copy_page(std::uint32_t from, std::uint32_t to) override;

 private:
  Backend& of(std::size_t layer) const { return layer < border_ ? *first_ : *second_; }
  std::size_t own(std::size_t layer) const { return layer < border_ ? layer : layer - border_; }

  const std::size_t border_;
  const ModelPart first_part_, second_part_;
  const std::unique_ptr<Backend> first_, second_;
  const std::string name_;
};

}  // namespace brink

#endif  // BRINK_MODEL_SPLIT_BACKEND_H_
