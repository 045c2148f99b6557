// Definitions of vulkan/backend.h; attention and experts are in backend_layers_impl.h.
#ifndef BRINK_VULKAN_BACKEND_IMPL_H_
#define BRINK_VULKAN_BACKEND_IMPL_H_

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "brink/core/error.h"
#include "brink/vulkan/backend_class.h"
#include "brink/vulkan/format_tables.h"
#include "brink/vulkan/push.h"

namespace brink::vulkan {
namespace backend_detail {

inline constexpr std::uint32_t kLocal = 256;  // invocations of a workgroup of row operations

inline std::uint32_t u32(std::size_t value) { return static_cast<std::uint32_t>(value); }

inline constexpr std::uint32_t kHeadLocal = 64;
inline constexpr std::uint32_t kAttentionLocal = 128;
inline constexpr std::uint32_t kTileQueries = kAttentionLocal / 4;  // of attention_prompt.comp
// Heads that a workgroup of attention.comp takes together: 16 registers each.
inline constexpr std::uint32_t kMostHeads = 4;

}  // namespace backend_detail

VulkanBackend::VulkanBackend(const Config& config, const Weights& weights,
                             const VulkanBackendOptions& options)
    : config_(config),
      options_(options),
      widths_(config),
      layout_(config, options.kv_type),
      rope_(config, weights, options.context),
      step_layout_(config, options),
      device_(Device::open({.device = options.device})),
      name_("vulkan: " + device_->info().name) {
  // Rows are a dimension of the grid, which every device has at least this long.
  constexpr std::size_t kMostRows = 65535;
  if (options.batch * std::max<std::size_t>(1, config.experts_used) > kMostRows)
    throw Error("a batch of " + std::to_string(options.batch) +
                " tokens is too large for the Vulkan backend");
  for (const std::size_t length : {config.key_length, config.value_length})
    if (length % 8 != 0 || length > 512)
      throw Error(
          "the Vulkan backend needs heads of a multiple of 8 values, at most 512; this "
          "model's have " +
          std::to_string(length));
  // Going through the weights once without touching memory tells how much they will take.
  if (!options.copy_weights) imports_ = Imports(*device_, weights);
  Uploader plan(*device_, {.plan = true, .imports = &imports_});
  upload(weights, plan);
  check_memory(plan);
  Uploader::Options with_plan{.buffers = plan.buffer_sizes(), .imports = &imports_};
  if (options.on_upload)
    with_plan.on_progress = [&](std::uint64_t bytes) { options.on_upload(bytes, plan.copied()); };
  Uploader uploader(*device_, with_plan);
  upload(weights, uploader);
  weight_buffers_ = uploader.finish();
  allocate();
  recording_ = Recording(*device_);
  copies_ = Recording(*device_);
  if (options.profile) recording_.time_dispatches();
}

VulkanBackend::~VulkanBackend() = default;

void VulkanBackend::upload(const Weights& weights, Uploader& uploader) {
  layers_.clear();
  weight_bytes_.clear();
  const auto linear = [&](const Linear& from) {
    return LinearWeights{uploader.matrix(from.matrix), uploader.vector(from.bias)};
  };
  const std::vector<std::uint32_t> tables = format_tables();
  tables_ = uploader.bytes(std::as_bytes(std::span(tables)));
  embedding_ = uploader.matrix(weights.embedding);
  for (const LayerWeights& from : weights.layers) {
    weight_bytes_.push_back(uploader.placed());
    Layer& to = layers_.emplace_back();
    to.attention_norm = uploader.vector(from.attention_norm);
    to.feed_forward_norm = uploader.vector(from.feed_forward_norm);
    to.q_norm = uploader.vector(from.q_norm);
    to.k_norm = uploader.vector(from.k_norm);
    to.q = linear(from.q);
    to.k = linear(from.k);
    to.v = linear(from.v);
    to.attention_output = linear(from.attention_output);
    if (config_.experts == 0) {
      to.gate = linear(from.gate);
      to.up = linear(from.up);
      to.down = linear(from.down);
      continue;
    }
    to.router = uploader.matrix(from.router);
    to.expert_gate = uploader.experts(from.expert_gate);
    to.expert_up = uploader.experts(from.expert_up);
    to.expert_down = uploader.experts(from.expert_down);
    to.gate_scales = expert_scales(uploader, to.expert_gate);
    to.up_scales = expert_scales(uploader, to.expert_up);
    to.down_scales = expert_scales(uploader, to.expert_down);
    if (config_.shared_width == 0) continue;
    to.shared_router = uploader.matrix(from.shared_router);
    to.shared_gate = uploader.matrix(from.shared_gate);
    to.shared_up = uploader.matrix(from.shared_up);
    to.shared_down = uploader.matrix(from.shared_down);
  }
  weight_bytes_.push_back(uploader.placed());
  output_norm_ = uploader.vector(weights.output_norm);
  output_ = linear(weights.output);
}

// 0 where no expert has a scale of its own.
std::uint64_t VulkanBackend::expert_scales(Uploader& uploader, const DeviceExperts& experts) {
  const bool plain = std::all_of(experts.scales.begin(), experts.scales.end(),
                                 [](float scale) { return scale == 1.0f; });
  return plain ? 0 : uploader.vector(experts.scales);
}

void VulkanBackend::allocate() {
  const BufferSizes sizes(config_, options_);
  const auto make = [&](std::uint64_t bytes) {
    return device_->allocate(bytes, Memory::kDevice, "activations");
  };
  products_ = std::make_unique<Products>(
      *device_, options_.activations,
      options_.batch * std::max<std::uint64_t>(1, config_.experts_used), widths_.activation,
      tables_, backend_detail::u32(config_.experts), options_.same_kernels);
  x_ = make(sizes.x);
  norm_ = make(sizes.norm);
  out_ = make(sizes.out);
  q_ = make(sizes.q);
  k_ = make(sizes.k);
  v_ = make(sizes.v);
  attention_ = make(sizes.attention);
  splits_ = attention_splits(options_.context);
  stats_ = make(sizes.stats);
  partials_ = make(sizes.partials);
  gate_ = make(sizes.hidden);
  up_ = make(sizes.hidden);
  if (config_.experts > 0) {
    routes_ = make(sizes.routes);
    choices_ = make(sizes.choices);
    choice_weights_ = make(sizes.choices);
    expert_out_ = make(sizes.expert_out);
    shared_routes_ = make(options_.batch * sizeof(float));
    shared_gate_ = make(sizes.shared);
    shared_up_ = make(sizes.shared);
  }
  kv_ = device_->allocate(layout_.bytes(options_.pages), Memory::kDevice, "the KV cache");
  step_host_ = device_->allocate(sizes.step, Memory::kUpload, "the step's inputs");
  step_ = device_->allocate(sizes.step, Memory::kDevice, "the step's inputs");
}

void VulkanBackend::begin(const Batch& batch) {
  batch_ = batch;
  rows_ = batch.tokens.size();
  residual_waits_ = false;
  write_step();
  // All that changes between steps of single tokens is in the step's inputs.
  bool single = batch.outputs.size() == rows_;
  for (const BatchSequence& sequence : batch.sequences) single = single && sequence.count == 1;
  replaying_ = single && recorded_rows_ == rows_ && recorded_best_ == batch.best;
  if (replaying_) return;
  recorded_rows_ = 0;
  records_single_ = single;
  recording_.begin();
  // Rotations come last: those of rows that there are not need not travel.
  recording_.copy(step_host_, 0, step_, 0,
                  step_layout_.rotations + rows_ * 2 * rope_.pairs() * sizeof(float));
  recording_.barrier();
}

void VulkanBackend::write_step() {
  const StepLayout& s = step_layout_;
  std::byte* const base = step_host_.mapped();
  std::memcpy(base + s.tokens, batch_.tokens.data(), batch_.tokens.size_bytes());
  auto* places = reinterpret_cast<std::uint32_t*>(base + s.places);
  auto* pages = reinterpret_cast<std::uint32_t*>(base + s.pages);
  auto* rotations = reinterpret_cast<float*>(base + s.rotations);
  std::size_t page = 0;
  for (const BatchSequence& sequence : batch_.sequences) {
    for (std::size_t i = 0; i < sequence.count; ++i) {
      const std::size_t row = sequence.first + i;
      places[2 * row] = backend_detail::u32(page);
      places[2 * row + 1] = backend_detail::u32(sequence.position + i);
      rope_.fill(sequence.position + i, rotations + row * 2 * rope_.pairs());
    }
    const std::size_t used = (sequence.position + sequence.count + kKvPage - 1) / kKvPage;
    std::copy_n(sequence.pages.begin(), used, pages + page);
    page += used;
  }
  plan_attention();
}

void VulkanBackend::embed() {
  if (replaying_) return;
  products_->embed(recording_, embedding_, step_.address() + step_layout_.tokens,
                   {x_.address(), backend_detail::u32(config_.embedding), rows()});
  recording_.barrier();
}

void VulkanBackend::take_rows(std::span<const float> rows) {
  if (!rows_in_)
    rows_in_ = device_->allocate(x_.size(), Memory::kUpload, "rows of the layer before");
  std::memcpy(rows_in_.mapped(), rows.data(), rows.size_bytes());
  if (replaying_) return;
  recording_.copy(rows_in_, 0, x_, 0, rows.size_bytes());
  recording_.barrier();
}

void VulkanBackend::norm(std::uint64_t weight) {
  recording_.dispatch(device_->pipeline("rms_norm", {backend_detail::kLocal}),
                      NormPush{x_.address(), residual_waits_ ? out_.address() : 0,
                               residual_waits_ ? residual_bias_ : 0, weight, norm_.address(),
                               backend_detail::u32(config_.embedding), config_.norm_epsilon},
                      rows());
  recording_.barrier();
  residual_waits_ = false;
}

void VulkanBackend::multiply(const Buffer& x, std::size_t columns,
                             std::span<const DeviceProduct> products) {
  products_->multiply(recording_, {x.address(), backend_detail::u32(columns), rows()},
                      backend_detail::u32(columns), products);
  recording_.barrier();
}

void VulkanBackend::multiply(const Buffer& x, const DeviceMatrix& matrix, const Buffer& y) {
  const DeviceProduct product{&matrix, y.address(), matrix.rows};
  multiply(x, matrix.columns, {&product, 1});
}

// Outputs ascend, so copying to another buffer and back keeps them whole.
void VulkanBackend::keep_outputs() {
  if (replaying_) return;
  const std::size_t outputs = batch_.outputs.size();
  const auto gather = [&](const Buffer& buffer, const Buffer& other, std::size_t width) {
    const std::uint64_t bytes = width * sizeof(float);
    for (std::size_t i = 0; i < outputs; ++i)
      recording_.copy(buffer, batch_.outputs[i] * bytes, other, i * bytes, bytes);
    recording_.barrier();
    recording_.copy(other, 0, buffer, 0, outputs * bytes);
  };
  if (outputs < rows_) {
    gather(x_, norm_, config_.embedding);
    gather(attention_, q_, config_.layers.back().heads * config_.value_length);
    recording_.barrier();
  }
  rows_ = outputs;
}

void VulkanBackend::project_attention(std::size_t layer) {
  if (replaying_) return;
  const LinearWeights& linear = layers_[layer].attention_output;
  multiply(attention_, linear.matrix, out_);
  residual_waits_ = true;
  residual_bias_ = linear.bias;
}

void VulkanBackend::swiglu(const Buffer& gate, const Buffer& up, std::uint64_t gate_bias,
                           std::uint64_t up_bias, std::size_t width, std::uint32_t rows) {
  using namespace backend_detail;
  recording_.dispatch(device_->pipeline("swiglu", {kLocal}),
                      SwigluPush{gate.address(), up.address(), gate_bias, up_bias, u32(width)},
                      u32((width + 4 * kLocal - 1) / (4 * kLocal)), rows);
  recording_.barrier();
}

void VulkanBackend::gate_up(std::size_t layer) {
  if (replaying_) return;
  const Layer& w = layers_[layer];
  norm(w.feed_forward_norm);
  const DeviceProduct products[] = {{&w.gate.matrix, gate_.address(), w.gate.matrix.rows},
                                    {&w.up.matrix, up_.address(), w.up.matrix.rows}};
  multiply(norm_, config_.embedding, products);
  swiglu(gate_, up_, w.gate.bias, w.up.bias, w.gate.matrix.rows, rows());
}

void VulkanBackend::down(std::size_t layer) {
  if (replaying_) return;
  const LinearWeights& linear = layers_[layer].down;
  multiply(gate_, linear.matrix, out_);
  residual_waits_ = true;
  residual_bias_ = linear.bias;
}

void VulkanBackend::head() {
  if (replaying_) return;
  norm(output_norm_);
  const std::uint64_t bytes = rows_ * config_.vocabulary * sizeof(float);
  if (logits_.size() < bytes) logits_ = device_->allocate(bytes, Memory::kDevice, "logits");
  multiply(norm_, output_.matrix, logits_);
  if (output_.bias != 0) {
    using namespace backend_detail;
    recording_.dispatch(device_->pipeline("add_bias", {kLocal}),
                        BiasPush{logits_.address(), output_.bias, u32(config_.vocabulary)},
                        u32((config_.vocabulary + 4 * kLocal - 1) / (4 * kLocal)), rows());
    recording_.barrier();
  }
  if (batch_.best > 0) return choose_best();
  if (logits_host_.size() < bytes)
    logits_host_ = device_->allocate(bytes, Memory::kReadback, "logits");
  recording_.copy(logits_, 0, logits_host_, 0, bytes);
}

void VulkanBackend::choose_best() {
  using namespace backend_detail;
  const std::uint32_t width = u32(config_.vocabulary), best = u32(batch_.best);
  const std::uint64_t ids = rows_ * batch_.best * sizeof(std::int32_t);
  if (best_.size() < 2 * ids) {
    best_ = device_->allocate(2 * ids, Memory::kDevice, "chosen tokens");
    best_host_ = device_->allocate(2 * ids, Memory::kReadback, "chosen tokens");
  }
  if (best == 1)
    recording_.dispatch(device_->pipeline("argmax", {kLocal}),
                        ArgmaxPush{logits_.address(), best_.address(), width}, rows());
  else
    recording_.dispatch(
        device_->pipeline("top_k", {kLocal}),
        TopKPush{logits_.address(), best_.address(), best_.address() + ids, width, best}, rows());
  recording_.barrier();
  recording_.copy(best_, 0, best_host_, 0, best == 1 ? ids : 2 * ids);
}

std::size_t VulkanBackend::most_best() const {
  return std::min<std::size_t>(backend_detail::kLocal, config_.vocabulary);
}

void VulkanBackend::finish() {
  if (!replaying_) {
    recording_.end();
    if (records_single_) recorded_rows_ = batch_.tokens.size();
    recorded_best_ = batch_.best;
  }
  device_->run(recording_);
  if (options_.profile)
    for (const Recording::Timed& timed : recording_.times()) {
      Work& work = work_[std::string(timed.shader)];
      ++work.calls;
      work.seconds += timed.seconds;
    }
}

Outputs VulkanBackend::end() {
  finish();
  const std::size_t outputs = batch_.outputs.size(), best = batch_.best;
  if (outputs == 0) return {};
  if (best == 0) return {.logits = {logits_host_.as<float>(), outputs * config_.vocabulary}};
  Outputs result{.best_ids = {best_host_.as<std::int32_t>(), outputs * best}};
  if (best > 1) result.best_logits = {best_host_.as<float>() + outputs * best, outputs * best};
  return result;
}

std::span<const float> VulkanBackend::give_rows() {
  const std::size_t values = rows_ * config_.embedding;
  if (!rows_out_)
    rows_out_ = device_->allocate(x_.size(), Memory::kReadback, "rows for the layer after");
  if (!replaying_) {
    // For what waits to be added; nobody reads the norm.
    if (residual_waits_) norm(layers_.back().feed_forward_norm);
    recording_.copy(x_, 0, rows_out_, 0, values * sizeof(float));
  }
  finish();
  return {rows_out_.as<float>(), values};
}

std::vector<Backend::Work> VulkanBackend::profile() const {
  std::vector<Work> all;
  for (const auto& [name, work] : work_) all.push_back({name, work.calls, work.seconds});
  std::sort(all.begin(), all.end(),
            [](const Work& a, const Work& b) { return a.seconds > b.seconds; });
  return all;
}

void VulkanBackend::copy_page(std::uint32_t from, std::uint32_t to) {
  copies_.begin();
  copies_.copy(kv_, from * std::uint64_t{layout_.page}, kv_, to * std::uint64_t{layout_.page},
               layout_.page);
  copies_.end();
  device_->run(copies_);
}

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_BACKEND_IMPL_H_
