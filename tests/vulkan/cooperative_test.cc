// Cooperative matrices without a device: translation of modules and the cut into tiles. What they
// compute is tested with the products.
#include "brink/vulkan/cooperative.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "brink/core/error.h"
#include "brink/vulkan/device.h"

namespace brink::testing {
namespace {

using Words = std::vector<std::uint32_t>;

// Instructions by operation code.
std::map<std::uint32_t, std::vector<Words>> instructions(std::span<const std::uint32_t> code) {
  std::map<std::uint32_t, std::vector<Words>> all;
  for (std::size_t at = 5; at < code.size(); at += code[at] >> 16)
    all[code[at] & 0xffffu].emplace_back(
        code.begin() + static_cast<std::ptrdiff_t>(at),
        code.begin() + static_cast<std::ptrdiff_t>(at + (code[at] >> 16)));
  return all;
}

constexpr std::uint32_t kExtension = 10, kCapability = 17, kConstant = 43;
constexpr std::uint32_t kTypeNv = 5358, kLoadNv = 5359, kStoreNv = 5360, kMulAddNv = 5361;
constexpr std::uint32_t kTypeKhr = 4456, kLoadKhr = 4457, kStoreKhr = 4458, kMulAddKhr = 4459;

TEST(CooperativeTranslation, SaysTheSameInKhrWords) {
  for (const char* name : {"matmul_coop.Q4_K", "matmul_coop.F16", "matmul_coop.IQ2_XXS"}) {
    const std::span<const std::uint32_t> code = vulkan::find_shader(name);
    ASSERT_FALSE(code.empty()) << name;
    const Words khr = vulkan::to_khr_cooperative(code);
    auto before = instructions(code), after = instructions(khr);
    for (const std::uint32_t op : {kTypeNv, kLoadNv, kStoreNv, kMulAddNv})
      EXPECT_TRUE(after[op].empty()) << name;
    EXPECT_EQ(after[kLoadKhr].size(), before[kLoadNv].size());
    EXPECT_EQ(after[kStoreKhr].size(), before[kStoreNv].size());
    EXPECT_EQ(after[kMulAddKhr].size(), before[kMulAddNv].size());
    EXPECT_EQ(after[kConstant].size(), before[kConstant].size() + 3);
    // All else is as it was.
    for (const auto& [op, list] : before) {
      if (op == kExtension || op == kCapability || op == kConstant || op >= kTypeNv) continue;
      EXPECT_EQ(after[op], list) << name << " operation " << op;
    }
    bool has_capability = false;
    for (const Words& words : after[kCapability]) {
      EXPECT_NE(words[1], 5357u);
      has_capability = has_capability || words[1] == 6022;
    }
    EXPECT_TRUE(has_capability);
    std::string extensions;
    for (const Words& words : after[kExtension])
      extensions += std::string(reinterpret_cast<const char*>(&words[1])) + " ";
    EXPECT_NE(extensions.find("SPV_KHR_cooperative_matrix "), std::string::npos) << extensions;
    EXPECT_EQ(extensions.find("NV_cooperative"), std::string::npos) << extensions;

    std::map<std::uint32_t, std::uint32_t> constants, types, use;
    for (const Words& words : after[kConstant]) constants[words[2]] = words[3];
    for (const Words& words : after[kTypeKhr]) {
      ASSERT_EQ(words.size(), 7u);
      use[words[1]] = constants.at(words[6]);
    }
    // What a product is made of has the uses of its places.
    for (const Words& words : after[kLoadKhr]) types[words[2]] = words[1];
    for (const Words& words : after[kMulAddKhr]) EXPECT_EQ(use.at(words[1]), 2u);
    // Weights are read row by row, activations, which are transposed, column by column.
    for (const Words& words : after[kLoadKhr])
      EXPECT_EQ(constants.at(words[4]), use.at(words[1])) << name;
    EXPECT_GE(khr[3], code[3] + 3);  // ids
  }
}

TEST(CooperativeTranslation, RefusesWhatItCannotTell) {
  const std::span<const std::uint32_t> code = vulkan::find_shader("matmul_coop.Q4_K");
  // A product whose first operand is also its second has no use for that type.
  Words ambiguous(code.begin(), code.end());
  for (std::size_t at = 5; at < ambiguous.size(); at += ambiguous[at] >> 16)
    if ((ambiguous[at] & 0xffffu) == kMulAddNv) ambiguous[at + 4] = ambiguous[at + 3];
  EXPECT_THROW(vulkan::to_khr_cooperative(ambiguous), Error);
  for (const std::size_t words : {std::size_t{0}, std::size_t{4}, std::size_t{6}})
    EXPECT_THROW(vulkan::to_khr_cooperative(code.first(words)), Error) << words;
  Words zeros(code.begin(), code.begin() + 5);
  zeros.resize(20);
  EXPECT_THROW(vulkan::to_khr_cooperative(zeros), Error);
}

TEST(CooperativeTiles, FitTheDeviceAndTheProduct) {
  using vulkan::CooperativeShape;
  for (const CooperativeShape shape :
       {CooperativeShape{16, 16, 16}, CooperativeShape{8, 8, 8}, CooperativeShape{16, 8, 16}})
    for (const std::uint32_t subgroup : {8u, 16u, 32u, 64u})
      for (const std::uint32_t shared : {16384u, 32768u, 49152u})
        for (const std::uint32_t rows : {1u, 64u, 1000u, 4096u, 128256u})
          for (const std::uint32_t tokens : {9u, 33u, 64u, 65u, 512u}) {
            const auto tile =
                vulkan::choose_cooperative_tile(shape, {rows, tokens, 1, subgroup, shared});
            if (!tile) {
              // Fragments of 16 cannot be cut into sixteen parts of the smallest tile.
              EXPECT_TRUE(subgroup == 8 && shape.m * shape.n > 64) << subgroup;
              continue;
            }
            const std::uint32_t parts = tile->local / subgroup;
            EXPECT_EQ(tile->rows / tile->part_rows * (tile->tokens / tile->part_tokens), parts);
            EXPECT_EQ(tile->part_rows % shape.m, 0u);
            EXPECT_EQ(tile->part_tokens % shape.n, 0u);
            EXPECT_EQ(tile->rows % tile->part_rows + tile->tokens % tile->part_tokens, 0u);
            const std::uint32_t bytes =
                (tile->rows + tile->tokens) * 80 + parts * shape.m * shape.n * 4;
            EXPECT_LE(bytes, shared);
            EXPECT_TRUE(tile->tokens < 2 * tokens || tile->tokens == 32);
          }
  // Enough work for all of a GPU: the tile that reads least.
  const auto large = vulkan::choose_cooperative_tile({16, 16, 16}, {14336, 512, 1, 32, 49152});
  ASSERT_TRUE(large);
  EXPECT_EQ(large->rows, 128u);
  EXPECT_EQ(large->tokens, 128u);
  const auto small = vulkan::choose_cooperative_tile({16, 16, 16}, {512, 512, 1, 32, 49152});
  ASSERT_TRUE(small);
  EXPECT_LT(small->rows * small->tokens, 128u * 128u);
}

}  // namespace
}  // namespace brink::testing
