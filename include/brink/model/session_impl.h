// Definitions of model/session.h.
#ifndef BRINK_MODEL_SESSION_IMPL_H_
#define BRINK_MODEL_SESSION_IMPL_H_

#include <algorithm>
#include <cstring>
#include <utility>

#include "brink/core/error.h"
#include "brink/cpu/backend.h"
#include "brink/model/session.h"
#include "brink/model/split_backend.h"
#include "brink/model/transformer.h"
#include "brink/text/tokenizer.h"
#include "brink/vulkan/backend.h"
#include "brink/vulkan/sizes.h"

namespace brink {
namespace session_detail {

// Positions and pages are 32-bit; more than this is a mistake in a number.
inline constexpr std::size_t kMaxContext = std::size_t{1} << 28;
inline constexpr std::size_t kMaxSequences = std::size_t{1} << 16;
inline constexpr std::size_t kMaxBatch = std::size_t{1} << 20;

inline void check_range(const char* option, std::size_t value, std::size_t max) {
  if (value == 0 || value > max)
    throw Error(std::string("session option '") + option + "' is " + std::to_string(value) +
                ", expected 1 to " + std::to_string(max));
}

inline SessionOptions checked(const SessionOptions& options) {
  check_range("context", options.context, kMaxContext);
  check_range("sequences", options.sequences, kMaxSequences);
  check_range("batch", options.batch, kMaxBatch);
  if (options.observer && options.backend != BackendKind::kCpu)
    throw Error("products can only be observed on the CPU");
  if (is_simulated(options.activations) && options.backend != BackendKind::kCpu)
    throw Error("activations int8-token, int8-tensor and fp8 are only computed on the CPU");
  if (options.sequences * options.context > kMaxContext * 16)
    throw Error("session options: " + std::to_string(options.sequences) + " sequences of " +
                std::to_string(options.context) + " positions are too many");
  return options;
}

inline CpuBackendOptions backend_options(const SessionOptions& options) {
  CpuBackendOptions backend;
  backend.context = options.context;
  backend.pages = KvPages::pages_for(options.sequences, options.context);
  // No step can be larger than all sequences together.
  backend.batch = std::min(options.batch, options.sequences * options.context);
  backend.activations = options.activations;
  backend.kv_type = options.kv_type;
  backend.threads = options.threads;
  backend.kernels = options.kernels;
  backend.same_kernels = options.same_kernels;
  backend.observer = options.observer;
  return backend;
}

inline VulkanBackendOptions vulkan_options(const SessionOptions& options) {
  const CpuBackendOptions cpu = backend_options(options);
  VulkanBackendOptions vulkan;
  vulkan.context = cpu.context;
  vulkan.pages = cpu.pages;
  vulkan.batch = cpu.batch;
  vulkan.sequences = options.sequences;
  vulkan.activations = cpu.activations;
  vulkan.kv_type = cpu.kv_type;
  vulkan.same_kernels = cpu.same_kernels;
  vulkan.profile = options.profile;
  vulkan.device = options.device;
  vulkan.memory = options.device_memory;
  vulkan.on_upload = options.on_upload;
  return vulkan;
}

// Layers that a device computes, of `all`.
inline std::size_t device_layers(const SessionOptions& options, std::size_t all) {
  return options.backend == BackendKind::kCpu ? 0 : std::min(options.device_layers, all);
}

inline std::unique_ptr<Backend> make_backend(const Model& model, const SessionOptions& options) {
  const auto cpu = [&](const Config& config, const Weights& weights) -> std::unique_ptr<Backend> {
    CpuBackendOptions cpu_options = backend_options(options);
    if (options.activations == Activations::kInt8Tensor)
      cpu_options.activation_scales =
          scales_by_matrix(model.gguf(), weights, options.activation_scales);
    return std::make_unique<CpuBackend>(config, weights, cpu_options);
  };
  const auto vulkan = [&](const Config& config, const Weights& weights) {
    return make_vulkan_backend(config, weights, vulkan_options(options));
  };
  const std::size_t all = model.config().layers.size();
  const std::size_t layers = device_layers(options, all);
  if (layers == 0) return cpu(model.config(), model.weights());
  if (layers == all) return vulkan(model.config(), model.weights());
  return std::make_unique<SplitBackend>(model.config(), model.weights(), layers, vulkan, cpu);
}

}  // namespace session_detail

/// Buffers that keep their capacity from step to step.
struct Session::Run {
  std::vector<bool> seen;                // per sequence: named in this step
  std::vector<std::size_t> start;        // per input: its position before the step
  std::vector<std::int32_t> tokens;      // of the batch
  std::vector<BatchSequence> sequences;  // of the batch
  std::vector<std::uint32_t> outputs;    // of the batch
  // Outputs of a step of several batches.
  AlignedBuffer<float> logits;
  std::vector<std::int32_t> best_ids;
  std::vector<float> best_logits;
};

Session::Session(Model model, SessionOptions options)
    : model_(std::move(model)),
      options_(session_detail::checked(options)),
      pages_(options_.sequences, options_.context),
      backend_(session_detail::make_backend(model_, options_)),
      run_(std::make_unique<Run>()) {
  run_->seen.resize(options_.sequences);
  run_->start.reserve(options_.sequences);
  run_->sequences.reserve(options_.sequences);
  run_->tokens.reserve(options_.batch);
  run_->outputs.reserve(options_.batch);
}

Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&& other) noexcept {
  backend_ = std::move(other.backend_);  // first: the old one may use the old model's file
  model_ = std::move(other.model_);
  options_ = std::move(other.options_);
  pages_ = std::move(other.pages_);
  run_ = std::move(other.run_);
  return *this;
}
Session::~Session() = default;

