// Definitions of vulkan/cooperative.h.
#ifndef BRINK_VULKAN_COOPERATIVE_IMPL_H_
#define BRINK_VULKAN_COOPERATIVE_IMPL_H_

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "brink/core/error.h"
#include "brink/vulkan/cooperative.h"

namespace brink::vulkan {
namespace cooperative_detail {

// Headers of Debian 12 lack the KHR extension; these are its structures and those of NV.
inline constexpr int kFeaturesKhr = 1000506000, kPropertiesKhr = 1000506001;
inline constexpr int kFeaturesNv = 1000249000, kPropertiesNv = 1000249001;
inline constexpr std::int32_t kFloat16 = 0, kFloat32 = 1;  // VkComponentTypeKHR, ...NV
inline constexpr std::int32_t kSubgroup = 3;               // VkScopeKHR, ...NV

struct PropertiesKhr {
  VkStructureType type;
  void* next;
  std::uint32_t m, n, k;
  std::int32_t a, b, c, result;
  VkBool32 saturates;
  std::int32_t scope;
};
struct PropertiesNv {
  VkStructureType type;
  void* next;
  std::uint32_t m, n, k;
  std::int32_t a, b, c, result;
  std::int32_t scope;
};

template <class Properties>
std::optional<CooperativeShape> find(const Loader& loader, VkInstance instance,
                                     VkPhysicalDevice device, const char* function, int type,
                                     bool khr) {
  using Get = VkResult(VKAPI_PTR*)(VkPhysicalDevice, std::uint32_t*, Properties*);
  const auto get = reinterpret_cast<Get>(loader.vkGetInstanceProcAddr(instance, function));
  if (get == nullptr) return std::nullopt;
  std::uint32_t count = 0;
  if (get(device, &count, nullptr) != VK_SUCCESS) return std::nullopt;
  std::vector<Properties> all(count);
  for (Properties& p : all) p.type = static_cast<VkStructureType>(type);
  if (get(device, &count, all.data()) < VK_SUCCESS) return std::nullopt;
  std::optional<CooperativeShape> best;
  const auto size = [](const CooperativeShape& s) { return s.m * s.n * s.k; };
  for (const Properties& p : all) {
    const bool types =
        p.a == kFloat16 && p.b == kFloat16 && p.c == kFloat32 && p.result == kFloat32;
    if (!types || p.scope != kSubgroup) continue;
    // Fragments lie at multiples of 8 values and fill the smallest tiles evenly.
    if (p.k % 8 != 0 || 32 % p.k != 0 || 32 % p.m != 0 || 32 % p.n != 0) continue;
    const CooperativeShape shape{p.m, p.n, p.k, khr};
    // 16 x 16 x 16 is what most devices have by nature; larger ones are made of it.
    const bool usual = p.m == 16 && p.n == 16 && p.k == 16;
    if (!best || usual || size(shape) > size(*best)) best = shape;
    if (usual) break;
  }
  return best;
}

// SPIR-V: operation codes and what else is needed of them.
enum Op : std::uint32_t {
  kOpUndef = 1,
  kOpExtension = 10,
  kOpCapability = 17,
  kOpTypeInt = 21,
  kOpConstantTrue = 41,
  kOpConstantFalse = 42,
  kOpConstant = 43,
  kOpConstantComposite = 44,
  kOpLoad = 61,
  kOpCompositeConstruct = 80,
  kOpCompositeExtract = 81,
  kOpCopyObject = 83,
  kOpSelect = 169,
  kOpPhi = 245,
  kOpTypeMatrixKhr = 4456,
  kOpLoadKhr = 4457,
  kOpStoreKhr = 4458,
  kOpMulAddKhr = 4459,
  kOpLengthKhr = 4460,
  kOpTypeMatrixNv = 5358,
  kOpLoadNv = 5359,
  kOpStoreNv = 5360,
  kOpMulAddNv = 5361,
  kOpLengthNv = 5362
};
inline constexpr std::uint32_t kCapabilityNv = 5357, kCapabilityKhr = 6022;
inline constexpr std::size_t kHeaderWords = 5, kBoundWord = 3;

inline std::uint32_t first_word(std::uint32_t op, std::size_t words) {
  return static_cast<std::uint32_t>(words) << 16 | op;
}

// Calls fn(op, words) for each instruction; words[0] is the operation itself.
template <class F>
void for_each_instruction(std::span<const std::uint32_t> code, F&& fn) {
  if (code.size() < kHeaderWords || code[0] != 0x07230203u) throw Error("a shader is no SPIR-V");
  for (std::size_t at = kHeaderWords; at < code.size();) {
    const std::size_t words = code[at] >> 16;
    if (words == 0 || words > code.size() - at) throw Error("a shader's SPIR-V is cut");
    fn(code[at] & 0xffffu, code.subspan(at, words));
    at += words;
  }
}

}  // namespace cooperative_detail

CooperativeFeatures::CooperativeFeatures(bool khr)
    : type(static_cast<VkStructureType>(khr ? cooperative_detail::kFeaturesKhr
                                            : cooperative_detail::kFeaturesNv)) {}

const char* cooperative_extension(bool khr) {
  return khr ? "VK_KHR_cooperative_matrix" : "VK_NV_cooperative_matrix";
}

std::optional<CooperativeShape> find_cooperative_shape(const InstanceFunctions& vk,
                                                       VkInstance instance,
                                                       VkPhysicalDevice device) {
  using namespace cooperative_detail;
  const Loader& loader = Loader::get();
  for (const bool khr : {true, false}) {
    if (!has_extension(vk, device, cooperative_extension(khr))) continue;
    CooperativeFeatures features(khr);
    VkPhysicalDeviceVulkan12Features v12{};
    v12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
    v12.pNext = &features;
    VkPhysicalDeviceFeatures2 base{};
    base.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
    base.pNext = &v12;
    vk.vkGetPhysicalDeviceFeatures2(device, &base);
    if (!features.cooperative_matrix || !v12.shaderFloat16 || !v12.vulkanMemoryModel ||
        !v12.vulkanMemoryModelDeviceScope)
      continue;
    const auto shape =
        khr ? find<PropertiesKhr>(loader, instance, device,
                                  "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR",
                                  kPropertiesKhr, true)
            : find<PropertiesNv>(loader, instance, device,
                                 "vkGetPhysicalDeviceCooperativeMatrixPropertiesNV", kPropertiesNv,
                                 false);
    if (shape) return shape;
  }
  return std::nullopt;
}

std::vector<std::uint32_t> to_khr_cooperative(std::span<const std::uint32_t> code) {
  using namespace cooperative_detail;
  // What the module says of its values: types by result, which types are matrices, which values are
  // operands of products.
  std::map<std::uint32_t, std::uint32_t> type_of;
  std::set<std::uint32_t> matrices, is_true;
  std::vector<std::span<const std::uint32_t>> products;
  std::uint32_t uint_type = 0;
  for_each_instruction(code, [&](std::uint32_t op, std::span<const std::uint32_t> words) {
    switch (op) {
      case kOpTypeInt:
        if (words.size() == 4 && words[2] == 32 && words[3] == 0) uint_type = words[1];
        break;
      case kOpConstantTrue:
        is_true.insert(words[2]);
        break;
      case kOpTypeMatrixNv:
        matrices.insert(words[1]);
        break;
      case kOpMulAddNv:
        products.push_back(words);
        [[fallthrough]];
      case kOpUndef:
      case kOpConstantComposite:
      case kOpLoad:
      case kOpCompositeConstruct:
      case kOpCompositeExtract:
      case kOpCopyObject:
      case kOpSelect:
      case kOpPhi:
      case kOpLoadNv:
        if (words.size() > 2) type_of[words[2]] = words[1];
        break;
      default:
        break;
    }
  });
  std::map<std::uint32_t, std::uint32_t> use_of;  // by matrix type: 0, 1 an operand, 2 sums
  const auto use = [&](std::uint32_t type, std::uint32_t as) {
    if (use_of.try_emplace(type, as).first->second != as)
      throw Error("a shader uses one type of cooperative matrix in two ways");
  };
  for (const auto words : products) {
    if (words.size() < 6) throw Error("a shader's SPIR-V is cut");
    use(words[1], 2);
    for (std::uint32_t operand = 0; operand < 3; ++operand) {
      const auto type = type_of.find(words[3 + operand]);
      if (type == type_of.end() || !matrices.contains(type->second))
        throw Error("a shader's cooperative product has an operand of unknown type");
      use(type->second, operand);
    }
  }
  if (uint_type == 0) throw Error("a shader with cooperative matrices has no unsigned integers");

  std::vector<std::uint32_t> out(code.begin(), code.begin() + kHeaderWords);
  const std::uint32_t constants = out[kBoundWord];  // ids of 0, 1 and 2
  out[kBoundWord] += 3;
  bool has_constants = false;
  const auto emit = [&](std::uint32_t op, std::initializer_list<std::uint32_t> operands,
                        std::span<const std::uint32_t> rest = {}) {
    out.push_back(first_word(op, 1 + operands.size() + rest.size()));
    out.insert(out.end(), operands);
    out.insert(out.end(), rest.begin(), rest.end());
  };
  const auto layout = [&](std::uint32_t column_major) {
    return constants + (is_true.contains(column_major) ? 1 : 0);
  };
  for_each_instruction(code, [&](std::uint32_t op, std::span<const std::uint32_t> words) {
    switch (op) {
      case kOpCapability:
        emit(op, {words[1] == kCapabilityNv ? kCapabilityKhr : words[1]});
        break;
      case kOpExtension: {
        const char* const name = reinterpret_cast<const char*>(&words[1]);
        if (std::strncmp(name, "SPV_NV_cooperative_matrix", (words.size() - 1) * 4) != 0) {
          out.insert(out.end(), words.begin(), words.end());
          break;
        }
        constexpr char kName[28] = "SPV_KHR_cooperative_matrix";  // whole words
        std::uint32_t text[sizeof kName / 4];
        std::memcpy(text, kName, sizeof kName);
        emit(op, {}, text);
        break;
      }
      case kOpTypeMatrixNv:
        if (!has_constants)
          for (std::uint32_t value = 0; value < 3; ++value)
            emit(kOpConstant, {uint_type, constants + value, value});
        has_constants = true;
        emit(kOpTypeMatrixKhr, {}, words.subspan(1));
        // One more operand.
        out[out.size() - words.size()] = first_word(kOpTypeMatrixKhr, words.size() + 1);
        out.push_back(constants + (use_of.contains(words[1]) ? use_of[words[1]] : 2));
        break;
      case kOpLoadNv:  // type, result, pointer, stride, column major
        emit(kOpLoadKhr, {words[1], words[2], words[3], layout(words[5]), words[4]},
             words.subspan(6));
        break;
      case kOpStoreNv:  // pointer, object, stride, column major
        emit(kOpStoreKhr, {words[1], words[2], layout(words[4]), words[3]}, words.subspan(5));
        break;
      case kOpMulAddNv:
        emit(kOpMulAddKhr, {}, words.subspan(1));
        break;
      case kOpLengthNv:
        emit(kOpLengthKhr, {}, words.subspan(1));
        break;
      default:
        out.insert(out.end(), words.begin(), words.end());
    }
  });
  return out;
}

std::optional<CooperativeTile> choose_cooperative_tile(const CooperativeShape& shape,
                                                       const CooperativeProduct& product) {
  // With fewer workgroups than this a large GPU has nothing to do for many of its cores.
  constexpr std::uint32_t kBusy = 192;
  struct Size {
    std::uint32_t rows, tokens, local;
  };
  // From the one that reads least to the one that wastes least.
  constexpr Size kSizes[] = {{128, 128, 256}, {128, 64, 256}, {64, 64, 128}, {64, 32, 128}};
  const auto tiles = [](std::uint32_t count, std::uint32_t size) {
    return (count + size - 1) / size;
  };
  std::optional<CooperativeTile> best;
  for (const Size& size : kSizes) {
    if (size.tokens >= 2 * product.tokens && &size != std::end(kSizes) - 1) continue;
    const std::uint32_t parts = size.local / product.subgroup;
    // The most square cut into that many parts.
    CooperativeTile tile{size.rows, size.tokens, size.local, 0, 0};
    for (std::uint32_t down = 1; down <= parts; down *= 2) {
      const std::uint32_t part_rows = size.rows / down;
      const std::uint32_t part_tokens = size.tokens * down / parts;
      if (part_rows == 0 || part_rows % shape.m != 0 || part_tokens == 0 ||
          part_tokens % shape.n != 0)
        continue;
      if (tile.part_rows == 0 || part_rows + part_tokens < tile.part_rows + tile.part_tokens) {
        tile.part_rows = part_rows;
        tile.part_tokens = part_tokens;
      }
    }
    // As matmul_coop.comp has it: rows of 32 f16 and 16 bytes, a fragment of each part in f32.
    const std::uint32_t bytes = (size.rows + size.tokens) * 80 + parts * shape.m * shape.n * 4;
    if (tile.part_rows == 0 || bytes > product.shared_bytes) continue;
    best = tile;
    if (tiles(product.rows, size.rows) * tiles(product.tokens, size.tokens) * product.matrices >=
        kBusy)
      break;
  }
  return best;
}

}  // namespace brink::vulkan

#endif  // BRINK_VULKAN_COOPERATIVE_IMPL_H_
