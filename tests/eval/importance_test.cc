// Importance matrices: mean squares against the float64 forward pass, on dense models and mixtures
// of experts, and files of them.
#include "brink/eval/importance.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "brink/core/error.h"
#include "brink/gguf/reader.h"
#include "brink/gguf/writer.h"
#include "tests/support/evaluation.h"
#include "tests/support/float64_model.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/variant_model.h"

namespace brink::testing {
namespace {

struct Sums {
  std::vector<double> squares;
  double count = 0;
};

// By tensor and number in it.
using AllSums = std::map<std::pair<std::string, std::size_t>, Sums>;

AllSums float64_sums(const Gguf& gguf, const TokenWindows& windows) {
  AllSums all;
  Float64Model model(gguf, windows.context());
  model.on_input = [&](const std::string& tensor, std::size_t expert, const Vector& x) {
    Sums& sums = all[{tensor, expert}];
    sums.squares.resize(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) sums.squares[i] += x[i] * x[i];
    sums.count += 1;
  };
  for (std::size_t w = 0; w < windows.size(); ++w) model.logits(windows[w], {});
  return all;
}

// Every tensor that the float64 pass multiplies, and no other, with its counts and mean squares.
void expect_float64_means(const std::string& path, std::span<const std::int32_t> ids,
                          std::size_t context) {
  SCOPED_TRACE(path);
  const Model model = Model::open(path);
  const TokenWindows windows(ids, context);
  SessionOptions options;  // what it says of activations and the KV cache does not matter
  options.batch = context * 2 + 5;
  options.threads = 2;
  const ImportanceMatrix matrix = measure_importance(model, windows, options);
  EXPECT_EQ(matrix.chunks, windows.size());
  EXPECT_EQ(matrix.chunk_size, context);
  std::size_t tensors = 0;
  for (const auto& [place, sums] : float64_sums(model.gguf(), windows)) {
    const auto& [tensor, expert] = place;
    if (expert == 0) ++tensors;
    const std::string name = tensor + ".weight";
    const std::size_t columns = sums.squares.size();
    const std::span<const float> counts = matrix.counts(name), means = matrix.of(name);
    ASSERT_GT(counts.size(), expert) << name;
    EXPECT_EQ(static_cast<double>(counts[expert]), sums.count) << name << " " << expert;
    ASSERT_EQ(means.size(), counts.size() * columns) << name;
    std::vector<double> expected;
    for (const double square : sums.squares) expected.push_back(square / sums.count);
    // f32 sums within the model; measured at most 1e-6.
    EXPECT_LT(relative_distance(means.subspan(expert * columns, columns), expected), 4e-6)
        << name << " " << expert;
  }
  std::size_t with_first = 0;
  for (const std::string& name : matrix.names())
    with_first += matrix.counts(name)[0] > 0 || matrix.counts(name).size() > 1;
  EXPECT_EQ(matrix.names().size(), with_first);
  EXPECT_GE(matrix.names().size(), tensors);
}

TEST(ImportanceTest, IsThatOfTheFloat64Pass) {
  BRINK_REQUIRE_REFERENCE_DATA();
  for (const char* name : {"tiny-llama-f16", "tiny-qwen2-f16", "tiny-qwen3-f16", "tiny-mixtral-f16",
                           "tiny-qwen2moe-f16"}) {
    const std::string path = std::string("models/") + name;
    const std::vector<std::int32_t> ids = reference_tokens(path);
    expect_float64_means(reference_data(path + ".gguf"),
                         std::span(ids).first(std::min<std::size_t>(ids.size(), 60)), 12);
  }
}

// Windows of one token, so that experts get single rows: a path of its own in the CPU backend.
TEST(ImportanceTest, SingleTokensCountToo) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const Model model = Model::open(reference_data("models/tiny-mixtral-f16.gguf"));
  const std::vector<std::int32_t> ids = reference_tokens("models/tiny-mixtral-f16");
  const TokenWindows windows{std::span(ids).first(9), 9};
  SessionOptions together, single;
  single.batch = 1;
  const ImportanceMatrix a = measure_importance(model, windows, together);
  const ImportanceMatrix b = measure_importance(model, windows, single);
  ASSERT_EQ(a.names(), b.names());
  for (const std::string& name : a.names()) {
    const auto counts = a.counts(name);
    EXPECT_TRUE(std::equal(counts.begin(), counts.end(), b.counts(name).begin())) << name;
    EXPECT_LT(relative_distance(b.of(name), a.of(name)), 1e-5) << name;
  }
}

// q, k and v in one tensor have one entry, with each token counted once; so has the embedding that
// serves as output, while one that is only looked up has none.
TEST(ImportanceTest, TensorsOfTheFileHaveOneEntryEach) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const TemporaryFolder folder;
  const std::string base = reference_data("models/tiny-llama-f16.gguf");
  const std::vector<std::int32_t> ids = reference_tokens("models/tiny-llama-f16");
  const auto measure = [&](const std::string& path) {
    return measure_importance(Model::open(path), TokenWindows(ids, 16), {});
  };
  VariantModel variant(base);
  ASSERT_TRUE(variant.has("output.weight"));
  const ImportanceMatrix plain = measure(base);
  EXPECT_TRUE(plain.of("token_embd.weight").empty());
  EXPECT_FALSE(plain.of("output.weight").empty());
  variant.fuse({"blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_v.weight"},
               "blk.0.attn_qkv.weight");
  const ImportanceMatrix fused = measure(variant.write(folder.path("fused.gguf")));
  EXPECT_TRUE(fused.of("blk.0.attn_q.weight").empty());
  const auto one = fused.of("blk.0.attn_qkv.weight"), q = plain.of("blk.0.attn_q.weight");
  ASSERT_EQ(one.size(), q.size());
  EXPECT_TRUE(std::equal(one.begin(), one.end(), q.begin()));
  EXPECT_EQ(fused.counts("blk.0.attn_qkv.weight")[0], plain.counts("blk.0.attn_q.weight")[0]);
  EXPECT_EQ(fused.counts("blk.0.attn_qkv.weight")[0], 48.0f);
  expect_float64_means(folder.path("fused.gguf"), ids, 16);

