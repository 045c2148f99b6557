// Definitions of vulkan/weights.h.
#ifndef BRINK_VULKAN_WEIGHTS_IMPL_H_
#define BRINK_VULKAN_WEIGHTS_IMPL_H_

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include "brink/core/error.h"
#include "brink/vulkan/weights.h"

namespace brink::vulkan {

Uploader::Uploader(Device& device, const Options& options)
    : device_(device),
      limit_(std::min(device.info().largest_buffer, options.largest_buffer) / kAlignment *
             kAlignment),
      options_(options) {}

Uploader::~Uploader() {
  for (Stage& stage : stages_) {
    try {
      wait(stage);
    } catch (const Error&) {
      // Nothing runs on a device that is lost.
    }
  }
}

// Room of `bytes` in the last buffer or a new one; its offset there.
std::uint64_t Uploader::place(std::uint64_t bytes) {
  // Shaders read whole words, of which only the first bytes may be weights.
  bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (used_.empty() || used_.back() + bytes > capacity_) {
    capacity_ = std::max(bytes, std::min(kChunk, limit_));
    if (used_.size() < options_.buffers.size()) capacity_ = options_.buffers[used_.size()];
    if (!options_.plan) buffers_.push_back(device_.allocate(capacity_, Memory::kDevice, "weights"));
    used_.push_back(0);
  }
  const std::uint64_t offset = used_.back();
  used_.back() += bytes;
  return offset;
}

void Uploader::wait(Stage& stage) {
  if (!stage.busy) return;
  stage.busy = false;
  device_.wait(stage.recording);
}

Uploader::Stage& Uploader::free_stage() {
  Stage& stage = stages_[next_stage_];
  next_stage_ = (next_stage_ + 1) % stages_.size();
  if (!stage.memory) {
    stage.memory = device_.allocate(kPiece, Memory::kUpload, "staging");
    stage.recording = Recording(device_);
  }
  wait(stage);
  return stage;
}

void Uploader::write(std::uint64_t offset, std::span<const std::byte> data) {
  const Buffer& to = buffers_.back();
  for (std::size_t at = 0; at < data.size(); at += kPiece) {
    const std::size_t count = std::min<std::size_t>(kPiece, data.size() - at);
    if (to.mapped() != nullptr && !options_.stage) {
      std::memcpy(to.mapped() + offset + at, data.data() + at, count);
    } else {
      Stage& stage = free_stage();
      std::memcpy(stage.memory.mapped(), data.data() + at, count);
      stage.recording.begin();
      stage.recording.copy(stage.memory, 0, to, offset + at, count);
      stage.recording.end();
      device_.submit(stage.recording);
      stage.busy = true;
    }
    copied_ += count;
    if (options_.on_progress) options_.on_progress(copied_);
  }
}

std::uint64_t Uploader::bytes(std::span<const std::byte> data) {
  const std::uint64_t offset = place(data.size());
  if (options_.plan) {
    copied_ += data.size();
    return offset;
  }
  write(offset, data);
  return buffers_.back().address() + offset;
}

std::uint64_t Uploader::vector(const WeightVector& values) {
  return values.empty() ? 0 : bytes(std::as_bytes(std::span(values)));
}

DeviceMatrix Uploader::matrix(const WeightMatrix& matrix) {
  if (!matrix) return {};
  const auto known = known_.find(matrix.data);
  if (known != known_.end()) {
    DeviceMatrix same = known->second;
    same.scale = matrix.scale;
    return same;
  }
  // Integers and F64 have no shaders of their own: nobody asks them to be fast.
  const bool has_shader =
      !find_shader("matvec." + std::string(format_of(matrix.type).name)).empty();
  const DeviceMatrix result = has_shader ? upload(matrix) : decode(matrix);
  known_.emplace(matrix.data, result);
  return result;
}

DeviceMatrix Uploader::decode(const WeightMatrix& matrix) {
  std::vector<float> values(options_.plan ? 0 : matrix.rows * matrix.columns);
  WeightMatrix decoded = matrix;
  decoded.type = TensorType::kF32;
  if (!options_.plan) {
    format_of(matrix.type).decode(matrix.data, values.data(), values.size());
    decoded.data = reinterpret_cast<const std::uint8_t*>(values.data());
  }
  return upload(decoded);
}

DeviceMatrix Uploader::upload(const WeightMatrix& matrix) {
  const std::uint64_t row_bytes = matrix.bytes_per_row();
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
  if (row_bytes > limit_ || row_bytes > kMost || matrix.rows > kMost || matrix.columns > kMost)
    throw Error("a matrix of " + std::to_string(matrix.rows) + " x " +
                std::to_string(matrix.columns) + " is too large for the Vulkan device " +
                device_.info().name);
  DeviceMatrix result;
  result.type = matrix.type;
  result.rows = static_cast<std::uint32_t>(matrix.rows);
  result.columns = static_cast<std::uint32_t>(matrix.columns);
  result.row_bytes = static_cast<std::uint32_t>(row_bytes);
  result.scale = matrix.scale;
  if (const std::uint64_t there =
          options_.imports == nullptr
              ? 0
              : options_.imports->address(matrix.data, matrix.rows * row_bytes)) {
    result.parts.push_back({there, 0, result.rows});
    return result;
  }
  const std::uint64_t most = limit_ / row_bytes;
  for (std::uint64_t row = 0; row < matrix.rows; row += most) {
    const std::uint64_t rows = std::min<std::uint64_t>(most, matrix.rows - row);
    const std::span<const std::uint8_t> data(matrix.data + row * row_bytes, rows * row_bytes);
    result.parts.push_back({bytes(std::as_bytes(data)), static_cast<std::uint32_t>(row),
                            static_cast<std::uint32_t>(rows)});
  }
  return result;
}

DeviceExperts Uploader::experts(const ExpertMatrices& matrices) {
  if (matrices.empty()) return {};
  WeightMatrix all = matrices.front();
  const std::size_t rows = all.rows;
  for (std::size_t e = 0; e < matrices.size(); ++e)
    if (matrices[e].data != all.row(e * rows)) throw Error("matrices of experts lie apart");
  all.rows = rows * matrices.size();
  DeviceExperts result;
  result.all = matrix(all);
  if (result.all.parts.size() != 1)
    throw Error("the experts of a layer take " +
                std::to_string((all.rows * all.bytes_per_row()) >> 20) +
                " MiB, the largest buffer of the Vulkan device " + device_.info().name + " is " +
                std::to_string(limit_ >> 20) + " MiB");
  result.rows = static_cast<std::uint32_t>(rows);
  for (const WeightMatrix& m : matrices) result.scales.push_back(m.scale);
  return result;
}

std::uint64_t Uploader::placed() const {
  return std::accumulate(used_.begin(), used_.end(), std::uint64_t{0});
}

std::vector<Buffer> Uploader::finish() {
  for (Stage& stage : stages_) wait(stage);
  return std::move(buffers_);
}

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_WEIGHTS_IMPL_H_
