// Errors between two files, against sums worked out by hand.
#include "brink/quantize/verify.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "brink/core/error.h"
#include "brink/gguf/writer.h"
#include "tests/support/temporary_folder.h"

namespace brink {
namespace {

using testing::TemporaryFolder;

std::string write(const TemporaryFolder& folder, const std::string& name,
                  const std::vector<std::pair<std::string, std::vector<float>>>& tensors) {
  GgufWriter writer(folder.path(name));
  for (const auto& [tensor, values] : tensors) {
    const std::vector<std::uint64_t> shape = {values.size()};
    writer.declare(tensor, TensorType::kF32, shape);
  }
  for (const auto& [tensor, values] : tensors)
    writer.append(tensor, std::as_bytes(std::span(values)));
  writer.finish();
  return folder.path(name);
}

TEST(Verify, ErrorsWorstFirst) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const TemporaryFolder folder;
  const Gguf a = Gguf::open(write(folder, "a.gguf",
                                  {{"same", {1, 2, 3}},
                                   {"zero", {0, 0}},
                                   {"small", {3, 4}},
                                   {"nan", {1, kNan, 1}},
                                   {"turned", {1, 0}}}));
  const Gguf b = Gguf::open(write(folder, "b.gguf",
                                  {{"turned", {0, 2}},
                                   {"same", {1, 2, 3}},
                                   {"zero", {0, 0.5f}},
                                   {"small", {3, 4.5f}},
                                   {"nan", {1, 1, 1}}}));
  for (const unsigned threads : {1u, 3u}) {
    const auto errors = compare_tensors(a, b, threads);
    ASSERT_EQ(errors.size(), 5u);
    EXPECT_EQ(errors[0].tensor, "nan");
    EXPECT_EQ(errors[0].nonfinite, 1u);
    EXPECT_EQ(errors[0].relative_rms, 0);
    EXPECT_EQ(errors[1].tensor, "zero");
    EXPECT_TRUE(std::isinf(errors[1].relative_rms));
    EXPECT_EQ(errors[1].cosine, 0);
    EXPECT_EQ(errors[2].tensor, "turned");
    EXPECT_DOUBLE_EQ(errors[2].relative_rms, std::sqrt(5.0));
    EXPECT_EQ(errors[2].cosine, 0);
    EXPECT_EQ(errors[2].max, 2);
    EXPECT_EQ(errors[3].tensor, "small");
    EXPECT_DOUBLE_EQ(errors[3].relative_rms, 0.1);
    EXPECT_DOUBLE_EQ(errors[3].cosine, (9 + 18) / 5.0 / std::sqrt(9 + 20.25));
    EXPECT_EQ(errors[4].tensor, "same");
    EXPECT_EQ(errors[4].relative_rms, 0);
    EXPECT_EQ(errors[4].cosine, 1);
  }
}

TEST(Verify, FilesOfDifferentModels) {
  const TemporaryFolder folder;
  const std::string a = write(folder, "a.gguf", {{"x", {1, 2}}, {"y", {1}}});
  const auto message = [&](const std::string& other) {
    try {
      compare_tensors(Gguf::open(a), Gguf::open(other));
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  const std::string lacks = write(folder, "lacks.gguf", {{"x", {1, 2}}});
  EXPECT_EQ(message(lacks), a + ": 'y': is not in " + lacks);
  const std::string more = write(folder, "more.gguf", {{"x", {1, 2}}, {"y", {1}}, {"z", {1}}});
  EXPECT_EQ(message(more), more + ": 'z': is not in " + a);
  const std::string shape = write(folder, "shape.gguf", {{"x", {1, 2, 3}}, {"y", {1}}});
  EXPECT_EQ(message(shape), shape + ": 'x': has another shape in " + a);
}

}  // namespace
}  // namespace brink
