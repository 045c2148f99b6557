// The choice of types for a budget, against all choices there are; sensitivities of a real model,
// whole and continued; a model with replaced tensors, against the file with the same blocks.
#include "brink/quantize/budget.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "brink/core/error.h"
#include "brink/eval/divergence.h"
#include "brink/eval/windows.h"
#include "brink/gguf/reader.h"
#include "brink/gguf/writer.h"
#include "brink/model/session.h"
#include "brink/quant/format.h"
#include "brink/quant/importance.h"
#include "brink/quantize/quantize.h"
#include "tests/support/reference_data.h"
#include "tests/support/temporary_folder.h"

namespace brink::testing {
namespace {

using T = TensorType;

/// Tensors with random costs: more bytes mostly, but not always, less error.
std::vector<TensorSensitivity> random_problem(std::mt19937_64& random) {
  const auto uniform = [&](double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random);
  };
  std::vector<TensorSensitivity> all(1 + random() % 5);
  static constexpr T kTypes[] = {T::kQ2_K, T::kQ3_K, T::kQ4_K, T::kQ5_K, T::kQ6_K};
  for (TensorSensitivity& s : all) {
    s.tensor = "t";
    s.reference_error = 0.02;
    s.divergence = std::exp(uniform(-9, -3));
    const double scale = std::exp(uniform(5, 16));
    const std::size_t types = 1 + random() % 5;
    for (std::size_t c = 0; c < types; ++c) {
      const double bits = 2.5 + static_cast<double>(c);
      s.costs.push_back({kTypes[c],
                         static_cast<std::uint64_t>(scale * bits * uniform(0.9, 1.1)),
                         std::exp2(-2 * bits) * uniform(0.5, 1.5),
                         {}});
    }
    std::shuffle(s.costs.begin(), s.costs.end(), random);
  }
  return all;
}

/// The least sum of predictions in at most `bytes`, over every combination; infinite if none fits.
double best_of_all(const std::vector<TensorSensitivity>& all, std::uint64_t bytes,
                   std::size_t t = 0) {
  if (t == all.size()) return 0;
  double best = std::numeric_limits<double>::infinity();
  for (const TypeCost& cost : all[t].costs)
    if (cost.bytes <= bytes)
      best = std::min(best, all[t].predicted(cost) + best_of_all(all, bytes - cost.bytes, t + 1));
  return best;
}

TEST(ChooseTypes, AsGoodAsTryingAll) {
  std::mt19937_64 random(1);
  std::size_t chosen = 0, tight = 0;
  for (int round = 0; round < 400; ++round) {
    const std::vector<TensorSensitivity> all = random_problem(random);
    std::uint64_t least = 0, most = 0;
    for (const TensorSensitivity& s : all) {
      std::uint64_t smallest = ~std::uint64_t{0}, largest = 0;
      for (const TypeCost& c : s.costs) {
        smallest = std::min(smallest, c.bytes);
        largest = std::max(largest, c.bytes);
      }
      least += smallest;
      most += largest;
    }
    const std::uint64_t bytes = least + random() % (most - least + 2);
    const BudgetChoice choice = choose_types(all, bytes);
    ASSERT_EQ(choice.types.size(), all.size());
    EXPECT_LE(choice.bytes, bytes);
    // What it says of its choice is true of it.
    std::uint64_t sum = 0;
    double divergence = 0;
    for (std::size_t t = 0; t < all.size(); ++t)
      for (const TypeCost& c : all[t].costs)
        if (c.type == choice.types[t]) {
          sum += c.bytes;
          divergence += all[t].predicted(c);
        }
    EXPECT_EQ(sum, choice.bytes);
    EXPECT_NEAR(divergence, choice.divergence, 1e-12 * divergence);
    // Each tensor's bytes are rounded up to units of 1/65536 of the budget.
    EXPECT_GE(choice.divergence, best_of_all(all, bytes) * (1 - 1e-12));
    const std::uint64_t rounding = (all.size() + 1) * (bytes / 65536 + 1);
    const double within = bytes > rounding ? best_of_all(all, bytes - rounding) : INFINITY;
    if (std::isfinite(within)) {
      EXPECT_LE(choice.divergence, within * (1 + 1e-12));
      ++chosen;
      tight += choice.divergence <= best_of_all(all, bytes) * (1 + 1e-12);
    }
  }
  EXPECT_GT(chosen, 300u);  // else nothing was compared
  EXPECT_GT(tight, chosen * 9 / 10);
}

TEST(ChooseTypes, TheSmallestTypesFitExactly) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 50; ++round) {
    const std::vector<TensorSensitivity> all = random_problem(random);
    std::uint64_t least = 0;
    for (const TensorSensitivity& s : all)
      least += std::min_element(s.costs.begin(), s.costs.end(), [](auto& a, auto& b) {
                 return a.bytes < b.bytes;
               })->bytes;
    EXPECT_EQ(choose_types(all, least).bytes, least);
    EXPECT_THROW(choose_types(all, least - 1), Error);
  }
}

