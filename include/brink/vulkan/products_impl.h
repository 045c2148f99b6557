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
// Push constants of shaders/tiles.glsl.
struct TilePush {
  std::uint64_t weights, x, x_scales, y, tables;
  std::uint64_t tiles = 0, slots = 0, expert_scales = 0, expert_bytes = 0;  // of experts
  std::uint32_t rows, columns, row_bytes, x_stride, y_stride, tokens;
  std::uint32_t x_divisor = 1;
  float scale;
};
struct ToF16Push {
  std::uint64_t x, scales, out, factors;
  std::uint32_t columns, x_stride, out_stride;
};
struct GroupPush {
  std::uint64_t ids, slots, tiles;
  std::uint32_t slot_count, tile_count;
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

// Rows and tokens of a tile of matmul.comp and matmul_q8.comp.
inline constexpr std::uint32_t kTile = 64;

inline std::uint32_t u32(std::uint64_t value) { return static_cast<std::uint32_t>(value); }

inline std::uint32_t ceil_div(std::uint32_t a, std::uint32_t b) { return (a + b - 1) / b; }

// Tiles of at most `per_tile` slots of one expert each.
inline std::uint32_t most_tiles(std::uint32_t slots, std::uint32_t per_tile,
                                std::uint32_t experts) {
  return slots / per_tile + std::min(experts, slots);
}

inline std::string shader(const char* product, TensorType type) {
  return std::string(product) + "." + std::string(format_of(type).name);
}

}  // namespace products_detail

// Experts of a product whose slots are ordered.
struct Products::Grouping {
  const ExpertProduct* product = nullptr;
  std::uint32_t per_tile = 0;    // slots of a tile, at most
  std::uint32_t tile_count = 0;  // at least as many as there are
  CooperativeTile tile;          // with f16 only
};

Products::Products(Device& device, Activations activations, std::uint64_t rows,
                   std::uint64_t columns, std::uint64_t tables, std::uint32_t experts,
                   bool same_kernels)
    : device_(device),
      activations_(activations),
      tables_(tables),
      experts_(experts),
      same_kernels_(same_kernels),
      shape_(MatvecShape::for_device(device.info())),
      cooperates_(device.cooperative() && activations != Activations::kF32 &&
                  cooperative_tile(1, kMatvecRows + 1, 1)) {
  const ActivationBytes bytes(activations, rows, columns);
  const auto make = [&](std::uint64_t size) {
    return device.allocate(size, Memory::kDevice, "rounded activations");
  };
  if (activations == Activations::kQ8) {
    q8_ = make(bytes.q8);
    scales_ = make(bytes.q8_scales);
    q8_256_ = make(bytes.q8);
    scales256_ = make(bytes.q8_scales);
  } else if (activations == Activations::kBf16) {
    rounded_ = make(bytes.bf16);
  }
  if (cooperates_)
    for (std::uint32_t kind = bytes.first_f16; kind < 3; ++kind) {
      f16_[kind] = make(bytes.f16);
      factors_[kind] = make(rows * sizeof(float));
    }
  if (experts > 0) {
    slots_ = make(rows * sizeof(std::uint32_t));
    tiles_ = make(products_detail::most_tiles(products_detail::u32(rows), 1, experts) * 3 *
                  sizeof(std::uint32_t));
  }
}

Products::Input Products::to_f16(Recording& recording, const Input& from, std::uint32_t columns,
                                 std::uint32_t rows, std::uint32_t kind, std::uint32_t& made) {
  using namespace products_detail;
  const std::uint32_t stride = ceil_div(columns, 32) * 32, bit = 8u << kind;
  if (!(made & bit)) {
    const std::uint32_t form = from.form == Input::Form::kQ8        ? 2
                               : activations_ == Activations::kBf16 ? 1
                                                                    : 0;
    const std::uint32_t aligned = from.stride % 4 == 0 ? 1 : 0;
    recording.dispatch(device_.pipeline("to_f16", {256, form, aligned}),
                       ToF16Push{from.x, from.scales, f16_[kind].address(),
                                 factors_[kind].address(), columns, from.stride, stride},
                       rows);
    recording.barrier();
    made |= bit;
  }
  return {f16_[kind].address(), factors_[kind].address(), stride, Input::Form::kF16};
}

