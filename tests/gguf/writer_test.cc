// What the writer writes, read back; that a file appears whole or not at all; and its errors.
#include "brink/gguf/writer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "brink/gguf/reader.h"
#include "support/reference_data.h"
#include "support/temporary_folder.h"

namespace brink {
namespace {

using testing::TemporaryFolder;

std::vector<std::byte> random_bytes(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(count);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

void set_every_type(GgufWriter& writer) {
  writer.set("u8", std::uint8_t{200});
  writer.set("i8", std::int8_t{-100});
  writer.set("u16", std::uint16_t{60000});
  writer.set("i16", std::int16_t{-30000});
  writer.set("u32", 4000000000u);
  writer.set("i32", -2000000000);
  writer.set("f32", 1.5f);
  writer.set("bool", true);
  writer.set("text", "caf\xc3\xa9");
  writer.set("u64", ~std::uint64_t{0});
  writer.set("i64", std::numeric_limits<std::int64_t>::min());
  writer.set("f64", 0.1);
  writer.set_array("floats", std::vector<float>{1, -2, 0.5f});
  writer.set_array("bools", std::vector<bool>{true, false, true});
  writer.set_array("words", std::array<const char*, 3>{"one", "", "three"});
  writer.set_array("no words", std::vector<std::string>{});
  writer.set_array("nested", std::vector<std::vector<std::string>>{{"a", "b"}, {}, {"c"}});
  writer.set_array("deep", std::vector<std::vector<std::vector<std::int16_t>>>{{{-1}, {2, 3}}, {}});
}

void expect_every_type(const Gguf& gguf) {
  static constexpr std::pair<const char*, GgufType> kTypes[] = {
      {"u8", GgufType::kU8},        {"i8", GgufType::kI8},       {"u16", GgufType::kU16},
      {"i16", GgufType::kI16},      {"u32", GgufType::kU32},     {"i32", GgufType::kI32},
      {"f32", GgufType::kF32},      {"bool", GgufType::kBool},   {"text", GgufType::kString},
      {"u64", GgufType::kU64},      {"i64", GgufType::kI64},     {"f64", GgufType::kF64},
      {"floats", GgufType::kArray}, {"bools", GgufType::kArray}, {"words", GgufType::kArray},
  };
  for (const auto& [key, type] : kTypes) {
    ASSERT_NE(gguf.find(key), nullptr) << key;
    EXPECT_EQ(gguf.find(key)->type(), type) << key;
  }
  EXPECT_EQ(gguf.get_uint("u8"), 200u);
  EXPECT_EQ(gguf.get_int("i8"), -100);
  EXPECT_EQ(gguf.get_uint("u16"), 60000u);
  EXPECT_EQ(gguf.get_int("i16"), -30000);
  EXPECT_EQ(gguf.get_uint("u32"), 4000000000u);
  EXPECT_EQ(gguf.get_int("i32"), -2000000000);
  EXPECT_EQ(gguf.get_float("f32"), 1.5);
  EXPECT_EQ(gguf.get_bool("bool"), true);
  EXPECT_EQ(gguf.get_string("text"), "caf\xc3\xa9");
  EXPECT_EQ(gguf.get_uint("u64"), ~std::uint64_t{0});
  EXPECT_EQ(gguf.get_int("i64"), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(gguf.get_float("f64"), 0.1);
  EXPECT_EQ(gguf.find("floats")->floats(), (std::vector<double>{1, -2, 0.5}));
  EXPECT_EQ(gguf.find("bools")->element_type(), GgufType::kBool);
  EXPECT_EQ(gguf.find("bools")->ints(), (std::vector<std::int64_t>{1, 0, 1}));
  EXPECT_EQ(gguf.find("words")->strings(), (std::vector<std::string_view>{"one", "", "three"}));
  EXPECT_EQ(gguf.find("no words")->element_type(), GgufType::kString);
  EXPECT_EQ(gguf.find("no words")->size(), 0u);
  EXPECT_EQ(gguf.find("nested")->to_string(),
            "[[\"a\", \"b\"] (2 items), [] (0 items), [\"c\"] (1 item)] (3 items)");
  EXPECT_EQ(gguf.find("deep")->to_string(),
            "[[[-1] (1 item), [2, 3] (2 items)] (2 items), [] (0 items)] (2 items)");
}

TEST(GgufWriter, EveryMetadataTypeComesBack) {
  const TemporaryFolder folder;
  GgufWriter writer(folder.path("t.gguf"));
  set_every_type(writer);
  writer.finish();
  const Gguf gguf = Gguf::open(folder.path("t.gguf"));
  EXPECT_EQ(gguf.version(), 3u);
  EXPECT_EQ(gguf.metadata().size(), 18u);
  EXPECT_EQ(gguf.metadata()[0].key, "u8");
  expect_every_type(gguf);
}

TEST(GgufWriter, CopiesMetadata) {
  const TemporaryFolder folder;
  {
    GgufWriter writer(folder.path("a.gguf"), 64);
    set_every_type(writer);
    writer.set("split.no", std::uint16_t{0});
    writer.set("split.count", std::uint16_t{1});
    writer.set("split.tensors.count", 0);
    writer.finish();
  }
  const Gguf first = Gguf::open(folder.path("a.gguf"));
  EXPECT_EQ(first.alignment(), 64u);
  GgufWriter writer(folder.path("b.gguf"));
  writer.copy_metadata(first);
  writer.finish();
  const Gguf second = Gguf::open(folder.path("b.gguf"));
  EXPECT_EQ(second.alignment(), 32u);
  EXPECT_EQ(second.metadata().size(), 18u);
  expect_every_type(second);
}

TEST(GgufWriter, ReplacesAndErasesKeys) {
  const TemporaryFolder folder;
  GgufWriter writer(folder.path("t.gguf"));
  for (const char* key : {"a", "b", "c", "d"}) writer.set(key, 1);
  EXPECT_TRUE(writer.erase("b"));
  EXPECT_FALSE(writer.erase("b"));
  writer.set("d", "replaced");
  writer.set("a", 2.0);
  writer.set("b", 5);
  writer.finish();
  const Gguf gguf = Gguf::open(folder.path("t.gguf"));
  std::string all;
  for (const GgufEntry& e : gguf.metadata())
    all += std::string(e.key) + "=" + e.value.to_string() + " ";
  EXPECT_EQ(all, "a=2 c=1 d=\"replaced\" b=5 ");
}

TEST(GgufWriter, StreamsTensorsInPieces) {
  const TemporaryFolder folder;
  for (const std::uint32_t alignment : {8u, 32u, 4096u}) {
    // 3 MB crosses the writer's buffer; odd sizes need padding.
    const std::vector<std::byte> a = random_bytes(3000 * 1000, 1), b = random_bytes(36, 2),
                                 c = random_bytes(5, 3);
    const std::string path = folder.path("t.gguf");
    GgufWriter writer(path, alignment);
    writer.declare("a", TensorType::kI8, std::array<std::uint64_t, 4>{1000, 10, 30, 10});
    writer.declare("b", TensorType::kQ4_0, std::array<std::uint64_t, 2>{32, 2});
    writer.declare("c", TensorType::kI8, std::array<std::uint64_t, 1>{5});
    EXPECT_EQ(writer.data_bytes(), a.size() + b.size() + c.size());
    std::mt19937 random(4);
    for (std::size_t at = 0; at < a.size();) {
      const std::size_t n = std::min<std::size_t>(random() % 2000000, a.size() - at);
      writer.append("a", std::span(a).subspan(at, n));
      at += n;
    }
    for (const std::byte& byte : b) writer.append("b", std::span(&byte, 1));
    writer.append("c", {});
    writer.append("c", c);
    writer.finish();
    const Gguf gguf = Gguf::open(path);
    EXPECT_EQ(gguf.alignment(), alignment);
    EXPECT_EQ(gguf.file_bytes() % alignment, 0u);
    ASSERT_EQ(gguf.tensors().size(), 3u);
    EXPECT_EQ(gguf.tensors()[0].shape, (std::array<std::uint64_t, 4>{1000, 10, 30, 10}));
    EXPECT_EQ(gguf.tensors()[1].type, TensorType::kQ4_0);
    EXPECT_EQ(gguf.tensors()[1].dimensions, 2u);
    EXPECT_EQ(std::memcmp(gguf.tensors()[0].data, a.data(), a.size()), 0);
    EXPECT_EQ(std::memcmp(gguf.tensors()[1].data, b.data(), b.size()), 0);
    EXPECT_EQ(std::memcmp(gguf.tensors()[2].data, c.data(), c.size()), 0);
  }
}

TEST(GgufWriter, RewritesAReferenceFileToTheSameBytes) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const std::string original = testing::reference_data("quantized/micro-llama-Q4_K_M.gguf");
  const TemporaryFolder folder;
  const Gguf gguf = Gguf::open(original);
  GgufWriter writer(folder.path("t.gguf"));
  writer.copy_metadata(gguf);
  for (const GgufTensor& t : gguf.tensors()) writer.declare(t, t.type);
  for (const GgufTensor& t : gguf.tensors())
    writer.append(t.name, std::span(t.data, static_cast<std::size_t>(t.bytes)));
  writer.finish();
  EXPECT_TRUE(testing::read_bytes(folder.path("t.gguf")) == testing::read_bytes(original));
}

TEST(GgufWriter, AFileAppearsOnlyWhenFinished) {
  const TemporaryFolder folder;
  const std::string path = folder.write("t.gguf", "what was there before");
  {
    GgufWriter writer(path);
    writer.declare("a", TensorType::kF32, std::array<std::uint64_t, 1>{1});
    writer.append("a", random_bytes(2, 1));
    EXPECT_EQ(folder.names().size(), 2u);
    EXPECT_TRUE(std::filesystem::exists(writer.temporary_path()));
  }
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"t.gguf"}));
  EXPECT_EQ(testing::read_bytes(path), "what was there before");
  GgufWriter writer(path);
  writer.finish();
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"t.gguf"}));
  EXPECT_EQ(Gguf::open(path).metadata().size(), 0u);
}

