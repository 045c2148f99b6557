// Definitions of cpu/backend.h, but for the experts (backend_experts_impl.h).
#ifndef BRINK_CPU_BACKEND_IMPL_H_
#define BRINK_CPU_BACKEND_IMPL_H_

#include <algorithm>
#include <cstring>
#include <string>

#include "brink/core/error.h"
#include "brink/cpu/backend.h"
#include "brink/cpu/simulated_activations.h"
#include "brink/model/activation_scales.h"

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace brink {
namespace cpu_backend_detail {

// Below this many values an operation costs less than waking the other threads does (1-2 us).
inline constexpr std::size_t kSerialWork = 32768;

// Most tokens of an attention item: what the kernel takes at once with one conversion of K and V.
inline constexpr std::size_t kAttentionQueries = 64;

// Bytes of logits that are computed at once for a Batch::sink: enough rows to make good use of the
// unpacked weights of the head, few enough not to count beside them.
inline constexpr std::size_t kSinkBytes = std::size_t{1} << 25;
inline constexpr std::size_t kMinSinkRows = 32;

// An exp costs about as much as this many plain values.
inline constexpr std::size_t kExpWork = 4;

inline std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Asks the system for huge pages, which it gives when they are first written. The keys of one head
// lie in pieces of a few kilobytes, one per KV page; with small pages looking up their addresses
// costs attention a fifth of its speed in generation.
inline void prefer_huge_pages([[maybe_unused]] std::span<std::uint8_t> memory) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr std::size_t kHugePage = std::size_t{1} << 21;
  const auto begin = reinterpret_cast<std::uintptr_t>(memory.data());
  const std::size_t skip = round_up(begin, kHugePage) - begin;
  if (memory.size() < skip + kHugePage) return;
  const std::size_t bytes = (memory.size() - skip) / kHugePage * kHugePage;
  (void)::madvise(memory.data() + skip, bytes, MADV_HUGEPAGE);  // only advice: it may fail
#endif
}

}  // namespace cpu_backend_detail

CpuBackend::CpuBackend(const Config& config, const Weights& weights,
                       const CpuBackendOptions& options)
    : config_(config),
      weights_(weights),
      options_(options),
      kernels_(options.kernels != nullptr ? *options.kernels : best_kernels()),
      widths_(config),
      layout_(config, options.kv_type),
      rope_(config, weights, options.context),
      pool_(options.threads) {
  const std::size_t batch = options.batch;
  const std::size_t embedding = config.embedding;
  if (is_simulated(options.activations))
    for_each_rounded_matrix(weights, [&](const WeightMatrix& m) { simulated_.insert(m.data); });
  places_.reserve(batch);
  x_ = AlignedBuffer<float>(batch * embedding);
  norm_ = AlignedBuffer<float>(batch * embedding);
  q_ = AlignedBuffer<float>(batch * widths_.q);
  k_ = AlignedBuffer<float>(batch * widths_.k);
  v_ = AlignedBuffer<float>(batch * widths_.v);
  attention_ = AlignedBuffer<float>(batch * widths_.attention);
  out_ = AlignedBuffer<float>(batch * embedding);
  rotations_ = AlignedBuffer<float>(batch * 2 * rope_.pairs());
  const std::size_t hidden_rows = std::max(batch, widths_.choices);
  gate_ = AlignedBuffer<float>(hidden_rows * widths_.hidden);
  up_ = AlignedBuffer<float>(hidden_rows * widths_.hidden);
  if (config.experts > 0) {
    const std::size_t slots = batch * config.experts_used;
    choices_.resize(slots);
    begins_.resize(config.experts + 1);
    rows_of_.resize(slots);
    routes_ = AlignedBuffer<float>(batch * config.experts);
    shared_routes_ = AlignedBuffer<float>(config.shared_width > 0 ? batch : 0);
    shared_gate_ = AlignedBuffer<float>(batch * config.shared_width);
    shared_up_ = AlignedBuffer<float>(batch * config.shared_width);
    gathered_ = AlignedBuffer<float>(batch * embedding);
    expert_out_ = AlignedBuffer<float>(slots * embedding);
    row_products_.reserve(2 * config.experts_used);
    row_parts_.reserve(2 * config.experts_used);
  }
  // Uninitialised: the system gives memory to a page when its first position is written.
  kv_ = AlignedBuffer<std::uint8_t>(static_cast<std::size_t>(kv_bytes(config, options)));
  cpu_backend_detail::prefer_huge_pages(kv_.span());
  const std::size_t pages = (options.context + kKvPage - 1) / kKvPage;
  page_pointers_.resize(pool_.threads() * 2 * pages);
  visible_stride_ = cpu_backend_detail::kAttentionQueries;
  for (const LayerConfig& layer : config.layers)
    visible_stride_ = std::max(visible_stride_, layer.heads / layer.kv_heads);
  visible_.resize(pool_.threads() * visible_stride_);
}

