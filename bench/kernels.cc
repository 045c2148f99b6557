// The products of every weight type: generation (matrix-vector, weights larger than any cache) as a
// share of the read bandwidth, prompts (matrix-matrix, 512 tokens) as a share of the int8 rate (of
// the f32 or bf16 rate for those activations), each beside a ceiling measured right before it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "bench/roofline.h"
#include "brink/cpu/product.h"
#include "brink/quant/format.h"
#include "tests/support/random_blocks.h"

namespace {

using brink::Activations;
using Clock = std::chrono::steady_clock;

struct Rates {
  double median, min, max;
};

// Runs `work` until `seconds` have passed, at least five times.
template <class Work>
Rates time_of(double seconds, Work work) {
  std::vector<double> times;
  const Clock::time_point start = Clock::now();
  do {
    const Clock::time_point begin = Clock::now();
    work();
    times.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
  } while (times.size() < 5 ||
           std::chrono::duration<double>(Clock::now() - start).count() < seconds);
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times.front(), times.back()};
}

struct Settings {
  unsigned threads = 0;
  double seconds = 0.3;
  std::size_t columns = 2048;
  std::size_t tokens = 512;
  std::size_t megabytes = 256;
  std::string isa;
  Activations activations = Activations::kQ8;
};

nlohmann::json measure(const brink::Format& format, const Settings& s,
                       const brink::Kernels& kernels, brink::ThreadPool& pool,
                       brink::bench::Roofline& roofline) {
  std::mt19937_64 random(1);
  const std::size_t row = brink::row_bytes(format.type, s.columns);
  const std::size_t rows = (s.megabytes << 20) / row / 64 * 64;
  // A few distinct rows, repeated: speed does not depend on the values.
  std::vector<std::uint8_t> some;
  if (format.quantized) {
    some = brink::testing::random_blocks(format.type, 16 * s.columns, random);
  } else {
    some.assign(16 * row, 0x3c);
  }
  std::vector<std::uint8_t> weights(rows * row);
  for (std::size_t at = 0; at < weights.size(); at += some.size()) {
    std::copy_n(some.begin(), std::min(some.size(), weights.size() - at),
                weights.begin() + static_cast<std::ptrdiff_t>(at));
  }
  std::vector<float> x(s.tokens * s.columns);
  std::normal_distribution<float> normal;
  for (float& v : x) v = normal(random);

  brink::ActivationBuffer buffer;
  brink::ProductScratch scratch;
  std::vector<float> y(std::max(8 * rows, s.tokens * std::size_t{8192}));
  nlohmann::json out = {{"type", format.name}, {"isa", kernels.name}};
  for (const std::size_t tokens : {std::size_t{1}, std::size_t{8}}) {
    const double ceiling = roofline.read_bytes_per_second(s.seconds / 2);
    const Rates t = time_of(s.seconds, [&] {
      buffer.assign(x.data(), s.columns, tokens, s.columns, s.activations);
      const brink::Product p{{weights.data(), format.type, rows, s.columns, 1.0f}, y.data(), rows};
      brink::multiply(pool, kernels, {&p, 1}, buffer, scratch);
    });
    const double rate = static_cast<double>(weights.size()) / t.median;
    const std::string key = tokens == 1 ? "matvec" : "matvec_8_tokens";
    out[key] = {{"bytes_per_second", rate}, {"bandwidth_share", rate / ceiling}};
  }
  const std::size_t prompt_rows = std::min<std::size_t>(rows, 8192);
  const double ceiling =
      s.activations == Activations::kF32    ? roofline.f32_flops_per_second(s.seconds / 2)
      : s.activations == Activations::kBf16 ? roofline.bf16_flops_per_second(s.seconds / 2)
                                            : roofline.int8_ops_per_second(s.seconds / 2);
  const Rates t = time_of(s.seconds, [&] {
    buffer.assign(x.data(), s.columns, s.tokens, s.columns, s.activations);
    const brink::Product p{
        {weights.data(), format.type, prompt_rows, s.columns, 1.0f}, y.data(), prompt_rows};
    brink::multiply(pool, kernels, {&p, 1}, buffer, scratch);
  });
  const double operations =
      2.0 * static_cast<double>(prompt_rows) * static_cast<double>(s.columns * s.tokens);
  out["matmul"] = {{"ops_per_second", operations / t.median},
                   {"share", operations / t.median / ceiling},
                   {"tokens", s.tokens}};
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  bool json = false;
  std::string types, activations = "q8";
  CLI::App app{"Speed of brink's products per weight type, as shares of this machine's ceilings"};
  app.add_option("-t,--threads", s.threads, "threads (default: all cores)");
  app.add_option("--types", types, "comma-separated types (default: all with products)");
  app.add_option("--seconds", s.seconds, "time per measurement")->capture_default_str();
  app.add_option("--columns", s.columns, "row length, a multiple of 256")->capture_default_str();
  app.add_option("--tokens", s.tokens, "tokens of the prompt product")->capture_default_str();
  app.add_option("--megabytes", s.megabytes, "weights of the generation product")
      ->capture_default_str();
  app.add_option("--isa", s.isa, "instruction set (default: the fastest)");
  app.add_option("--activations", activations, "f32, bf16 or q8")
      ->check(CLI::IsMember({"f32", "bf16", "q8"}))
      ->capture_default_str();
  app.add_flag("--json", json, "JSON instead of a table");
  CLI11_PARSE(app, argc, argv);
  s.activations = activations == "f32"    ? Activations::kF32
                  : activations == "bf16" ? Activations::kBf16
                                          : Activations::kQ8;
  try {
    const brink::Kernels* kernels =
        s.isa.empty() ? &brink::best_kernels() : brink::find_kernels(s.isa);
    if (kernels == nullptr) throw brink::Error("--isa " + s.isa + ": not available here");
    if (s.columns == 0 || s.columns % 256 != 0) {
      throw brink::Error("--columns must be a multiple of 256");
    }
    brink::ThreadPool pool(s.threads);
    brink::bench::Roofline roofline(pool.threads());
    nlohmann::json all = nlohmann::json::array();
    if (!json) {
      std::printf("%s, %u threads, %zu columns, %s activations\n", kernels->name, pool.threads(),
                  s.columns, activations.c_str());
      std::printf("%-8s %10s %6s %16s %6s %12s %6s\n", "type", "GB/s", "share", "8 tokens GB/s",
                  "share", "prompt GOP/s", "share");
    }
    const std::string wanted = "," + types + ",";
    for (const brink::Format& format : brink::formats()) {
      const bool number = !format.quantized && format.type != brink::TensorType::kF32 &&
                          format.type != brink::TensorType::kF16 &&
                          format.type != brink::TensorType::kBF16;
      if (number) continue;
      if (!types.empty() && wanted.find("," + std::string(format.name) + ",") == wanted.npos) {
        continue;
      }
      const nlohmann::json r = measure(format, s, *kernels, pool, roofline);
      all.push_back(r);
      if (json) continue;
      std::printf("%-8s %10.1f %6.2f %16.1f %6.2f %12.0f %6.2f\n", format.name,
                  r["matvec"]["bytes_per_second"].get<double>() / 1e9,
                  r["matvec"]["bandwidth_share"].get<double>(),
                  r["matvec_8_tokens"]["bytes_per_second"].get<double>() / 1e9,
                  r["matvec_8_tokens"]["bandwidth_share"].get<double>(),
                  r["matmul"]["ops_per_second"].get<double>() / 1e9,
                  r["matmul"]["share"].get<double>());
      std::fflush(stdout);
    }
    if (json) std::printf("%s\n", all.dump(2).c_str());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "kernels: %s\n", e.what());
    return 1;
  }
  return 0;
}