/// A file of one embedding and one stack of 4 experts; with an output of its own or without.
std::string small_file(const TemporaryFolder& folder, const char* name, bool tied) {
  const std::string path = folder.path(name);
  GgufWriter writer(path);
  writer.set("general.architecture", "llama");
  writer.set("llama.block_count", 1u);
  writer.set("llama.expert_count", 4u);
  writer.set("llama.expert_used_count", 2u);
  const std::vector<std::uint64_t> matrix = {256, 2}, stack = {256, 2, 4};
  const std::vector<float> zeros(2048);
  writer.declare("token_embd.weight", T::kF32, matrix);
  writer.declare("blk.0.ffn_up_exps.weight", T::kF32, stack);
  if (!tied) writer.declare("output.weight", T::kF32, matrix);
  writer.append("token_embd.weight", std::as_bytes(std::span(zeros).first(512)));
  writer.append("blk.0.ffn_up_exps.weight", std::as_bytes(std::span(zeros)));
  if (!tied) writer.append("output.weight", std::as_bytes(std::span(zeros).first(512)));
  writer.finish();
  return path;
}

std::vector<T> candidates_after_rules(const Gguf& gguf, const ImportanceMatrix* importance,
                                      const char* tensor, std::vector<T> types) {
  std::vector<TensorSensitivity> all(1);
  all[0].tensor = tensor;
  for (const T type : types) all[0].costs.push_back({type, row_bytes(type, 256), 0.1, {}});
  leave_out_untold_types(all, gguf, importance);
  std::vector<T> left;
  for (const TypeCost& cost : all[0].costs) left.push_back(cost.type);
  return left;
}

TEST(Rules, WhatAShortTextCannotTell) {
  const TemporaryFolder folder;
  const Gguf tied = Gguf::open(small_file(folder, "tied.gguf", true));
  const Gguf untied = Gguf::open(small_file(folder, "untied.gguf", false));
  const std::vector<T> all = {T::kIQ2_XXS, T::kQ2_K, T::kIQ3_S, T::kIQ4_XS, T::kQ4_K, T::kQ8_0};
  using Types = std::vector<T>;
  const char *embedding = "token_embd.weight", *experts = "blk.0.ffn_up_exps.weight";
  EXPECT_EQ(candidates_after_rules(tied, nullptr, embedding, all),
            (Types{T::kIQ4_XS, T::kQ4_K, T::kQ8_0}));
  EXPECT_EQ(candidates_after_rules(untied, nullptr, embedding, all), all);
  EXPECT_EQ(candidates_after_rules(tied, nullptr, embedding, {T::kIQ2_XXS, T::kIQ3_S, T::kQ2_K}),
            Types{T::kIQ3_S});

  ImportanceMatrix importance;
  const std::vector<double> sums(4 * 256, 1.0);
  importance.set(experts, sums, std::vector<double>{16, 100, 2000, 16});
  EXPECT_EQ(candidates_after_rules(untied, &importance, experts, all), all);
  importance.set(experts, sums, std::vector<double>{16, 100, 0, 16});
  EXPECT_EQ(candidates_after_rules(untied, &importance, experts, all),
            (Types{T::kQ2_K, T::kIQ3_S, T::kIQ4_XS, T::kQ4_K, T::kQ8_0}));
  // The same rules for the tied model's experts; none for its matrices of other kinds.
  EXPECT_EQ(candidates_after_rules(tied, &importance, experts, {T::kIQ2_XXS, T::kIQ2_XS}),
            Types{T::kIQ2_XS});
  EXPECT_THROW(candidates_after_rules(tied, nullptr, "blk.7.attn_q.weight", all), Error);
}

