// Definitions of class Recording, vulkan/device.h.
#ifndef BRINK_VULKAN_RECORDING_IMPL_H_
#define BRINK_VULKAN_RECORDING_IMPL_H_

#include <utility>

#include "brink/core/error.h"
#include "brink/vulkan/device.h"

namespace brink::vulkan {

Recording::Recording(Device& device) : device_(&device) {
  VkCommandPoolCreateInfo pool{};
  pool.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
  pool.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
  pool.queueFamilyIndex = device.family_;
  device.check(device.functions_.vkCreateCommandPool(device.device_, &pool, nullptr, &pool_),
               "vkCreateCommandPool");
  VkFenceCreateInfo fence{};
  fence.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO;
  device.check(device.functions_.vkCreateFence(device.device_, &fence, nullptr, &fence_),
               "vkCreateFence");
  VkCommandBufferAllocateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
  info.commandPool = pool_;
  info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
  info.commandBufferCount = 1;
  device.check(device.functions_.vkAllocateCommandBuffers(device.device_, &info, &buffer_),
               "vkAllocateCommandBuffers");
}

Recording& Recording::operator=(Recording&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(pool_, other.pool_);
  std::swap(buffer_, other.buffer_);
  std::swap(fence_, other.fence_);
  std::swap(bound_, other.bound_);
  std::swap(dispatches_, other.dispatches_);
  std::swap(queries_, other.queries_);
  std::swap(timed_, other.timed_);
  return *this;
}

Recording::~Recording() {
  if (device_ == nullptr) return;
  device_->functions_.vkDestroyQueryPool(device_->device_, queries_, nullptr);
  device_->functions_.vkDestroyFence(device_->device_, fence_, nullptr);
  device_->functions_.vkDestroyCommandPool(device_->device_, pool_, nullptr);
}

void Recording::begin() {
  bound_ = VK_NULL_HANDLE;
  dispatches_ = 0;
  VkCommandBufferBeginInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
  device_->check(device_->functions_.vkBeginCommandBuffer(buffer_, &info), "vkBeginCommandBuffer");
  timed_.clear();
  if (queries_ == VK_NULL_HANDLE) return;
  device_->functions_.vkCmdResetQueryPool(buffer_, queries_, 0, kTimestamps);
  timestamp();
}

void Recording::dispatch_bytes(const Pipeline& pipeline, const void* push, std::uint32_t bytes,
                               std::uint32_t x, std::uint32_t y, std::uint32_t z) {
  if (x == 0 || y == 0 || z == 0) return;
  const DeviceFunctions& vk = device_->functions_;
  if (pipeline.handle != bound_) {
    vk.vkCmdBindPipeline(buffer_, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline.handle);
    bound_ = pipeline.handle;
  }
  vk.vkCmdPushConstants(buffer_, device_->layout_, VK_SHADER_STAGE_COMPUTE_BIT, 0, bytes, push);
  vk.vkCmdDispatch(buffer_, x, y, z);
  ++dispatches_;
  if (queries_ == VK_NULL_HANDLE || timed_.size() + 1 >= kTimestamps) return;
  // One after the other, so that each has a time of its own.
  barrier();
  timed_.push_back(&pipeline);
  timestamp();
}

void Recording::time_dispatches() {
  if (device_->timestamp_seconds_ == 0)
    throw Error("the Vulkan device " + device_->info_.name + " has no timestamps");
  if (queries_ != VK_NULL_HANDLE) return;
  VkQueryPoolCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO;
  info.queryType = VK_QUERY_TYPE_TIMESTAMP;
  info.queryCount = kTimestamps;
  device_->check(device_->functions_.vkCreateQueryPool(device_->device_, &info, nullptr, &queries_),
                 "vkCreateQueryPool");
}

void Recording::timestamp() {
  device_->functions_.vkCmdWriteTimestamp2(buffer_, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT, queries_,
                                           static_cast<std::uint32_t>(timed_.size()));
}

std::vector<Recording::Timed> Recording::times() const {
  std::vector<Timed> result;
  if (timed_.empty()) return result;
  std::vector<std::uint64_t> ticks(timed_.size() + 1);
  device_->check(device_->functions_.vkGetQueryPoolResults(
                     device_->device_, queries_, 0, static_cast<std::uint32_t>(ticks.size()),
                     ticks.size() * sizeof(std::uint64_t), ticks.data(), sizeof(std::uint64_t),
                     VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT),
                 "vkGetQueryPoolResults");
  for (std::size_t i = 0; i < timed_.size(); ++i)
    result.push_back({timed_[i]->name,
                      static_cast<double>(ticks[i + 1] - ticks[i]) * device_->timestamp_seconds_});
  return result;
}

void Recording::barrier() {
  VkMemoryBarrier2 memory{};
  memory.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2;
  memory.srcStageMask = VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_2_COPY_BIT;
  memory.srcAccessMask = VK_ACCESS_2_SHADER_WRITE_BIT | VK_ACCESS_2_TRANSFER_WRITE_BIT;
  memory.dstStageMask = memory.srcStageMask;
  memory.dstAccessMask = VK_ACCESS_2_SHADER_READ_BIT | VK_ACCESS_2_SHADER_WRITE_BIT |
                         VK_ACCESS_2_TRANSFER_READ_BIT | VK_ACCESS_2_TRANSFER_WRITE_BIT;
  VkDependencyInfo info{};
  info.sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO;
  info.memoryBarrierCount = 1;
  info.pMemoryBarriers = &memory;
  device_->functions_.vkCmdPipelineBarrier2(buffer_, &info);
}

void Recording::copy(const Buffer& from, std::uint64_t from_offset, const Buffer& to,
                     std::uint64_t to_offset, std::uint64_t bytes) {
  if (bytes == 0) return;
  const VkBufferCopy region{from_offset, to_offset, bytes};
  device_->functions_.vkCmdCopyBuffer(buffer_, from.handle(), to.handle(), 1, &region);
}

void Recording::end() {
  VkMemoryBarrier2 memory{};
  memory.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2;
  memory.srcStageMask = VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_2_COPY_BIT;
  memory.srcAccessMask = VK_ACCESS_2_SHADER_WRITE_BIT | VK_ACCESS_2_TRANSFER_WRITE_BIT;
  memory.dstStageMask = VK_PIPELINE_STAGE_2_HOST_BIT;
  memory.dstAccessMask = VK_ACCESS_2_HOST_READ_BIT;
  VkDependencyInfo info{};
  info.sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO;
  info.memoryBarrierCount = 1;
  info.pMemoryBarriers = &memory;
  device_->functions_.vkCmdPipelineBarrier2(buffer_, &info);
  device_->check(device_->functions_.vkEndCommandBuffer(buffer_), "vkEndCommandBuffer");
}

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_RECORDING_IMPL_H_
