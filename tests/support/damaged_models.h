// Damaged files: cut short, bytes flipped, lengths and sizes overwritten. Each one is an error or a
// model that runs; nothing else.
#ifndef BRINK_TESTS_SUPPORT_DAMAGED_MODELS_H_
#define BRINK_TESTS_SUPPORT_DAMAGED_MODELS_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "brink/model/session.h"
#include "brink/text/tokenizer.h"
#include "tests/support/reference_data.h"
#include "tests/support/temporary_folder.h"

namespace brink::testing {

class DamagedModels : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    BRINK_REQUIRE_REFERENCE_DATA();
    bytes_ = read_bytes(reference_data(GetParam()));
    const Gguf gguf = Gguf::open(reference_data(GetParam()));
    header_ = static_cast<std::size_t>(gguf.tensors()[0].offset);
  }

  /// What became of the files so far.
  int errors_ = 0, runs_ = 0;

  /// Files cut at random places, half of them in the header, where most can go wrong.
  void cut(int files, const SessionOptions& options) {
    std::mt19937 random(1);
    for (int i = 0; i < files; ++i) {
      const std::size_t limit = i % 2 == 0 ? header_ : bytes_.size();
      run_file(folder_.write("cut.gguf", bytes_.substr(0, random() % limit)), options);
    }
  }

  /// Files with a byte, or a length or size, overwritten, one in ten anywhere, the others in the
  /// header.
  void overwrite(int files, const SessionOptions& options) {
    std::mt19937 random(2);
    const std::uint64_t values[] = {0,          1,          3,          255,        65536,
                                    0x7fffffff, 0xffffffff, 1ull << 32, 1ull << 40, 1ull << 62,
                                    1ull << 63, ~0ull,      ~0ull >> 1, ~0ull - 63, 0x0101010101};
    for (int i = 0; i < files; ++i) {
      std::string damaged = bytes_;
      const std::size_t limit = i % 10 == 0 ? bytes_.size() : header_;
      const std::size_t at = random() % (limit - 8);
      if (i % 2 == 0) {
        damaged[at] = static_cast<char>(random());
      } else {
        const std::uint64_t value = values[random() % std::size(values)];
        std::memcpy(damaged.data() + at, &value, i % 4 == 1 ? 8 : 4);
      }
      run_file(folder_.write("damaged.gguf", damaged), options);
    }
  }

  /// Files whose weights, every tensor or one in `every`, are NaN, infinite or huge: such a model
  /// runs, whatever it says.
  void spoil(int files, std::size_t every, const SessionOptions& options) {
    std::mt19937 random(3);
    const Gguf gguf = Gguf::open(reference_data(GetParam()));
    for (int i = 0; i < files; ++i) {
      std::string damaged = bytes_;
      const char fill = std::string("\xff\x7f\x7c\xfc")[static_cast<std::size_t>(i) % 4];
      for (const GgufTensor& tensor : gguf.tensors())
        if (tensor.dimensions > 1 && random() % every == 0)
          std::memset(damaged.data() + tensor.offset, fill, tensor.bytes);
      run_file(folder_.write("spoiled.gguf", damaged), options);
    }
  }

 private:
  // Opens, loads the vocabulary, runs a prompt and a step.
  void run_file(const std::string& path, const SessionOptions& options) {
    try {
      const Model model = Model::open(path);
      try {
        model.tokenizer();
      } catch (const Error&) {
        // A model may run without its vocabulary.
      }
      Session session(model, options);
      const std::vector<std::int32_t> prompt = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
      session.feed(prompt);
      session.feed(std::span(prompt).first(1));
      ++runs_;
    } catch (const Error& e) {
      EXPECT_GT(std::string(e.what()).size(), 10u);
      ++errors_;
    }
  }

  std::string bytes_;
  std::size_t header_ = 0;  // metadata and tensor table
  TemporaryFolder folder_;
};

}  // namespace brink::testing

#endif  // BRINK_TESTS_SUPPORT_DAMAGED_MODELS_H_
