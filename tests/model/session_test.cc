// Sessions: the same tokens give the same bits however they are fed, and sequences that share
// memory do not touch each other.
#include "brink/model/session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "brink/cpu/backend.h"
#include "tests/support/float64_model.h"
#include "tests/support/reference_data.h"
#include "tests/support/tested_kernels.h"

namespace brink::testing {
namespace {

using Tokens = std::vector<std::int32_t>;
using Rows = std::vector<float>;

Tokens some_tokens(std::size_t count, std::size_t seed = 1) {
  Tokens tokens;
  for (std::size_t i = 0; i < count; ++i)
    tokens.push_back(static_cast<std::int32_t>((i * 71 + i * i * 3 + seed * 97) % 320));
  return tokens;
}

Rows copy(std::span<const float> logits) { return {logits.begin(), logits.end()}; }

void append(Rows& all, std::span<const float> more) {
  all.insert(all.end(), more.begin(), more.end());
}

/// Feeds in pieces of the given size (the last one smaller) and gives all logits.
Rows feed_in_pieces(Session& session, const Tokens& tokens, std::size_t piece,
                    std::size_t sequence = 0) {
  Rows all;
  for (std::size_t i = 0; i < tokens.size(); i += piece) {
    const std::size_t count = std::min(piece, tokens.size() - i);
    append(all, session.feed(std::span(tokens).subspan(i, count), Logits::kAll, sequence));
  }
  return all;
}

Rows last_row(const Rows& rows) { return {rows.end() - 320, rows.end()}; }

const std::vector<const char*> kModels = {
    "models/tiny-llama-f16",      "models/tiny-qwen3-f16",      "models/tiny-mixtral-f16",
    "models/tiny-qwen2moe-f16",   "models/tiny-qwen3moe-f16",   "quantized/micro-llama-Q4_K_M",
    "quantized/micro-llama-Q4_0", "quantized/micro-llama-IQ3_S"};

class Sessions : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { BRINK_REQUIRE_REFERENCE_DATA(); }
  static Model model() { return Model::open(reference_data(std::string(GetParam()) + ".gguf")); }
};

std::string test_name(const ::testing::TestParamInfo<const char*>& info) {
  std::string name = info.param;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Models, Sessions, ::testing::ValuesIn(kModels), test_name);

TEST_P(Sessions, SameBitsForAnyNumberOfThreads) {
  const Tokens tokens = some_tokens(100);
  for (const Activations activations : {Activations::kF32, Activations::kBf16, Activations::kQ8})
    for (const Kernels* kernels : testing::tested_kernels()) {
      Rows expected_many, expected_few;
      for (unsigned threads = 1; threads <= (testing::kSanitized ? 2u : 4u); ++threads) {
        Session session(model(),
                        {.activations = activations, .threads = threads, .kernels = kernels});
        const Rows many = copy(session.feed(tokens, Logits::kAll));
        const Rows few = feed_in_pieces(session, some_tokens(6, 2), 1);
        if (threads == 1) {
          expected_many = many;
          expected_few = few;
        }
        EXPECT_EQ(many, expected_many) << kernels->name << ", " << threads << " threads";
        EXPECT_EQ(few, expected_few) << kernels->name << ", " << threads << " threads";
      }
    }
}

// The fewest tokens of a step that every product computes by the kind of kernel that it uses for 8:
// 1, or 2 where a product of several tokens takes the kernels for many.
std::size_t fewest_alike(const Kernels& kernels) {
  for (const Format& format : formats())
    if (format.q8_block != 0 &&
        kernels.matvec_q8_tokens[static_cast<std::size_t>(format.type)] < kMatvecTokens)
      return 2;
  return 1;
}

// 9 tokens and more use the kernels for many, 8 and fewer those for few, or always the same.
TEST_P(Sessions, SameBitsWholeOrInPieces) {
  const Tokens tokens = some_tokens(150);
  for (const Kernels* kernels : testing::tested_kernels())
    for (const KvType kv : {KvType::kF16, KvType::kF32, KvType::kQ8_0, KvType::kQ4_0}) {
      if (kv != KvType::kF16 && kernels != available_kernels().back()) continue;  // for time
      const SessionOptions options{.kv_type = kv, .threads = 2, .kernels = kernels};
      Session whole(model(), options);
      const Rows expected = copy(whole.feed(tokens, Logits::kAll));
      for (const std::size_t piece : {75u, 50u, 10u}) {
        Session session(model(), options);
        EXPECT_EQ(feed_in_pieces(session, tokens, piece), expected)
            << kernels->name << ", pieces of " << piece;
      }
      const Tokens few(tokens.begin(), tokens.begin() + 70);
      Session alone(model(), options);
      const Rows expected_few = feed_in_pieces(alone, few, fewest_alike(*kernels));
      for (const std::size_t piece : {5u, 8u}) {
        Session session(model(), options);
        EXPECT_EQ(feed_in_pieces(session, few, piece), expected_few)
            << kernels->name << ", pieces of " << piece;
      }
    }
}

// The session cuts long prompts by itself, also where a rest of few tokens would be left.
TEST_P(Sessions, SameBitsForAnyBatchSize) {
  const Tokens tokens = some_tokens(130);
  Rows expected;
  for (const std::size_t batch : {512u, 128u, 64u, 43u, 32u}) {
    Session session(model(), {.threads = 2, .batch = batch});
    const Rows rows = copy(session.feed(tokens, Logits::kAll));
    if (expected.empty()) expected = rows;
    EXPECT_EQ(rows, expected) << batch;
    Session last(model(), {.threads = 2, .batch = batch});
    EXPECT_EQ(last.feed(tokens, Logits::kLast).size(), 320u);
    EXPECT_EQ(last.position(), 130u);
  }
}

// Sequences in one step get what each of them gets alone.
TEST_P(Sessions, SameBitsInCompanyOrAlone) {
  const std::vector<std::size_t> lengths = {40, 9, 97, 13};
  for (const Kernels* kernels : testing::tested_kernels()) {
    const SessionOptions options{.threads = 2, .sequences = 4, .kernels = kernels};
    Session together(model(), options);
    std::vector<Tokens> tokens;
    std::vector<SequenceInput> inputs;
    for (std::size_t s = 0; s < lengths.size(); ++s) tokens.push_back(some_tokens(lengths[s], s));
    for (std::size_t s = 0; s < lengths.size(); ++s) inputs.push_back({s, tokens[s], Logits::kAll});
    const Rows prompts = copy(together.step(inputs));
    Rows expected;
    std::vector<Session> alone;
    for (std::size_t s = 0; s < lengths.size(); ++s) {
      alone.emplace_back(model(), options);
      append(expected, alone[s].feed(tokens[s], Logits::kAll, s));
    }
    EXPECT_EQ(prompts, expected) << kernels->name;

    // Generation: as few tokens each as may be, in another order; one sequence wants no logits.
    const Tokens next = {5, 6, 7, 8};
    const std::size_t few = fewest_alike(*kernels);
    const std::vector<SequenceInput> steps = {{3, std::span(next).subspan(0, few), Logits::kAll},
                                              {0, std::span(next).subspan(1, few), Logits::kNone},
                                              {2, std::span(next).subspan(2, few), Logits::kAll}};
    const Rows rows = copy(together.step(steps));
    Rows expected_rows;
    for (const SequenceInput& step : steps) {
      const auto logits = alone[step.sequence].feed(step.tokens, step.logits, step.sequence);
      append(expected_rows, logits);
    }
    EXPECT_EQ(rows.size(), 2 * few * 320u);
    EXPECT_EQ(rows, expected_rows) << kernels->name;
  }
}

TEST_P(Sessions, ForksAndTruncationsDoNotTouchOtherSequences) {
  for (const std::size_t prompt_size : {64u, 100u}) {  // pages hold 64
    const SessionOptions options{.context = 256, .threads = 2, .sequences = 3};
    const Tokens prompt = some_tokens(prompt_size);
    const Tokens a = some_tokens(80, 7), b = some_tokens(80, 8);
    const auto fresh = [&](const Tokens& continuation) {
      Session session(model(), options);
      session.feed(prompt, Logits::kNone);
      return copy(session.feed(continuation, Logits::kAll));
    };
    const Rows expected_a = fresh(a), expected_b = fresh(b);

    Session session(model(), options);
    session.feed(prompt, Logits::kNone, 1);
    session.feed(some_tokens(30, 9), Logits::kNone, 0);  // replaced by the fork
    session.fork(1, 0);
    session.fork(1, 2);
    EXPECT_EQ(session.position(0), prompt_size);
    EXPECT_EQ(copy(session.feed(a, Logits::kAll, 0)), expected_a);
    EXPECT_EQ(copy(session.feed(b, Logits::kAll, 2)), expected_b);
    EXPECT_EQ(copy(session.feed(b, Logits::kAll, 1)), expected_b);
    session.truncate(2, prompt_size);
    EXPECT_EQ(copy(session.feed(a, Logits::kAll, 2)), expected_a);

    // Back into a page that another sequence shares.
    session.fork(2, 1);
    session.truncate(1, prompt_size);
    EXPECT_EQ(copy(session.feed(b, Logits::kAll, 1)), expected_b);
    session.truncate(2, prompt_size + 79);
    session.feed(std::span(a).last(1), Logits::kNone, 2);
    session.fork(2, 0);
    session.truncate(0, prompt_size + 40);
    EXPECT_EQ(last_row(copy(session.feed(std::span(a).subspan(40), Logits::kAll, 0))),
              last_row(expected_a));

    session.clear(1);
    EXPECT_EQ(session.position(1), 0u);
    session.feed(prompt, Logits::kNone, 1);
    EXPECT_EQ(copy(session.feed(a, Logits::kAll, 1)), expected_a);
  }
}

TEST_P(Sessions, LastRowsAndAllRowsAgree) {
  const Tokens tokens = some_tokens(60);
  Session all(model(), {.threads = 1}), last(model(), {.threads = 1});
  const Rows rows = copy(all.feed(tokens, Logits::kAll));
  const Rows row = copy(last.feed(tokens, Logits::kLast));
  ASSERT_EQ(row.size(), 320u);
  // One row goes through the kernels for few tokens in the last layer and the head: the same
  // values but for rounding, which q8 may amplify where a value lies between two steps.
  EXPECT_LT(relative_distance(row, last_row(rows)), 2e-2);
  Session f32(model(), {.activations = Activations::kF32, .threads = 1});
  Session f32_last(model(), {.activations = Activations::kF32, .threads = 1});
  const Rows f32_rows = copy(f32.feed(tokens, Logits::kAll));
  EXPECT_LT(relative_distance(copy(f32_last.feed(tokens)), last_row(f32_rows)), 1e-5);
  EXPECT_TRUE(last.feed(tokens, Logits::kNone).empty());
  EXPECT_EQ(last.position(), 120u);
  EXPECT_TRUE(last.feed({}, Logits::kAll).empty());
  EXPECT_TRUE(last.step({}).empty());
}

// Chosen rows are those of the tokens named, also across batches. More than kMatvecTokens of them,
// so that the last layer and the head use the same kernels as for all rows.
TEST_P(Sessions, ChosenRowsAreThoseOfTheirTokens) {
  const Tokens tokens = some_tokens(120);
  Session all(model(), {.threads = 1});
  const Rows rows = copy(all.feed(tokens, Logits::kAll));
  std::vector<std::uint32_t> chosen;
  for (std::uint32_t i = 3; i < 120; i += 5) chosen.push_back(i);
  Rows expected;
  for (const std::uint32_t i : chosen)
    append(expected, std::span(rows).subspan(std::size_t{i} * 320, 320));
  for (const std::size_t batch : {512u, 60u}) {
    Session session(model(), {.threads = 1, .batch = batch});
    const SequenceInput input{0, tokens, Logits::kChosen, chosen};
    EXPECT_EQ(copy(session.step({&input, 1})), expected) << batch;
  }
}

TEST_P(Sessions, PredictedMemoryIsWhatIsAllocated) {
  for (const std::size_t batch : {64u, 512u})
    for (const Activations activations : {Activations::kF32, Activations::kQ8}) {
      const Model m = model();
      const SessionOptions options{
          .context = 1000, .activations = activations, .batch = batch, .sequences = 2};
      const MemoryUse predicted = Session::predict_memory(m, options);
      // Two layers; 1000 positions are 16 pages of 64.
      std::size_t row_bytes = 0;
      for (const LayerConfig& layer : m.config().layers)
        row_bytes += layer.kv_heads * 2 * (m.config().key_length + m.config().value_length);
      EXPECT_EQ(predicted.kv_cache, 2 * 1024 * row_bytes);
      EXPECT_GT(predicted.weights, 100000u);
      EXPECT_LE(predicted.weights, m.gguf().file_bytes());

      CpuBackend backend(
          m.config(), m.weights(),
          {.context = 1000, .pages = 32, .batch = batch, .activations = activations});
      const Tokens tokens = some_tokens(batch);
      std::vector<std::uint32_t> pages(16);
      for (std::uint32_t i = 0; i < 16; ++i) pages[i] = i;
      const std::vector<BatchSequence> sequences = {{0, batch, 0, pages}};
      const std::vector<std::uint32_t> outputs = {0, 1};
      const Batch run{tokens, sequences, outputs};
      backend.begin(run);
      backend.embed();
      for (std::size_t layer = 0; layer < 2; ++layer) {
        backend.project_heads(layer);
        backend.attend(layer);
        backend.project_attention(layer);
        if (m.config().experts > 0) {
          backend.experts(layer);
        } else {
          backend.gate_up(layer);
          backend.down(layer);
        }
      }
      backend.keep_outputs();
      backend.head();
      backend.end();
      const double allocated = static_cast<double>(backend.allocated_bytes());
      EXPECT_NEAR(allocated / static_cast<double>(predicted.working), 1.0, 0.1);
    }
}

}  // namespace
}  // namespace brink::testing
