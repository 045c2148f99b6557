// A model's weights in a device's memory.
#ifndef BRINK_VULKAN_WEIGHTS_H_
#define BRINK_VULKAN_WEIGHTS_H_

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "brink/model/weights.h"
#include "brink/quant/weight_matrix.h"
#include "brink/vulkan/device.h"
#include "brink/vulkan/imports.h"

namespace brink::vulkan {

/// Rows of a matrix that lie together; larger matrices than one buffer holds have several parts.
struct MatrixPart {
  std::uint64_t address = 0;
  std::uint32_t first_row = 0;
  std::uint32_t rows = 0;
};

struct DeviceMatrix {
  TensorType type = TensorType::kF32;
  std::uint32_t rows = 0;
  std::uint32_t columns = 0;
  std::uint32_t row_bytes = 0;
  float scale = 1.0f;
  std::vector<MatrixPart> parts;

  explicit operator bool() const { return !parts.empty(); }
};

/// Matrices of all experts of a layer, one after the other.
struct DeviceExperts {
  DeviceMatrix all;  ///< [experts * rows][columns], one part
  std::uint32_t rows = 0;
  std::vector<float> scales;  ///< one per expert

  std::uint64_t bytes() const { return std::uint64_t{rows} * all.row_bytes; }
};

/// Copies host memory into buffers of the device, packed: buffers of at most kChunk bytes are
/// filled one after the other. Where the host sees the device's memory it writes there; otherwise
/// through a staging buffer, so that the model is never twice in host memory.
class Uploader {
 public:
  struct Options {
    std::uint64_t largest_buffer = ~std::uint64_t{0};  ///< bytes, if the device allows as many
    bool stage = false;  ///< through staging buffers even where the host sees the device's memory
    bool plan = false;   ///< only finds buffer_sizes(): allocates and copies nothing
    /// What such a plan found, so that no buffer is larger than what goes into it.
    std::vector<std::uint64_t> buffers = {};
    const Imports* imports = nullptr;  ///< what need not be copied; must outlive the uploader
  };
  explicit Uploader(Device& device) : Uploader(device, Options{}) {}
  Uploader(Device& device, const Options& options);

  /// The same data is uploaded once, however often it is asked for.
  DeviceMatrix matrix(const WeightMatrix& matrix);
  /// Throws Error when they do not fit one buffer or lie apart in the file.
  DeviceExperts experts(const ExpertMatrices& matrices);
  /// Address of the values; 0 for an empty vector.
  std::uint64_t vector(const WeightVector& values);
  std::uint64_t bytes(std::span<const std::byte> data);

  /// Bytes that have found their place so far.
  std::uint64_t placed() const;
  /// Bytes that are used of each buffer.
  const std::vector<std::uint64_t>& buffer_sizes() const { return used_; }

  /// Hands over all buffers.
  std::vector<Buffer> finish();

 private:
  DeviceMatrix decode(const WeightMatrix& matrix);
  DeviceMatrix upload(const WeightMatrix& matrix);
  std::uint64_t place(std::uint64_t bytes);
  void write(std::uint64_t offset, std::span<const std::byte> data);

  static constexpr std::uint64_t kChunk = std::uint64_t{256} << 20;
  static constexpr std::uint64_t kStaging = std::uint64_t{16} << 20;
  // More than any type's loads need.
  static constexpr std::uint64_t kAlignment = 256;

  Device& device_;
  std::uint64_t limit_;  // of one buffer
  const Options options_;
  std::vector<Buffer> buffers_;      // none while planning
  std::vector<std::uint64_t> used_;  // of each
  std::uint64_t capacity_ = 0;       // of the last one
  Buffer staging_;
  Recording recording_;
  std::map<const void*, DeviceMatrix> known_;
};

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_WEIGHTS_H_