  VariantModel tied(base);
  tied.remove("output.weight");
  const std::string tied_path = tied.write(folder.path("tied.gguf"));
  EXPECT_FALSE(measure(tied_path).of("token_embd.weight").empty());
  expect_float64_means(tied_path, ids, 16);
}

ImportanceMatrix small_matrix() {
  ImportanceMatrix matrix;
  matrix.datasets = {"a.txt", "b.txt"};
  matrix.chunks = 7;
  matrix.chunk_size = 64;
  matrix.set("blk.0.ffn_up.weight", std::vector<double>{2, 4, 8}, std::vector<double>{4});
  matrix.set("blk.0.ffn_up_exps.weight", std::vector<double>{1, 2, 0, 0, 9, 12},
             std::vector<double>{1, 0, 3});
  matrix.set("blk.9.none.weight", std::vector<double>{0, 0}, std::vector<double>{0});
  return matrix;
}

void expect_small_matrix(const ImportanceMatrix& matrix) {
  const auto values = [](std::span<const float> v) { return std::vector(v.begin(), v.end()); };
  EXPECT_EQ(matrix.datasets, (std::vector<std::string>{"a.txt", "b.txt"}));
  EXPECT_EQ(matrix.chunks, 7u);
  EXPECT_EQ(matrix.chunk_size, 64u);
  EXPECT_EQ(values(matrix.of("blk.0.ffn_up.weight")), (std::vector<float>{0.5f, 1, 2}));
  // The expert in the middle saw nothing: the mean over all rows stands in.
  EXPECT_EQ(values(matrix.of("blk.0.ffn_up_exps.weight")),
            (std::vector<float>{1, 2, 2.5f, 3.5f, 3, 4}));
  EXPECT_EQ(values(matrix.counts("blk.0.ffn_up_exps.weight")), (std::vector<float>{1, 0, 3}));
  EXPECT_TRUE(matrix.of("blk.9.none.weight").empty());
  EXPECT_TRUE(matrix.of("no such tensor").empty());
  EXPECT_TRUE(matrix.counts("no such tensor").empty());
}

