// A Vulkan device with one compute queue: its memory, its pipelines, recorded work.
#ifndef BRINK_VULKAN_DEVICE_H_
#define BRINK_VULKAN_DEVICE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "brink/vulkan/api.h"
#include "brink/vulkan/cooperative.h"
#include "brink/vulkan/devices.h"

namespace brink::vulkan {

/// Options of Device::open().
struct DeviceOptions {
  /// Index into list_devices() or part of a name; empty: the first discrete GPU, else the first
  /// integrated one, else the first of any kind.
  std::string device;
  /// Loads the validation layer, where it is installed, and keeps its messages. Also on with the
  /// environment variable BRINK_VULKAN_VALIDATION.
  bool validate = false;
};

/// Where a buffer lies.
enum class Memory : std::uint8_t {
  kDevice,   ///< fast for the device; not visible to the host unless that costs nothing
  kUpload,   ///< written by the host, read by the device
  kReadback  ///< written by the device, read by the host
};

class Device;

/// Memory of a device with an address there. Must not outlive the device.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  std::uint64_t size() const { return size_; }
  std::uint64_t address() const { return address_; }
  /// Host's view; nullptr in memory that the host cannot see.
  std::byte* mapped() const { return mapped_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(mapped_);
  }
  VkBuffer handle() const { return buffer_; }
  explicit operator bool() const { return buffer_ != VK_NULL_HANDLE; }

 private:
  friend class Device;
  const Device* device_ = nullptr;
  VkBuffer buffer_ = VK_NULL_HANDLE;
  VkDeviceMemory memory_ = VK_NULL_HANDLE;
  std::uint64_t size_ = 0;
  std::uint64_t address_ = 0;
  std::byte* mapped_ = nullptr;
};

/// A shader with its specialization constants fixed.
struct Pipeline {
  VkPipeline handle = VK_NULL_HANDLE;
  std::string name;
};

/// Bytes of push constants, the same for all pipelines; buffers are reached by address.
inline constexpr std::uint32_t kPushBytes = 128;

/// A list of dispatches that can be run any number of times, on one thread at a time. Must not
/// outlive the device.
class Recording {
 public:
  Recording() = default;
  explicit Recording(Device& device);
  Recording(Recording&& other) noexcept { *this = std::move(other); }
  Recording& operator=(Recording&& other) noexcept;
  ~Recording();

  /// Starts anew; must not be running.
  void begin();
  /// Runs x * y * z workgroups. `push` mirrors the shader's push constants.
  template <class Push>
  void dispatch(const Pipeline& pipeline, const Push& push, std::uint32_t x, std::uint32_t y = 1,
                std::uint32_t z = 1) {
    static_assert(std::is_trivially_copyable_v<Push> && sizeof(Push) <= kPushBytes);
    dispatch_bytes(pipeline, &push, sizeof(Push), x, y, z);
  }
  /// What comes later sees what was written earlier.
  void barrier();
  void copy(const Buffer& from, std::uint64_t from_offset, const Buffer& to,
            std::uint64_t to_offset, std::uint64_t bytes);
  /// Writes of the device become visible to the host when the recording is done.
  void end();

  std::size_t dispatches() const { return dispatches_; }

  /// From the next begin() on dispatches run one after the other and are timed by the device, the
  /// first kTimestamps - 1 of them. Throws Error where the device cannot.
  void time_dispatches();
  struct Timed {
    std::string_view shader;
    double seconds;
  };
  /// Of the last run.
  std::vector<Timed> times() const;

 private:
  friend class Device;
  void dispatch_bytes(const Pipeline& pipeline, const void* push, std::uint32_t bytes,
                      std::uint32_t x, std::uint32_t y, std::uint32_t z);
  void timestamp();

  static constexpr std::uint32_t kTimestamps = 4096;

  Device* device_ = nullptr;
  VkCommandPool pool_ = VK_NULL_HANDLE;
  VkCommandBuffer buffer_ = VK_NULL_HANDLE;
  VkFence fence_ = VK_NULL_HANDLE;
  VkPipeline bound_ = VK_NULL_HANDLE;
  std::size_t dispatches_ = 0;
  VkQueryPool queries_ = VK_NULL_HANDLE;  // timestamps, if dispatches are timed
  std::vector<const Pipeline*> timed_;
};

