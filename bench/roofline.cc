// Prints the ceilings of this machine's processor.
#include "bench/roofline.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

int main(int argc, char** argv) {
  CLI::App app(
      "Measures this machine's ceilings: how fast memory is read, and how many multiply-adds\n"
      "(each two operations) it does per second in int8, bf16 and f32. Generation is bound by the\n"
      "first, prompts by the second.");
  bool json = false;
  unsigned threads = std::max(1u, std::thread::hardware_concurrency());
  double seconds = 0.5;
  app.add_flag("--json", json, "Print one JSON object instead of a table");
  app.add_option("-t,--threads", threads, "Number of threads")
      ->check(CLI::Range(1u, 1024u))
      ->capture_default_str();
  app.add_option("--seconds", seconds, "Time for each of the four measurements")
      ->check(CLI::Range(0.01, 60.0))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }

  brink::bench::Roofline roofline(threads);
  const double read = roofline.read_bytes_per_second(seconds);
  const double int8 = roofline.int8_ops_per_second(seconds);
  const double bf16 = roofline.bf16_flops_per_second(seconds);
  const double f32 = roofline.f32_flops_per_second(seconds);
  if (json) {
    const nlohmann::ordered_json result = {{"read_bytes_per_second", read},
                                           {"int8_ops_per_second", int8},
                                           {"bf16_flops_per_second", bf16},
                                           {"f32_flops_per_second", f32},
                                           {"threads", threads}};
    std::printf("%s\n", result.dump().c_str());
  } else {
    std::printf("threads         %8u (%s)\n", threads, roofline.kernels());
    std::printf("read bandwidth  %8.1f GB/s\n", read / 1e9);
    std::printf("int8            %8.0f Gop/s\n", int8 / 1e9);
    std::printf("bf16            %8.0f Gflop/s\n", bf16 / 1e9);
    std::printf("f32             %8.0f Gflop/s\n", f32 / 1e9);
  }
}