TEST(Rules, TextForTheModel) {
  const TemporaryFolder folder;
  // Two matrices, 2,560 weights, 4 experts of which 2 are used.
  const Gguf gguf = Gguf::open(small_file(folder, "tied.gguf", true));
  EXPECT_EQ(search_tokens(gguf, 512, 4096), 4096u);
  EXPECT_EQ(search_tokens(gguf, 1, 4096, 2560 * 2 * 1000.0), 1000u);
  EXPECT_EQ(search_tokens(gguf, 512, 4096, 2560 * 2 * 100.0), 512u);
  EXPECT_EQ(search_tokens(gguf, 1, 4096, 2560 * 2 * 3.0), 128u);  // 64 tokens an expert
}

/// A small llama of the reference data and windows of random tokens.
class Sensitivities : public ::testing::Test {
 protected:
  void SetUp() override {
    BRINK_REQUIRE_REFERENCE_DATA();
    model_ = Model::open(reference_data("quantized/micro-llama-f32.gguf"));
    std::mt19937 random(3);
    std::vector<std::int32_t> ids(4 * 32);
    for (std::int32_t& id : ids)
      id = static_cast<std::int32_t>(random() % model_->config().vocabulary);
    windows_.emplace(ids, 32);
    options_.session.activations = Activations::kF32;
    options_.session.kv_type = KvType::kF32;
    options_.session.threads = 2;
    options_.types = {T::kQ2_K, T::kQ4_K};
    base_.emplace(*model_, *windows_, folder_.path("base"), options_.session);
  }

  TemporaryFolder folder_;
  std::optional<Model> model_;
  std::optional<TokenWindows> windows_;
  std::optional<BaseLogits> base_;
  SensitivityOptions options_;
};

TEST_F(Sensitivities, AreTheSameContinued) {
  std::size_t calls = 0;
  std::vector<TensorSensitivity> half;
  options_.on_tensor = [&](std::span<const TensorSensitivity> known, std::size_t total) {
    ++calls;
    if (known.size() == total / 2) half.assign(known.begin(), known.end());
  };
  const auto whole = measure_sensitivities(*model_, *base_, options_);
  EXPECT_EQ(calls, whole.size());
  ASSERT_FALSE(half.empty());
  calls = 0;
  std::reverse(half.begin(), half.end());
  options_.known = half;
  const auto continued = measure_sensitivities(*model_, *base_, options_);
  EXPECT_EQ(calls, whole.size() - half.size());
  ASSERT_EQ(continued.size(), whole.size());
  for (std::size_t t = 0; t < whole.size(); ++t) {
    EXPECT_EQ(continued[t].tensor, whole[t].tensor);
    EXPECT_EQ(continued[t].divergence, whole[t].divergence);
    EXPECT_GT(whole[t].divergence, 0);
    ASSERT_EQ(whole[t].costs.size(), 2u);
    EXPECT_GT(whole[t].costs[0].error, whole[t].costs[1].error);
    EXPECT_LT(whole[t].costs[0].bytes, whole[t].costs[1].bytes);
  }
}

TEST_F(Sensitivities, EveryTypeMeasuredIsThatOfTheModelWithIt) {
  options_.types = {T::kQ2_K, T::kQ3_K, T::kQ4_K};
  const auto estimated = measure_sensitivities(*model_, *base_, options_);
  options_.measure_types = true;
  const auto measured = measure_sensitivities(*model_, *base_, options_);
  ASSERT_EQ(measured.size(), estimated.size());
  for (std::size_t t = 0; t < measured.size(); ++t) {
    const TensorSensitivity &m = measured[t], &e = estimated[t];
    EXPECT_EQ(m.divergence, e.divergence);
    ASSERT_EQ(m.costs.size(), 3u);
    for (std::size_t c = 0; c < 3; ++c) {
      EXPECT_FALSE(e.costs[c].divergence.has_value());
      EXPECT_EQ(e.predicted(e.costs[c]), e.estimated(e.costs[c]));
      EXPECT_EQ(m.estimated(m.costs[c]), e.estimated(e.costs[c]));
      EXPECT_EQ(m.predicted(m.costs[c]), m.costs[c].divergence);
    }
    EXPECT_EQ(*m.costs[1].divergence, m.divergence);  // the reference's
  }
  const GgufTensor* tensor = model_->gguf().find_tensor(measured.back().tensor);
  const Model replaced =
      model_->with_tensors({encode_tensor(model_->gguf(), *tensor, T::kQ2_K, options_.quantize)});
  EXPECT_EQ(*measured.back().costs[0].divergence,
            measure_divergence(*base_, replaced, options_.session).kl_mean.value);
}

