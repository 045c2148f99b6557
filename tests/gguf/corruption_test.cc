// Damaged files: cut off anywhere, or with bytes and length fields changed. Each gives an Error or
// a file that can be read to its last byte, with memory in proportion to the file. Best run with
// AddressSanitizer and UndefinedBehaviorSanitizer (preset asan). Fixed seeds.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "brink/gguf/fingerprint.h"
#include "brink/gguf/reader.h"
#include "brink/gguf/writer.h"
#include "support/reference_data.h"
#include "support/temporary_folder.h"

namespace {
std::atomic<std::size_t> allocated{0};  // bytes asked for in all, never less

void* counted(std::size_t size) {
  allocated += size;
  if (void* p = std::malloc(size)) return p;
  throw std::bad_alloc();
}
}  // namespace

void* operator new(std::size_t size) { return counted(size); }
void* operator new[](std::size_t size) { return counted(size); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }

namespace brink {
namespace {

using testing::TemporaryFolder;

std::uint64_t walk(const GgufValue& value) {
  std::uint64_t sum = 0;
  for (const std::string_view s : value.strings())
    for (const char c : s) sum += static_cast<unsigned char>(c);
  for (const std::int64_t v : value.ints()) sum += static_cast<std::uint64_t>(v);
  for (const double v : value.floats()) sum += v > 0 ? 1 : 0;
  if (value.element_type() == GgufType::kArray)
    for (const GgufValue& element : value.elements()) sum += walk(element);
  for (const std::byte b : value.raw()) sum += std::to_integer<unsigned>(b);
  return sum + value.to_string().size() + value.as_uint().value_or(0) % 7 +
         (value.as_float().value_or(0) > 0 ? 1 : 0);
}

/// Reads all metadata and both ends of every tensor.
std::uint64_t walk(const Gguf& gguf) {
  std::uint64_t sum = 0;
  for (const GgufEntry& entry : gguf.metadata()) {
    EXPECT_EQ(gguf.find(entry.key), &entry.value);
    sum += walk(entry.value);
  }
  for (const GgufTensor& tensor : gguf.tensors()) {
    EXPECT_EQ(gguf.find_tensor(tensor.name), &tensor);
    EXPECT_EQ(tensor.bytes, tensor.elements() / size_of(tensor.type).block_size *
                                size_of(tensor.type).block_bytes);
    sum += std::to_integer<unsigned>(tensor.data[0]);
    sum += std::to_integer<unsigned>(tensor.data[tensor.bytes - 1]);
  }
  return sum;
}

/// A file that is damaged in place and restored.
class Victim {
 public:
  Victim(const TemporaryFolder& folder, std::string bytes)
      : bytes_(std::move(bytes)), path_(folder.write("victim.gguf", bytes_)) {
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
  }
  ~Victim() { ::close(fd_); }

  /// Whether the file as it is now can be opened, and then read.
  bool opens() {
    const std::size_t before = allocated;
    bool opened = false;
    try {
      const Gguf gguf = Gguf::open(path_);
      sum_ += walk(gguf);
      opened = true;
    } catch (const Error& e) {
      EXPECT_EQ(e.place().file, path_);
      EXPECT_LT(std::strlen(e.what()), 600u);
    }
    // The most costly is an array of one-byte numbers read as doubles; everything else, growing
    // vectors included, stays below. The constant covers messages and paths.
    EXPECT_LE(allocated - before, 64 * bytes_.size() + 65536);
    return opened;
  }
  void truncate(std::size_t size) { ASSERT_EQ(::ftruncate(fd_, static_cast<off_t>(size)), 0); }
  void write(std::size_t at, const void* data, std::size_t size) {
    ASSERT_EQ(::pwrite(fd_, data, size, static_cast<off_t>(at)), static_cast<ssize_t>(size));
  }
  void restore(std::size_t at, std::size_t size) { write(at, bytes_.data() + at, size); }
  const std::string& bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