const char* Session::backend_name() const { return backend_->name(); }

void Session::check_sequence(std::size_t sequence) const {
  if (sequence >= pages_.sequences())
    throw Error("sequence " + std::to_string(sequence) + " does not exist: the session has " +
                std::to_string(pages_.sequences()));
}

void Session::check(std::span<const SequenceInput> inputs) const {
  std::vector<bool>& seen = run_->seen;
  std::fill(seen.begin(), seen.end(), false);
  for (const SequenceInput& input : inputs) {
    check_sequence(input.sequence);
    if (seen[input.sequence])
      throw Error("sequence " + std::to_string(input.sequence) + " is given twice in one step");
    seen[input.sequence] = true;
    const std::size_t vocabulary = model_.config().vocabulary;
    for (const std::int32_t id : input.tokens)
      if (id < 0 || static_cast<std::size_t>(id) >= vocabulary)
        throw Error("token id " + std::to_string(id) + " is not in the vocabulary of " +
                    std::to_string(vocabulary));
    if (input.logits != Logits::kChosen) continue;
    for (std::size_t i = 0; i < input.chosen.size(); ++i)
      if (input.chosen[i] >= input.tokens.size() ||
          (i > 0 && input.chosen[i] <= input.chosen[i - 1]))
        throw Error("logits are chosen for token " + std::to_string(input.chosen[i]) + " of " +
                    std::to_string(input.tokens.size()) + ": indices must ascend below that");
  }
}

// The tokens [begin, end) of an input whose logits are wanted, as indices into the batch, where
// token `begin` stands at `first`.
void Session::choose_outputs(const SequenceInput& input, std::size_t begin, std::size_t end,
                             std::size_t first) {
  std::vector<std::uint32_t>& outputs = run_->outputs;
  const auto push = [&](std::size_t token) {
    outputs.push_back(static_cast<std::uint32_t>(first + token - begin));
  };
  switch (input.logits) {
    case Logits::kNone:
      return;
    case Logits::kLast:
      if (end == input.tokens.size()) push(end - 1);
      return;
    case Logits::kAll:
      for (std::size_t token = begin; token < end; ++token) push(token);
      return;
    case Logits::kChosen:
      for (const std::uint32_t token : input.chosen)
        if (token >= begin && token < end) push(token);
      return;
  }
}

void Session::reserve(std::span<const SequenceInput> inputs) {
  std::vector<std::size_t>& start = run_->start;
  start.clear();
  for (const SequenceInput& input : inputs) start.push_back(pages_.length(input.sequence));
  std::size_t done = 0;
  try {
    for (const SequenceInput& input : inputs) {
      if (const auto copy = pages_.extend(input.sequence, input.tokens.size()))
        backend_->copy_page(copy->from, copy->to);
      ++done;
    }
  } catch (...) {
    while (done-- > 0) pages_.truncate(inputs[done].sequence, start[done]);
    throw;
  }
}

std::span<const float> Session::step(std::span<const SequenceInput> inputs) {
  return step(inputs, 0, nullptr).logits;
}

Outputs Session::step_best(std::span<const SequenceInput> inputs, std::size_t best) {
  return step(inputs, best <= backend_->most_best() ? best : 0, nullptr);
}

void Session::step_to(std::span<const SequenceInput> inputs, const LogitsSink& sink) {
  step(inputs, 0, &sink);
}

Outputs Session::step(std::span<const SequenceInput> inputs, std::size_t best,
                      const LogitsSink* sink) {
  check(inputs);
  std::size_t tokens = 0;
  std::size_t rows = 0;
  for (const SequenceInput& input : inputs) {
    tokens += input.tokens.size();
    if (input.logits == Logits::kAll) rows += input.tokens.size();
    if (input.logits == Logits::kLast && !input.tokens.empty()) ++rows;
    if (input.logits == Logits::kChosen) rows += input.chosen.size();
  }
  if (tokens == 0) return {};
  reserve(inputs);
  try {
    return run(inputs, tokens, rows, best, sink);
  } catch (...) {
    for (std::size_t i = 0; i < inputs.size(); ++i)
      pages_.truncate(inputs[i].sequence, run_->start[i]);
    throw;
  }
}

