// Measures how fast models run on this machine, and how near that is to what it can do.
#include <unistd.h>

#include <cstdio>

#include "brink/cpu/thread_pool.h"
#include "tools/qbench/measure.h"
#include "tools/qbench/options.h"
#include "tools/qbench/report.h"
#include "tools/qbench/start.h"
#include "tools/support/cli.h"
#include "tools/support/engine_options.h"
#include "tools/support/synthetic_model.h"
#include "tools/support/table.h"
#include "tools/support/usage_error.h"

namespace brink::tools {
namespace {

std::vector<Mix> find_mixes(const std::vector<std::string>& types) {
  std::vector<Mix> mixes;
  for (const std::string& type : types) {
    const std::optional<Mix> mix = find_mix(type);
    if (!mix) {
      std::string known;
      for (const std::string_view name : mix_names()) known += " " + std::string(name);
      throw UsageError("--types: no type '" + type + "'; there are" + known +
                       " and pure:TYPE for files of one type");
    }
    mixes.push_back(*mix);
  }
  return mixes;
}

std::vector<Candidate> find_candidates(const BenchOptions& options) {
  std::vector<Candidate> candidates;
  for (const std::string& model : options.models) candidates.push_back({model, model});
  const std::vector<Mix> mixes = find_mixes(options.types);
  std::vector<SyntheticShape> shapes;
  for (const std::string& name : options.shapes) shapes.push_back(find_shape(name));
  for (const SyntheticShape& shape : shapes)
    for (const Mix& mix : mixes)
      candidates.push_back(
          {synthetic_model(shape, mix, options.cache_folder, false), std::string(shape.name)});
  // A file that cannot be run should be known before minutes are spent on the others.
  for (const Candidate& candidate : candidates) Model::open(candidate.path);
  return candidates;
}

void note(const std::string& text) {
  if (::isatty(STDERR_FILENO) == 1) std::fprintf(stderr, "\r\x1b[K%s", text.c_str());
}

void clean_cache(const BenchOptions& options) {
  const std::uint64_t bytes = delete_synthetic_models(options.cache_folder);
  std::fprintf(stderr, "deleted %s of synthetic models in %s\n", human_bytes(bytes).c_str(),
               options.cache_folder.c_str());
}

int run(BenchOptions& options) {
  if (options.engine.threads == 0) options.engine.threads = ThreadPool::default_threads();
  if (options.measure_start != 0) return report_start(options);
  if (options.json && options.csv) throw UsageError("--json and --csv exclude each other");
  if (options.profile && options.engine.backend != BackendKind::kVulkan)
    throw UsageError("--profile needs --backend vulkan; on the CPU use perf");
  if (largest(options.prompts) == 0 && largest(options.generations) == 0)
    throw UsageError("-p and -n are both 0");
  if (largest(options.sequences) > 1 && largest(options.generations) == 0)
    throw UsageError("--sequences is about generation, and -n is 0");
  if (options.cache_folder.empty() && (!options.shapes.empty() || options.delete_cache))
    options.cache_folder = default_cache_folder();
  if (options.models.empty() && options.shapes.empty()) {
    if (!options.delete_cache) throw UsageError("nothing to measure: give -m or --synthetic");
    clean_cache(options);
    return 0;
  }
  std::vector<Result> results;
  const std::vector<Candidate> candidates = find_candidates(options);
  CeilingMeter meter(options.engine);
  for (const Candidate& candidate : candidates)
    for (Result& result : measure(candidate, options, meter, note))
      results.push_back(std::move(result));
  note("");
  const std::string report = options.json  ? json_report(results)
                             : options.csv ? csv_report(results)
                                           : table_report(results);
  std::fputs(report.c_str(), stdout);
  if (options.delete_cache) clean_cache(options);
  return 0;
}

}  // namespace
}  // namespace brink::tools

