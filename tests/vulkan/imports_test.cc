// Weights that a device reads where the host has them: the same results as from copies, nothing
// read beyond the pages of a matrix.
#include "brink/vulkan/imports.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "brink/vulkan/backend.h"
#include "brink/vulkan/format_tables.h"
#include "brink/vulkan/products.h"
#include "brink/vulkan/weights.h"
#include "tests/support/backend_steps.h"
#include "tests/support/engine_logits.h"
#include "tests/support/random_blocks.h"
#include "tests/support/reference_data.h"
#include "tests/support/vulkan.h"

namespace brink::testing {
namespace {

using vulkan::Buffer;
using vulkan::DeviceMatrix;
using vulkan::Imports;
using vulkan::Memory;
using vulkan::Recording;
using vulkan::Uploader;

/// Whole pages between two that must not be touched.
class Pages {
 public:
  explicit Pages(std::size_t bytes)
      : unit_(static_cast<std::size_t>(::sysconf(_SC_PAGESIZE))),
        size_((bytes + unit_ - 1) / unit_ * unit_) {
    void* const all =
        ::mmap(nullptr, size_ + 2 * unit_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) throw Error("mmap");
    data_ = static_cast<std::uint8_t*>(all) + unit_;
    if (::mprotect(data_, size_, PROT_READ | PROT_WRITE) != 0) throw Error("mprotect");
  }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  ~Pages() { ::munmap(data_ - unit_, size_ + 2 * unit_); }

  std::uint8_t* data() const { return data_; }
  std::uint8_t* end() const { return data_ + size_; }
  std::size_t size() const { return size_; }

