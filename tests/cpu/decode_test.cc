// The vector decoders of every instruction set this processor runs: bit for bit the reference
// data's floats, and the scalar decoders' on types and counts that these do not hold.
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "brink/cpu/kernels.h"
#include "brink/gguf/reader.h"
#include "brink/quant/format.h"
#include "tests/support/random_blocks.h"
#include "tests/support/reference_data.h"

namespace brink {
namespace {

DecodeFn decoder(const Kernels& kernels, TensorType type) {
  return kernels.decode[static_cast<std::size_t>(type)];
}

// -0 and NaN count: bits are compared.
void expect_same_bits(std::span<const float> got, std::span<const float> want,
                      const std::string& what) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(got[i]), std::bit_cast<std::uint32_t>(want[i]))
        << what << " weight " << i << ": " << got[i] << " and not " << want[i];
  }
}

TEST(VectorDecoders, GiveTheReferenceFloats) {
  BRINK_REQUIRE_REFERENCE_DATA();
  std::size_t types = 0;
  for (const Format& format : formats()) {
    const std::string path = testing::reference_data("quant/" + std::string(format.name) + ".gguf");
    if (!std::filesystem::exists(path)) continue;
    ++types;
    const Gguf gguf = Gguf::open(path);
    const GgufTensor& blocks = *gguf.find_tensor("blocks");
    const GgufTensor& expected = *gguf.find_tensor("expected");
    std::vector<float> want(expected.elements());
    std::memcpy(want.data(), expected.data, expected.bytes);
    for (const Kernels* kernels : available_kernels()) {
      std::vector<float> got(want.size());
      decoder(*kernels, format.type)(reinterpret_cast<const std::uint8_t*>(blocks.data), got.data(),
                                     got.size());
      expect_same_bits(got, want, std::string(kernels->name) + " " + format.name);
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_EQ(types, 27u);
}

TEST(VectorDecoders, AgreeWithTheScalarOnesOnEveryTypeAndCount) {
  std::mt19937_64 random(11);
  for (const Format& format : formats()) {
    for (const std::size_t blocks : {1, 2, 3, 7, 16, 33}) {
      const std::size_t count = blocks * format.block_size;
      std::vector<std::uint8_t> bytes;
      if (format.quantized) {
        bytes = testing::random_blocks(format.type, count, random);
      } else {
        for (std::size_t i = 0; i < count * format.block_bytes; ++i) {
          // A small exponent byte keeps floats finite: NaN payloads may be quieted differently.
          bytes.push_back(static_cast<std::uint8_t>(random() & 0x3F));
        }
      }
      // One byte past alignment, and a guard behind the output.
      std::vector<std::uint8_t> shifted(bytes.size() + 1);
      std::memcpy(shifted.data() + 1, bytes.data(), bytes.size());
      std::vector<float> want(count), got(count + 1, -7.0f);
      format.decode(bytes.data(), want.data(), count);
      for (const Kernels* kernels : available_kernels()) {
        decoder(*kernels, format.type)(shifted.data() + 1, got.data(), count);
        expect_same_bits({got.data(), count}, want, std::string(kernels->name) + " " + format.name);
        if (HasFatalFailure()) return;
        ASSERT_EQ(got[count], -7.0f) << kernels->name << " " << format.name << " wrote too far";
      }
    }
  }
}

TEST(Kernels, AreFoundByNameAndEveryOneListed) {
  ASSERT_FALSE(available_kernels().empty());
  for (const Kernels* kernels : available_kernels()) {
    EXPECT_EQ(find_kernels(kernels->name), kernels);
    for (const Format& format : formats()) {
      EXPECT_NE(decoder(*kernels, format.type), nullptr) << format.name;
    }
  }
  EXPECT_EQ(find_kernels("avx1024"), nullptr);
}

}  // namespace
}  // namespace brink