std::uint64_t CpuBackend::kv_bytes(const Config& config, const CpuBackendOptions& options) {
  return KvLayout(config, options.kv_type).bytes(options.pages);
}

std::uint64_t CpuBackend::working_bytes(const Config& config, const CpuBackendOptions& options,
                                        std::size_t rows) {
  const ActivationWidths w(config);
  const std::uint64_t batch = options.batch;
  std::uint64_t values = batch * (3 * config.embedding + w.q + w.k + w.v + w.attention +
                                  config.rope.dimensions + w.routes + 2 * w.shared);
  values += 2 * std::max<std::uint64_t>(batch, w.choices) * w.hidden;
  if (config.experts > 0) values += (batch + batch * w.choices) * config.embedding;
  values += rows * config.vocabulary;
  if (is_simulated(options.activations)) values += std::max(batch, w.choices) * w.activation;
  // The rounded input of a product: q8 values have scales and sums beside them.
  const std::uint64_t input =
      batch * w.activation * 2 * (as_multiplied(options.activations) == Activations::kF32 ? 2 : 1) +
      (options.activations == Activations::kQ8 ? batch * w.activation / 2 : 0);
  const Kernels& kernels = options.kernels != nullptr ? *options.kernels : best_kernels();
  const unsigned threads = options.threads != 0 ? options.threads : ThreadPool::default_threads();
  const std::uint64_t scratch = threads * kernels.matmul_scratch_bytes(options.batch);
  return values * sizeof(float) + input + scratch;
}

std::uint64_t CpuBackend::allocated_bytes() const {
  std::uint64_t sum = input_.bytes() + rounded_.bytes() + scratch_.bytes.bytes();
  for (const AlignedBuffer<float>* buffer :
       {&x_, &norm_, &q_, &k_, &v_, &attention_, &gate_, &up_, &out_, &rotations_, &logits_,
        &routes_, &shared_routes_, &shared_gate_, &shared_up_, &gathered_, &expert_out_})
    sum += buffer->bytes();
  return sum;
}

template <class F>
void CpuBackend::for_rows(std::size_t rows, std::size_t work, F&& fn) {
  if (pool_.threads() == 1 || rows * work < cpu_backend_detail::kSerialWork) {
    for (std::size_t row = 0; row < rows; ++row) fn(row, 0u);
    return;
  }
  // Four items per thread, so that a slow core does not hold up the rest.
  const std::size_t chunk = std::max<std::size_t>(1, rows / (4 * pool_.threads()));
  pool_.run((rows + chunk - 1) / chunk, [&](std::size_t item, unsigned thread) {
    const std::size_t end = std::min(rows, (item + 1) * chunk);
    for (std::size_t row = item * chunk; row < end; ++row) fn(row, thread);
  });
}

void CpuBackend::assign(const float* x, std::size_t rows, std::size_t columns, std::size_t alike) {
  if (options_.same_kernels) alike = std::max(alike, kMatvecTokens + 1);
  input_.assign(x, columns, rows, columns, as_multiplied(options_.activations), alike);
}

