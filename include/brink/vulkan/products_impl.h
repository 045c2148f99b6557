// Definitions of vulkan/products.h.
#ifndef BRINK_VULKAN_PRODUCTS_IMPL_H_
#define BRINK_VULKAN_PRODUCTS_IMPL_H_

#include <algorithm>
#include <string>

#include "brink/core/error.h"
#include "brink/quant/format.h"
#include "brink/vulkan/products.h"

namespace brink::vulkan {
namespace products_detail {

// Workgroups in a row of the grid; more rows of weights take several (the limit is 65535 on some
// devices).
inline constexpr std::uint32_t kGrid = 32768;

// Push constants of matvec.comp and matvec_q8.comp; `x_scales` only of the latter.
struct MatvecPush {
  std::uint64_t weights, x, y, tables, ids, expert_bytes, scales;
  std::uint32_t rows, columns, row_bytes, x_stride, y_stride, tokens, x_divisor;
  float scale;
};
struct MatvecQ8Push {
  std::uint64_t weights, x, x_scales, y, tables, ids, expert_bytes, scales;
  std::uint32_t rows, columns, row_bytes, x_stride, y_stride, tokens, x_divisor;
  float scale;
};
struct MatmulPush {
  std::uint64_t weights, x, y, tables;
  std::uint32_t rows, columns, row_bytes, x_stride, y_stride, tokens;
  float scale;
};
struct MatmulQ8Push {
  std::uint64_t weights, x, x_scales, y, tables;
  std::uint32_t rows, columns, row_bytes, x_stride, y_stride, tokens;
  float scale;
};
struct QuantizePush {
  std::uint64_t x, q, scales;
  std::uint32_t columns, x_stride, q_stride;
};
struct RoundPush {
  std::uint64_t x, out;
  std::uint32_t count;
};
struct EmbedPush {
  std::uint64_t weights, ids, x, tables;
  std::uint32_t columns, x_stride, row_bytes, first_row, rows;
  float scale;
};

inline std::uint32_t ceil_div(std::uint32_t a, std::uint32_t b) { return (a + b - 1) / b; }

inline std::string shader(const char* product, TensorType type) {
  return std::string(product) + "." + std::string(format_of(type).name);
}

}  // namespace products_detail

struct Products::Input {
  std::uint64_t x = 0;  // f32 or int8
  std::uint64_t scales = 0;
  std::uint32_t stride = 0;  // values
  bool q8 = false;
};

Products::Products(Device& device, Activations activations, std::uint64_t rows,
                   std::uint64_t columns, std::uint64_t tables)
    : device_(device),
      activations_(activations),
      tables_(tables),
      shape_(MatvecShape::for_device(device.info())) {
  const std::uint64_t values = rows * ((columns + 31) / 32 * 32);
  if (activations == Activations::kQ8) {
    q8_ = device.allocate(values, Memory::kDevice, "rounded activations");
    scales_ = device.allocate(values / 2, Memory::kDevice, "rounded activations");
    q8_256_ = device.allocate(values, Memory::kDevice, "rounded activations");
    scales256_ = device.allocate(values / 2, Memory::kDevice, "rounded activations");
  } else if (activations == Activations::kBf16) {
    rounded_ = device.allocate(values * 4, Memory::kDevice, "rounded activations");
  }
}

Products::Input Products::prepare(Recording& recording, const Rows& x, std::uint32_t columns,
                                  TensorType type, std::uint32_t& made) {
  using products_detail::ceil_div;
  const std::uint32_t block = format_of(type).q8_block;
  if (activations_ == Activations::kQ8 && block != 0) {
    const Buffer& q = block == 256 ? q8_256_ : q8_;
    const Buffer& scales = block == 256 ? scales256_ : scales_;
    const std::uint32_t stride = (columns + 31) / 32 * 32;
    const std::uint32_t bit = block == 256 ? 1 : 2;
    if (!(made & bit)) {
      recording.dispatch(device_.pipeline("quantize_q8", {32, block}),
                         products_detail::QuantizePush{x.address, q.address(), scales.address(),
                                                       columns, x.stride, stride},
                         ceil_div(columns, block), x.rows);
      recording.barrier();
      made |= bit;
    }
    return {q.address(), scales.address(), stride, true};
  }
  if (activations_ == Activations::kBf16) {
    if (!(made & 4)) {
      const std::uint32_t count = x.rows * x.stride;
      recording.dispatch(device_.pipeline("round_bf16", {256}),
                         products_detail::RoundPush{x.address, rounded_.address(), count},
                         ceil_div(count, 1024));
      recording.barrier();
      made |= 4;
    }
    return {rounded_.address(), 0, x.stride, false};
  }
  return {x.address, 0, x.stride, false};
}

void Products::multiply(Recording& recording, const Rows& x, std::uint32_t columns,
                        std::span<const DeviceProduct> products) {
  using namespace products_detail;
  std::uint32_t made = 0;
  // All forms first: the products then run side by side, without barriers between.
  for (const DeviceProduct& p : products) prepare(recording, x, columns, p.weights->type, made);
  for (const DeviceProduct& p : products) {
    const DeviceMatrix& w = *p.weights;
    const Input in = prepare(recording, x, columns, w.type, made);
    const std::uint32_t aligned = in.stride % 4 == 0 ? 1 : 0;
    for (const MatrixPart& part : w.parts) {
      const std::uint64_t y = p.y + std::uint64_t{part.first_row} * 4;
      if (x.rows <= kMatvecRows) {
        std::uint32_t tokens = 1;
        while (tokens < x.rows) tokens *= 2;
        const std::uint32_t rows = tokens > 4 ? shape_.many_rows : shape_.rows;
        const std::uint32_t groups = ceil_div(part.rows, rows);
        const std::uint32_t gx = std::min(groups, kGrid), gy = ceil_div(groups, kGrid);
        if (in.q8)
          recording.dispatch(
              device_.pipeline(shader("matvec_q8", w.type), {shape_.local, tokens, rows}),
              MatvecQ8Push{part.address, in.x, in.scales, y, tables_, 0, 0, 0, part.rows, w.columns,
                           w.row_bytes, in.stride, p.y_stride, x.rows, 1, w.scale},
              gx, gy);
        else
          recording.dispatch(
              device_.pipeline(shader("matvec", w.type), {shape_.local, tokens, rows, aligned}),
              MatvecPush{part.address, in.x, y, tables_, 0, 0, 0, part.rows, w.columns, w.row_bytes,
                         in.stride, p.y_stride, x.rows, 1, w.scale},
              gx, gy);
      } else {
        const std::uint32_t gx = ceil_div(part.rows, 64), gy = ceil_div(x.rows, 64);
        if (in.q8)
          recording.dispatch(
              device_.pipeline(shader("matmul_q8", w.type), {256}),
              MatmulQ8Push{part.address, in.x, in.scales, y, tables_, part.rows, w.columns,
                           w.row_bytes, in.stride, p.y_stride, x.rows, w.scale},
              gx, gy);
        else
          recording.dispatch(device_.pipeline(shader("matmul", w.type), {256, aligned}),
                             MatmulPush{part.address, in.x, y, tables_, part.rows, w.columns,
                                        w.row_bytes, in.stride, p.y_stride, x.rows, w.scale},
                             gx, gy);
      }
    }
  }
}

void Products::multiply(Recording& recording, const Rows& x, std::uint32_t columns,
                        std::span<const ExpertProduct> products) {
  using namespace products_detail;
  std::uint32_t made = 0;
  for (const ExpertProduct& p : products) prepare(recording, x, columns, p.weights->all.type, made);
  for (const ExpertProduct& p : products) {
    const DeviceMatrix& w = p.weights->all;
    const Input in = prepare(recording, x, columns, w.type, made);
    const std::uint32_t aligned = in.stride % 4 == 0 ? 1 : 0;
    const std::uint32_t rows = shape_.rows;
    const std::uint32_t groups = ceil_div(p.weights->rows, rows);
    if (groups > kGrid) throw Error("an expert has too many rows");
    const std::uint64_t address = w.parts.front().address;
    if (in.q8)
      recording.dispatch(
          device_.pipeline(shader("matvec_q8_experts", w.type), {shape_.local, 1, rows}),
          MatvecQ8Push{address, in.x, in.scales, p.y, tables_, p.ids, p.weights->bytes(), p.scales,
                       p.weights->rows, w.columns, w.row_bytes, in.stride, p.weights->rows, 1,
                       p.slots_per_row, 1.0f},
          groups, 1, p.slots);
    else
      recording.dispatch(
          device_.pipeline(shader("matvec_experts", w.type), {shape_.local, 1, rows, aligned}),
          MatvecPush{address, in.x, p.y, tables_, p.ids, p.weights->bytes(), p.scales,
                     p.weights->rows, w.columns, w.row_bytes, in.stride, p.weights->rows, 1,
                     p.slots_per_row, 1.0f},
          groups, 1, p.slots);
  }
}

void Products::embed(Recording& recording, const DeviceMatrix& matrix, std::uint64_t ids,
                     const Rows& x) {
  using namespace products_detail;
  for (const MatrixPart& part : matrix.parts)
    recording.dispatch(device_.pipeline(shader("embed", matrix.type), {64}),
                       EmbedPush{part.address, ids, x.address, tables_, matrix.columns, x.stride,
                                 matrix.row_bytes, part.first_row, part.rows, matrix.scale},
                       x.rows);
}

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_PRODUCTS_IMPL_H_