Products::Input Products::prepare(Recording& recording, const Rows& x, std::uint32_t columns,
                                  TensorType type, bool tiles, std::uint32_t& made) {
  using namespace products_detail;
  const std::uint32_t block = format_of(type).q8_block;
  const bool cooperative = tiles && cooperates(type);
  if (activations_ == Activations::kQ8 && block != 0) {
    const Buffer& q = block == 256 ? q8_256_ : q8_;
    const Buffer& scales = block == 256 ? scales256_ : scales_;
    const std::uint32_t stride = ceil_div(columns, 32) * 32;
    const std::uint32_t bit = block == 256 ? 1 : 2;
    if (!(made & bit)) {
      recording.dispatch(
          device_.pipeline("quantize_q8", {32, block}),
          QuantizePush{x.address, q.address(), scales.address(), columns, x.stride, stride},
          ceil_div(columns, block), x.rows);
      recording.barrier();
      made |= bit;
    }
    const Input in{q.address(), scales.address(), stride, Input::Form::kQ8};
    return cooperative ? to_f16(recording, in, columns, x.rows, block == 256 ? 1 : 0, made) : in;
  }
  const Input as_is{x.address, 0, x.stride, Input::Form::kF32};
  if (cooperative) return to_f16(recording, as_is, columns, x.rows, 2, made);
  if (activations_ != Activations::kBf16) return as_is;
  if (!(made & 4)) {
    const std::uint32_t count = x.rows * x.stride;
    recording.dispatch(device_.pipeline("round_bf16", {256}),
                       RoundPush{x.address, rounded_.address(), count}, ceil_div(count, 1024));
    recording.barrier();
    made |= 4;
  }
  return {rounded_.address(), 0, x.stride, Input::Form::kF32};
}

std::optional<CooperativeTile> Products::cooperative_tile(std::uint32_t rows, std::uint32_t tokens,
                                                          std::uint32_t matrices) const {
  using namespace products_detail;
  if (same_kernels_) tokens = kTile;  // whatever the step has
  return choose_cooperative_tile(
      *device_.cooperative(),
      {rows, tokens, matrices, device_.info().subgroup, device_.info().shared_bytes});
}

void Products::multiply_tiles(Recording& recording, const Input& in, const DeviceMatrix& weights,
                              const MatrixPart& part, std::uint64_t y, std::uint32_t y_stride,
                              std::uint32_t tokens, const Grouping* experts) {
  using namespace products_detail;
  TilePush push{.weights = part.address,
                .x = in.x,
                .x_scales = in.scales,
                .y = y,
                .tables = tables_,
                .rows = part.rows,
                .columns = weights.columns,
                .row_bytes = weights.row_bytes,
                .x_stride = in.stride,
                .y_stride = y_stride,
                .tokens = tokens,
                .scale = weights.scale};
  std::uint32_t rows = kTile, per_tile = kTile;
  CooperativeTile tile;
  if (in.form == Input::Form::kF16) {
    tile = experts ? experts->tile : *cooperative_tile(part.rows, tokens, 1);
    rows = tile.rows;
    per_tile = tile.tokens;
  }
  std::uint32_t across = ceil_div(tokens, per_tile);
  if (experts) {
    const ExpertProduct& p = *experts->product;
    push.tiles = tiles_.address();
    push.slots = slots_.address();
    push.expert_scales = p.scales;
    push.expert_bytes = p.weights->bytes();
    push.x_divisor = p.slots_per_row;
    across = experts->tile_count;
  }
  const std::uint32_t grouped = experts ? 1 : 0, aligned = in.stride % 4 == 0 ? 1 : 0;
  const auto run = [&](const Pipeline& pipeline) {
    recording.dispatch(pipeline, push, ceil_div(part.rows, rows), across);
  };
  switch (in.form) {
    case Input::Form::kF32:
      return run(device_.pipeline(shader("matmul", weights.type), {256, grouped, aligned}));
    case Input::Form::kQ8:
      return run(device_.pipeline(shader("matmul_q8", weights.type), {256, grouped}));
    case Input::Form::kF16: {
      const CooperativeShape& shape = *device_.cooperative();
      return run(device_.pipeline(shader("matmul_coop", weights.type),
                                  {tile.local, grouped, shape.m, shape.n, shape.k, tile.rows,
                                   tile.tokens, tile.part_rows, tile.part_tokens}));
    }
  }
}