TEST(ImportanceMatrixTest, GoesThroughAFile) {
  const TemporaryFolder folder;
  expect_small_matrix(small_matrix());
  small_matrix().write(folder.path("imatrix.gguf"));
  expect_small_matrix(ImportanceMatrix::load(folder.path("imatrix.gguf")));
  // As llama.cpp lays it out.
  const Gguf gguf = Gguf::open(folder.path("imatrix.gguf"));
  EXPECT_EQ(gguf.get_string("general.type"), "imatrix");
  EXPECT_EQ(gguf.find("imatrix.datasets")->strings().size(), 2u);
  EXPECT_EQ(gguf.find("imatrix.chunk_count")->type(), GgufType::kU32);
  EXPECT_EQ(gguf.find("imatrix.chunk_size")->type(), GgufType::kU32);
  const GgufTensor* sums = gguf.find_tensor("blk.0.ffn_up_exps.weight.in_sum2");
  const GgufTensor* counts = gguf.find_tensor("blk.0.ffn_up_exps.weight.counts");
  ASSERT_TRUE(sums != nullptr && counts != nullptr);
  EXPECT_EQ(sums->shape[0], 2u);
  EXPECT_EQ(sums->shape[1], 3u);
  EXPECT_EQ(counts->shape[0], 1u);
  EXPECT_EQ(counts->shape[1], 3u);
}

class BadImportanceTest : public ::testing::Test {
 protected:
  // Writes a file with these tensors; the error of reading it.
  std::string error_of(const std::vector<std::pair<std::string, std::vector<float>>>& tensors,
                       const std::string& type = "imatrix") {
    const std::string path = folder_.path("bad.gguf");
    {
      GgufWriter writer(path);
      writer.set("general.type", type);
      for (const auto& [name, values] : tensors) {
        const std::uint64_t shape[] = {values.size()};
        writer.declare(name, TensorType::kF32, shape);
      }
      for (const auto& [name, values] : tensors)
        writer.append(name, std::as_bytes(std::span(values)));
      writer.finish();
    }
    return error_of_file(path);
  }
  std::string error_of_file(const std::string& path) {
    try {
      ImportanceMatrix::load(path);
    } catch (const Error& error) {
      EXPECT_TRUE(std::string(error.what()).starts_with(path)) << error.what();
      return error.what();
    }
    return "";
  }
  static bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  }
  TemporaryFolder folder_;
};

TEST_F(BadImportanceTest, IsNamed) {
  EXPECT_EQ(error_of({{"a.in_sum2", {1, 2}}, {"a.counts", {3}}}), "");
  EXPECT_TRUE(has(error_of({{"a.in_sum2", {1, 2}}, {"a.counts", {3}}}, "model"), "general.type"));
  EXPECT_TRUE(has(error_of({{"a.in_sum2", {1, 2}}}), "a.counts"));
  EXPECT_TRUE(has(error_of({{"a.counts", {1}}}), "a.in_sum2"));
  EXPECT_TRUE(has(error_of({{"a.in_sum2", {1, 2}}, {"a.counts", {3, 4}}}), "'a.in_sum2'"));
  EXPECT_TRUE(has(error_of({{"a.in_sum2", {1, -2}}, {"a.counts", {3}}}), "negative"));
  EXPECT_TRUE(has(error_of({{"a.in_sum2", {1, NAN}}, {"a.counts", {3}}}), "not finite"));
  EXPECT_TRUE(has(error_of({{"a.in_sum2", {1, 2}}, {"a.counts", {INFINITY}}}), "not finite"));
  EXPECT_TRUE(has(error_of({{"a.weight", {1, 2}}}), "'a.weight'"));
  EXPECT_TRUE(has(error_of({}), "holds no importance"));
  // The older form begins with the number of its entries.
  const std::string old(std::string("\x02\0\0\0\x05\0\0\0abcde", 13));
  EXPECT_TRUE(has(error_of_file(folder_.write("old.dat", old)), ".dat"));
  EXPECT_NE(error_of_file(folder_.path("missing.gguf")), "");
}

}  // namespace
}  // namespace brink::testing
