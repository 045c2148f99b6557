#include "tools/qbench/measure.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "brink/quant/mixes.h"
#include "tools/qbench/work.h"
#include "tools/support/synthetic_blocks.h"

namespace brink::tools {
namespace {

// Long enough for some passes over the roofline's buffer, short beside a sample.
constexpr double kReadSeconds = 0.12;
constexpr double kInt8Seconds = 0.05;

Ceilings measure_ceilings(bench::Roofline& roofline) {
  return {roofline.read_bytes_per_second(kReadSeconds), roofline.int8_ops_per_second(kInt8Seconds)};
}

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The mix by which the file was made, else the type of most of its bytes.
std::string type_name(const Gguf& gguf) {
  if (const auto file_type = gguf.get_uint("general.file_type"))
    if (const auto mix = mix_of_file_type(*file_type)) return mix->name;
  std::map<std::string, std::uint64_t> bytes;
  for (const GgufTensor& tensor : gguf.tensors()) bytes[size_of(tensor.type).name] += tensor.bytes;
  const auto most = std::max_element(
      bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == bytes.end() ? "" : most->first;
}

// Runs `sample` and sets its rates beside the mean of the ceilings just before and just after it.
void run_test(Result& result, const BenchOptions& options, bench::Roofline& roofline,
              std::size_t tokens, const Work& work, const std::function<void()>& sample) {
  Ceilings before = measure_ceilings(roofline);
  for (std::size_t i = 0; i < options.repetitions; ++i) {
    const double seconds = seconds_of(sample);
    const Ceilings after = measure_ceilings(roofline);
    const Ceilings mean = {(before.read_bytes_per_second + after.read_bytes_per_second) / 2,
                           (before.int8_ops_per_second + after.int8_ops_per_second) / 2};
    result.tokens_per_second.push_back(static_cast<double>(tokens) / seconds);
    result.bandwidth_shares.push_back(work.bytes / seconds / mean.read_bytes_per_second);
    result.int8_shares.push_back(work.ops / seconds / mean.int8_ops_per_second);
    result.ceilings.push_back(mean);
    before = after;
  }
}

}  // namespace

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
                            bench::Roofline& roofline,
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
  const std::size_t vocabulary = model.config().vocabulary;

  std::vector<Result> results;
  if (options.prompt > 0) {
    Result& result = results.emplace_back(base);
    result.test = "pp" + std::to_string(options.prompt);
    note(candidate.name + " " + result.type + ": " + result.test);
    const std::vector<std::int32_t> prompt = random_tokens(options.prompt, vocabulary);
    const auto sample = [&] {
      session.clear(0);
      session.feed(prompt);
    };
    sample();  // warms the file and the buffers
    run_test(result, options, roofline, options.prompt,
             prompt_work(model, options.prompt, session.options().batch), sample);
  }
  if (options.generate > 0) {
    Result& result = results.emplace_back(base);
    result.test = "tg" + std::to_string(options.generate);
    note(candidate.name + " " + result.type + ": " + result.test);
    const std::vector<std::int32_t> tokens = random_tokens(options.generate, vocabulary);
    // From an empty context, as llama-bench does it; sampling is not part of it.
    const auto generate = [&](std::size_t count) {
      session.clear(0);
      for (std::size_t i = 0; i < count; ++i) session.feed({&tokens[i], 1});
    };
    generate(1);
    run_test(result, options, roofline, options.generate, generation_work(model, options.generate),
             [&] { generate(tokens.size()); });
  }
  return results;
}

}  // namespace brink::tools