void CpuBackend::observe(std::span<const Product> products) {
  std::array<const WeightMatrix*, kMaxProducts> matrices;
  for (std::size_t i = 0; i < products.size(); ++i) matrices[i] = &products[i].weights;
  options_.observer({.matrices = std::span(matrices).first(products.size()),
                     .rows = input_.values(),
                     .count = input_.tokens(),
                     .columns = input_.columns()});
}

void CpuBackend::multiply_all(std::span<const Product> products) {
  if (options_.observer) observe(products);
  if (is_simulated(options_.activations))
    multiply_simulated(products);
  else
    multiply(pool_, kernels_, products, input_, scratch_);
}

void CpuBackend::multiply_simulated(std::span<const Product> products) {
  std::array<Product, kMaxProducts> rounded;
  std::size_t count = 0;
  for (const Product& product : products) {
    if (simulated_.contains(product.weights.data))
      rounded.at(count++) = product;
    else
      multiply(pool_, kernels_, {&product, 1}, input_, scratch_);
  }
  if (count == 0) return;
  round_input(rounded[0].weights);
  multiply(pool_, kernels_, std::span(rounded).first(count), input_, scratch_);
}

void CpuBackend::round_input(const WeightMatrix& matrix) {
  const std::size_t tokens = input_.tokens(), n = input_.columns();
  const float* const x = input_.values();
  rounded_.reserve_discarding(tokens * n);
  const Activations how = options_.activations;
  const float fixed =
      how == Activations::kInt8Tensor ? options_.activation_scales.at(matrix.data) : 0.0f;
  for_rows(tokens, 4 * n, [&](std::size_t row, unsigned) {
    const float* const from = x + row * n;
    float* const to = rounded_.data() + row * n;
    if (how == Activations::kFp8)
      round_fp8(from, n, row_scale(from, n, kE4M3Max), to);
    else
      round_int8(from, n, how == Activations::kInt8Tensor ? fixed : row_scale(from, n, kInt8Max),
                 to);
  });
  assign(rounded_.data(), tokens, n, input_.alike());
}

void CpuBackend::multiply_one(const WeightMatrix& matrix, float* y) {
  const Product product{matrix, y, matrix.rows};
  multiply_all({&product, 1});
}

void CpuBackend::add_bias(float* y, const WeightVector& bias) {
  if (!bias.empty()) kernels_.add(y, bias.data(), bias.size());
}

void CpuBackend::begin(const Batch& batch) {
  batch_ = batch;
  rows_ = batch.tokens.size();
  residual_waits_ = false;
  places_.clear();
  for (std::size_t s = 0; s < batch.sequences.size(); ++s)
    for (std::size_t i = 0; i < batch.sequences[s].count; ++i)
      places_.push_back({static_cast<std::uint32_t>(s),
                         static_cast<std::uint32_t>(batch.sequences[s].position + i)});
  const std::size_t values = 2 * rope_.pairs();
  for_rows(rows_, values * 4 * cpu_backend_detail::kExpWork, [&](std::size_t row, unsigned) {
    rope_.fill(places_[row].position, rotations_.data() + row * values);
  });
}

void CpuBackend::embed() {
  const WeightMatrix& matrix = weights_.embedding;
  const DecodeFn decode = kernels_.decode[static_cast<std::size_t>(matrix.type)];
  const std::size_t n = config_.embedding;
  for_rows(rows_, n, [&](std::size_t row, unsigned) {
    float* x = x_.data() + row * n;
    decode(matrix.row(static_cast<std::size_t>(batch_.tokens[row])), x, n);
    if (matrix.scale != 1.0f)
      for (std::size_t i = 0; i < n; ++i) x[i] *= matrix.scale;
  });
}

void CpuBackend::take_rows(std::span<const float> rows) {
  std::memcpy(x_.data(), rows.data(), rows.size_bytes());
}

void CpuBackend::add_residual(float* x, std::size_t row) {
  kernels_.add(x, out_.data() + row * config_.embedding, config_.embedding);
  if (residual_bias_ != nullptr) add_bias(x, *residual_bias_);
}

