// Damaged files: cut short, bytes flipped, lengths and sizes overwritten. Each one is an error or a
// model that runs; nothing else. Meant to be run with sanitizers, too.
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
namespace {

struct Outcome {
  int errors = 0;
  int runs = 0;
};

/// Opens, loads the vocabulary, runs a prompt and a step.
void run_file(const std::string& path, Outcome& outcome) {
  try {
    const Model model = Model::open(path);
    try {
      model.tokenizer();
    } catch (const Error&) {
      // A model may run without its vocabulary.
    }
    Session session(model, {.context = 64, .threads = 1, .batch = 16});
    const std::vector<std::int32_t> prompt = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    session.feed(prompt);
    session.feed(std::span(prompt).first(1));
    ++outcome.runs;
  } catch (const Error& e) {
    EXPECT_GT(std::string(e.what()).size(), 10u);
    ++outcome.errors;
  }
}

class Corruption : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    BRINK_REQUIRE_REFERENCE_DATA();
    bytes_ = read_bytes(reference_data(GetParam()));
    const Gguf gguf = Gguf::open(reference_data(GetParam()));
    header_ = static_cast<std::size_t>(gguf.tensors()[0].offset);
  }
  std::string bytes_;
  std::size_t header_ = 0;  // metadata and tensor table
  TemporaryFolder folder_;
};

INSTANTIATE_TEST_SUITE_P(Files, Corruption,
                         ::testing::Values("quantized/micro-llama-Q4_K_M.gguf",
                                           "quantized/micro-llama-IQ3_S.gguf",
                                           "models/tiny-mixtral-f16.gguf"));

TEST_P(Corruption, CutAnywhere) {
  std::mt19937 random(1);
  Outcome outcome;
  for (int i = 0; i < 100; ++i) {
    // Half of the cuts in the header, where most can go wrong.
    const std::size_t limit = i % 2 == 0 ? header_ : bytes_.size();
    run_file(folder_.write("cut.gguf", bytes_.substr(0, random() % limit)), outcome);
  }
  EXPECT_EQ(outcome.errors, 100);  // data are missing in every one
}

TEST_P(Corruption, BytesAndLengthsOverwritten) {
  std::mt19937 random(2);
  Outcome outcome;
  const std::uint64_t values[] = {0,          1,          3,          255,        65536,
                                  0x7fffffff, 0xffffffff, 1ull << 32, 1ull << 40, 1ull << 62,
                                  1ull << 63, ~0ull,      ~0ull >> 1, ~0ull - 63, 0x0101010101};
  for (int i = 0; i < 1000; ++i) {
    std::string damaged = bytes_;
    const std::size_t limit = i % 10 == 0 ? bytes_.size() : header_;
    const std::size_t at = random() % (limit - 8);
    if (i % 2 == 0) {
      damaged[at] = static_cast<char>(random());
    } else {
      const std::uint64_t value = values[random() % std::size(values)];
      std::memcpy(damaged.data() + at, &value, i % 4 == 1 ? 8 : 4);
    }
    run_file(folder_.write("damaged.gguf", damaged), outcome);
  }
  // Most damage in the header hits token texts, which any bytes may be; both kinds must occur.
  EXPECT_GT(outcome.errors, 50);
  EXPECT_GT(outcome.runs, 50);
}

}  // namespace
}  // namespace brink::testing
