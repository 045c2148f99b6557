#include "tools/qbench/measure.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <span>
#include <utility>

#include "tools/qbench/work.h"
#include "tools/support/engine_options.h"
#include "tools/support/synthetic_blocks.h"
#include "tools/support/type_name.h"

namespace brink::tools {
namespace {

// Long enough for some passes over the roofline's buffer, short beside a sample.
constexpr double kReadSeconds = 0.12;
constexpr double kInt8Seconds = 0.05;

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Test {
  Result result;
  std::size_t tokens = 0;
  Work work;
  std::function<void()> sample;
};

// Runs samples of each test in turn, since they are compared with each other, and sets their rates
// beside the mean of the ceilings just before and just after the sample.
void run_tests(std::span<Test> tests, const BenchOptions& options, CeilingMeter& meter) {
  Ceilings before = meter.measure();
  for (std::size_t i = 0; i < options.repetitions; ++i) {
    for (Test& test : tests) {
      const double seconds = seconds_of(test.sample);
      const Ceilings after = meter.measure();
      const Ceilings mean = {(before.read_bytes_per_second + after.read_bytes_per_second) / 2,
                             (before.int8_ops_per_second + after.int8_ops_per_second) / 2};
      Result& result = test.result;
      result.tokens_per_second.push_back(static_cast<double>(test.tokens) / seconds);
      result.ratios_to_one.push_back(result.tokens_per_second.back() /
                                     tests.front().result.tokens_per_second.back());
      result.bandwidth_shares.push_back(test.work.bytes / seconds / mean.read_bytes_per_second);
      result.int8_shares.push_back(test.work.ops / seconds / mean.int8_ops_per_second);
      result.ceilings.push_back(mean);
      before = after;
    }
  }
}

// The context of the tests at one depth.
void fill(Session& session, std::size_t depth) {
  const std::vector<std::int32_t> context =
      random_tokens(depth, session.model().config().vocabulary);
  // One sequence after the other, and no forks of one: those would share their memory.
  for (std::size_t s = 0; s < session.options().sequences; ++s) {
    session.clear(s);
    session.feed(context, Logits::kNone, s);
  }
}

Test prompt_test(Session& session, const Result& base, std::size_t count, bool logits) {
  Test test;
  test.result = base;
  test.result.test = "pp" + std::to_string(count) + (logits ? "+logits" : "");
  test.tokens = count;
  const std::size_t outputs = logits ? count - count / 2 : 1;
  test.work = prompt_work(session.model(), session.options().kv_type, count, base.depth,
                          session.options().batch, outputs);
  if (logits) {
    std::vector<std::uint32_t> chosen(outputs);
    std::iota(chosen.begin(), chosen.end(), static_cast<std::uint32_t>(count / 2));
    test.sample = [&session, chosen, depth = base.depth,
                   tokens = random_tokens(count, session.model().config().vocabulary)] {
      session.truncate(0, depth);
      const SequenceInput input{0, tokens, Logits::kChosen, chosen};
      session.step_to({&input, 1}, [](std::size_t, std::span<const float>) {});
    };
    return test;
  }
  test.sample = [&session, depth = base.depth,
                 tokens = random_tokens(count, session.model().config().vocabulary)] {
    session.truncate(0, depth);
    session.feed(tokens);
  };
  return test;
}

// As llama-bench does it; sampling is not part of it.
Test generation_test(Session& session, const Result& base, std::size_t steps,
                     std::size_t sequences) {
  Test test;
  test.result = base;
  test.result.test = "tg" + std::to_string(steps);
  test.result.sequences = sequences;
  test.tokens = steps * sequences;
  test.work =
      generation_work(session.model(), session.options().kv_type, steps, base.depth, sequences);
  test.sample = [&session, depth = base.depth, sequences, inputs = std::vector<SequenceInput>(),
                 tokens = random_tokens(steps, session.model().config().vocabulary)]() mutable {
    inputs.resize(sequences);
    for (std::size_t s = 0; s < sequences; ++s) session.truncate(s, depth);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      for (std::size_t s = 0; s < sequences; ++s) inputs[s] = {s, {&tokens[i], 1}};
      session.step_best(inputs, 1);
    }
  };
  return test;
}

}  // namespace

CeilingMeter::CeilingMeter(const EngineOptions& engine) {
  if (engine.backend == BackendKind::kVulkan && engine.device_layers > 0)
    device_.emplace(engine.device);
  else
    roofline_.emplace(engine.threads);
}

Ceilings CeilingMeter::measure() {
  if (device_)
    return {device_->copy_bytes_per_second(kReadSeconds),
            device_->int8_ops_per_second(kInt8Seconds)};
  return {roofline_->read_bytes_per_second(kReadSeconds),
          roofline_->int8_ops_per_second(kInt8Seconds)};
}

std::vector<std::int32_t> random_tokens(std::size_t count, std::size_t vocabulary) {
  Random random(count);
  std::vector<std::int32_t> ids(count);
  for (std::int32_t& id : ids) id = static_cast<std::int32_t>(random.next() % vocabulary);
  return ids;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

std::vector<Result> measure(const Candidate& candidate, const BenchOptions& options,
                            CeilingMeter& meter,
                            const std::function<void(const std::string&)>& note) {
  Result base;
  note(candidate.name + ": start");
  base.start = measure_start(candidate.path, options);
  const Model model = Model::open(candidate.path);
  base.model = candidate.name;
  base.type = type_name(model.gguf());
  base.bytes = model.gguf().file_bytes();
  base.threads = options.engine.threads;
  Session session(model, session_options(options));
  base.backend = session.backend_name();

  std::vector<Result> results;
  const auto run = [&](std::vector<Test> tests) {
    for (Test& test : tests) {
      Result& result = test.result;
      if (result.depth > 0) result.test += "@d" + std::to_string(result.depth);
      if (result.sequences > 1) result.test += "x" + std::to_string(result.sequences);
    }
    note(candidate.name + " " + base.type + ": " + tests.front().result.test);
    session.reset_profile();
    run_tests(tests, options, meter);
    tests.front().result.profile = session.profile();
    for (Test& test : tests) results.push_back(std::move(test.result));
  };
  for (const std::size_t depth : options.depths) {
    base.depth = depth;
    if (depth > 0) note(candidate.name + " " + base.type + ": context of " + std::to_string(depth));
    fill(session, depth);
    for (const std::size_t count : options.prompts) {
      if (count == 0) continue;
      Test test = prompt_test(session, base, count, options.logits);
      test.sample();  // warms the file and the buffers
      run({std::move(test)});
    }
    for (const std::size_t steps : options.generations) {
      if (steps == 0) continue;
      generation_test(session, base, 1, 1).sample();
      std::vector<Test> tests = {generation_test(session, base, steps, 1)};
      for (const std::size_t sequences : options.sequences)
        if (sequences > 1) tests.push_back(generation_test(session, base, steps, sequences));
      run(std::move(tests));
    }
  }
  return results;
}

}  // namespace brink::tools
