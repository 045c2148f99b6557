// Damaged files on the CPU. Meant to be run with sanitizers, too.
#include "tests/support/damaged_models.h"

namespace brink::testing {
namespace {

using Corruption = DamagedModels;

const SessionOptions kOptions{.context = 64, .threads = 1, .batch = 16};

INSTANTIATE_TEST_SUITE_P(Files, Corruption,
                         ::testing::Values("quantized/micro-llama-Q4_K_M.gguf",
                                           "quantized/micro-llama-IQ3_S.gguf",
                                           "models/tiny-mixtral-f16.gguf"));

TEST_P(Corruption, CutAnywhere) {
  cut(100, kOptions);
  EXPECT_EQ(errors_, 100);  // data are missing in every one
}

TEST_P(Corruption, BytesAndLengthsOverwritten) {
  overwrite(1000, kOptions);
  // Most damage in the header hits token texts, which any bytes may be; both kinds must occur.
  EXPECT_GT(errors_, 50);
  EXPECT_GT(runs_, 50);
}

TEST_P(Corruption, WeightsThatAreNoNumbers) {
  spoil(20, 1, kOptions);
  spoil(20, 4, kOptions);
  EXPECT_EQ(runs_, 40);
}

}  // namespace
}  // namespace brink::testing