void Products::multiply(Recording& recording, const Rows& x, std::uint32_t columns,
                        std::span<const DeviceProduct> products) {
  using namespace products_detail;
  const bool tiles = takes_tiles(x.rows, kMatvecRows);
  std::uint32_t made = 0;
  // All forms first: the products then run side by side, without barriers between.
  for (const DeviceProduct& p : products)
    prepare(recording, x, columns, p.weights->type, tiles, made);
  for (const DeviceProduct& p : products) {
    const DeviceMatrix& w = *p.weights;
    const Input in = prepare(recording, x, columns, w.type, tiles, made);
    const std::uint32_t aligned = in.stride % 4 == 0 ? 1 : 0;
    for (const MatrixPart& part : w.parts) {
      const std::uint64_t y = p.y + std::uint64_t{part.first_row} * 4;
      if (tiles) {
        multiply_tiles(recording, in, w, part, y, p.y_stride, x.rows, nullptr);
        continue;
      }
      std::uint32_t tokens = 1;
      while (tokens < x.rows) tokens *= 2;
      const std::uint32_t rows = tokens > 4 ? shape_.many_rows : shape_.rows;
      const std::uint32_t groups = ceil_div(part.rows, rows);
      const std::uint32_t gx = std::min(groups, kGrid), gy = ceil_div(groups, kGrid);
      if (in.form == Input::Form::kQ8)
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
    }
  }
}

void Products::multiply(Recording& recording, const Rows& x, std::uint32_t columns,
                        std::span<const ExpertProduct> products) {
  using namespace products_detail;
  const std::uint32_t slots = products.empty() ? 0 : products.front().slots;
  // An expert's weights are worth unpacking for several slots only.
  const bool tiles = experts_ > 0 && takes_tiles(slots, kMatvecRows * experts_);
  std::uint32_t made = 0, grouped_by = 0;
  for (const ExpertProduct& p : products)
    prepare(recording, x, columns, p.weights->all.type, tiles, made);
  for (const ExpertProduct& p : products) {
    const DeviceMatrix& w = p.weights->all;
    const Input in = prepare(recording, x, columns, w.type, tiles, made);
    if (tiles) {
      const std::uint32_t rows = p.weights->rows;
      Grouping grouping{&p, kTile, 0, {}};
      if (in.form == Input::Form::kF16) {
        grouping.tile = *cooperative_tile(rows, ceil_div(slots, experts_), experts_);
        grouping.per_tile = grouping.tile.tokens;
      }
      grouping.tile_count = most_tiles(slots, grouping.per_tile, experts_);
      if (grouped_by != grouping.per_tile) {
        if (grouped_by != 0) recording.barrier();  // tiles that are still read
        recording.dispatch(
            device_.pipeline("group_experts", {256, experts_, grouping.per_tile}),
            GroupPush{p.ids, slots_.address(), tiles_.address(), slots, grouping.tile_count}, 1);
        recording.barrier();
        grouped_by = grouping.per_tile;
      }
      const MatrixPart part{w.parts.front().address, 0, rows};
      multiply_tiles(recording, in, w, part, p.y, rows, slots, &grouping);
      continue;
    }
    const std::uint32_t aligned = in.stride % 4 == 0 ? 1 : 0;
    const std::uint32_t rows = shape_.rows;
    const std::uint32_t groups = ceil_div(p.weights->rows, rows);
    if (groups > kGrid) throw Error("an expert has too many rows");
    const std::uint64_t address = w.parts.front().address;
    if (in.form == Input::Form::kQ8)
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