TEST_F(Sensitivities, LeastBytesAreThoseOfTheMeasured) {
  options_.types = {T::kQ4_K, T::kQ2_K, T::kIQ2_XXS};
  const auto all = measure_sensitivities(*model_, *base_, options_);
  EXPECT_EQ(least_bytes(model_->gguf(), options_), least_bytes(all));
  EXPECT_EQ(choose_types(all, least_bytes(all)).bytes, least_bytes(all));
  options_.types = {T::kIQ2_XXS};
  EXPECT_THROW((void)least_bytes(model_->gguf(), options_), Error);
  options_.types = {T::kI32};
  EXPECT_THROW((void)least_bytes(model_->gguf(), options_), Error);
}

TEST_F(Sensitivities, OfRoundedActivationsAreThoseOfExactOnes) {
  options_.types = {T::kQ4_K};
  const auto exact = measure_sensitivities(*model_, *base_, options_);
  options_.session.activations = Activations::kBf16;
  const double own = measure_divergence(*base_, *model_, options_.session).kl_mean.value;
  const auto rounded = measure_sensitivities(*model_, *base_, options_);
  EXPECT_GT(own, 0);
  for (std::size_t t = 0; t < exact.size(); ++t)
    EXPECT_NEAR(rounded[t].divergence, exact[t].divergence, 0.02 * exact[t].divergence + 0.5 * own)
        << exact[t].tensor;
}

TEST_F(Sensitivities, NoTypesThatNeedImportanceWithoutIt) {
  options_.types = {T::kIQ2_XXS, T::kQ2_K};
  for (const TensorSensitivity& s : measure_sensitivities(*model_, *base_, options_)) {
    ASSERT_EQ(s.costs.size(), 1u);
    EXPECT_EQ(s.costs[0].type, T::kQ2_K);
  }
  const std::vector<float> ones(4096, 1.0f);
  options_.quantize.importance = [&](std::string_view name) {
    return std::span(ones).first(model_->gguf().find_tensor(name)->shape[0]);
  };
  for (const TensorSensitivity& s : measure_sensitivities(*model_, *base_, options_))
    EXPECT_EQ(s.costs.size(), 2u);
}

TEST_F(Sensitivities, ReplacedTensorsAreThoseOfTheFile) {
  TypeRequest request;
  request.mix = find_mix("Q3_K_M").value();
  const auto plan = plan_types(model_->gguf(), request);
  quantize(model_->gguf(), plan, folder_.path("q.gguf"), options_.quantize);
  std::vector<TensorBlocks> replaced;
  for (const PlannedTensor& planned : plan)
    if (planned.quantizable)
      replaced.push_back(
          encode_tensor(model_->gguf(), *planned.source, planned.type, options_.quantize));
  const Model in_memory = model_->with_tensors(replaced);
  const Model from_file = Model::open(folder_.path("q.gguf"));
  Session a(in_memory, options_.session), b(from_file, options_.session),
      c(*model_, options_.session);
  const auto tokens = (*windows_)[0];
  const auto first = a.feed(tokens, Logits::kAll), second = b.feed(tokens, Logits::kAll);
  ASSERT_EQ(first.size(), second.size());
  EXPECT_TRUE(std::equal(first.begin(), first.end(), second.begin()));
  const auto unchanged = c.feed(tokens, Logits::kAll);
  EXPECT_FALSE(std::equal(first.begin(), first.end(), unchanged.begin()));

  EXPECT_THROW((void)model_->with_tensors({{"no.such.weight", T::kQ4_K, {}}}), Error);
  replaced[0].blocks.pop_back();
  EXPECT_THROW((void)model_->with_tensors({replaced[0]}), Error);
}

}  // namespace
}  // namespace brink::testing
