// Every check of the reader, each with a file that is wrong in just one way, and its message.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "brink/gguf/reader.h"
#include "gguf/gguf_bytes.h"
#include "support/temporary_folder.h"

namespace brink {
namespace {

using testing::GgufBytes;
using testing::TemporaryFolder;

constexpr std::uint64_t kHuge = ~std::uint64_t{0};

/// The message without the file's name, which is checked here.
std::string error_of(const std::string& bytes) {
  const TemporaryFolder folder;
  const std::string path = folder.write("t.gguf", bytes);
  try {
    Gguf::open(path);
  } catch (const Error& e) {
    EXPECT_EQ(e.place().file, path);
    const std::string what = e.what();
    EXPECT_EQ(what.find('\n'), std::string::npos);
    return what.substr(path.size() + 2);
  }
  return "no error";
}
std::string error_of(const GgufBytes& file) { return error_of(file.bytes()); }

/// A file with one key "k" of `type` whose value is yet to come: that starts at byte 37.
GgufBytes one_key(std::uint32_t type) { return std::move(GgufBytes(3, 0, 1).key("k", type)); }

/// A file with one tensor "t"; its record starts at byte 24, its offset field at 57 (1 dimension).
GgufBytes one_tensor(std::initializer_list<std::uint64_t> shape, std::uint32_t type,
                     std::uint64_t offset = 0, std::size_t data = 4096) {
  return std::move(GgufBytes(3, 1, 0).tensor("t", shape, type, offset).pad().data(data));
}

TEST(ReaderErrors, Header) {
  EXPECT_EQ(error_of("GGUF"),
            "the file ends inside the header: 8 bytes needed, 4 left (at byte 0)");
  EXPECT_EQ(error_of("\x7f"
                     "ELF4567890"),
            "not a GGUF file: it starts with \"\\x7fELF\", not with \"GGUF\" (at byte 0)");
  EXPECT_EQ(
      error_of(GgufBytes(1, 0, 0)),
      "GGUF version 1 is not supported (2 and 3 are); convert the model again from its source "
      "(at byte 4)");
  EXPECT_EQ(
      error_of(GgufBytes(0x03000000, 0, 0)),
      "big-endian GGUF files are not supported; convert it to little-endian first (at byte 4)");
  EXPECT_EQ(error_of(GgufBytes(4, 0, 0)),
            "unknown GGUF version 4 (2 and 3 are supported) (at byte 4)");
  EXPECT_EQ(error_of(GgufBytes(0, 0, 0)),
            "unknown GGUF version 0 (2 and 3 are supported) (at byte 4)");
  EXPECT_EQ(error_of(GgufBytes(3, 0, 0).bytes().substr(0, 20)),
            "the file ends inside the header: 8 bytes needed, 4 left (at byte 16)");
}

TEST(ReaderErrors, CountsBeyondTheFile) {
  EXPECT_EQ(error_of(GgufBytes(3, 0, kHuge)),
            "more metadata keys (18446744073709551615) than the file has room for (at byte 16)");
  EXPECT_EQ(error_of(GgufBytes(3, kHuge, 0)),
            "more tensors (18446744073709551615) than the file has room for (at byte 8)");
  EXPECT_EQ(error_of(GgufBytes(3, 1, 1).data(13)),
            "more tensors (1) than the file has room for (at byte 8)");
}

TEST(ReaderErrors, Lengths) {
  EXPECT_EQ(error_of(GgufBytes(3, 0, 1).put(kHuge).data(20)),
            "the length of a metadata key, 18446744073709551615, exceeds the 20 bytes left in the "
            "file (at byte 24)");
  EXPECT_EQ(error_of(one_key(testing::kString).put(std::uint64_t{5}).data(4)),
            "'k': the length of a string, 5, exceeds the 4 bytes left in the file (at byte 37)");
  EXPECT_EQ(error_of(one_key(testing::kU64).data(7)),
            "'k': 1 value of type u64 exceed the 7 bytes left in the file (at byte 37)");
  EXPECT_EQ(error_of(one_key(testing::kArray).array(testing::kU32, kHuge / 4 + 2).data(64)),
            "'k': 4611686018427387905 values of type u32 exceed the 64 bytes left in the file (at "
            "byte 49)");
  EXPECT_EQ(error_of(one_key(testing::kArray).array(testing::kString, kHuge / 8 + 2).data(64)),
            "'k': 2305843009213693953 values of type string exceed the 64 bytes left in the file "
            "(at byte 49)");
  EXPECT_EQ(error_of(one_key(testing::kArray).array(testing::kArray, 9).data(100)),
            "'k': 9 values of type array exceed the 100 bytes left in the file (at byte 49)");
  EXPECT_EQ(error_of(one_key(testing::kArray).array(testing::kString, 1).put(std::uint64_t{1})),
            "'k': the length of a string, 1, exceeds the 0 bytes left in the file (at byte 49)");
  EXPECT_EQ(error_of(one_key(testing::kArray).put(testing::kU8).data(3)),
            "'k': the file ends inside an array: 8 bytes needed, 3 left (at byte 41)");
}

TEST(ReaderErrors, MetadataTypes) {
  EXPECT_EQ(error_of(one_key(13).data(8)), "'k': unknown metadata type 13 (at byte 33)");
  EXPECT_EQ(error_of(one_key(testing::kArray).array(13, 1).data(8)),
            "'k': unknown array element type 13 (at byte 37)");
  EXPECT_EQ(error_of(one_key(testing::kBool).put<std::uint8_t>(2)),
            "'k': a bool must be 0 or 1 and not 2 (at byte 37)");
  EXPECT_EQ(error_of(one_key(testing::kArray).array(testing::kBool, 2).put<std::uint16_t>(0xff01)),
            "'k': a bool must be 0 or 1 and not 255 (at byte 50)");
}

TEST(ReaderErrors, NestingDepth) {
  const auto nested = [](int levels) {
    GgufBytes file = one_key(testing::kArray);
    for (int i = 1; i < levels; ++i) file.array(testing::kArray, 1);
    return std::move(file.array(testing::kU8, 1).data(1));
  };
  EXPECT_EQ(error_of(nested(8)), "no error");
  EXPECT_EQ(error_of(nested(9)), "'k': arrays are nested deeper than 8 levels (at byte 133)");
  EXPECT_EQ(error_of(nested(200000)).substr(0, 44), "'k': arrays are nested deeper than 8 levels ");
}

TEST(ReaderErrors, Keys) {
  EXPECT_EQ(error_of(GgufBytes(3, 0, 1).key("", testing::kU8).data(1)),
            "metadata key is empty (at byte 24)");
  GgufBytes twice(3, 0, 3);
  for (const char* key : {"a", "b", "a"}) twice.key(key, testing::kU8).data(1);
  EXPECT_EQ(error_of(twice), "'a': metadata key appears twice (at byte 60)");
}

TEST(ReaderErrors, NamesInMessagesAreCutAndEscaped) {
  const std::string message =
      error_of(GgufBytes(3, 0, 1).key("a\nb" + std::string(100000, 'x'), 99).data(8));
  EXPECT_EQ(message, "'a\\nb" + std::string(77, 'x') +
                         "... (99923 more bytes)': unknown metadata type 99 (at byte 100035)");
}

TEST(ReaderErrors, Alignment) {
  for (const std::uint32_t bad : {0u, 1u, 4u, 12u, 4294967295u})
    EXPECT_EQ(error_of(GgufBytes(3, 0, 1).key("general.alignment", testing::kU32).put(bad)),
              "'general.alignment': alignment must be a multiple of 8 and not " +
                  std::to_string(bad) + " (at byte 53)");
  EXPECT_EQ(
      error_of(GgufBytes(3, 0, 1)
                   .key("general.alignment", testing::kU64)
                   .put(std::uint64_t{0x100000000})),
      "'general.alignment': alignment must be a multiple of 8 and not 4294967296 (at byte 53)");
  EXPECT_EQ(error_of(GgufBytes(3, 0, 1).key("general.alignment", testing::kF32).put(32.0f)),
            "'general.alignment': expected an integer of at least 0, found f32 32 (at byte 53)");
}

TEST(ReaderErrors, TensorRecords) {
  EXPECT_EQ(error_of(one_tensor({}, 0)), "no error");
  EXPECT_EQ(error_of(one_tensor({1, 1, 1, 1, 1}, 0)),
            "'t': 5 dimensions; at most 4 are possible (at byte 33)");
  EXPECT_EQ(error_of(one_tensor({4, 0}, 0)), "'t': dimension 1 is zero (at byte 24)");
  EXPECT_EQ(error_of(one_tensor({1u << 31, 1u << 31, 4}, 0)),
            "'t': the product of its dimensions overflows (at byte 24)");
  EXPECT_EQ(error_of(one_tensor({kHuge / 2}, 0)), "'t': its size in bytes overflows (at byte 24)");
  EXPECT_EQ(error_of(one_tensor({48}, testing::kTensorQ4_0)),
            "'t': a row of 48 is no whole number of Q4_0 blocks of 32 (at byte 24)");
  EXPECT_EQ(error_of(one_tensor({128, 2}, testing::kTensorQ4_K)),
            "'t': a row of 128 is no whole number of Q4_K blocks of 256 (at byte 24)");
  for (const std::uint32_t bad : {4u, 5u, 9u, 15u, 31u, 36u, 43u, 0xffffffffu})
    EXPECT_EQ(error_of(one_tensor({256}, bad)),
              "'t': unknown tensor type " + std::to_string(bad) + " (at byte 45)");
  EXPECT_EQ(error_of(one_tensor({32}, testing::kTensorI8, 16)),
            "'t': offset 16 is not a multiple of the alignment, 32 (at byte 49)");
  EXPECT_EQ(error_of(GgufBytes(3, 1, 0).tensor("", {1}, 0, 0).pad().data(32)),
            "tensor name is empty (at byte 24)");
  EXPECT_EQ(error_of(GgufBytes(3, 1, 0).tensor("t", {8, 8}, 0, 0).bytes().substr(0, 48)),
            "'t': the file ends inside a tensor's dimensions: 8 bytes needed, 3 left (at byte 45)");
}

TEST(ReaderErrors, TensorData) {
  EXPECT_EQ(error_of(one_tensor({64}, testing::kTensorI8, 0, 64)), "no error");
  EXPECT_EQ(
      error_of(one_tensor({65}, testing::kTensorI8, 0, 64)),
      "'t': its 65 bytes at offset 0 of the data lie past the end of the file (128 bytes) (at "
      "byte 57)");
  EXPECT_EQ(
      error_of(one_tensor({1}, testing::kTensorI8, 64, 64)),
      "'t': its 1 bytes at offset 64 of the data lie past the end of the file (128 bytes) (at "
      "byte 57)");
  EXPECT_EQ(error_of(one_tensor({1}, testing::kTensorI8, kHuge - 31, 64)).substr(0, 30),
            "'t': its 1 bytes at offset 184");
  // The padding before the data is missing.
  EXPECT_EQ(error_of(GgufBytes(3, 1, 0).tensor("t", {1}, testing::kTensorI8, 0)).substr(0, 26),
            "'t': its 1 bytes at offset");
}

TEST(ReaderErrors, DuplicateAndOverlappingTensors) {
  GgufBytes twice(3, 2, 0);
  twice.tensor("t", {32}, testing::kTensorI8, 0).tensor("t", {32}, testing::kTensorI8, 32);
  EXPECT_EQ(error_of(twice.pad().data(64)), "'t': tensor appears twice (at byte 128)");
  GgufBytes overlap(3, 3, 0);
  overlap.tensor("c", {32}, testing::kTensorI8, 96).tensor("b", {32}, testing::kTensorI8, 32);
  overlap.tensor("a", {33}, testing::kTensorI8, 0);
  EXPECT_EQ(error_of(overlap.pad().data(128)), "'b': its data overlap those of 'a' (at byte 160)");
  GgufBytes same(3, 2, 0);
  same.tensor("a", {32}, testing::kTensorI8, 0).tensor("b", {32}, testing::kTensorI8, 0);
  EXPECT_NE(error_of(same.pad().data(32)).find("overlap"), std::string::npos);
}

}  // namespace
}  // namespace brink
