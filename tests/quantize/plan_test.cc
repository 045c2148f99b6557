// Which type each tensor gets: stock mixes as in files that llama-quantize made, and exceptions.
#include "brink/quantize/plan.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "brink/core/error.h"
#include "brink/gguf/writer.h"
#include "tests/support/reference_data.h"
#include "tests/support/temporary_folder.h"

namespace brink {
namespace {

using testing::reference_data;

std::string message_of(const auto& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TypeRequest request(const char* mix) {
  TypeRequest request;
  request.mix = find_mix(mix).value();
  return request;
}

TEST(Plan, StockMixesAreThoseOfPublishedFiles) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const Gguf source = Gguf::open(reference_data("quantized/micro-llama-f32.gguf"));
  for (const char* name : {"IQ3_S", "IQ4_NL", "IQ4_XS", "Q2_K", "Q3_K_M", "Q4_0", "Q4_1", "Q4_K_M",
                           "Q5_0", "Q5_1", "Q5_K_M", "Q6_K", "Q8_0", "TQ1_0", "TQ2_0"}) {
    const Gguf peer =
        Gguf::open(reference_data(std::string("quantized/micro-llama-") + name + ".gguf"));
    std::uint64_t bytes = 0;
    const auto plan = plan_types(source, request(name));
    for (const PlannedTensor& planned : plan) {
      const GgufTensor* tensor = peer.find_tensor(planned.source->name);
      ASSERT_NE(tensor, nullptr) << planned.source->name;
      EXPECT_EQ(planned.type, tensor->type) << name << ' ' << tensor->name;
      EXPECT_EQ(planned.bytes(), tensor->bytes);
      bytes += tensor->bytes;
    }
    EXPECT_EQ(data_bytes(plan), bytes);
  }
}

TEST(Plan, TheFirstRuleThatMatchesDecides) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const Gguf source = Gguf::open(reference_data("quantized/micro-llama-f32.gguf"));
  TypeRequest types = request("Q4_K_M");
  types.rules = {parse_tensor_type_rule("blk\\.0\\.ffn_down=q8_0"),
                 parse_tensor_type_rule("ffn_(down|up)=IQ4_XS")};
  for (const PlannedTensor& planned : plan_types(source, types)) {
    const std::string name(planned.source->name);
    const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
    if (has("norm")) {
      EXPECT_EQ(planned.type, TensorType::kF32) << name;
    } else if (name == "blk.0.ffn_down.weight") {
      EXPECT_EQ(planned.type, TensorType::kQ8_0);
    } else if (has("ffn_down") || has("ffn_up")) {
      EXPECT_EQ(planned.type, TensorType::kIQ4_XS) << name;
    } else if (has("ffn_gate")) {
      EXPECT_EQ(planned.type, TensorType::kQ4_K) << name;
    }
  }
}

TEST(Plan, OneTypeForEveryMatrix) {
  BRINK_REQUIRE_REFERENCE_DATA();
  const Gguf source = Gguf::open(reference_data("quantized/micro-llama-f32.gguf"));
  for (const PlannedTensor& planned : plan_types(source, request("pure:Q3_K")))
    EXPECT_EQ(planned.type, planned.quantizable ? TensorType::kQ3_K : TensorType::kF32);
}

TEST(Plan, RowsThatFitNoBlockFallBackAndSaySo) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.path("narrow.gguf");
  {
    GgufWriter writer(path);
    writer.set("general.architecture", "llama");
    writer.set("llama.block_count", 1u);
    const std::vector<std::uint64_t> narrow = {96, 2}, wide = {256, 2};
    writer.declare("blk.0.ffn_up.weight", TensorType::kF32, narrow);
    writer.declare("blk.0.ffn_gate.weight", TensorType::kF32, wide);
    const std::vector<float> zeros(512);
    writer.append("blk.0.ffn_up.weight", std::as_bytes(std::span(zeros).first(192)));
    writer.append("blk.0.ffn_gate.weight", std::as_bytes(std::span(zeros)));
    writer.finish();
  }
  const Gguf source = Gguf::open(path);
  const auto plan = plan_types(source, request("Q4_K_S"));
  ASSERT_EQ(plan.size(), 2u);
  EXPECT_EQ(plan[0].type, TensorType::kQ5_0);
  EXPECT_TRUE(plan[0].fallback);
  EXPECT_EQ(plan[1].type, TensorType::kQ4_K);
  EXPECT_FALSE(plan[1].fallback);
}

TEST(Plan, WrongRequests) {
  EXPECT_EQ(message_of([] { parse_tensor_type_rule("ffn_down"); }),
            "'ffn_down' is not PATTERN=TYPE");
  EXPECT_EQ(message_of([] { parse_tensor_type_rule("=Q4_K"); }), "'=Q4_K' is not PATTERN=TYPE");
  EXPECT_TRUE(message_of([] {
                parse_tensor_type_rule("a=Q4_K_M");
              }).starts_with("no type of weights 'Q4_K_M'; there are F32, "));
  EXPECT_TRUE(
      message_of([] { parse_tensor_type_rule("a=I32"); }).starts_with("no type of weights 'I32'"));
  EXPECT_TRUE(message_of([] {
                parse_tensor_type_rule("(=Q4_K");
              }).starts_with("'(' is no regular expression"));
  BRINK_REQUIRE_REFERENCE_DATA();
  const std::string path = reference_data("quantized/micro-llama-f32.gguf");
  const Gguf source = Gguf::open(path);
  TypeRequest types = request("Q4_0");
  types.rules = {parse_tensor_type_rule("no_such_tensor=Q8_0")};
  EXPECT_EQ(message_of([&] { plan_types(source, types); }),
            path + ": no quantizable tensor matches 'no_such_tensor'");
}

}  // namespace
}  // namespace brink
