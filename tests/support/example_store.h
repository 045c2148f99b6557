// A store of made-up results that looks like a sweep: quants of one model with two settings of
// activations and KV cache, five tasks, a text, speeds. The items are drawn from a fixed seed: each
// has a difficulty, and fewer bits move the answers of the less certain ones.
#ifndef BRINK_TESTS_SUPPORT_EXAMPLE_STORE_H_
#define BRINK_TESTS_SUPPORT_EXAMPLE_STORE_H_

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "tools/qeval/store.h"

namespace brink::testing {

struct ExampleOptions {
  std::string model_name = "brink-skills";
  std::size_t items = 200;
  bool speeds = true, text = true;
};

inline tools::RunConfig example_config(const std::string& kind, const std::string& model_name,
                                       const std::string& weights, double bits,
                                       const std::string& activations, const std::string& kv) {
  tools::RunConfig config;
  config.kind = kind;
  config.model = "models/" + weights + ".gguf";
  config.model_name = model_name;
  config.model_hash = "hash of " + model_name + " " + weights;
  config.weights = weights;
  config.bits_per_weight = bits;
  config.file_bytes = static_cast<std::uint64_t>(3.6e6 / 8 * bits) + 40000;
  config.activations = activations;
  config.kv_type = kv;
  config.threads = 2;
  return config;
}

inline void fill_example_store(tools::Store& store, const ExampleOptions& options = {}) {
  struct Quant {
    const char* name;
    double bits, noise;  // noise: standard deviation of what quantizing adds to an item's certainty
  };
  static constexpr Quant kQuants[] = {
      {"F16", 16, 0},        {"Q8_0", 8.5, 0.02},  {"Q6_K", 6.56, 0.05}, {"Q5_K_M", 5.6, 0.1},
      {"Q4_K_M", 4.85, 0.2}, {"Q3_K_M", 3.9, 0.5}, {"Q2_K", 2.96, 1.2}};
  struct Setting {
    const char *activations, *kv;
    double noise;
  };
  static constexpr Setting kSettings[] = {{"f32", "f32", 0}, {"q8", "f16", 0.03}};
  struct Task {
    const char* name;
    double ease, fragility;
    std::size_t cluster;
    bool graded;
  };
  static constexpr Task kTasks[] = {{"facts", 0.3, 1.6, 4, false},
                                    {"arithmetic", 0.9, 1.0, 1, false},
                                    {"code", -0.2, 1.3, 1, false},
                                    {"extraction", 1.6, 0.4, 1, true}};
  for (const Task& task : kTasks) {
    for (const Quant& quant : kQuants) {
      for (const Setting& setting : kSettings) {
        tools::RunConfig config = example_config("tasks", options.model_name, quant.name,
                                                 quant.bits, setting.activations, setting.kv);
        config.data = std::string("models/tasks/") + task.name + ".jsonl";
        config.data_hash = std::string("hash of ") + task.name;
        config.options = task.graded ? R"({"grader":"json","max_tokens":64})"
                                     : R"({"grader":"exact","max_tokens":64})";
        const std::int64_t run = store.open(config);
        const auto letter = [](char c) { return static_cast<std::uint64_t>(c); };
        std::mt19937_64 difficulty(1),
            change(static_cast<std::uint64_t>(quant.bits * 1000) + letter(task.name[0]) +
                   letter(setting.activations[0]));
        std::normal_distribution<double> of_item, of_change;  // they keep numbers back
        const double noise = std::hypot(quant.noise, setting.noise) * task.fragility;
        double shared = 0;
        std::vector<tools::Item> items;
        for (std::size_t i = 0; i < options.items; ++i) {
          if (i % task.cluster == 0) shared = of_change(change);
          const double own = of_change(change);
          const double certainty = task.ease + 1.5 * of_item(difficulty) -
                                   quant.noise * 0.4 * task.fragility +
                                   noise * (task.cluster > 1 ? 0.7 * shared + 0.7 * own : own);
          tools::Item item;
          item.index = static_cast<std::int64_t>(i);
          item.id = std::string(task.name) + "/" + std::to_string(i);
          if (task.cluster > 1) item.cluster = "subject " + std::to_string(i / task.cluster);
          item.correct = certainty > 0;
          item.score = item.correct ? 1 : 0;
          if (task.graded) item.score = std::round(8 / (1 + std::exp(-3 * certainty))) / 8;
          item.parsed = certainty > -4;
          item.log_probability = -std::log1p(std::exp(-certainty));
          if (task.graded) item.invented = certainty < -1.5;
          items.push_back(item);
        }
        store.add(run, items);
        store.finish(run, "{}");
      }
    }
  }
  for (const Quant& quant : kQuants) {
    for (const Setting& setting : kSettings) {
      const double noise = std::hypot(quant.noise, setting.noise);
      if (options.text && noise > 0) {
        tools::RunConfig config = example_config("divergence", options.model_name, quant.name,
                                                 quant.bits, setting.activations, setting.kv);
        config.data = "models/text/held-out.txt";
        config.data_hash = "hash of the text";
        config.base_hash = "hash of F16";
        config.options = R"({"context":512})";
        const double kl = 0.3 * noise * noise;
        char summary[200];
        std::snprintf(summary, sizeof summary,
                      R"({"kl.mean":%.9g,"kl.mean.ci":[%.9g,%.9g],"perplexity":%.9g})", kl,
                      0.9 * kl, 1.12 * kl, 7.1 * std::exp(kl));
        store.finish(store.open(config), summary);
      }
      if (options.speeds) {
        const std::int64_t run = store.open(example_config(
            "speed", options.model_name, quant.name, quant.bits, setting.activations, setting.kv));
        const bool exact = setting.activations[0] == 'f';
        store.set_speed(run,
                        {.load_seconds = 0.01 + 0.002 * quant.bits,
                         .prompt_tokens_per_second = exact ? 4000.0 : 9000.0,
                         .generation_tokens_per_second = (exact ? 700 : 1000) / (quant.bits + 2),
                         .peak_bytes = static_cast<std::uint64_t>(2e7 + 6e5 * quant.bits),
                         .warm = true});
        store.finish(run, "{}");
      }
    }
  }
}

}  // namespace brink::testing

#endif  // BRINK_TESTS_SUPPORT_EXAMPLE_STORE_H_