void CpuBackend::norm(const WeightVector& weight) {
  const std::size_t n = config_.embedding;
  for_rows(rows_, 2 * n, [&](std::size_t row, unsigned) {
    float* x = x_.data() + row * n;
    if (residual_waits_) add_residual(x, row);
    kernels_.rms_norm(x, weight.data(), config_.norm_epsilon, n, norm_.data() + row * n);
  });
  residual_waits_ = false;
}

void CpuBackend::project_heads(std::size_t layer) {
  const LayerWeights& w = weights_.layers[layer];
  norm(w.attention_norm);
  assign(norm_.data(), rows_, config_.embedding);
  const std::array<Product, 3> products{{{w.q.matrix, q_.data(), w.q.matrix.rows},
                                         {w.k.matrix, k_.data(), w.k.matrix.rows},
                                         {w.v.matrix, v_.data(), w.v.matrix.rows}}};
  multiply_all(products);
  for_rows(rows_, 2 * (w.q.matrix.rows + w.k.matrix.rows + w.v.matrix.rows),
           [&](std::size_t row, unsigned) { finish_heads(layer, row); });
}

void CpuBackend::finish_heads(std::size_t layer, std::size_t row) {
  const LayerWeights& w = weights_.layers[layer];
  const LayerConfig& shape = config_.layers[layer];
  const std::size_t k_dim = config_.key_length;
  const std::size_t v_dim = config_.value_length;
  float* q = q_.data() + row * w.q.matrix.rows;
  float* k = k_.data() + row * w.k.matrix.rows;
  float* v = v_.data() + row * w.v.matrix.rows;
  add_bias(q, w.q.bias);
  add_bias(k, w.k.bias);
  add_bias(v, w.v.bias);

  const RopeConfig& rope = config_.rope;
  const float* rotation = rotations_.data() + row * 2 * rope_.pairs();
  const auto turn = [&](float* head, const WeightVector& weight) {
    if (!weight.empty()) kernels_.rms_norm(head, weight.data(), config_.norm_epsilon, k_dim, head);
    kernels_.rope(head, rotation, rope.dimensions, rope.neox);
  };
  for (std::size_t h = 0; h < shape.heads; ++h) turn(q + h * k_dim, w.q_norm);

  const Row place = places_[row];
  std::uint8_t* const base = page(batch_.sequences[place.sequence], place.position / kKvPage);
  const std::size_t slot = place.position % kKvPage;
  for (std::size_t h = 0; h < shape.kv_heads; ++h) {
    turn(k + h * k_dim, w.k_norm);
    const std::size_t at = h * kKvPage + slot;
    kernels_.kv_store(k + h * k_dim, k_dim, options_.kv_type,
                      base + layout_.layers[layer].k + at * layout_.k_row);
    kernels_.kv_store(v + h * v_dim, v_dim, options_.kv_type,
                      base + layout_.layers[layer].v + at * layout_.v_row);
  }
}

// Bf16 where it is hidden behind a coarser rounding: where all products around attention have q8
// activations (F16, BF16 and F32 weights have not), and the cache is not meant to be exact. Next to
// bf16 activations it would show.
AttentionPrecision CpuBackend::attention_precision(std::size_t layer) const {
  const LayerWeights& w = weights_.layers[layer];
  if (options_.activations != Activations::kQ8 || options_.kv_type == KvType::kF32)
    return AttentionPrecision::kF32;
  for (const Linear* linear : {&w.q, &w.k, &w.v, &w.attention_output})
    if (format_of(linear->matrix.type).q8_block == 0) return AttentionPrecision::kF32;
  return AttentionPrecision::kBf16;
}