TEST(GgufWriter, TwoWritersOfOneFileDoNotMeet) {
  const TemporaryFolder folder;
  GgufWriter a(folder.path("t.gguf")), b(folder.path("t.gguf"));
  a.set("writer", "a");
  b.set("writer", "b");
  a.finish();
  b.finish();
  EXPECT_EQ(Gguf::open(folder.path("t.gguf")).get_string("writer"), "b");
}

/// The message of the Error that `run` throws, without the path, which must come first.
template <class F>
std::string error_of(const std::string& path, F run) {
  try {
    run();
  } catch (const Error& e) {
    const std::string what = e.what();
    EXPECT_EQ(what.rfind(path + ": ", 0), 0u) << what;
    return what.substr(path.size() + 2);
  }
  return "no error";
}

class GgufWriterErrors : public ::testing::Test {
 protected:
  std::string declare(std::string_view name, TensorType type, std::vector<std::uint64_t> shape) {
    return error_of(path_, [&] { writer_.declare(name, type, shape); });
  }
  std::string append(std::string_view name, std::size_t bytes) {
    return error_of(path_, [&] { writer_.append(name, std::vector<std::byte>(bytes)); });
  }
  std::string finish() {
    return error_of(path_, [&] { writer_.finish(); });
  }
  TemporaryFolder folder_;
  std::string path_ = folder_.path("t.gguf");
  GgufWriter writer_{path_};
};

