// Files in other types: every byte, whatever the threads and the instruction set; what is refused.
#include "brink/quantize/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "brink/core/error.h"
#include "brink/gguf/writer.h"
#include "brink/quant/format.h"
#include "brink/quantize/row_encoder.h"
#include "tests/support/reference_data.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tested_kernels.h"

namespace brink {
namespace {

using testing::reference_data;
using testing::TemporaryFolder;

std::string message_of(const auto& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::vector<PlannedTensor> plan_of(const Gguf& gguf, const char* mix) {
  TypeRequest request;
  request.mix = find_mix(mix).value();
  return plan_types(gguf, request);
}

std::vector<float> decoded(const GgufTensor& tensor) {
  std::vector<float> values(tensor.elements());
  format_of(tensor.type)
      .decode(reinterpret_cast<const std::uint8_t*>(tensor.data), values.data(), values.size());
  return values;
}

// What a tensor must become: every row through the scalar references.
std::vector<std::uint8_t> expected_blocks(const GgufTensor& tensor, TensorType type,
                                          std::span<const float> importance) {
  Kernels scalar = best_kernels();
  const auto id = static_cast<std::size_t>(type);
  scalar.encode[id] = reference_encoder(type);
  scalar.decode[id] = format_of(type).decode;
  RowEncoder encoder(scalar, type, Effort::kDefault);
  const std::vector<float> values = decoded(tensor);
  const std::size_t columns = tensor.shape[0], row = row_bytes(type, columns);
  std::vector<std::uint8_t> blocks(row * tensor.rows());
  for (std::size_t r = 0; r < tensor.rows(); ++r)
    encoder.encode(values.data() + r * columns,
                   importance.empty() ? nullptr : importance.data() + r / tensor.shape[1] * columns,
                   columns, blocks.data() + r * row);
  return blocks;
}

std::vector<std::uint8_t> blocks_of(const GgufTensor& tensor) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(tensor.data);
  return {bytes, bytes + tensor.bytes};
}

TEST(Quantize, EveryRowIsEncodedAndTheRestKept) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const TemporaryFolder folder;
  for (const char* model : {"models/tiny-llama-f16", "models/tiny-qwen3moe-f16"}) {
    const Gguf source = Gguf::open(reference_data(std::string(model) + ".gguf"));
    const auto plan = plan_of(source, "Q4_K_M");
    QuantizeOptions options;
    options.file_type = 15;
    options.metadata = {{"quantize.imatrix.file", "none"}};
    std::uint64_t progress = 0;
    options.on_progress = [&](std::uint64_t bytes) { progress += bytes; };
    const QuantizeResult result = quantize(source, plan, folder.path("out.gguf"), options);
    const Gguf out = Gguf::open(folder.path("out.gguf"));
    ASSERT_EQ(out.tensors().size(), source.tensors().size());
    std::uint64_t bytes = 0, source_bytes = 0;
    for (const PlannedTensor& planned : plan) {
      const GgufTensor& tensor = *out.find_tensor(planned.source->name);
      EXPECT_EQ(tensor.shape, planned.source->shape);
      EXPECT_EQ(tensor.type, planned.type);
      const auto expected = planned.type == planned.source->type
                                ? blocks_of(*planned.source)
                                : expected_blocks(*planned.source, planned.type, {});
      EXPECT_TRUE(blocks_of(tensor) == expected) << tensor.name;
      bytes += tensor.bytes;
      source_bytes += planned.source->bytes;
    }
    EXPECT_EQ(result.bytes, bytes);
    EXPECT_EQ(result.source_bytes, source_bytes);
    EXPECT_EQ(progress, source_bytes);
    EXPECT_EQ(out.get_uint("general.file_type"), 15u);
    EXPECT_EQ(out.get_uint("general.quantization_version"), 2u);
    EXPECT_EQ(out.get_string("quantize.imatrix.file"), "none");
    EXPECT_EQ(out.get_string("general.architecture"), source.get_string("general.architecture"));
    for (const GgufEntry& entry : source.metadata())
      EXPECT_NE(out.find(entry.key), nullptr) << entry.key;
  }
}

TEST(Quantize, TheSameFileForAnyThreadsAndInstructionSet) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const TemporaryFolder folder;
  const Gguf source = Gguf::open(reference_data("models/tiny-qwen2-f16.gguf"));
  const auto plan = plan_of(source, "Q3_K_M");
  quantize(source, plan, folder.path("first.gguf"), {.threads = 1});
  const std::string first = testing::read_bytes(folder.path("first.gguf"));
  for (const Kernels* kernels : testing::tested_kernels())
    for (const unsigned threads : {1u, 2u, 5u}) {
      quantize(source, plan, folder.path("other.gguf"), {.threads = threads, .kernels = kernels});
      EXPECT_TRUE(testing::read_bytes(folder.path("other.gguf")) == first)
          << kernels->name << ' ' << threads;
    }
}

TEST(Quantize, ExpertsHaveImportanceOfTheirOwn) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const TemporaryFolder folder;
  const Gguf source = Gguf::open(reference_data("models/tiny-mixtral-f16.gguf"));
  const auto plan = plan_of(source, "pure:Q3_K");
  // Every expert and column another weight.
  std::vector<float> importance(1 << 20);
  for (std::size_t i = 0; i < importance.size(); ++i)
    importance[i] = std::exp2(static_cast<float>(i * 2654435761u % 1000) / 100);
  QuantizeOptions options;
  options.importance = [&](std::string_view name) {
    const GgufTensor& tensor = *source.find_tensor(name);
    return std::span<const float>(importance).first(tensor.shape[0] * tensor.shape[2]);
  };
  quantize(source, plan, folder.path("out.gguf"), options);
  const Gguf out = Gguf::open(folder.path("out.gguf"));
  std::size_t experts = 0, other = 0;
  for (const PlannedTensor& planned : plan) {
    if (planned.type == planned.source->type) continue;
    const GgufTensor& tensor = *planned.source;
    const auto got = blocks_of(*out.find_tensor(tensor.name));
    EXPECT_TRUE(got == expected_blocks(tensor, planned.type, options.importance(tensor.name)))
        << tensor.name;
    other += got != expected_blocks(tensor, planned.type, {});
    experts += tensor.shape[2] > 1;
  }
  EXPECT_GT(experts, 0u);
  EXPECT_GT(other, 0u);
}