// Work is cut into items of queries that attend to the same KV head and lie at one stride: the
// same head of several tokens (prompts), or several heads of one token (generation).
void CpuBackend::attend(std::size_t layer) {
  using cpu_backend_detail::kAttentionQueries;
  const LayerConfig& shape = config_.layers[layer];
  const std::size_t group = shape.heads / shape.kv_heads;
  plans_.clear();
  std::size_t items = 0;
  for (const BatchSequence& sequence : batch_.sequences) {
    AttentionPlan plan;
    plan.first_item = items;
    if (sequence.count > 1 && sequence.count >= group) {
      plan.heads = 1;
      plan.parts = shape.heads;
      plan.tokens = std::min(kAttentionQueries, sequence.count);
      while (plan.tokens > kAttentionQueries / 4 &&
             rows_ * plan.parts / plan.tokens < 4 * pool_.threads())
        plan.tokens /= 2;
      plan.chunks = (sequence.count + plan.tokens - 1) / plan.tokens;
    } else {
      plan.tokens = 1;
      plan.chunks = sequence.count;
      // Groups of heads are divided only where there would be too few items for the threads.
      const std::size_t least = rows_ * shape.kv_heads;
      const std::size_t split = std::min(group, (pool_.threads() + least - 1) / least);
      plan.heads = (group + split - 1) / split;
      plan.parts = shape.kv_heads * ((group + plan.heads - 1) / plan.heads);
    }
    items += plan.chunks * plan.parts;
    plans_.push_back(plan);
  }
  const AttentionPrecision precision = attention_precision(layer);
  pool_.run(items, [&](std::size_t item, unsigned thread) {
    std::size_t s = plans_.size() - 1;
    while (plans_[s].first_item > item) --s;
    attend_item(layer, precision, batch_.sequences[s], plans_[s], item - plans_[s].first_item,
                thread);
  });
}

void CpuBackend::attend_item(std::size_t layer, AttentionPrecision precision,
                             const BatchSequence& sequence, const AttentionPlan& plan,
                             std::size_t item, unsigned thread) {
  const LayerConfig& shape = config_.layers[layer];
  const std::size_t group = shape.heads / shape.kv_heads;
  const std::size_t q_stride = shape.heads * config_.key_length;
  const std::size_t out_stride = shape.heads * config_.value_length;
  // Later tokens see more positions: the longest items go first.
  const std::size_t token = (plan.chunks - 1 - item / plan.parts) * plan.tokens;
  const std::size_t part = item % plan.parts;
  const std::size_t parts_per_group = (group + plan.heads - 1) / plan.heads;
  const std::size_t kv_head = part / parts_per_group;
  const std::size_t first = part % parts_per_group * plan.heads;  // head within the group

  AttentionArgs args;
  std::uint32_t* visible = visible_.data() + thread * visible_stride_;
  const std::size_t position = sequence.position + token;
  std::size_t last = position;
  if (plan.tokens > 1) {
    args.count = std::min(plan.tokens, sequence.count - token);
    args.query_stride = q_stride;
    args.out_stride = out_stride;
    last += args.count - 1;
    for (std::size_t i = 0; i < args.count; ++i)
      visible[i] = static_cast<std::uint32_t>(position + i + 1);
  } else {
    args.count = std::min(plan.heads, group - first);
    args.query_stride = config_.key_length;
    args.out_stride = config_.value_length;
    std::fill_n(visible, args.count, static_cast<std::uint32_t>(position + 1));
  }

  const std::size_t max_pages = page_pointers_.size() / (2 * pool_.threads());
  const void** k_pages = page_pointers_.data() + thread * 2 * max_pages;
  const void** v_pages = k_pages + max_pages;
  const KvLayout::Layer& place = layout_.layers[layer];
  for (std::size_t p = 0; p <= last / kKvPage; ++p) {
    const std::uint8_t* base = page(sequence, p);
    k_pages[p] = base + place.k + kv_head * kKvPage * layout_.k_row;
    v_pages[p] = base + place.v + kv_head * kKvPage * layout_.v_row;
  }
  const std::size_t row = sequence.first + token;
  const std::size_t head = kv_head * group + first;
  args.queries = q_.data() + row * q_stride + head * config_.key_length;
  args.visible = visible;
  args.k_pages = k_pages;
  args.v_pages = v_pages;
  args.k_type = args.v_type = options_.kv_type;
  args.k_dim = config_.key_length;
  args.v_dim = config_.value_length;
  args.scale = config_.attention_scale;
  args.precision = precision;
  args.out = attention_.data() + row * out_stride + head * config_.value_length;
  kernels_.attention(args);
}