TEST_F(GgufWriterErrors, Declarations) {
  constexpr std::uint64_t kMany = std::uint64_t{1} << 40;
  EXPECT_EQ(declare("", TensorType::kF32, {1}), "tensor name is empty");
  EXPECT_EQ(declare("t", TensorType::kF32, {}), "'t': 0 dimensions; 1 to 4 are possible");
  EXPECT_EQ(declare("t", TensorType::kF32, {1, 1, 1, 1, 1}),
            "'t': 5 dimensions; 1 to 4 are possible");
  EXPECT_EQ(declare("t", TensorType::kF32, {3, 0}), "'t': dimension 1 is zero");
  EXPECT_EQ(declare("t", TensorType::kQ6_K, {128}),
            "'t': a row of 128 is no whole number of Q6_K blocks of 256");
  EXPECT_EQ(declare("t", TensorType::kF32, {kMany, kMany}),
            "'t': the product of its dimensions overflows");
  EXPECT_EQ(declare("t", TensorType::kF32, {kMany, 1 << 19}), "'t': the file would be too large");
  EXPECT_EQ(declare("t", TensorType::kF32, {1}), "no error");
  EXPECT_EQ(declare("t", TensorType::kF32, {2}), "'t': tensor is declared twice");
}

TEST_F(GgufWriterErrors, Data) {
  ASSERT_EQ(declare("a", TensorType::kF32, {2}), "no error");
  ASSERT_EQ(declare("b", TensorType::kF32, {1}), "no error");
  EXPECT_EQ(append("b", 4), "'b': data out of order: 'a' is next, 8 bytes of it are missing");
  EXPECT_EQ(append("a", 9), "'a': too much data: 9 bytes of 8");
  EXPECT_EQ(append("a", 5), "no error");
  EXPECT_EQ(append("a", 4), "'a': too much data: 9 bytes of 8");
  EXPECT_EQ(finish(), "'a': is incomplete: 5 of 8 bytes given");
  EXPECT_EQ(append("a", 3), "no error");
  EXPECT_EQ(declare("c", TensorType::kF32, {1}),
            "'c': metadata and tensors must be given before the first data");
  EXPECT_EQ(error_of(path_, [&] { writer_.set("k", 1); }),
            "'k': metadata and tensors must be given before the first data");
  EXPECT_EQ(finish(), "'b': is incomplete: 0 of 4 bytes given");
  EXPECT_EQ(append("b", 4), "no error");
  EXPECT_EQ(append("b", 1), "'b': all tensors are complete already");
  EXPECT_EQ(finish(), "no error");
  EXPECT_EQ(finish(), "the file is finished or has failed");
  EXPECT_EQ(Gguf::open(path_).tensors().size(), 2u);
}

