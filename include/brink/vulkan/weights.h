// A model's weights in a device's memory.
#ifndef BRINK_VULKAN_WEIGHTS_H_
#define BRINK_VULKAN_WEIGHTS_H_

#include <array>
#include <cstdint>
#include <functional>
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
/// through two staging buffers in turn, so that the device copies from one while the host fills the
/// other and the model is never twice in host memory.
class Uploader {
 public:
  struct Options {
    std::uint64_t largest_buffer = ~std::uint64_t{0};  ///< bytes, if the device allows as many
    bool stage = false;  ///< through staging buffers even where the host sees the device's memory
    bool plan = false;   ///< only finds buffer_sizes(): allocates and copies nothing
    /// What such a plan found, so that no buffer is larger than what goes into it.
    std::vector<std::uint64_t> buffers = {};
    const Imports* imports = nullptr;  ///< what need not be copied; must outlive the uploader
    /// Called after every piece with the bytes copied so far; what it throws ends the upload.
    std::function<void(std::uint64_t)> on_progress = {};
  };
  explicit Uploader(Device& device) : Uploader(device, Options{}) {}
  Uploader(Device& device, const Options& options);
  ~Uploader();
  Uploader(const Uploader&) = delete;
  Uploader& operator=(const Uploader&) = delete;

  /// The same data is uploaded once, however often it is asked for.
  DeviceMatrix matrix(const WeightMatrix& matrix);
  /// Throws Error when they do not fit one buffer or lie apart in the file.
  DeviceExperts experts(const ExpertMatrices& matrices);
  /// Address of the values; 0 for an empty vector.
  std::uint64_t vector(const WeightVector& values);
  std::uint64_t bytes(std::span<const std::byte> data);

  /// Bytes that have found their place so far.
  std::uint64_t placed() const;
  /// Bytes copied so far; of a plan those to copy.
  std::uint64_t copied() const { return copied_; }
  /// Bytes that are used of each buffer.
  const std::vector<std::uint64_t>& buffer_sizes() const { return used_; }

  /// Waits until all is there and hands over the buffers.
  std::vector<Buffer> finish();

 private:
  DeviceMatrix decode(const WeightMatrix& matrix);
  DeviceMatrix upload(const WeightMatrix& matrix);
  std::uint64_t place(std::uint64_t bytes);
  void write(std::uint64_t offset, std::span<const std::byte> data);

  static constexpr std::uint64_t kChunk = std::uint64_t{256} << 20;
  static constexpr std::uint64_t kPiece = std::uint64_t{16} << 20;  // of a staging buffer, too
  // More than any type's loads need.
  static constexpr std::uint64_t kAlignment = 256;

  Device& device_;
  std::uint64_t limit_;  // of one buffer
  const Options options_;
  std::vector<Buffer> buffers_;      // none while planning
  std::vector<std::uint64_t> used_;  // of each
  std::uint64_t capacity_ = 0;       // of the last one
  std::uint64_t copied_ = 0;
  // Memory that the device may still be reading: wait for it before it is written again.
  struct Stage {
    Buffer memory;
    Recording recording;
    bool busy = false;
  };
  Stage& free_stage();
  void wait(Stage& stage);
  std::array<Stage, 2> stages_;
  std::size_t next_stage_ = 0;
  std::map<const void*, DeviceMatrix> known_;
};

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_WEIGHTS_H_
