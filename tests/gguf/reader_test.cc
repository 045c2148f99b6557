// What the reader makes of files that are right: every metadata type, versions, alignments, and all
// reference files. Files that are wrong: reader_errors_test.cc and corruption_test.cc.
#include "brink/gguf/reader.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "gguf/gguf_bytes.h"
#include "support/reference_data.h"
#include "support/temporary_folder.h"

namespace brink {
namespace {

using testing::GgufBytes;
using testing::TemporaryFolder;

/// One key of every type; the tensors are "a" (f32, 4 x 2) and "b" (Q4_0, 64).
GgufBytes every_type(std::uint32_t version) {
  GgufBytes file(version, 2, 16);
  file.key("u8", testing::kU8).put<std::uint8_t>(200);
  file.key("i8", testing::kI8).put<std::int8_t>(-100);
  file.key("u16", testing::kU16).put<std::uint16_t>(60000);
  file.key("i16", testing::kI16).put<std::int16_t>(-30000);
  file.key("u32", testing::kU32).put<std::uint32_t>(4000000000u);
  file.key("i32", testing::kI32).put<std::int32_t>(-2000000000);
  file.key("f32", testing::kF32).put(1.5f);
  file.key("yes", testing::kBool).put<std::uint8_t>(1);
  file.key("no", testing::kBool).put<std::uint8_t>(0);
  file.key("text", testing::kString).text("line\n\"q\"");
  file.key("u64", testing::kU64).put(~std::uint64_t{0});
  file.key("i64", testing::kI64).put(std::numeric_limits<std::int64_t>::min());
  file.key("f64", testing::kF64).put(0.1);
  file.key("words", testing::kArray).array(testing::kString, 3).text("one").text("").text("three");
  file.key("numbers", testing::kArray).array(testing::kI16, 3);
  file.put<std::int16_t>(-1).put<std::int16_t>(2).put<std::int16_t>(3);
  file.key("nested", testing::kArray).array(testing::kArray, 3);
  file.array(testing::kString, 2).text("x").text("yz");
  file.array(testing::kU8, 0);
  file.array(testing::kArray, 1).array(testing::kF32, 2).put(0.5f).put(-2.0f);
  file.tensor("a", {4, 2}, testing::kTensorF32, 0);
  file.tensor("b", {64}, testing::kTensorQ4_0, 32);
  return std::move(file.pad().data(32 + 36));
}

Gguf open(const TemporaryFolder& folder, const GgufBytes& file) {
  return Gguf::open(folder.write("t.gguf", file.bytes()));
}

class Versions : public ::testing::TestWithParam<std::uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Supported, Versions, ::testing::Values(2, 3));

TEST_P(Versions, ReadsEveryMetadataType) {
  const TemporaryFolder folder;
  const Gguf gguf = open(folder, every_type(GetParam()));
  EXPECT_EQ(gguf.version(), GetParam());
  EXPECT_EQ(gguf.alignment(), 32u);
  EXPECT_EQ(gguf.metadata().size(), 16u);
  EXPECT_EQ(gguf.metadata()[9].key, "text");
  EXPECT_EQ(gguf.get_uint("u8"), 200u);
  EXPECT_EQ(gguf.get_int("i8"), -100);
  EXPECT_EQ(gguf.get_uint("u16"), 60000u);
  EXPECT_EQ(gguf.get_int("i16"), -30000);
  EXPECT_EQ(gguf.get_uint("u32"), 4000000000u);
  EXPECT_EQ(gguf.get_int("u32"), 4000000000);
  EXPECT_EQ(gguf.get_int("i32"), -2000000000);
  EXPECT_EQ(gguf.get_float("i32"), -2e9);
  EXPECT_EQ(gguf.get_float("f32"), 1.5);
  EXPECT_EQ(gguf.get_bool("yes"), true);
  EXPECT_EQ(gguf.get_bool("no"), false);
  EXPECT_EQ(gguf.get_uint("yes"), 1u);
  EXPECT_EQ(gguf.get_string("text"), "line\n\"q\"");
  EXPECT_EQ(gguf.get_uint("u64"), ~std::uint64_t{0});
  EXPECT_EQ(gguf.get_int("i64"), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(gguf.get_float("f64"), 0.1);
  EXPECT_EQ(gguf.find("words")->strings(), (std::vector<std::string_view>{"one", "", "three"}));
  EXPECT_EQ(gguf.find("numbers")->ints(), (std::vector<std::int64_t>{-1, 2, 3}));
  EXPECT_EQ(gguf.find("numbers")->floats(), (std::vector<double>{-1, 2, 3}));
  EXPECT_EQ(gguf.find("absent"), nullptr);
  EXPECT_EQ(gguf.get_uint("absent"), std::nullopt);
}

TEST_P(Versions, ReadsNestedArrays) {
  const TemporaryFolder folder;
  const Gguf gguf = open(folder, every_type(GetParam()));
  const GgufValue& nested = *gguf.find("nested");
  EXPECT_EQ(nested.element_type(), GgufType::kArray);
  const std::vector<GgufValue> items = nested.elements();
  ASSERT_EQ(items.size(), 3u);
  EXPECT_EQ(items[0].strings(), (std::vector<std::string_view>{"x", "yz"}));
  EXPECT_EQ(items[1].size(), 0u);
  EXPECT_EQ(items[1].element_type(), GgufType::kU8);
  ASSERT_EQ(items[2].elements().size(), 1u);
  EXPECT_EQ(items[2].elements()[0].floats(), (std::vector<double>{0.5, -2}));
  EXPECT_EQ(nested.to_string(),
            "[[\"x\", \"yz\"] (2 items), [] (0 items), [[0.5, -2] (2 items)] (1 item)] (3 items)");
}

TEST_P(Versions, PlacesTensors) {
  const TemporaryFolder folder;
  const Gguf gguf = open(folder, every_type(GetParam()));
  ASSERT_EQ(gguf.tensors().size(), 2u);
  const GgufTensor& a = *gguf.find_tensor("a");
  EXPECT_EQ(a.type, TensorType::kF32);
  EXPECT_EQ(a.dimensions, 2u);
  EXPECT_EQ(a.shape, (std::array<std::uint64_t, 4>{4, 2, 1, 1}));
  EXPECT_EQ(a.bytes, 32u);
  EXPECT_EQ(a.offset % 32, 0u);
  EXPECT_EQ(a.data[0], std::byte{1});
  EXPECT_EQ(a.rows(), 2u);
  const GgufTensor& b = *gguf.find_tensor("b");
  EXPECT_EQ(b.bytes, 36u);
  EXPECT_EQ(b.offset, a.offset + 32);
  EXPECT_EQ(b.data, a.data + 32);
  EXPECT_EQ(b.offset + b.bytes, gguf.file_bytes());
  EXPECT_EQ(gguf.find_tensor("c"), nullptr);
  EXPECT_EQ(gguf.find_tensor(""), nullptr);
}

TEST(Gguf, StaysValidWhenMoved) {
  const TemporaryFolder folder;
  Gguf first = open(folder, every_type(3));
  const Gguf second = std::move(first);
  EXPECT_EQ(second.get_string("text"), "line\n\"q\"");
  EXPECT_EQ(second.find_tensor("b")->data[0], std::byte{static_cast<unsigned char>(32 * 7 + 1)});
  second.prefetch();
}

TEST(Gguf, ConvertsOnlyWhatFits) {
  const TemporaryFolder folder;
  const Gguf gguf = open(folder, every_type(3));
  EXPECT_EQ(gguf.find("u64")->as_int(), std::nullopt);
  EXPECT_EQ(gguf.find("i8")->as_uint(), std::nullopt);
  EXPECT_EQ(gguf.find("f32")->as_int(), std::nullopt);
  EXPECT_EQ(gguf.find("u8")->as_bool(), std::nullopt);
  EXPECT_EQ(gguf.find("yes")->as_float(), std::nullopt);
  EXPECT_EQ(gguf.find("words")->as_string(), std::nullopt);
  EXPECT_TRUE(gguf.find("words")->ints().empty());
  EXPECT_TRUE(gguf.find("words")->floats().empty());
  EXPECT_TRUE(gguf.find("numbers")->strings().empty());
  EXPECT_TRUE(gguf.find("text")->elements().empty());
}

TEST(Gguf, ConvertsArraysOnlyWhereAllFit) {
  const TemporaryFolder folder;
  GgufBytes file(3, 0, 3);
  file.key("fits", testing::kArray).array(testing::kU64, 2);
  file.put(std::uint64_t{1}).put(~std::uint64_t{0} / 2);
  file.key("does not", testing::kArray).array(testing::kU64, 2);
  file.put(std::uint64_t{1}).put(~std::uint64_t{0});
  file.key("bools", testing::kArray).array(testing::kBool, 2).put<std::uint16_t>(0x0001);
  const Gguf gguf = open(folder, file);
  EXPECT_EQ(gguf.find("fits")->ints(),
            (std::vector<std::int64_t>{1, std::numeric_limits<std::int64_t>::max()}));
  EXPECT_TRUE(gguf.find("does not")->ints().empty());
  EXPECT_EQ(gguf.find("does not")->floats(), (std::vector<double>{1, 18446744073709551616.0}));
  EXPECT_EQ(gguf.find("bools")->ints(), (std::vector<std::int64_t>{1, 0}));
  EXPECT_TRUE(gguf.find("bools")->floats().empty());
}

TEST(Gguf, NamesTheKeyOfTheWrongType) {
  const TemporaryFolder folder;
  const Gguf gguf = open(folder, every_type(3));
  const auto message = [](auto get) {
    try {
      get();
    } catch (const Error& e) {
      EXPECT_TRUE(e.place().offset.has_value());
      const std::string what = e.what();
      return what.substr(what.find(": ") + 2, what.rfind(" (at") - what.find(": ") - 2);
    }
    return std::string("no error");
  };
  EXPECT_EQ(message([&] { gguf.get_uint("i8"); }),
            "'i8': expected an integer of at least 0, found i8 -100");
  EXPECT_EQ(message([&] { gguf.get_int("f32"); }), "'f32': expected an integer, found f32 1.5");
  EXPECT_EQ(message([&] { gguf.get_float("text"); }),
            "'text': expected a number, found string \"line\\n\\\"q\\\"\"");
  EXPECT_EQ(message([&] { gguf.get_bool("u8"); }), "'u8': expected a bool, found u8 200");
  EXPECT_EQ(message([&] { gguf.get_string("numbers"); }),
            "'numbers': expected a string, found array [-1, 2, 3] (3 items)");
}

TEST(Gguf, PrintsValuesInOneLine) {
  const TemporaryFolder folder;
  const Gguf gguf = open(folder, every_type(3));
  EXPECT_EQ(gguf.find("text")->to_string(), "\"line\\n\\\"q\\\"\"");
  EXPECT_EQ(gguf.find("text")->to_string(6, 4), "\"line\"... (4 more bytes)");
  EXPECT_EQ(gguf.find("numbers")->to_string(2), "[-1, 2, ...] (3 items)");
  EXPECT_EQ(gguf.find("numbers")->to_string(0), "[...] (3 items)");
  EXPECT_EQ(gguf.find("yes")->to_string(), "true");
  EXPECT_EQ(gguf.find("f64")->to_string(), "0.1");
  EXPECT_EQ(gguf.find("u64")->to_string(), "18446744073709551615");
  EXPECT_EQ(gguf.find("i64")->to_string(), "-9223372036854775808");
}

TEST(Gguf, CutsPrintedStringsBetweenCharacters) {
  const TemporaryFolder folder;
  const Gguf gguf =
      open(folder, GgufBytes(3, 0, 1).key("k", testing::kString).text("a\xe2\x82\xac z"));
  for (std::size_t limit = 1; limit < 4; ++limit)
    EXPECT_EQ(gguf.find("k")->to_string(6, limit), "\"a\"... (5 more bytes)") << limit;
}

class Alignments : public ::testing::TestWithParam<std::uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Supported, Alignments, ::testing::Values(8, 16, 24, 32, 64, 4096, 65536));

TEST_P(Alignments, PlaceTheData) {
  const std::uint32_t alignment = GetParam();
  const TemporaryFolder folder;
  GgufBytes file(3, 2, 1);
  file.key("general.alignment", testing::kU32).put(alignment);
  file.tensor("a", {3}, testing::kTensorI8, 0).tensor("b", {5}, testing::kTensorI8, alignment);
  file.pad(alignment).data(alignment + 5);
  const Gguf gguf = open(folder, file);
  EXPECT_EQ(gguf.alignment(), alignment);
  EXPECT_EQ(gguf.find_tensor("a")->offset % alignment, 0u);
  EXPECT_EQ(gguf.find_tensor("a")->data[0], std::byte{1});
  EXPECT_EQ(gguf.find_tensor("b")->data - gguf.find_tensor("a")->data,
            static_cast<std::ptrdiff_t>(alignment));
}

TEST(Gguf, NeedsNeitherMetadataNorTensors) {
  const TemporaryFolder folder;
  const Gguf gguf = open(folder, GgufBytes(3, 0, 0));
  EXPECT_TRUE(gguf.metadata().empty());
  EXPECT_TRUE(gguf.tensors().empty());
}

TEST(Gguf, TakesTensorsInAnyOrderWithGapsAndNoDimensions) {
  const TemporaryFolder folder;
  GgufBytes file(3, 3, 0);
  file.tensor("z", {4}, testing::kTensorI8, 128).tensor("y", {}, testing::kTensorF32, 0);
  file.tensor("x", {2, 1, 1, 2}, testing::kTensorI8, 64).pad().data(132);
  const Gguf gguf = open(folder, file);
  EXPECT_EQ(gguf.tensors()[0].name, "z");
  EXPECT_EQ(gguf.find_tensor("y")->bytes, 4u);
  EXPECT_EQ(gguf.find_tensor("y")->dimensions, 1u);
  EXPECT_EQ(gguf.find_tensor("x")->elements(), 4u);
  EXPECT_EQ(gguf.find_tensor("x")->dimensions, 4u);
}

TEST(Gguf, ReadsAllReferenceFiles) {
  BRINK_REQUIRE_REFERENCE_DATA();
  std::size_t files = 0;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(testing::reference_data_root())) {
    if (entry.path().extension() != ".gguf") continue;
    SCOPED_TRACE(entry.path().string());
    const Gguf gguf = Gguf::open(entry.path().string());
    ++files;
    EXPECT_FALSE(gguf.metadata().empty());
    for (const GgufEntry& e : gguf.metadata()) {
      EXPECT_EQ(gguf.find(e.key), &e.value);
      EXPECT_FALSE(e.value.to_string().empty());
    }
    for (const GgufTensor& tensor : gguf.tensors())
      EXPECT_EQ(gguf.find_tensor(tensor.name), &tensor);
  }
  EXPECT_GE(files, 60u);
}

TEST(Gguf, OpensABigVocabularyQuickly) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const auto start = std::chrono::steady_clock::now();
  const Gguf gguf = Gguf::open(testing::reference_data("vocab/llama-bpe.gguf"));
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(gguf.find("tokenizer.ggml.tokens")->size(), 128256u);
  // Two arrays with 408,000 strings are walked: about 3 ms. The bound leaves room for sanitizers
  // and a busy machine, and is still below what building strings of them would take there.
  EXPECT_LT(elapsed.count(), 0.5);
}

}  // namespace
}  // namespace brink