// A model file with one F32 matrix of rows of 256.
std::string matrix_file(const TemporaryFolder& folder, const std::vector<float>& values) {
  const std::string path = folder.path("matrix.gguf");
  GgufWriter writer(path);
  writer.set("general.architecture", "llama");
  writer.set("llama.block_count", 1u);
  const std::vector<std::uint64_t> shape = {256, values.size() / 256};
  writer.declare("blk.0.ffn_up.weight", TensorType::kF32, shape);
  writer.append("blk.0.ffn_up.weight", std::as_bytes(std::span(values)));
  writer.finish();
  return path;
}

TEST(Quantize, WeightsThatAreNotFinite) {
  const TemporaryFolder folder;
  std::vector<float> values(4096, 0.25f);
  values[5] = std::numeric_limits<float>::quiet_NaN();
  values[300] = std::numeric_limits<float>::infinity();
  values[4095] = -std::numeric_limits<float>::infinity();
  const std::string path = matrix_file(folder, values);
  const Gguf source = Gguf::open(path);
  const std::string out = folder.path("out.gguf");
  EXPECT_EQ(message_of([&] { quantize(source, plan_of(source, "pure:Q8_0"), out); }),
            path + ": 'blk.0.ffn_up.weight': 3 of 4096 weights are NaN or infinite");
  EXPECT_FALSE(std::filesystem::exists(out));
  EXPECT_EQ(folder.names().size(), 1u);
  const QuantizeResult result =
      quantize(source, plan_of(source, "pure:Q8_0"), out, {.allow_nonfinite = true});
  EXPECT_EQ(result.replaced, 3u);
  for (const float value : decoded(Gguf::open(out).tensors()[0])) EXPECT_TRUE(std::isfinite(value));
}

TEST(Quantize, WeightsBeyondTheRangeOfF16) {
  const TemporaryFolder folder;
  std::vector<float> values(256, 1.0f);
  values[7] = 70000;
  values[8] = -65504;
  const std::string path = matrix_file(folder, values);
  const Gguf source = Gguf::open(path);
  const std::string out = folder.path("out.gguf");
  EXPECT_EQ(message_of([&] { quantize(source, plan_of(source, "F16"), out); }),
            path +
                ": 'blk.0.ffn_up.weight': 1 of 256 weights are NaN, infinite or beyond the range "
                "of F16");
  quantize(source, plan_of(source, "F16"), out, {.allow_nonfinite = true});
  const auto got = decoded(Gguf::open(out).tensors()[0]);
  EXPECT_EQ(got[7], 65504);
  EXPECT_EQ(got[8], -65504);
}

TEST(Quantize, Refusals) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const TemporaryFolder folder;
  const std::string path = reference_data("quantized/micro-llama-Q4_K_M.gguf");
  const Gguf quantized = Gguf::open(path);
  const std::string out = folder.path("out.gguf");
  EXPECT_EQ(message_of([&] { quantize(quantized, plan_of(quantized, "pure:Q3_K"), out); }),
            path +
                ": 'output.weight': is Q6_K: quantized already (better start from F16; or "
                "allow requantizing)");
  EXPECT_EQ(message_of([&] {
              quantize(quantized, plan_of(quantized, "pure:Q3_K"), out, {.allow_requantize = true});
            }),
            "no error");

  const std::string copy = folder.write(
      "source.gguf", testing::read_bytes(reference_data("quantized/micro-llama-f32.gguf")));
  const Gguf source = Gguf::open(copy);
  const std::string link = folder.path("link.gguf");
  std::filesystem::create_symlink(copy, link);
  for (const std::string& same : {copy, link})
    EXPECT_EQ(message_of([&] { quantize(source, plan_of(source, "Q8_0"), same); }),
              same + ": would be written over while it is read; choose another name");
  std::vector<float> importance(100, 1.0f);
  QuantizeOptions options;
  options.importance = [&](std::string_view) { return std::span<const float>(importance); };
  EXPECT_EQ(message_of([&] { quantize(source, plan_of(source, "Q8_0"), out, options); }),
            copy +
                ": 'token_embd.weight': the importance matrix has 100 values for it instead of " +
                std::to_string(source.find_tensor("token_embd.weight")->shape[0]));
  importance.assign(source.find_tensor("token_embd.weight")->shape[0], 1.0f);
  importance[3] = -1;
  EXPECT_EQ(message_of([&] { quantize(source, plan_of(source, "Q8_0"), out, options); }),
            copy +
                ": 'token_embd.weight': the importance matrix holds a value for it that is "
                "negative or not finite");
}

TEST(Quantize, WhatIsInterruptedLeavesNoFile) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const TemporaryFolder folder;
  const Gguf source = Gguf::open(reference_data("models/tiny-llama-f16.gguf"));
  QuantizeOptions options;
  options.on_progress = [](std::uint64_t) { throw Error("interrupted"); };
  EXPECT_EQ(message_of([&] {
              quantize(source, plan_of(source, "Q4_K_M"), folder.path("out.gguf"), options);
            }),
            "interrupted");
  EXPECT_TRUE(folder.names().empty());
}

}  // namespace
}  // namespace brink
