// Split files: opened through the first part, and an error for every way in which parts can be
// wrong.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "brink/gguf/fingerprint.h"
#include "brink/gguf/reader.h"
#include "brink/gguf/writer.h"
#include "support/temporary_folder.h"

namespace brink {
namespace {

using testing::TemporaryFolder;

std::string part_name(int part, int of) {
  char name[64];
  std::snprintf(name, sizeof name, "m-%05d-of-%05d.gguf", part, of);
  return name;
}

struct Part {
  int number;  // from 0, as the format counts
  int of;
  std::vector<std::string> tensors;
  int total = 4;
};

/// Every tensor holds eight bytes: its name's first letter and position.
std::string write_part(const TemporaryFolder& folder, const std::string& name, const Part& part) {
  GgufWriter writer(folder.path(name));
  if (part.number == 0) writer.set("general.name", "split");
  writer.set("split.no", static_cast<std::uint16_t>(part.number));
  writer.set("split.count", static_cast<std::uint16_t>(part.of));
  if (part.total >= 0) writer.set("split.tensors.count", part.total);
  for (const std::string& tensor : part.tensors)
    writer.declare(tensor, TensorType::kI8, std::array<std::uint64_t, 1>{8});
  for (const std::string& tensor : part.tensors) {
    std::array<std::byte, 8> data;
    data.fill(static_cast<std::byte>(tensor[0]));
    writer.append(tensor, data);
  }
  writer.finish();
  return folder.path(name);
}

class Split : public ::testing::Test {
 protected:
  Split() {
    first_ = write_part(folder_, part_name(1, 3), {0, 3, {"a", "b"}});
    second_ = write_part(folder_, part_name(2, 3), {1, 3, {"c"}});
    third_ = write_part(folder_, part_name(3, 3), {2, 3, {"d"}});
  }
  std::string error() const { return error(first_); }
  static std::string error(const std::string& path) {
    try {
      Gguf::open(path);
    } catch (const Error& e) {
      return std::filesystem::path(e.place().file).filename().string() + "|" +
             std::string(e.what()).substr(e.place().file.size() + 2);
    }
    return "no error";
  }
  TemporaryFolder folder_;
  std::string first_, second_, third_;
};

TEST_F(Split, OpensAllPartsThroughTheFirst) {
  const Gguf gguf = Gguf::open(first_);
  EXPECT_EQ(gguf.paths(), (std::vector<std::string>{first_, second_, third_}));
  EXPECT_EQ(gguf.get_string("general.name"), "split");
  ASSERT_EQ(gguf.tensors().size(), 4u);
  for (const char* name : {"a", "b", "c", "d"}) {
    ASSERT_NE(gguf.find_tensor(name), nullptr) << name;
    EXPECT_EQ(gguf.find_tensor(name)->data[7], static_cast<std::byte>(*name)) << name;
  }
  EXPECT_EQ(gguf.find_tensor("b")->file, 0u);
  EXPECT_EQ(gguf.find_tensor("d")->file, 2u);
  std::uint64_t total = 0;
  for (const std::string& path : gguf.paths()) total += std::filesystem::file_size(path);
  EXPECT_EQ(gguf.file_bytes(), total);
}

TEST_F(Split, HasTheFingerprintOfTheWhole) {
  GgufWriter writer(folder_.path("whole.gguf"), 64);
  const Gguf parts = Gguf::open(first_);
  writer.copy_metadata(parts);
  // In another order: it does not count, nor do the keys of splitting.
  const std::vector<const char*> names = {"d", "b", "c", "a"};
  for (const char* name : names) writer.declare(*parts.find_tensor(name), TensorType::kI8);
  for (const char* name : names) writer.append(name, std::span(parts.find_tensor(name)->data, 8));
  writer.finish();
  const Gguf whole = Gguf::open(folder_.path("whole.gguf"));
  EXPECT_EQ(whole.find("split.count"), nullptr);
  EXPECT_EQ(fingerprint(whole), fingerprint(parts));
}

TEST_F(Split, FingerprintDependsOnNamesTypesShapesAndData) {
  const auto of = [&](const char* name, TensorType type, std::vector<std::uint64_t> shape,
                      int fill) {
    GgufWriter writer(folder_.path("t.gguf"));
    writer.declare(name, type, shape);
    writer.append(name, std::vector<std::byte>(8, static_cast<std::byte>(fill)));
    writer.finish();
    return fingerprint(Gguf::open(folder_.path("t.gguf")));
  };
  const std::string base = of("a", TensorType::kI8, {8}, 1);
  EXPECT_EQ(of("a", TensorType::kI8, {8}, 1), base);
  EXPECT_NE(of("b", TensorType::kI8, {8}, 1), base);
  EXPECT_NE(of("a", TensorType::kI16, {4}, 1), base);
  EXPECT_NE(of("a", TensorType::kI8, {4, 2}, 1), base);
  EXPECT_NE(of("a", TensorType::kI8, {8}, 2), base);
}

// Two files with the same tensors may be two models: another rotary base gives other results.
TEST_F(Split, FingerprintDependsOnMetadataThatDecideResults) {
  const auto of = [&](auto&& set) {
    GgufWriter writer(folder_.path("t.gguf"));
    writer.set("general.architecture", "llama");
    set(writer);
    writer.declare("a", TensorType::kI8, std::vector<std::uint64_t>{8});
    writer.append("a", std::vector<std::byte>(8));
    writer.finish();
    return fingerprint(Gguf::open(folder_.path("t.gguf")));
  };
  const std::string base = of([](GgufWriter& writer) {
    writer.set("general.name", "A");
    writer.set("quantize.imatrix.file", "x");
    writer.set("llama.rope.freq_base", 10000.0f);
    writer.set("tokenizer.ggml.pre", "llama-bpe");
  });
  EXPECT_EQ(base, of([](GgufWriter& writer) {
              writer.set("tokenizer.ggml.pre", "llama-bpe");
              writer.set("llama.rope.freq_base", 10000.0f);
              writer.set("general.name", "B");
            }));
  EXPECT_NE(base, of([](GgufWriter& writer) {
              writer.set("llama.rope.freq_base", 500000.0f);
              writer.set("tokenizer.ggml.pre", "llama-bpe");
            }));
  EXPECT_NE(base, of([](GgufWriter& writer) {
              writer.set("llama.rope.freq_base", 10000.0f);
              writer.set("tokenizer.ggml.pre", "qwen2");
            }));
}

TEST_F(Split, MissingPart) {
  std::filesystem::remove(second_);
  EXPECT_EQ(error(), part_name(2, 3) + "|part 2 of 3 is missing");
}

TEST_F(Split, LaterPartOpened) {
  EXPECT_EQ(error(second_),
            part_name(2, 3) + "|this is part 2 of 3; open the first part instead, " + first_);
}

TEST_F(Split, PartsInTheWrongOrder) {
  std::filesystem::rename(second_, folder_.path("x"));
  std::filesystem::rename(third_, second_);
  std::filesystem::rename(folder_.path("x"), third_);
  EXPECT_EQ(error(), part_name(2, 3) + "|should be part 2 of 3 but says it is part 3 of 3");
}

TEST_F(Split, PartOfAnotherNumberOfParts) {
  write_part(folder_, part_name(2, 3), {1, 4, {"c"}});
  EXPECT_EQ(error(), part_name(2, 3) + "|should be part 2 of 3 but says it is part 2 of 4");
}

TEST_F(Split, WholeFileAmongTheParts) {
  GgufWriter(second_).finish();
  EXPECT_EQ(error(), part_name(2, 3) + "|should be part 2 of 3 but says it is part 1 of 1");
}

TEST_F(Split, PartsOfDifferentModels) {
  write_part(folder_, part_name(3, 3), {2, 3, {"d"}, 5});
  EXPECT_EQ(error(), part_name(3, 3) +
                         "|belongs to another model than the first part: their "
                         "split.tensors.count differ");
}

TEST_F(Split, TensorInTwoParts) {
  write_part(folder_, part_name(3, 3), {2, 3, {"b"}});
  EXPECT_TRUE(error().starts_with(part_name(3, 3) + "|'b': tensor appears twice")) << error();
}

TEST_F(Split, TooFewTensors) {
  write_part(folder_, part_name(2, 3), {1, 3, {}});
  EXPECT_EQ(error(), part_name(1, 3) + "|'split.tensors.count': the parts hold 3 tensors, not 4");
}

TEST_F(Split, DamagedLaterPart) {
  const std::string bytes = testing::read_bytes(third_);
  folder_.write(part_name(3, 3), bytes.substr(0, bytes.size() - 32));
  EXPECT_TRUE(error().starts_with(part_name(3, 3) + "|'d': its 8 bytes")) << error();
}

TEST_F(Split, NameWithoutNumbers) {
  const std::string path = write_part(folder_, "model.gguf", {0, 3, {"a"}});
  EXPECT_EQ(error(path),
            "model.gguf|this is part 1 of 3, but its name does not end in the number of the part "
            "and of parts, as in NAME-00001-of-00003.gguf, by which the others are found");
  write_part(folder_, part_name(1, 4), {0, 3, {"a"}});
  const std::string other = error(folder_.path(part_name(1, 4)));
  EXPECT_TRUE(other.starts_with(part_name(1, 4) + "|this is part 1 of 3, but its name")) << other;
}

TEST_F(Split, OnePartNeedsNoName) {
  EXPECT_EQ(error(write_part(folder_, "one.gguf", {0, 1, {"a"}, 1})), "no error");
  EXPECT_EQ(error(write_part(folder_, "zero.gguf", {0, 0, {"a"}, 1})), "no error");
}

TEST_F(Split, NumberBeyondTheCount) {
  EXPECT_EQ(error(write_part(folder_, part_name(1, 3), {7, 3, {"a"}})),
            part_name(1, 3) + "|'split.no': part number 7 of only 3 parts (split.count)");
}

TEST_F(Split, FileThatNamesItself) {
  // Part 2's name leads to the first part again.
  std::filesystem::remove(second_);
  std::filesystem::create_symlink(first_, second_);
  EXPECT_EQ(error(), part_name(2, 3) + "|should be part 2 of 3 but says it is part 1 of 3");
}

}  // namespace
}  // namespace brink