void CpuBackend::keep_outputs() {
  const std::size_t n = config_.embedding;
  const std::size_t width = config_.layers.back().heads * config_.value_length;
  // Outputs ascend, so a row never lands on one that is still to be moved.
  for (std::size_t i = 0; i < batch_.outputs.size(); ++i) {
    const std::size_t row = batch_.outputs[i];
    if (row == i) continue;
    std::memcpy(x_.data() + i * n, x_.data() + row * n, n * sizeof(float));
    std::memcpy(attention_.data() + i * width, attention_.data() + row * width,
                width * sizeof(float));
  }
  rows_ = batch_.outputs.size();
}

void CpuBackend::project_attention(std::size_t layer) {
  const Linear& linear = weights_.layers[layer].attention_output;
  assign(attention_.data(), rows_, linear.matrix.columns);
  multiply_one(linear.matrix, out_.data());
  residual_waits_ = true;
  residual_bias_ = &linear.bias;
}

void CpuBackend::gate_up(std::size_t layer) {
  const LayerWeights& w = weights_.layers[layer];
  const std::size_t width = w.gate.matrix.rows;
  norm(w.feed_forward_norm);
  assign(norm_.data(), rows_, config_.embedding);
  const std::array<Product, 2> products{
      {{w.gate.matrix, gate_.data(), width}, {w.up.matrix, up_.data(), width}}};
  multiply_all(products);
  for_rows(rows_, width * cpu_backend_detail::kExpWork, [&](std::size_t row, unsigned) {
    float* gate = gate_.data() + row * width;
    float* up = up_.data() + row * width;
    add_bias(gate, w.gate.bias);
    add_bias(up, w.up.bias);
    kernels_.swiglu(gate, up, width, gate);
  });
}

void CpuBackend::down(std::size_t layer) {
  const Linear& linear = weights_.layers[layer].down;
  assign(gate_.data(), rows_, linear.matrix.columns);
  multiply_one(linear.matrix, out_.data());
  residual_waits_ = true;
  residual_bias_ = &linear.bias;
}

void CpuBackend::head() {
  norm(weights_.output_norm);
  if (batch_.sink == nullptr) {
    head_rows(0, rows_);
    return;
  }
  const std::size_t most =
      std::max(cpu_backend_detail::kMinSinkRows,
               cpu_backend_detail::kSinkBytes / (config_.vocabulary * sizeof(float)));
  const std::size_t pieces = (rows_ + most - 1) / most;
  for (std::size_t i = 0; i < pieces; ++i) {
    const std::size_t first = rows_ * i / pieces, count = rows_ * (i + 1) / pieces - first;
    head_rows(first, count);
    (*batch_.sink)(first, {logits_.data(), count * config_.vocabulary});
  }
}

// Logits of some rows of norm_, by the kind of kernel that all together would use.
void CpuBackend::head_rows(std::size_t first, std::size_t count) {
  assign(norm_.data() + first * config_.embedding, count, config_.embedding, rows_);
  logits_.reserve_discarding(count * config_.vocabulary);
  multiply_one(weights_.output.matrix, logits_.data());
  if (weights_.output.bias.empty()) return;
  for_rows(count, config_.vocabulary, [&](std::size_t row, unsigned) {
    add_bias(logits_.data() + row * config_.vocabulary, weights_.output.bias);
  });
}

Outputs CpuBackend::end() {
  if (batch_.sink != nullptr) return {};
  return {.logits = {logits_.data(), batch_.outputs.size() * config_.vocabulary}};
}

std::span<const float> CpuBackend::give_rows() {
  const std::size_t n = config_.embedding;
  if (residual_waits_)
    for_rows(rows_, n, [&](std::size_t row, unsigned) { add_residual(x_.data() + row * n, row); });
  residual_waits_ = false;
  return {x_.data(), rows_ * n};
}

void CpuBackend::copy_page(std::uint32_t from, std::uint32_t to) {
  std::memcpy(kv_.data() + to * layout_.page, kv_.data() + from * layout_.page, layout_.page);
}

}  // namespace brink

#endif  // BRINK_CPU_BACKEND_IMPL_H_