TEST_F(GgufWriterErrors, Metadata) {
  EXPECT_EQ(error_of(path_, [&] { writer_.set("", 1); }), "metadata key is empty");
  EXPECT_EQ(error_of(path_, [&] { writer_.set("general.alignment", 32u); }),
            "'general.alignment': is set by the writer's own alignment");
  EXPECT_EQ(error_of(path_, [&] { writer_.set("k", GgufValue()); }),
            "'k': value comes from no file");
}

TEST_F(GgufWriterErrors, Places) {
  const std::string nowhere = folder_.path("none/t.gguf");
  EXPECT_EQ(error_of(nowhere, [&] { GgufWriter writer(nowhere); }),
            "cannot create: No such file or directory");
  const std::string a_folder = folder_.path("");
  EXPECT_EQ(error_of(a_folder, [&] { GgufWriter writer(a_folder); }),
            "exists and is not a regular file");
  const std::string pipe = folder_.path("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(error_of(pipe, [&] { GgufWriter writer(pipe); }), "exists and is not a regular file");
  EXPECT_EQ(error_of(path_, [&] { GgufWriter writer(path_, 12); }),
            "alignment must be a multiple of 8 and not 12");
}

TEST(GgufWriter, AFullDiskIsAnErrorAndLeavesNothing) {
  // A limit on the size of files stands in for the full disk: write() fails in the same way.
  const TemporaryFolder folder;
  const std::string path = folder.path("t.gguf");
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit limit = before;
  limit.rlim_cur = 2000000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  std::string message, again;
  std::vector<std::string> left;
  {
    GgufWriter writer(path);
    writer.declare("a", TensorType::kI8, std::array<std::uint64_t, 1>{3000000});
    const std::vector<std::byte> data(100000);
    message = error_of(path, [&] {
      for (int i = 0; i < 30; ++i) writer.append("a", data);
      writer.finish();
    });
    left = folder.names();
    again = error_of(path, [&] { writer.append("a", data); });
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(message, "cannot write: File too large");
  EXPECT_EQ(again, "'a': the file is finished or has failed");
  EXPECT_TRUE(left.empty()) << left.front();
}

}  // namespace
}  // namespace brink