Outputs Session::run(std::span<const SequenceInput> inputs, std::size_t tokens, std::size_t rows,
                     std::size_t best, const LogitsSink* sink) {
  Run& r = *run_;
  const std::size_t vocabulary = model_.config().vocabulary;
  // Batches of nearly equal size: a small rest would take the kernels for few tokens, which are
  // slower there and round differently.
  const std::size_t batches = (tokens + options_.batch - 1) / options_.batch;
  if (batches > 1 && best == 0 && sink == nullptr) r.logits.reserve_discarding(rows * vocabulary);
  r.best_ids.clear();
  r.best_logits.clear();
  std::size_t input = 0;  // the input that comes next
  std::size_t taken = 0;  // tokens of it that earlier batches had
  std::size_t rows_done = 0;
  Outputs outputs;
  const LogitsSink in_order = [&](std::size_t first, std::span<const float> logits) {
    (*sink)(rows_done + first, logits);
  };
  for (std::size_t b = 0; b < batches; ++b) {
    const std::size_t size = tokens * (b + 1) / batches - tokens * b / batches;
    r.tokens.clear();
    r.sequences.clear();
    r.outputs.clear();
    while (r.tokens.size() < size) {
      const SequenceInput& in = inputs[input];
      const std::size_t count = std::min(in.tokens.size() - taken, size - r.tokens.size());
      if (count > 0) {
        const std::size_t first = r.tokens.size();
        r.sequences.push_back({first, count, r.start[input] + taken, pages_.pages(in.sequence)});
        const auto source = in.tokens.begin() + static_cast<std::ptrdiff_t>(taken);
        r.tokens.insert(r.tokens.end(), source, source + static_cast<std::ptrdiff_t>(count));
        choose_outputs(in, taken, taken + count, first);
      }
      taken += count;
      if (taken == in.tokens.size()) {
        ++input;
        taken = 0;
      }
    }
    outputs =
        forward(model_.config(), *backend_,
                {r.tokens, r.sequences, r.outputs, best, sink != nullptr ? &in_order : nullptr});
    if (sink != nullptr) {
      if (!outputs.logits.empty()) in_order(0, outputs.logits);
      rows_done += r.outputs.size();
      continue;
    }
    if (batches == 1) return outputs;
    if (!outputs.logits.empty())
      std::memcpy(r.logits.data() + rows_done * vocabulary, outputs.logits.data(),
                  outputs.logits.size_bytes());
    r.best_ids.insert(r.best_ids.end(), outputs.best_ids.begin(), outputs.best_ids.end());
    r.best_logits.insert(r.best_logits.end(), outputs.best_logits.begin(),
                         outputs.best_logits.end());
    rows_done += r.outputs.size();
  }
  if (sink != nullptr) return {};
  if (best == 0) return {.logits = {r.logits.data(), rows * vocabulary}};
  return {.best_ids = r.best_ids, .best_logits = r.best_logits};
}

std::span<const float> Session::feed(std::span<const std::int32_t> tokens, Logits logits,
                                     std::size_t sequence) {
  const SequenceInput input{sequence, tokens, logits};
  return step({&input, 1});
}

std::size_t Session::position(std::size_t sequence) const {
  check_sequence(sequence);
  return pages_.length(sequence);
}

void Session::truncate(std::size_t sequence, std::size_t positions) {
  check_sequence(sequence);
  if (positions > pages_.length(sequence))
    throw Error("cannot truncate sequence " + std::to_string(sequence) + " to " +
                std::to_string(positions) + " positions: it holds " +
                std::to_string(pages_.length(sequence)));
  pages_.truncate(sequence, positions);
}

void Session::fork(std::size_t from, std::size_t to) {
  check_sequence(from);
  check_sequence(to);
  pages_.fork(from, to);
}

MemoryUse Session::memory() const { return predict_memory(model_, options_); }

MemoryUse Session::predict_memory(const Model& model, const SessionOptions& options) {
  const CpuBackendOptions cpu = session_detail::backend_options(session_detail::checked(options));
  const VulkanBackendOptions vulkan = session_detail::vulkan_options(options);
  const std::size_t all = model.config().layers.size();
  const std::size_t layers = session_detail::device_layers(options, all);
  MemoryUse use;
  use.weights = model.weights().bytes;
  use.kv_cache = KvLayout(model.config(), cpu.kv_type).bytes(cpu.pages);
  if (layers > 0) {
    const ModelPart part(model.config(), model.weights(), 0, layers);
    const vulkan::BufferSizes sizes(part.config, vulkan);
    use.working = layers == all ? sizes.total() : sizes.total_without_head();
    use.device = (layers == all ? use.weights : part.weights.bytes) +
                 KvLayout(part.config, vulkan.kv_type).bytes(vulkan.pages) + use.working;
  }
  if (layers < all) {
    const ModelPart part(model.config(), model.weights(), layers, all - layers);
    use.working += CpuBackend::working_bytes(part.config, cpu, options.sequences);
  }
  return use;
}

}  // namespace brink

#endif  // BRINK_MODEL_SESSION_IMPL_H_