/// May be used by several threads.
class Device {
 public:
  /// One device serves all who ask for the same one while it is in use, with the pipelines that it
  /// has built. Throws Error naming the device and the feature that it lacks, or the devices that
  /// there are when none has the wanted name.
  static std::shared_ptr<Device> open(const DeviceOptions& options = {});
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const DeviceInfo& info() const { return info_; }
  const DeviceFunctions& functions() const { return functions_; }
  /// Fragments of cooperative matrices; none where the device has none, or with the environment
  /// variable BRINK_VULKAN_COOPERATIVE=off.
  const std::optional<CooperativeShape>& cooperative() const { return cooperative_; }
  /// What the validation layer said, warnings and errors; empty without it.
  const std::vector<std::string>& messages() const { return messages_; }
  bool validates() const { return messenger_ != VK_NULL_HANDLE; }

  /// Bytes that buffers can take now, as the driver tells. Drivers that run on the CPU have the
  /// host's memory, whatever they tell: no limit.
  std::uint64_t free_memory() const;
  /// Throws Error with the numbers when there is not enough memory.
  Buffer allocate(std::uint64_t bytes, Memory memory, std::string_view purpose);

  /// What addresses and sizes for import_host() are multiples of; 0 where the device cannot import
  /// or has memory of its own, which is faster.
  std::uint64_t import_alignment() const { return import_alignment_; }
  /// Host memory as a buffer that shaders read where it lies; it must outlive the buffer. An empty
  /// buffer when the driver does not take it.
  Buffer import_host(const void* data, std::uint64_t bytes);

  /// A pipeline for an embedded shader ("matvec_f32.Q4_K"); constants get ids 0, 1, ... Kept.
  /// Modules with cooperative matrices are those whose name begins with "matmul_coop"; they run in
  /// subgroups of info().subgroup.
  const Pipeline& pipeline(std::string_view shader,
                           std::initializer_list<std::uint32_t> constants = {});
  /// The same for SPIR-V that is not embedded; `name` is its own among all shaders'.
  const Pipeline& pipeline(std::string_view name, std::span<const std::uint32_t> code,
                           std::initializer_list<std::uint32_t> constants = {});

  /// Runs a recording and waits until it is done.
  void run(const Recording& recording);
  /// The same in two parts, each recording waited for before it is submitted or begun again.
  void submit(const Recording& recording);
  void wait(const Recording& recording);

  /// Throws Error("Vulkan device ...: WHAT failed: RESULT") unless `result` is a success.
  void check(VkResult result, const char* what) const;

 private:
  friend class Buffer;
  friend class Recording;
  Device() = default;
  void open_instance(bool validate);
  void choose(const std::string& wanted);
  void create();
  bool can_import_host() const;

  static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                   VkDebugUtilsMessageTypeFlagsEXT types,
                                                   const VkDebugUtilsMessengerCallbackDataEXT* data,
                                                   void* self);

  InstanceFunctions instance_functions_;
  DeviceFunctions functions_;
  DeviceInfo info_;
  std::optional<CooperativeShape> cooperative_;
  std::vector<std::string> messages_;

  VkInstance instance_ = VK_NULL_HANDLE;
  VkDebugUtilsMessengerEXT messenger_ = VK_NULL_HANDLE;
  VkPhysicalDevice physical_ = VK_NULL_HANDLE;
  VkDevice device_ = VK_NULL_HANDLE;
  std::uint32_t family_ = 0;
  VkQueue queue_ = VK_NULL_HANDLE;
  VkPipelineLayout layout_ = VK_NULL_HANDLE;
  VkPhysicalDeviceMemoryProperties memory_{};
  bool sets_subgroup_size_ = false;
  double timestamp_seconds_ = 0;  // of a tick; 0: no timestamps
  std::uint64_t import_alignment_ = 0;
  std::mutex mutex_;  // of the queue and the pipelines
  std::map<std::pair<std::string, std::vector<std::uint32_t>>, Pipeline, std::less<>> pipelines_;
};

/// SPIR-V of an embedded shader; empty when there is none of that name.
std::span<const std::uint32_t> find_shader(std::string_view name);

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_DEVICE_H_
