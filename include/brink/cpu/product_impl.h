#ifndef BRINK_CPU_PRODUCT_IMPL_H_
#define BRINK_CPU_PRODUCT_IMPL_H_

#include <algorithm>
#include <cstring>

#include "brink/core/error.h"
#include "brink/core/half.h"
#include "brink/cpu/product.h"

namespace brink {
namespace product_detail {

inline std::size_t units_of(std::size_t columns) { return (columns + kUnit - 1) / kUnit; }

// Copies `count` values, whole units in `order` and half of one too where that order keeps halves
// apart; what is left as it is.
inline void order_q8(Q8Order order, const std::int8_t* from, std::size_t count, std::int8_t* to) {
  const std::size_t step = order == Q8Order::kHalves ? kUnit / 2 : kUnit;
  const std::size_t ordered = count / step * step;
  for (std::size_t at = 0; at < ordered; at += 16) {
    const std::size_t unit = at / kUnit * kUnit;
    std::memcpy(to + at, from + unit + q8_chunk(order, at % kUnit / 16) * 16, 16);
  }
  std::memcpy(to + ordered, from + ordered, count - ordered);
}

inline std::size_t index_of(TensorType type) { return static_cast<std::size_t>(type); }

inline bool uses_q8(const ActivationBuffer& x, TensorType type) {
  return x.activations() == Activations::kQ8 && format_of(type).q8_block != 0;
}

// The part that has a work item of the region.
template <class Part>
const Part& part_with(std::span<const Part> parts, std::size_t item) {
  std::size_t i = parts.size() - 1;
  while (parts[i].first_item > item) --i;
  return parts[i];
}

}  // namespace product_detail

void ActivationBuffer::assign(const float* x, std::size_t stride, std::size_t tokens,
                              std::size_t columns, Activations activations, std::size_t alike) {
  x_ = x;
  alike_ = std::max(alike, tokens);
  stride_ = stride;
  tokens_ = tokens;
  columns_ = columns;
  activations_ = activations;
  have_rows_f32_ = have_panels_f32_ = have_panels_bf16_ = false;
  have_panels_q8_[0] = have_panels_q8_[1] = false;
  for (auto& of_block : have_rows_q8_) std::fill_n(of_block, kQ8Orders, false);
}

const ActivationRows& ActivationBuffer::rows_f32(const Kernels& kernels) {
  if (have_rows_f32_) return rows_f32_;
  rows_f32_ = {.tokens = tokens_, .columns = columns_, .f32 = x_, .f32_stride = stride_, .q8 = {}};
  if (activations_ == Activations::kBf16) {
    rounded_rows_.reserve_discarding(tokens_ * columns_);
    bf16_units_.reserve_discarding(columns_);
    for (std::size_t t = 0; t < tokens_; ++t) {
      kernels.round_bf16(x_ + t * stride_, columns_, bf16_units_.data());
      kernels.decode[product_detail::index_of(TensorType::kBF16)](
          reinterpret_cast<const std::uint8_t*>(bf16_units_.data()),
          rounded_rows_.data() + t * columns_, columns_);
    }
    rows_f32_.f32 = rounded_rows_.data();
    rows_f32_.f32_stride = columns_;
  }
  have_rows_f32_ = true;
  return rows_f32_;
}

Q8Row ActivationBuffer::Q8Storage::reserve(std::size_t values, std::uint32_t block) {
  q.reserve_discarding(values);
  scales.reserve_discarding(values / block);
  sums16.reserve_discarding(values / 16);
  sums32.reserve_discarding(values / 32);
  sums4.reserve_discarding(values / 4);
  integer_sums16.reserve_discarding(values / 16);
  integer_sums32.reserve_discarding(values / 32);
  return {q.data(),     scales.data(),         sums16.data(),        sums32.data(),
          sums4.data(), integer_sums16.data(), integer_sums32.data()};
}

const ActivationRows& ActivationBuffer::rows_q8(const Kernels& kernels, std::uint32_t block,
                                                Q8Order order) {
  const std::size_t w = which(block);
  const std::size_t o = static_cast<std::size_t>(order);
  Q8Storage& storage = q8_rows_[w];
  ActivationRows& rows = rows_q8_[w][o];
  if (have_rows_q8_[w][o]) return rows;
  have_rows_q8_[w][o] = true;
  if (order != Q8Order::kNatural) {
    rows = rows_q8(kernels, block);
    storage.ordered[o].reserve_discarding(tokens_ * columns_);
    for (std::size_t t = 0; t < tokens_; ++t) {
      product_detail::order_q8(order, rows.q8.q + t * columns_, columns_,
                               storage.ordered[o].data() + t * columns_);
    }
    rows.q8.q = storage.ordered[o].data();
    return rows;
  }
  const Q8Row first = storage.reserve(tokens_ * columns_, block);
  for (std::size_t t = 0; t < tokens_; ++t) {
    kernels.quantize_q8(x_ + t * stride_, columns_, block, first.from(t * columns_, block));
  }
  rows = {.tokens = tokens_, .columns = columns_, .f32 = nullptr, .f32_stride = 0, .q8 = first};
  return rows;
}

const ActivationPanels& ActivationBuffer::panels_f32(ThreadPool& pool) {
  if (have_panels_f32_) return panels_f32_;
  const std::size_t units = product_detail::units_of(columns_);
  f32_units_.reserve_discarding(units * tokens_ * kUnit);
  pool.run(tokens_, [&](std::size_t t, unsigned) {
    for (std::size_t u = 0; u < units; ++u) {
      const std::size_t count = std::min(kUnit, columns_ - u * kUnit);
      float* to = f32_units_.data() + (u * tokens_ + t) * kUnit;
      std::memcpy(to, x_ + t * stride_ + u * kUnit, count * sizeof(float));
      std::memset(to + count, 0, (kUnit - count) * sizeof(float));
    }
  });
  panels_f32_ = {.tokens = tokens_, .columns = columns_, .f32 = f32_units_.data()};
  have_panels_f32_ = true;
  return panels_f32_;
}

const ActivationPanels& ActivationBuffer::panels_bf16(ThreadPool& pool, const Kernels& kernels) {
  if (have_panels_bf16_) return panels_bf16_;
  const std::size_t units = product_detail::units_of(columns_);
  bf16_units_.reserve_discarding(units * tokens_ * kUnit);
  pool.run(tokens_, [&](std::size_t t, unsigned) {
    for (std::size_t u = 0; u < units; ++u) {
      const std::size_t count = std::min(kUnit, columns_ - u * kUnit);
      std::uint16_t* to = bf16_units_.data() + (u * tokens_ + t) * kUnit;
      kernels.round_bf16(x_ + t * stride_ + u * kUnit, count, to);
      std::memset(to + count, 0, (kUnit - count) * sizeof(std::uint16_t));
    }
  });
  panels_bf16_ = {.tokens = tokens_, .columns = columns_, .bf16 = bf16_units_.data()};
  have_panels_bf16_ = true;
  return panels_bf16_;
}

const ActivationPanels& ActivationBuffer::panels_q8(ThreadPool& pool, const Kernels& kernels,
                                                    std::uint32_t block) {
  const std::size_t w = which(block);
  if (have_panels_q8_[w]) return panels_q8_[w];
  const std::size_t units = product_detail::units_of(columns_);
  const std::size_t per_unit = kUnit / block;
  PanelStorage& storage = q8_units_[w];
  const std::size_t all = units * tokens_;
  storage.q.reserve_discarding(all * kUnit);
  storage.scales.reserve_discarding(all * per_unit);
  storage.starts16.reserve_discarding(all * (kUnit / 16));
  storage.starts32.reserve_discarding(all * (kUnit / 32));
  storage.sums16.reserve_discarding(all * (kUnit / 16));
  storage.sums32.reserve_discarding(all * (kUnit / 32));
  pool.run(tokens_, [&](std::size_t t, unsigned) {
    for (std::size_t u = 0; u < units; ++u) {
      const std::size_t at = u * tokens_ + t;
      const Q8Unit unit = {storage.q.data() + at * kUnit,
                           storage.scales.data() + at * per_unit,
                           storage.starts16.data() + at * (kUnit / 16),
                           storage.starts32.data() + at * (kUnit / 32),
                           storage.sums16.data() + at * (kUnit / 16),
                           storage.sums32.data() + at * (kUnit / 32)};
      kernels.pack_q8(x_ + t * stride_ + u * kUnit, std::min(kUnit, columns_ - u * kUnit), block,
                      unit);
    }
  });
  panels_q8_[w] = {.tokens = tokens_,
                   .columns = columns_,
                   .f32 = nullptr,
                   .bf16 = nullptr,
                   .q8 = storage.q.data(),
                   .scales = storage.scales.data(),
                   .starts16 = storage.starts16.data(),
                   .starts32 = storage.starts32.data(),
                   .sums16 = storage.sums16.data(),
                   .sums32 = storage.sums32.data()};
  have_panels_q8_[w] = true;
  return panels_q8_[w];
}

std::size_t ActivationBuffer::bytes() const {
  std::size_t sum = rounded_rows_.bytes() + f32_units_.bytes() + bf16_units_.bytes();
  for (std::size_t w = 0; w < 2; ++w) {
    const Q8Storage& r = q8_rows_[w];
    const PanelStorage& p = q8_units_[w];
    sum += r.integer_sums16.bytes() + r.integer_sums32.bytes();
    for (const auto& ordered : r.ordered) sum += ordered.bytes();
    sum += r.q.bytes() + r.scales.bytes() + r.sums16.bytes() + r.sums32.bytes() + r.sums4.bytes();
    sum += p.q.bytes() + p.scales.bytes() + p.sums16.bytes() + p.sums32.bytes();
    sum += p.starts16.bytes() + p.starts32.bytes();
  }
  return sum;
}

MatvecPart matvec_part(const ThreadPool& pool, const Kernels& kernels, const Product& product,
                       ActivationBuffer& x, std::size_t& items) {
  const WeightMatrix& w = product.weights;
  const bool q8 = product_detail::uses_q8(x, w.type);
  MatvecPart part;
  part.args.weights = w;
  part.args.x = q8 ? x.rows_q8(kernels, format_of(w.type).q8_block,
                               kernels.matvec_order[product_detail::index_of(w.type)])
                   : x.rows_f32(kernels);
  part.args.y = product.y;
  part.args.y_stride = product.y_stride;
  part.kernel = q8 ? kernels.matvec_q8[product_detail::index_of(w.type)] : kernels.matvec_f32;
  part.split = RowSplit(w.rows, w.bytes_per_row(), pool.threads());
  part.first_item = items;
  items += part.split.items();
  return part;
}

void run_matvec_item(const MatvecPart& part, std::size_t item) {
  MatvecArgs args = part.args;
  args.row_begin = part.split.begin(item - part.first_item);
  args.row_end = part.split.begin(item - part.first_item + 1);
  part.kernel(args);
}

void run_matvec_parts(ThreadPool& pool, std::span<const MatvecPart> parts, std::size_t items) {
  pool.run(items, [&](std::size_t item, unsigned) {
    run_matvec_item(product_detail::part_with(parts, item), item);
  });
}

namespace product_detail {

inline bool uses_matvec(const Kernels& kernels, const ActivationBuffer& x, TensorType type) {
  const std::size_t most =
      uses_q8(x, type) ? kernels.matvec_q8_tokens[index_of(type)] : kMatvecTokens;
  return x.alike() <= most;
}

// A product of the region, by either kind of kernel.
struct Part {
  MatvecPart matvec;
  MatmulArgs args;
  void (*matmul)(const MatmulArgs&) = nullptr;
  RowSplit split;  // matmul: of panels
  std::size_t first_item = 0;
};

inline Part part_of(ThreadPool& pool, const Kernels& kernels, const Product& product,
                    ActivationBuffer& x, std::size_t& items) {
  const WeightMatrix& w = product.weights;
  Part part;
  part.first_item = items;
  if (uses_matvec(kernels, x, w.type)) {
    part.matvec = matvec_part(pool, kernels, product, x, items);
    return part;
  }
  part.args.weights = w;
  part.args.y = product.y;
  part.args.y_stride = product.y_stride;
  if (x.activations() == Activations::kBf16) {
    part.args.x = x.panels_bf16(pool, kernels);
    part.matmul = kernels.matmul_bf16;
  } else if (uses_q8(x, w.type)) {
    part.args.x = x.panels_q8(pool, kernels, format_of(w.type).q8_block);
    part.matmul = kernels.matmul_q8[index_of(w.type)];
  } else {
    part.args.x = x.panels_f32(pool);
    part.matmul = kernels.matmul_f32;
  }
  const std::size_t panels = (w.rows + kernels.panel_rows - 1) / kernels.panel_rows;
  part.split = RowSplit(panels, w.bytes_per_row() * kernels.panel_rows, pool.threads());
  items += part.split.items();
  return part;
}

}  // namespace product_detail

void multiply(ThreadPool& pool, const Kernels& kernels, std::span<const Product> products,
              ActivationBuffer& x, ProductScratch& scratch) {
  if (products.empty() || x.tokens() == 0) return;
  if (products.size() > kMaxProducts) {
    throw Error("multiply: more than 8 products share their activations");
  }
  for (const Product& p : products) {
    if (p.weights.columns != x.columns()) {
      throw Error("multiply: weights have " + std::to_string(p.weights.columns) +
                  " columns, activations " + std::to_string(x.columns()));
    }
  }
  // Forms of activations are made before the region.
  std::size_t items = 0;
  product_detail::Part parts[kMaxProducts];
  bool matmul = false;
  for (std::size_t i = 0; i < products.size(); ++i) {
    parts[i] = product_detail::part_of(pool, kernels, products[i], x, items);
    matmul = matmul || parts[i].matmul != nullptr;
  }
  const std::size_t per_thread =
      matmul ? (kernels.matmul_scratch_bytes(x.tokens()) + 63) / 64 * 64 : 0;
  scratch.bytes.reserve_discarding(per_thread * pool.threads());
  pool.run(items, [&](std::size_t item, unsigned thread) {
    const product_detail::Part& part =
        product_detail::part_with<product_detail::Part>({parts, products.size()}, item);
    if (part.matmul == nullptr) return run_matvec_item(part.matvec, item);
    const std::size_t at = item - part.first_item;
    MatmulArgs args = part.args;
    const auto begin = [&](std::size_t i) {
      return std::min(args.weights.rows, part.split.begin(i) * kernels.panel_rows);
    };
    args.row_begin = begin(at);
    args.row_end = begin(at + 1);
    args.next_row = begin(at + pool.threads());
    args.scratch = scratch.bytes.data() + thread * per_thread;
    part.matmul(args);
  });
}

}  // namespace brink

#endif  // BRINK_CPU_PRODUCT_IMPL_H_
