// Products of weight matrices with a batch of activations, recorded for a device.
#ifndef BRINK_VULKAN_PRODUCTS_H_
#define BRINK_VULKAN_PRODUCTS_H_

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "brink/cpu/activations.h"
#include "brink/vulkan/device.h"
#include "brink/vulkan/sizes.h"
#include "brink/vulkan/weights.h"

namespace brink::vulkan {

/// f32 values of a batch in a device's memory.
struct Rows {
  std::uint64_t address = 0;
  std::uint32_t stride = 0;  ///< values from one row to the next
  std::uint32_t rows = 0;
};

/// y[t][r] = matrix.scale * sum over k of matrix[r][k] x[t][k].
struct DeviceProduct {
  const DeviceMatrix* weights = nullptr;
  std::uint64_t y = 0;  ///< [rows][y_stride] f32
  std::uint32_t y_stride = 0;
};

/// The experts of some rows: slot s uses expert ids[s] and row s / slots_per_row of the input.
struct ExpertProduct {
  const DeviceExperts* weights = nullptr;
  std::uint64_t scales = 0;  ///< f32, one per expert, or 0
  std::uint64_t ids = 0;     ///< uint, one per slot
  std::uint32_t slots = 0;
  std::uint32_t slots_per_row = 1;
  std::uint64_t y = 0;  ///< [slots][rows] f32
};

/// How the matrix-vector shaders are cut.
struct MatvecShape {
  std::uint32_t local = 32;     ///< invocations of a workgroup, a power of two
  std::uint32_t rows = 2;       ///< rows of weights that a workgroup makes, for up to 4 tokens
  std::uint32_t many_rows = 1;  ///< the same for more

  /// GPUs want many small workgroups with all sums in registers. A driver on the CPU runs the
  /// subgroups of a workgroup one after the other and pays for each load: one subgroup, more rows.
  static MatvecShape for_device(const DeviceInfo& info) {
    return info.kind == "CPU" ? MatvecShape{info.subgroup, 4, 4} : MatvecShape{};
  }
};

/// Few rows go through matrix-vector shaders, more through tiles. With Activations::kQ8 the input
/// is rounded to int8 and multiplied in integers, as on the CPU; with kBf16 it is rounded to bf16
/// and multiplied in f32. Where the device has cooperative matrices, tiles of weights other than
/// F32 use them unless activations are to stay f32: the input, rounded as asked for, and the
/// weights become f16. Weights beyond 65504, which f16 does not have, then give infinities.
/// With `same_kernels` any number of rows goes through tiles, cut alike: then a row of the result
/// does not depend on the others.
class Products {
 public:
  /// Rows that still go through the matrix-vector shaders.
  static constexpr std::uint32_t kMatvecRows = 8;

  /// `rows` and `columns` are the most that an input has, `columns` with what is between rows;
  /// `experts` are those of a layer, 0 without.
  Products(Device& device, Activations activations, std::uint64_t rows, std::uint64_t columns,
           std::uint64_t tables, std::uint32_t experts = 0, bool same_kernels = false);

  /// Records all products of `x`, after the rounding that they need. What was recorded before must
  /// have written x (a barrier stands before); a barrier is needed before y is read.
  void multiply(Recording& recording, const Rows& x, std::uint32_t columns,
                std::span<const DeviceProduct> products);
  /// All products have the same slots. Many are ordered by expert first, so that each expert's
  /// weights are read once for all its slots.
  void multiply(Recording& recording, const Rows& x, std::uint32_t columns,
                std::span<const ExpertProduct> products);

  /// x[t] = row ids[t] of the matrix.
  void embed(Recording& recording, const DeviceMatrix& matrix, std::uint64_t ids, const Rows& x);

  /// Another shape than the device's own, for tests.
  void set_matvec_shape(const MatvecShape& shape) { shape_ = shape; }

 private:
  /// What a shader reads of x.
  struct Input {
    std::uint64_t x = 0, scales = 0;
    std::uint32_t stride = 0;  // values
    enum class Form : std::uint8_t { kF32, kQ8, kF16 } form = Form::kF32;
  };
  struct Grouping;
  // The form of x that products with weights of `type` take; records its making when it is not yet
  // among those made.
  Input prepare(Recording& recording, const Rows& x, std::uint32_t columns, TensorType type,
                bool tiles, std::uint32_t& made);
  Input to_f16(Recording& recording, const Input& from, std::uint32_t columns, std::uint32_t rows,
               std::uint32_t kind, std::uint32_t& made);
  void multiply_tiles(Recording& recording, const Input& in, const DeviceMatrix& weights,
                      const MatrixPart& part, std::uint64_t y, std::uint32_t y_stride,
                      std::uint32_t tokens, const Grouping* experts);
  bool takes_tiles(std::uint32_t rows, std::uint32_t most) const {
    return same_kernels_ || rows > most;
  }
  std::optional<CooperativeTile> cooperative_tile(std::uint32_t rows, std::uint32_t tokens,
                                                  std::uint32_t matrices) const;
  bool cooperates(TensorType type) const { return cooperates_ && type != TensorType::kF32; }

  Device& device_;
  Activations activations_;
  std::uint64_t tables_;
  std::uint32_t experts_;
  bool same_kernels_;
  MatvecShape shape_;
  bool cooperates_;     // the device's fragments fit even the smallest tile
  Buffer q8_, scales_;  // int8 and (scale, scale * sum) of every 16
  Buffer rounded_;      // bf16 values, as f32
  Buffer scales256_, q8_256_;
  // f16 made of int8 with blocks of 32 and 256, and of f32; with what rows were divided by.
  std::array<Buffer, 3> f16_, factors_;
  Buffer slots_, tiles_;  // of experts, ordered
};

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_PRODUCTS_H_