 private:
  std::string bytes_;
  std::string path_;
  int fd_ = -1;
  std::uint64_t sum_ = 0;
};

/// A file of a few kilobytes whose bytes are nearly all metadata, with every type in it.
std::string metadata_file(const TemporaryFolder& folder) {
  GgufWriter writer(folder.path("small.gguf"), 64);
  writer.set("general.architecture", "llama");
  std::vector<std::string> tokens;
  std::vector<float> scores;
  for (int i = 0; i < 100; ++i) {
    tokens.push_back("token" + std::to_string(i * i));
    scores.push_back(static_cast<float>(-i));
  }
  writer.set_array("tokenizer.ggml.tokens", tokens);
  writer.set_array("tokenizer.ggml.scores", scores);
  writer.set_array("tokenizer.ggml.token_type", std::vector<std::int32_t>(100, 1));
  writer.set_array("bytes", std::vector<std::uint8_t>(300, 7));
  writer.set_array("bools", std::vector<bool>(30, true));
  writer.set_array("nested", std::vector<std::vector<std::string>>{{"a", "bc"}, {}, {"def"}});
  writer.set_array("deep", std::vector<std::vector<std::vector<std::int16_t>>>{{{-1}, {2, 3}}, {}});
  writer.set("u8", std::uint8_t{1});
  writer.set("bool", true);
  writer.set("i64", std::int64_t{-5});
  writer.set("f64", 0.25);
  std::uint64_t rows = 1;
  for (const char* name : {"a.weight", "b.weight", "c.weight", "d.weight"}) {
    writer.declare(name, TensorType::kQ4_0, std::array<std::uint64_t, 3>{32, rows, 2});
    rows += 2;
  }
  for (const char* name : {"a.weight", "b.weight", "c.weight", "d.weight"}) {
    const std::size_t rows_now = static_cast<std::size_t>(2 * (name[0] - 'a') + 1);
    writer.append(name, std::vector<std::byte>(rows_now * 2 * 18, std::byte{3}));
  }
  writer.finish();
  return testing::read_bytes(folder.path("small.gguf"));
}

struct Field {
  std::size_t at;
  std::size_t size;
};

/// Where the counts, lengths, types, extents and offsets of a sound file lie.
std::vector<Field> length_fields(const std::string& path) {
  const Gguf gguf = Gguf::open(path);
  // The first key follows the header of 24 bytes and its own length.
  const char* base = gguf.metadata()[0].key.data() - 32;
  const auto at = [&](const void* p) {
    return static_cast<std::size_t>(static_cast<const char*>(p) - base);
  };
  std::vector<Field> fields = {{4, 4}, {8, 8}, {16, 8}};
  for (const GgufEntry& entry : gguf.metadata()) {
    const std::size_t value = at(entry.value.raw().data());
    fields.push_back({at(entry.key.data()) - 8, 8});
    fields.push_back({at(entry.key.data()) + entry.key.size(), 4});
    if (entry.value.type() == GgufType::kString) fields.push_back({value - 8, 8});
    if (!entry.value.is_array()) continue;
    fields.push_back({value - 12, 4});
    fields.push_back({value - 8, 8});
    for (const std::string_view s : entry.value.strings()) fields.push_back({at(s.data()) - 8, 8});
    if (entry.value.element_type() != GgufType::kArray) continue;
    for (const GgufValue& inner : entry.value.elements()) {
      fields.push_back({at(inner.raw().data()) - 12, 4});
      fields.push_back({at(inner.raw().data()) - 8, 8});
    }
  }
  for (const GgufTensor& tensor : gguf.tensors()) {
    std::size_t p = at(tensor.name.data());
    fields.push_back({p - 8, 8});
    p += tensor.name.size();
    fields.push_back({p, 4});
    for (std::uint32_t i = 0; i <= tensor.dimensions; ++i) fields.push_back({p + 4 + 8 * i, 8});
    fields.push_back({p + 4 + 8 * tensor.dimensions, 4});
    fields.push_back({p + 8 + 8 * tensor.dimensions, 8});
  }
  return fields;
}

void damage_in_every_way(const std::string& bytes) {
  const TemporaryFolder folder;
  Victim victim(folder, bytes);
  ASSERT_TRUE(victim.opens());
  const std::vector<Field> fields = length_fields(victim.path());
  std::mt19937_64 random(20260801);
  int opened = 0, refused = 0;
  const auto attempt = [&] { ++(victim.opens() ? opened : refused); };

  // Single bytes: half of them in the metadata and tensor records, where they matter.
  const std::size_t head = std::min(bytes.size(), fields.back().at + 8);
  for (int i = 0; i < 1000; ++i) {
    const std::size_t at = random() % (i % 2 ? head : bytes.size());
    const char value = static_cast<char>(bytes[at] ^ static_cast<char>(1 + random() % 255));
    victim.write(at, &value, 1);
    attempt();
    victim.restore(at, 1);
  }
  EXPECT_GT(opened, 100);
  EXPECT_GT(refused, 100);

  for (int i = 0; i < 1000; ++i) {
    const Field field = fields[random() % fields.size()];
    std::uint64_t value = 0;
    std::memcpy(&value, bytes.data() + field.at, field.size);
    const std::uint64_t left = bytes.size() - field.at - field.size;
    const std::array<std::uint64_t, 14> choices = {0,
                                                   1,
                                                   value + 1,
                                                   value - 1,
                                                   left,
                                                   left + 1,
                                                   left - 1,
                                                   left / 8,
                                                   std::uint64_t{1} << 32,
                                                   value << 32,
                                                   random(),
                                                   std::uint64_t{1} << 63,
                                                   ~value,
                                                   value ^ std::uint64_t{1} << random() % 64};
    value = choices[random() % choices.size()];
    victim.write(field.at, &value, field.size);
    attempt();
    victim.restore(field.at, field.size);
  }
  ASSERT_TRUE(victim.opens()) << "restored";

  // A file that has lost bytes misses some of a tensor: an error each time (but for the padding
  // after the last tensor, which is not needed).
  std::vector<std::size_t> sizes(200);
  for (std::size_t i = 0; i < sizes.size(); ++i)
    sizes[i] = random() % (i % 2 ? head : bytes.size() - 64);
  std::sort(sizes.rbegin(), sizes.rend());
  for (const std::size_t size : sizes) {
    victim.truncate(size);
    EXPECT_FALSE(victim.opens()) << size;
  }
}

TEST(Corruption, FileOfMetadata) {
  const TemporaryFolder folder;
  damage_in_every_way(metadata_file(folder));
}

TEST(Corruption, QuantizedModel) {
  BRINK_REQUIRE_REFERENCE_DATA();
  damage_in_every_way(
      testing::read_bytes(testing::reference_data("quantized/micro-llama-Q4_0.gguf")));
}

TEST(Corruption, ModelWithManyTensors) {
  BRINK_REQUIRE_REFERENCE_DATA();
  damage_in_every_way(
      testing::read_bytes(testing::reference_data("models/tiny-qwen3moe-f16.gguf")));
}

TEST(Corruption, NoCountMakesTheReaderAllocate) {
  // Counts that fit the bytes but lie about what follows: 13 bytes an entry is the least.
  const TemporaryFolder folder;
  std::string bytes = "GGUF";
  const auto put = [&](auto value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  put(std::uint32_t{3});
  put(std::uint64_t{0});
  put(std::uint64_t{(100u << 20) / 13});
  bytes.resize(100u << 20, '\xff');
  const std::string path = folder.write("t.gguf", bytes);
  const std::size_t before = allocated;
  EXPECT_THROW(Gguf::open(path), Error);
  EXPECT_LT(allocated - before, 65536u);
}

}  // namespace
}  // namespace brink
