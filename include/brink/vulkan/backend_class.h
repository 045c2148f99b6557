// The class behind make_vulkan_backend(): records each step of the forward pass and runs it.
#ifndef BRINK_VULKAN_BACKEND_CLASS_H_
#define BRINK_VULKAN_BACKEND_CLASS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "brink/core/aligned.h"
#include "brink/model/layout.h"
#include "brink/model/rope.h"
#include "brink/vulkan/backend.h"
#include "brink/vulkan/device.h"
#include "brink/vulkan/products.h"
#include "brink/vulkan/sizes.h"
#include "brink/vulkan/weights.h"

namespace brink::vulkan {

class VulkanBackend final : public Backend {
 public:
  VulkanBackend(const Config& config, const Weights& weights, const VulkanBackendOptions& options);
  ~VulkanBackend() override;

  const char* name() const override { return name_.c_str(); }
  void begin(const Batch& batch) override;
  void embed() override;
  void take_rows(std::span<const float> rows) override;
  void project_heads(std::size_t layer) override;
  void attend(std::size_t layer) override;
  void keep_outputs() override;
  void project_attention(std::size_t layer) override;
  void gate_up(std::size_t layer) override;
  void down(std::size_t layer) override;
  void experts(std::size_t layer) override;
  void head() override;
  Outputs end() override;
  std::size_t most_best() const override;
  std::span<const float> give_rows() override;
  void copy_page(std::uint32_t from, std::uint32_t to) override;
  std::vector<Work> profile() const override;
  void reset_profile() override { work_.clear(); }

  const Device& device() const { return *device_; }
  /// Dispatches of the last step.
  std::size_t dispatches() const { return recording_.dispatches(); }

 private:
  struct LinearWeights {
    DeviceMatrix matrix;
    std::uint64_t bias = 0;
  };
  struct Layer {
    std::uint64_t attention_norm = 0, feed_forward_norm = 0, q_norm = 0, k_norm = 0;
    LinearWeights q, k, v, attention_output, gate, up, down;
    DeviceMatrix router, shared_router, shared_gate, shared_up, shared_down;
    DeviceExperts expert_gate, expert_up, expert_down;
    std::uint64_t gate_scales = 0, up_scales = 0, down_scales = 0;  // of the experts
  };

  void upload(const Weights& weights, Uploader& uploader);
  void check_memory(const Uploader& plan) const;
  std::uint64_t expert_scales(Uploader& uploader, const DeviceExperts& experts);
  void allocate();
  void write_step();
  void plan_attention();
  void finish();
  // The next product's input: norm_ = norm(x), after x += the waiting product.
  void norm(std::uint64_t weight);
  void choose_best();
  void multiply(const Buffer& x, std::size_t columns, std::span<const DeviceProduct> products);
  void multiply(const Buffer& x, const DeviceMatrix& matrix, const Buffer& y);
  void swiglu(const Buffer& gate, const Buffer& up, std::uint64_t gate_bias, std::uint64_t up_bias,
              std::size_t width, std::uint32_t rows);
  std::uint32_t rows() const { return static_cast<std::uint32_t>(rows_); }

  const Config& config_;
  const VulkanBackendOptions options_;
  const ActivationWidths widths_;
  const KvLayout layout_;
  const RopeTable rope_;
  const StepLayout step_layout_;
  std::shared_ptr<Device> device_;
  std::string name_;

  Imports imports_;
  std::vector<Buffer> weight_buffers_;  // of what is not imported
  std::uint64_t tables_ = 0;
  DeviceMatrix embedding_;
  LinearWeights output_;
  std::uint64_t output_norm_ = 0;
  std::vector<Layer> layers_;
  std::vector<std::uint64_t> weight_bytes_;  // up to each layer, what comes before the first too
  std::unique_ptr<Products> products_;

  // What differs from step to step, written by the host and copied to the device first.
  Buffer step_host_, step_;

  Buffer x_, norm_, q_, k_, v_, attention_, stats_, partials_, gate_, up_, out_;
  Buffer logits_, logits_host_;
  Buffer best_, best_host_;    // ids of all outputs, then their logits
  Buffer rows_in_, rows_out_;  // x as the host sees it; made when it is taken or given
  Buffer routes_, choices_, choice_weights_, expert_out_, shared_routes_, shared_gate_, shared_up_;
  Buffer kv_;

  Recording recording_, copies_;
  std::map<std::string, Work> work_;  // by shader
  // The recording serves any step of this many single tokens with logits; 0: none.
  std::size_t recorded_rows_ = 0;
  std::size_t recorded_best_ = 0;  // Batch::best of the recording
  bool records_single_ = false;
  bool replaying_ = false;
  Batch batch_;
  std::size_t rows_ = 0;  // rows still in work
  bool residual_waits_ = false;
  std::uint64_t residual_bias_ = 0;
  std::uint32_t splits_ = 1;  // attention of single tokens: parts of the context
  struct RowRun {
    std::uint32_t first, count;
  };
  std::vector<RowRun> singles_;  // rows that are the only one of their sequence
  std::uint32_t tiles_ = 0;      // attention of prompts: tiles of queries
};

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_BACKEND_CLASS_H_