 private:
  std::size_t unit_, size_;
  std::uint8_t* data_ = nullptr;
};

class VulkanImports : public VulkanTest {
 protected:
  void SetUp() override {
    VulkanTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    if (device().import_alignment() == 0) GTEST_SKIP() << "this device imports no host memory";
  }
};

TEST_F(VulkanImports, TheDeviceReadsTheHostsMemory) {
  const std::size_t unit = device().import_alignment();
  const Pages pages(4 * unit);
  std::uint8_t* const begin =
      pages.data() + (unit - reinterpret_cast<std::uintptr_t>(pages.data()) % unit) % unit;
  const Buffer buffer = device().import_host(begin, 2 * unit);
  ASSERT_TRUE(buffer);
  EXPECT_EQ(buffer.size(), 2 * unit);
  const Buffer back = empty<std::uint8_t>(64);
  Recording recording(device());
  recording.begin();
  recording.copy(buffer, unit - 32, back, 0, 64);
  recording.end();
  for (const int value : {17, 99}) {  // no copy that was made once
    std::memset(begin, value, 2 * unit);
    device().run(recording);
    EXPECT_EQ(std::count(back.mapped(), back.mapped() + 64, static_cast<std::byte>(value)), 64);
  }
  EXPECT_FALSE(device().import_host(begin + 16, unit));
  EXPECT_FALSE(device().import_host(begin, unit + 16));
  EXPECT_FALSE(device().import_host(begin, 0));
  EXPECT_FALSE(device().import_host(begin, device().info().largest_buffer / unit * unit + unit));
}

/// Logits-like results of a matrix: its rows, and its products with few and many tokens.
std::vector<float> results(vulkan::Device& device, const DeviceMatrix& matrix, std::uint64_t tables,
                           Activations activations) {
  constexpr std::uint32_t kMany = 70;
  std::mt19937_64 random(9);
  std::normal_distribution<float> normal;
  const auto make = [&](std::uint64_t bytes) {
    return device.allocate((bytes + 3) / 4 * 4, Memory::kReadback, "a test");
  };
  const Buffer x = make(std::uint64_t{kMany} * matrix.columns * 4);
  for (std::size_t i = 0; i < std::size_t{kMany} * matrix.columns; ++i)
    x.as<float>()[i] = normal(random);
  const Buffer ids = make(std::uint64_t{matrix.rows} * 4);
  for (std::uint32_t i = 0; i < matrix.rows; ++i) ids.as<std::uint32_t>()[i] = i;
  const Buffer rows = make(std::uint64_t{matrix.rows} * matrix.columns * 4);
  const Buffer few = make(std::uint64_t{3} * matrix.rows * 4);
  const Buffer many = make(std::uint64_t{kMany} * matrix.rows * 4);
  vulkan::Products products(device, activations, std::max(kMany, matrix.rows), matrix.columns,
                            tables);
  Recording recording(device);
  recording.begin();
  products.embed(recording, matrix, ids.address(), {rows.address(), matrix.columns, matrix.rows});
  const vulkan::DeviceProduct of_few{&matrix, few.address(), matrix.rows};
  products.multiply(recording, {x.address(), matrix.columns, 3}, matrix.columns, {&of_few, 1});
  recording.barrier();
  const vulkan::DeviceProduct of_many{&matrix, many.address(), matrix.rows};
  products.multiply(recording, {x.address(), matrix.columns, kMany}, matrix.columns, {&of_many, 1});
  recording.end();
  device.run(recording);
  std::vector<float> all;
  for (const Buffer* buffer : {&rows, &few, &many})
    all.insert(all.end(), buffer->as<float>(), buffer->as<float>() + buffer->size() / 4);
  return all;
}

// Each type, as near to the end of its last page as it may start. The page after it cannot be read.
TEST_F(VulkanImports, NothingBeyondTheLastPageIsRead) {
  std::mt19937_64 random(11);
  const std::vector<std::uint32_t> table_words = vulkan::format_tables();
  for (const TensorType type : shader_types()) {
    const std::size_t rows = 37, columns = format_of(type).quantized ? 512 : 511;
    const std::vector<std::uint8_t> blocks = random_blocks(type, rows * columns, random);
    const Pages pages(blocks.size() + Imports::kAlignment);
    std::uint8_t* const place =
        pages.data() + (pages.size() - blocks.size()) / Imports::kAlignment * Imports::kAlignment;
    std::memcpy(place, blocks.data(), blocks.size());
    Weights weights;
    weights.embedding = {place, type, rows, columns, 1.0f};
    const Imports imports(device(), weights);
    ASSERT_NE(imports.address(place, blocks.size()), 0u) << format_of(type).name;
    Uploader uploader(device(), {.imports = &imports}), copier(device());
    const DeviceMatrix imported = uploader.matrix(weights.embedding);
    const DeviceMatrix copied = copier.matrix(weights.embedding);
    EXPECT_EQ(uploader.placed(), 0u);
    EXPECT_GE(copier.placed(), blocks.size());
    const std::uint64_t tables = copier.bytes(std::as_bytes(std::span(table_words)));
    const std::vector<Buffer> buffers = copier.finish();
    for (const Activations form : {Activations::kF32, Activations::kQ8})
      EXPECT_EQ(results(device(), imported, tables, form), results(device(), copied, tables, form))
          << format_of(type).name;
  }
}

TEST_F(VulkanImports, WhatShadersCannotReadThereIsCopied) {
  std::mt19937_64 random(12);
  const std::vector<std::uint8_t> blocks = random_blocks(TensorType::kF16, 64 * 32, random);
  const Pages pages(3 * blocks.size());
  for (const std::size_t offset : {0u, 8u, 16u, 24u}) {
    std::memcpy(pages.data() + offset, blocks.data(), blocks.size());
    Weights weights;
    weights.embedding = {pages.data() + offset, TensorType::kF16, 64, 32, 1.0f};
    const Imports imports(device(), weights);
    Uploader uploader(device(), {.imports = &imports});
    const DeviceMatrix matrix = uploader.matrix(weights.embedding);
    EXPECT_EQ(uploader.placed(), offset % 16 == 0 ? 0 : blocks.size()) << offset;
    EXPECT_EQ(imports.address(pages.data() + offset, blocks.size()) != 0, offset % 16 == 0);
    EXPECT_EQ(imports.address(pages.end() - 16, 32), 0u);
    EXPECT_EQ(imports.address(pages.data() - 16, 16), 0u);
    const std::vector<Buffer> buffers = uploader.finish();
    std::vector<float> expected(64 * 32);
    format_of(TensorType::kF16).decode(blocks.data(), expected.data(), expected.size());
    const std::vector<float> all = results(device(), matrix, 0, Activations::kF32);
    EXPECT_EQ(std::vector<float>(all.begin(), all.begin() + 64 * 32), expected) << offset;
  }
  // F64 has no shader: it is decoded, wherever it lies.
  Weights weights;
  weights.embedding = {pages.data(), TensorType::kF64, 4, 32, 1.0f};
  std::memset(pages.data(), 0, pages.size());
  const Imports imports(device(), weights);
  Uploader uploader(device(), {.imports = &imports});
  EXPECT_EQ(uploader.matrix(weights.embedding).type, TensorType::kF32);
  EXPECT_EQ(uploader.placed(), 4 * 32 * sizeof(float));
}

// Between matrices that lie apart there may be nothing, and large files take several imports.
TEST_F(VulkanImports, MatricesThatLieApartAreImportedApart) {
  std::mt19937_64 random(13);
  const std::vector<std::uint8_t> blocks = random_blocks(TensorType::kQ8_0, 64 * 256, random);
  const Pages first(blocks.size()), second(blocks.size());
  Weights weights;
  weights.embedding = {first.data(), TensorType::kQ8_0, 64, 256, 1.0f};
  weights.output.matrix = {second.data(), TensorType::kQ8_0, 64, 256, 1.0f};
  const Imports imports(device(), weights);
  EXPECT_NE(imports.address(first.data(), blocks.size()), 0u);
  EXPECT_NE(imports.address(second.data(), blocks.size()), 0u);
  EXPECT_EQ(imports.address(first.end(), 16), 0u);
  EXPECT_EQ(imports.address(second.end(), 16), 0u);
}

// All that models keep in matrices is used in place, and gives the bits that copies give.
TEST_F(VulkanImports, ModelsComputeTheSameAsFromCopies) {
  BRINK_REQUIRE_REFERENCE_DATA();
  for (const std::string& name : reference_models()) {
    // Of the quantized models, which differ in types only, one with several types.
    if (name.find("micro") != std::string::npos && !name.ends_with("Q4_K_M")) continue;
    const Model model = Model::open(name + ".gguf");
    const Imports imports(device(), model.weights());
    for_each_matrix(model.weights(), [&](const WeightMatrix& matrix) {
      EXPECT_NE(imports.address(matrix.data, matrix.rows * matrix.bytes_per_row()), 0u)
          << label(name);
    });
    VulkanBackendOptions options{.context = kStepsContext,
                                 .pages = kStepsPages,
                                 .batch = kStepsBatch,
                                 .sequences = kStepsSequences};
    const auto logits = [&](bool copy) {
      options.copy_weights = copy;
      return backend_steps(model.config(),
                           *make_vulkan_backend(model.config(), model.weights(), options));
    };
    EXPECT_EQ(logits(false), logits(true)) << label(name);
  }
}

// Of what is copied, a session says how far it is, and may be stopped; of what is not, nothing.
TEST_F(VulkanImports, OnlyCopiesTakeTime) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const Model model = Model::open(reference_data("models/tiny-llama-f16.gguf"));
  VulkanBackendOptions options{.context = 64, .pages = 1, .batch = 16};
  std::vector<std::uint64_t> done;
  std::uint64_t all = 0;
  options.on_upload = [&](std::uint64_t bytes, std::uint64_t total) {
    done.push_back(bytes);
    all = total;
  };
  make_vulkan_backend(model.config(), model.weights(), options);
  EXPECT_LT(all, 1u << 18);  // norms and tables
  done.clear();
  options.copy_weights = true;
  make_vulkan_backend(model.config(), model.weights(), options);
  EXPECT_GT(all, model.weights().bytes);
  ASSERT_FALSE(done.empty());
  EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
  EXPECT_EQ(done.back(), all);
  const SessionOptions stopped{.context = 64,
                               .backend = BackendKind::kVulkan,
                               .on_upload = [](std::uint64_t, std::uint64_t) { throw 17; }};
  EXPECT_THROW(Session(model, stopped), int);
}

}  // namespace
}  // namespace brink::testing
