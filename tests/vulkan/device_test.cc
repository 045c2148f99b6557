// Devices, their memory, and how weights get there.
#include "brink/vulkan/device.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "brink/vulkan/format_tables.h"
#include "brink/vulkan/products.h"
#include "brink/vulkan/weights.h"
#include "tests/support/random_blocks.h"
#include "tests/support/vulkan.h"

namespace brink::testing {
namespace {

using vulkan::Buffer;
using vulkan::Device;
using vulkan::DeviceInfo;
using vulkan::Memory;
using vulkan::Recording;
using vulkan::Uploader;

template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

using VulkanDevice = VulkanTest;

TEST_F(VulkanDevice, ListsDevices) {
  const std::vector<DeviceInfo> devices = vulkan::list_devices();
  ASSERT_FALSE(devices.empty());
  bool found = false;
  for (const DeviceInfo& info : devices) {
    EXPECT_FALSE(info.name.empty());
    found = found || info.name == device().info().name;
    if (!info.missing.empty()) continue;
    EXPECT_FALSE(info.driver.empty());
    EXPECT_FALSE(info.kind.empty());
    EXPECT_GT(info.memory, 0u);
    EXPECT_GT(info.memory_budget, 0u);
    EXPECT_GE(info.largest_buffer, std::uint64_t{1} << 27);
    EXPECT_GE(info.shared_bytes, 16384u);
    EXPECT_GE(info.subgroup, 4u);
    EXPECT_LE(info.subgroup, 128u);
  }
  EXPECT_TRUE(found);
}

TEST_F(VulkanDevice, IsFoundByNumberAndPartOfItsName) {
  const std::vector<DeviceInfo> devices = vulkan::list_devices();
  for (std::size_t i = 0; i < devices.size(); ++i) {
    if (!devices[i].missing.empty()) continue;
    EXPECT_EQ(Device::open({.device = std::to_string(i)})->info().name, devices[i].name);
    std::string part = devices[i].name.substr(0, 5);
    std::transform(part.begin(), part.end(), part.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    EXPECT_EQ(Device::open({.device = part})->info().name.substr(0, 5),
              devices[i].name.substr(0, 5));
  }
  EXPECT_EQ(Device::open().get(), &device());
}

TEST_F(VulkanDevice, AnUnknownOneIsAnErrorThatListsThem) {
  const std::vector<DeviceInfo> devices = vulkan::list_devices();
  const std::string number = std::to_string(devices.size());
  for (const std::string& wanted : {number, std::string("99999999999999999999"),
                                    std::string("no such device"), std::string("-1")}) {
    const std::string error = error_of([&] { Device::open({.device = wanted}); });
    EXPECT_TRUE(contains(error, wanted)) << error;
    for (std::size_t i = 0; i < devices.size(); ++i)
      EXPECT_TRUE(contains(error, std::to_string(i) + ": " + devices[i].name)) << error;
  }
}

TEST_F(VulkanDevice, TooLargeABufferIsAnErrorWithTheNumbers) {
  const DeviceInfo& info = device().info();
  const std::uint64_t bytes = info.largest_buffer / 4096 * 4096 + (std::uint64_t{1} << 30);
  const std::string error =
      error_of([&] { device().allocate(bytes, Memory::kDevice, "the moon's surface"); });
  for (const std::uint64_t number : {bytes, info.largest_buffer, info.memory, info.memory_budget})
    EXPECT_TRUE(contains(error, std::to_string(number >> 20) + " MiB")) << error;
  EXPECT_TRUE(contains(error, info.name)) << error;
  EXPECT_TRUE(contains(error, "the moon's surface")) << error;
  // Nothing is broken after that.
  EXPECT_NE(device().allocate(64, Memory::kUpload, "a test").mapped(), nullptr);
}

TEST_F(VulkanDevice, UnknownShadersAreErrors) {
  EXPECT_EQ(error_of([] { device().pipeline("none"); }), "there is no shader none");
}

TEST_F(VulkanDevice, CopiesRunAgain) {
  const std::vector<std::uint32_t> values = {1, 2, 3, 4, 5, 6, 7, 8};
  Buffer from = filled(values);
  const Buffer middle = empty<std::uint32_t>(8, Memory::kDevice);
  const Buffer to = empty<std::uint32_t>(8);
  std::memset(to.mapped(), 0, to.size());
  Recording recording(device());
  recording.begin();
  recording.copy(from, 8, middle, 4, 16);
  recording.barrier();
  recording.copy(middle, 4, to, 16, 16);
  recording.end();
  device().run(recording);
  const auto words = [&] {
    return std::vector<std::uint32_t>(to.as<std::uint32_t>(), to.as<std::uint32_t>() + 8);
  };
  EXPECT_EQ(words(), (std::vector<std::uint32_t>{0, 0, 0, 0, 3, 4, 5, 6}));
  from.as<std::uint32_t>()[2] = 30;
  device().run(recording);
  EXPECT_EQ(words(), (std::vector<std::uint32_t>{0, 0, 0, 0, 30, 4, 5, 6}));
}

// --- Weights ------------------------------------------------------------------------------------

class VulkanUploader : public VulkanTest, public ::testing::WithParamInterface<bool> {
 protected:
  Uploader::Options options(std::uint64_t largest_buffer = ~std::uint64_t{0}) const {
    return {.largest_buffer = largest_buffer, .stage = GetParam()};
  }

  // All rows, decoded there.
  static std::vector<float> decoded(const vulkan::DeviceMatrix& matrix, std::uint64_t tables) {
    std::vector<std::uint32_t> ids(matrix.rows);
    for (std::uint32_t i = 0; i < matrix.rows; ++i) ids[i] = i;
    const Buffer id_buffer = filled(ids);
    const Buffer x = empty<float>(std::size_t{matrix.rows} * matrix.columns);
    std::memset(x.mapped(), 0xff, x.size());
    vulkan::Products products(device(), Activations::kF32, matrix.rows, matrix.columns, tables);
    Recording recording(device());
    recording.begin();
    products.embed(recording, matrix, id_buffer.address(),
                   {x.address(), matrix.columns, matrix.rows});
    recording.end();
    device().run(recording);
    return {x.as<float>(), x.as<float>() + std::size_t{matrix.rows} * matrix.columns};
  }
};

struct HostMatrix {
  HostMatrix(TensorType type, std::size_t rows, std::size_t columns, std::mt19937_64& random)
      : bytes(random_blocks(type, rows * columns, random)), values(rows * columns) {
    format_of(type).decode(bytes.data(), values.data(), values.size());
    matrix = {bytes.data(), type, rows, columns, 1.0f};
  }
  std::vector<std::uint8_t> bytes;
  std::vector<float> values;
  WeightMatrix matrix;
};

TEST_P(VulkanUploader, CutsMatricesThatAreLargerThanABuffer) {
  constexpr std::uint64_t kLimit = 64 << 10;
  std::mt19937_64 random(1);
  Uploader uploader(device(), options(kLimit + 100));  // a limit that is not aligned
  const std::vector<std::uint32_t> table_words = vulkan::format_tables();
  const std::uint64_t tables = uploader.bytes(std::as_bytes(std::span(table_words)));
  // Rows of odd sizes; many to a buffer and fewer than 256; small matrices between the large ones.
  std::vector<HostMatrix> hosts;
  hosts.emplace_back(TensorType::kQ8_0, 3, 32, random);
  hosts.emplace_back(TensorType::kQ8_0, 2500, 96, random);   // 102 bytes a row
  hosts.emplace_back(TensorType::kMXFP4, 9000, 32, random);  // 17 bytes a row
  hosts.emplace_back(TensorType::kF16, 5, 7, random);
  hosts.emplace_back(TensorType::kIQ2_XS, 300, 2560, random);  // 740 bytes a row
  hosts.emplace_back(TensorType::kF32, 40, 5001, random);      // three rows to a buffer
  std::vector<vulkan::DeviceMatrix> matrices;
  for (const HostMatrix& host : hosts) matrices.push_back(uploader.matrix(host.matrix));
  const std::vector<Buffer> buffers = uploader.finish();

  for (const Buffer& buffer : buffers) EXPECT_LE(buffer.size(), kLimit);
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    const vulkan::DeviceMatrix& matrix = matrices[i];
    const std::size_t bytes = hosts[i].bytes.size();
    EXPECT_EQ(matrix.parts.size() > 1, bytes > kLimit);
    EXPECT_LE(matrix.parts.size(), bytes / kLimit * 4 / 3 + 1);  // and not more than needed
    std::uint32_t next = 0;
    for (const vulkan::MatrixPart& part : matrix.parts) {
      EXPECT_EQ(part.first_row, next);
      EXPECT_EQ(part.address % 256, 0u);
      const std::uint64_t end = part.address + std::uint64_t{part.rows} * matrix.row_bytes;
      // In one buffer, with room for reading whole words.
      EXPECT_EQ(std::count_if(buffers.begin(), buffers.end(),
                              [&](const Buffer& b) {
                                return part.address >= b.address() &&
                                       (end + 3) / 4 * 4 <= b.address() + b.size();
                              }),
                1);
      next += part.rows;
    }
    EXPECT_EQ(next, matrix.rows);
    EXPECT_EQ(decoded(matrix, tables), hosts[i].values) << format_of(matrix.type).name;
  }
}

TEST_P(VulkanUploader, TypesWithoutShadersAreDecodedOnTheHost) {
  std::mt19937_64 random(3);
  constexpr std::size_t kRows = 7, kColumns = 33;
  std::vector<double> doubles(kRows * kColumns);
  std::vector<std::int32_t> integers(doubles.size());
  for (double& v : doubles) v = std::normal_distribution<double>()(random);
  for (std::int32_t& v : integers) v = static_cast<std::int32_t>(random());
  const auto check = [&](TensorType type, const auto& source) {
    Uploader uploader(device(), options());
    const vulkan::DeviceMatrix matrix = uploader.matrix(
        {reinterpret_cast<const std::uint8_t*>(source.data()), type, kRows, kColumns, 1.0f});
    const std::vector<Buffer> buffers = uploader.finish();
    EXPECT_EQ(matrix.type, TensorType::kF32);
    std::vector<float> expected;
    for (const auto v : source) expected.push_back(static_cast<float>(v));
    EXPECT_EQ(decoded(matrix, 0), expected) << format_of(type).name;
  };
  check(TensorType::kF64, doubles);
  check(TensorType::kI32, integers);
}

// More than the staging buffer holds, by a few bytes that fill no word.
TEST_P(VulkanUploader, BytesArriveAsTheyAre) {
  std::mt19937_64 random(2);
  std::vector<std::byte> large((std::size_t{33} << 20) + 3), small(5);
  for (std::vector<std::byte>* bytes : {&large, &small})
    for (std::byte& b : *bytes) b = static_cast<std::byte>(random());
  Uploader uploader(device(), options(std::uint64_t{40} << 20));
  const std::uint64_t first = uploader.bytes(large), second = uploader.bytes(small);
  EXPECT_EQ(uploader.vector({}), 0u);
  const std::vector<Buffer> buffers = uploader.finish();
  ASSERT_EQ(buffers.size(), 1u);
  const Buffer& buffer = buffers.front();
  const Buffer back = empty<std::byte>(buffer.size());
  Recording recording(device());
  recording.begin();
  recording.copy(buffer, 0, back, 0, buffer.size());
  recording.end();
  device().run(recording);
  const auto at = [&](std::uint64_t address) { return back.mapped() + address - buffer.address(); };
  EXPECT_EQ(std::memcmp(at(first), large.data(), large.size()), 0);
  EXPECT_EQ(std::memcmp(at(second), small.data(), small.size()), 0);
}

// Both staging buffers are used again and again, for pieces of all sizes.
TEST_P(VulkanUploader, ManyPiecesArriveInTheirPlaces) {
  std::mt19937_64 random(6);
  std::vector<std::vector<std::byte>> pieces;
  for (int i = 0; i < 200; ++i) {
    pieces.emplace_back(i % 50 == 49 ? (std::size_t{20} << 20) + 7 : 1 + random() % 5000);
    for (std::size_t k = 0; k < pieces.back().size(); k += 3)
      pieces.back()[k] = static_cast<std::byte>(random());
  }
  std::uint64_t reported = 0, total = 0;
  Uploader::Options with = options();
  with.on_progress = [&](std::uint64_t done) {
    EXPECT_GT(done, reported);
    reported = done;
  };
  Uploader uploader(device(), with);
  std::vector<std::uint64_t> places;
  for (const std::vector<std::byte>& piece : pieces) {
    places.push_back(uploader.bytes(piece));
    total += piece.size();
  }
  EXPECT_EQ(reported, total);
  EXPECT_EQ(uploader.copied(), total);
  const std::vector<Buffer> buffers = uploader.finish();
  ASSERT_EQ(buffers.size(), 1u);
  const Buffer back = empty<std::byte>(buffers.front().size());
  Recording recording(device());
  recording.begin();
  recording.copy(buffers.front(), 0, back, 0, buffers.front().size());
  recording.end();
  device().run(recording);
  for (std::size_t i = 0; i < pieces.size(); ++i)
    EXPECT_EQ(std::memcmp(back.mapped() + (places[i] - buffers.front().address()), pieces[i].data(),
                          pieces[i].size()),
              0)
        << i;
}

// A plan finds the buffers that the upload then makes, without room that stays empty.
TEST_P(VulkanUploader, APlanIsWhatTheUploadDoes) {
  constexpr std::uint64_t kLimit = 64 << 10;
  std::mt19937_64 random(7);
  const HostMatrix small(TensorType::kQ4_0, 3, 64, random);
  const HostMatrix large(TensorType::kQ6_K, 500, 512, random);
  const std::vector<double> doubles(90);
  const auto upload = [&](Uploader& uploader) {
    uploader.matrix(small.matrix);
    uploader.matrix(large.matrix);
    uploader.matrix(
        {reinterpret_cast<const std::uint8_t*>(doubles.data()), TensorType::kF64, 9, 10, 1.0f});
    uploader.matrix(small.matrix);
    uploader.vector({1, 2, 3});
  };
  Uploader::Options with = options(kLimit);
  with.plan = true;
  Uploader plan(device(), with);
  upload(plan);
  EXPECT_TRUE(plan.finish().empty());
  with.plan = false;
  with.buffers = plan.buffer_sizes();
  Uploader uploader(device(), with);
  upload(uploader);
  EXPECT_EQ(uploader.buffer_sizes(), plan.buffer_sizes());
  EXPECT_EQ(uploader.placed(), plan.placed());
  EXPECT_EQ(uploader.copied(), plan.copied());
  EXPECT_EQ(uploader.copied(), small.bytes.size() + large.bytes.size() + 90 * 4 + 3 * 4);
  const std::vector<Buffer> buffers = uploader.finish();
  std::uint64_t sum = 0;
  for (const Buffer& buffer : buffers) sum += buffer.size();
  EXPECT_EQ(sum, plan.placed());
  EXPECT_GT(buffers.size(), 1u);
}

// What a callback throws comes out, and the device is usable after it.
TEST_P(VulkanUploader, CanBeInterrupted) {
  const std::vector<std::byte> bytes(std::size_t{80} << 20);
  Uploader::Options with = options();
  int calls = 0;
  with.on_progress = [&](std::uint64_t done) {
    ++calls;
    if (done > bytes.size() / 3) throw std::runtime_error("enough");
  };
  EXPECT_THROW(Uploader(device(), with).bytes(bytes), std::runtime_error);
  EXPECT_EQ(calls, 2);  // pieces of 16 MiB
  Uploader uploader(device(), options());
  EXPECT_NE(uploader.bytes(std::span(bytes).first(100)), 0u);
}

TEST_P(VulkanUploader, KeepsTheSameDataOnce) {
  std::mt19937_64 random(3);
  const HostMatrix host(TensorType::kQ4_K, 10, 256, random);
  Uploader uploader(device(), options());
  const vulkan::DeviceMatrix one = uploader.matrix(host.matrix);
  WeightMatrix scaled = host.matrix;
  scaled.scale = 3.0f;
  const vulkan::DeviceMatrix two = uploader.matrix(scaled);
  EXPECT_EQ(one.parts.front().address, two.parts.front().address);
  EXPECT_EQ(one.scale, 1.0f);
  EXPECT_EQ(two.scale, 3.0f);
  EXPECT_FALSE(uploader.matrix({}));
}

TEST_P(VulkanUploader, ExpertsLieTogetherInOneBuffer) {
  constexpr std::size_t kExperts = 3, kRows = 50, kColumns = 512;
  std::mt19937_64 random(4);
  const HostMatrix host(TensorType::kQ6_K, kExperts * kRows, kColumns, random);
  ExpertMatrices matrices;
  for (std::size_t e = 0; e < kExperts; ++e)
    matrices.push_back({host.matrix.row(e * kRows), TensorType::kQ6_K, kRows, kColumns,
                        static_cast<float>(e + 1)});
  Uploader uploader(device(), options());
  const vulkan::DeviceExperts experts = uploader.experts(matrices);
  EXPECT_EQ(experts.rows, kRows);
  EXPECT_EQ(experts.bytes(), kRows * host.matrix.bytes_per_row());
  EXPECT_EQ(experts.scales, (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(experts.all.rows, kExperts * kRows);
  EXPECT_EQ(decoded(experts.all, 0), host.values);

  Uploader small(device(), options(50 << 10));
  const std::string error = error_of([&] { small.experts(matrices); });
  EXPECT_TRUE(contains(error, "the experts of a layer take")) << error;
  std::swap(matrices[0], matrices[2]);
  EXPECT_EQ(error_of([&] { uploader.experts(matrices); }), "matrices of experts lie apart");
}

TEST_P(VulkanUploader, ARowThatFitsNoBufferIsAnError) {
  std::mt19937_64 random(5);
  const HostMatrix host(TensorType::kF32, 3, 1000, random);
  Uploader uploader(device(), options(2048));
  const std::string error = error_of([&] { uploader.matrix(host.matrix); });
  EXPECT_TRUE(contains(error, "a matrix of 3 x 1000 is too large")) << error;
  EXPECT_TRUE(contains(error, device().info().name)) << error;
}

INSTANTIATE_TEST_SUITE_P(Ways, VulkanUploader, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Staged" : "Direct"; });

}  // namespace
}  // namespace brink::testing