int main(int argc, char** argv) {
  using namespace brink::tools;
  BenchOptions options;
  CLI::App app(
      "Measures how fast models run on this machine: reading a prompt (pp512: tokens per second "
      "of\n"
      "a prompt of 512 tokens), generating (tg128: 128 tokens, one after the other), the time "
      "until\n"
      "the first token, and memory. Shares say how much of the machine's read bandwidth and 8-bit\n"
      "arithmetic is used; generation is bound by the first, prompts by the second.\n\n"
      "  qbench -m a.gguf -m b.gguf\n"
      "  qbench --synthetic llama-3.2-1b --types Q8_0,Q4_K_M    no model file needed\n"
      "  qbench -m a.gguf -p 512,4096 -d 0,4096 --sequences 8",
      "qbench");
  app.add_option("-m,--model", options.models, "GGUF file to measure; may be repeated")
      ->option_text("FILE")
      ->allow_extra_args(false);
  constexpr std::size_t kMaxTokens = std::size_t{1} << 20;
  const auto add_numbers = [&](const std::string& name, std::vector<std::size_t>& values,
                               const std::string& help, CLI::Range range, const std::string& text) {
    app.add_option(name, values, help)
        ->check(range)
        ->delimiter(',')
        ->option_text("N,... " + text)
        ->allow_extra_args(false);
  };
  const CLI::Range tokens(std::size_t{0}, kMaxTokens);
  add_numbers("-p,--prompt", options.prompts, "Tokens of the prompt test; 0: none", tokens,
              "(default: 512)");
  add_numbers("-n,--generate", options.generations, "Tokens of the generation test; 0: none",
              tokens, "(default: 128)");
  add_numbers("-d,--depth", options.depths, "Tokens in the context before each test", tokens,
              "(default: 0)");
  add_numbers("--sequences", options.sequences,
              "Generate also in so many sequences together, and compare with one",
              CLI::Range(std::size_t{1}, std::size_t{1024}), "(default: 1)");
  app.add_option("-r,--repetitions", options.repetitions, "Samples of each test")
      ->check(CLI::Range(std::size_t{1}, std::size_t{10000}))
      ->option_text("N (default: 5)");
  add_engine_options(app, options.engine);
  app.add_flag(
      "--logits", options.logits,
      "Prompt tests compute the logits of the second half of the prompt, as qeval perplexity\n"
      "does, and not only those of the last token");
  app.add_flag("--profile", options.profile,
               "Show how much of each test's time every shader took (--backend vulkan); rates are\n"
               "then lower, since shaders run one by one");
  std::string shapes;
  for (const SyntheticShape& shape : synthetic_shapes())
    shapes += (shapes.empty() ? "" : ", ") + std::string(shape.name);
  app.add_option("--synthetic", options.shapes,
                 "Measure files with random weights in the shape of a known model, built once in\n"
                 "the cache folder: " +
                     shapes)
      ->delimiter(',')
      ->option_text("SHAPE,...")
      ->allow_extra_args(false);
  app.add_option("--types", options.types,
                 "Quantizations of synthetic models: Q8_0, Q6_K, Q5_K_M, Q4_K_M, IQ4_XS, Q3_K_M,\n"
                 "Q2_K, ..., or pure:TYPE")
      ->delimiter(',')
      ->option_text("TYPE,... (default: Q8_0,Q4_K_M)")
      ->allow_extra_args(false);
  app.add_option("--cache-dir", options.cache_folder,
                 "Folder of synthetic models (default: $XDG_CACHE_HOME/brink or ~/.cache/brink)")
      ->option_text("FOLDER");
  app.add_flag("--delete-cache", options.delete_cache,
               "Delete all synthetic models of the cache folder, at the end or alone");
  app.add_flag("--json", options.json, "Print a JSON array");
  app.add_flag("--csv", options.csv, "Print comma-separated values");
  app.add_option("--measure-start", options.measure_start)->group("");  // for itself: see start.h
  return run_tool(app, argc, argv, [&] { return run(options); });
}
