// Mixtures of experts on the CPU: part of the definitions of cpu/backend.h.
#ifndef BRINK_CPU_BACKEND_EXPERTS_IMPL_H_
#define BRINK_CPU_BACKEND_EXPERTS_IMPL_H_

#include <algorithm>
#include <cmath>
#include <cstring>

#include "brink/cpu/backend.h"
#include "brink/cpu/backend_impl.h"

namespace brink {

void CpuBackend::experts(std::size_t layer) {
  const LayerWeights& w = weights_.layers[layer];
  norm(w.feed_forward_norm);
  assign(norm_.data(), rows_, config_.embedding);
  // Everything that every token needs of the norm, in one product.
  const std::array<Product, 4> products{{{w.router, routes_.data(), config_.experts},
                                         {w.shared_router, shared_routes_.data(), 1},
                                         {w.shared_gate, shared_gate_.data(), config_.shared_width},
                                         {w.shared_up, shared_up_.data(), config_.shared_width}}};
  multiply_all(std::span(products).first(config_.shared_width > 0 ? 4 : 1));
  for_rows(rows_, config_.experts * (config_.experts_used + cpu_backend_detail::kExpWork),
           [&](std::size_t row, unsigned) { choose_experts(row); });
  group_by_expert();
  if (rows_ == 1 && !options_.same_kernels)
    run_experts_alone(w);
  else
    run_experts_grouped(w);
  if (config_.shared_width > 0) run_shared_expert(w);
  combine_experts();
}

// The experts_used largest of softmax(routes), the lower number first among equals.
void CpuBackend::choose_experts(std::size_t row) {
  float* p = routes_.data() + row * config_.experts;
  Choice* choices = choices_.data() + row * config_.experts_used;
  kernels_.softmax(p, config_.experts);
  float sum = 0.0f;
  constexpr float kTaken = -1.0f;
  for (std::size_t rank = 0; rank < config_.experts_used; ++rank) {
    std::size_t best = 0;
    while (p[best] == kTaken) ++best;
    for (std::size_t e = best + 1; e < config_.experts; ++e)
      if (p[e] > p[best]) best = e;
    choices[rank] = {static_cast<std::uint32_t>(best), 0, p[best]};
    sum += p[best];
    p[best] = kTaken;
  }
  const float factor = config_.expert_weights_scale / (config_.normalize_experts ? sum : 1.0f);
  for (std::size_t rank = 0; rank < config_.experts_used; ++rank) choices[rank].weight *= factor;
}

// Counting sort of all choices by expert, tokens in order within one.
void CpuBackend::group_by_expert() {
  const std::size_t slots = rows_ * config_.experts_used;
  std::fill(begins_.begin(), begins_.end(), 0u);
  for (std::size_t i = 0; i < slots; ++i) ++begins_[choices_[i].expert];
  std::uint32_t next = 0;
  for (std::uint32_t& begin : begins_) {
    const std::uint32_t count = begin;
    begin = next;
    next += count;
  }
  for (std::size_t i = 0; i < slots; ++i) {
    const std::uint32_t slot = begins_[choices_[i].expert]++;
    choices_[i].slot = slot;
    rows_of_[slot] = static_cast<std::uint32_t>(i / config_.experts_used);
  }
  // Every begin now stands where the next one began.
  for (std::size_t e = config_.experts; e > 0; --e) begins_[e] = begins_[e - 1];
  begins_[0] = 0;
}

void CpuBackend::observe_rows() {
  for (const RowProduct& p : row_products_)
    options_.observer({.matrices = {&p.weights, 1},
                       .rows = input_.values() + p.row * input_.columns(),
                       .count = 1,
                       .columns = input_.columns()});
}

// All of row_products_ in one parallel region, by the kernels that multiply() would use.
void CpuBackend::multiply_rows() {
  if (options_.observer) observe_rows();
  if (is_simulated(options_.activations)) round_input(*row_products_.front().weights);
  row_parts_.clear();
  std::size_t items = 0;
  for (const RowProduct& p : row_products_) {
    const WeightMatrix& w = *p.weights;
    MatvecPart part = matvec_part(pool_, kernels_, {w, p.y, w.rows}, input_, items);
    ActivationRows& x = part.args.x;
    x.tokens = 1;
    if (x.f32 != nullptr) {
      x.f32 += p.row * x.f32_stride;
    } else {
      x.q8 = x.q8.from(p.row * x.columns, format_of(w.type).q8_block);
    }
    row_parts_.push_back(part);
  }
  run_matvec_parts(pool_, row_parts_, items);
}

// One token: every expert has one row, so that two regions do for all of them.
void CpuBackend::run_experts_alone(const LayerWeights& w) {
  const std::size_t width = config_.expert_width;
  const std::size_t used = config_.experts_used;
  row_products_.clear();
  for (std::size_t rank = 0; rank < used; ++rank) {
    const Choice& c = choices_[rank];
    row_products_.push_back({&w.expert_gate[c.expert], 0, gate_.data() + c.slot * width});
    row_products_.push_back({&w.expert_up[c.expert], 0, up_.data() + c.slot * width});
  }
  multiply_rows();
  for_rows(used, width * cpu_backend_detail::kExpWork, [&](std::size_t slot, unsigned) {
    float* gate = gate_.data() + slot * width;
    kernels_.swiglu(gate, up_.data() + slot * width, width, gate);
  });
  assign(gate_.data(), used, width);
  row_products_.clear();
  for (std::size_t rank = 0; rank < used; ++rank) {
    const Choice& c = choices_[rank];
    row_products_.push_back(
        {&w.expert_down[c.expert], c.slot, expert_out_.data() + c.slot * config_.embedding});
  }
  multiply_rows();
}

// Every expert multiplies all of its tokens at once. How many those are depends on the rest of the
// batch, the kind of kernel must not: it is the one for all tokens of the batch.
void CpuBackend::run_experts_grouped(const LayerWeights& w) {
  const std::size_t width = config_.expert_width;
  const std::size_t n = config_.embedding;
  for (std::size_t e = 0; e < config_.experts; ++e) {
    const std::size_t begin = begins_[e];
    const std::size_t count = begins_[e + 1] - begin;
    if (count == 0) continue;
    for_rows(count, n, [&](std::size_t i, unsigned) {
      const std::size_t row = rows_of_[begin + i];
      std::memcpy(gathered_.data() + i * n, norm_.data() + row * n, n * sizeof(float));
    });
    assign(gathered_.data(), count, n, rows_);
    const std::array<Product, 2> products{
        {{w.expert_gate[e], gate_.data(), width}, {w.expert_up[e], up_.data(), width}}};
    multiply_all(products);
    for_rows(count, width * cpu_backend_detail::kExpWork, [&](std::size_t i, unsigned) {
      float* gate = gate_.data() + i * width;
      kernels_.swiglu(gate, up_.data() + i * width, width, gate);
    });
    assign(gate_.data(), count, width, rows_);
    multiply_one(w.expert_down[e], expert_out_.data() + begin * n);
  }
}

void CpuBackend::run_shared_expert(const LayerWeights& w) {
  const std::size_t width = config_.shared_width;
  for_rows(rows_, width * cpu_backend_detail::kExpWork, [&](std::size_t row, unsigned) {
    float* gate = shared_gate_.data() + row * width;
    kernels_.swiglu(gate, shared_up_.data() + row * width, width, gate);
  });
  assign(shared_gate_.data(), rows_, width);
  multiply_one(w.shared_down, out_.data());
}

// Sums in the order of each token's own choices, whatever order the experts were computed in.
void CpuBackend::combine_experts() {
  const std::size_t n = config_.embedding;
  const std::size_t used = config_.experts_used;
  for_rows(rows_, n * (used + 1), [&](std::size_t row, unsigned) {
    float* x = x_.data() + row * n;
    for (std::size_t rank = 0; rank < used; ++rank) {
      const Choice& c = choices_[row * used + rank];
      kernels_.add_scaled(x, expert_out_.data() + c.slot * n, c.weight, n);
    }
    if (config_.shared_width == 0) return;
    const float gate = 1.0f / (1.0f + std::exp(-shared_routes_[row]));
    kernels_.add_scaled(x, out_.data() + row * n, gate, n);
  });
}

}  // namespace brink

#endif  // BRINK_CPU_BACKEND_EXPERTS_IMPL_H_
