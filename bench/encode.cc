// Speed of the encoders: million weights per second and thread for every type and effort, and the
// error that they leave on normal weights.
#include "brink/quant/encode.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "brink/core/error.h"
#include "brink/cpu/kernels.h"
#include "brink/quant/format.h"

namespace {

using Clock = std::chrono::steady_clock;

// Seconds that `work` takes: the median of the runs that fit into `seconds`, at least three.
template <class Work>
double time_of(double seconds, Work work) {
  std::vector<double> times;
  const Clock::time_point start = Clock::now();
  do {
    const Clock::time_point begin = Clock::now();
    work();
    times.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
  } while (times.size() < 3 ||
           std::chrono::duration<double>(Clock::now() - start).count() < seconds);
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

double relative_error(const std::vector<float>& want, const std::vector<float>& got) {
  double error = 0.0, all = 0.0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double w = static_cast<double>(want[i]), e = w - static_cast<double>(got[i]);
    error += e * e;
    all += w * w;
  }
  return std::sqrt(error / all);
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t weights = 1 << 16;
  double seconds = 0.3;
  bool json = false, importance = false;
  std::string types, isa;
  CLI::App app{"Speed of brink's encoders on one thread, and their error on normal weights"};
  app.add_option("--types", types, "comma-separated types (default: all with encoders)");
  app.add_option("--weights", weights, "weights per row, a multiple of 256")->capture_default_str();
  app.add_option("--seconds", seconds, "time per measurement")->capture_default_str();
  app.add_option("--isa", isa, "instruction set (default: the fastest)");
  app.add_flag("--importance", importance, "weigh the errors of columns");
  app.add_flag("--json", json, "JSON instead of a table");
  CLI11_PARSE(app, argc, argv);
  try {
    const brink::Kernels* kernels = isa.empty() ? &brink::best_kernels() : brink::find_kernels(isa);
    if (kernels == nullptr) throw brink::Error("--isa " + isa + ": not available here");
    if (weights == 0 || weights % 256 != 0) {
      throw brink::Error("--weights must be a multiple of 256");
    }
    std::mt19937_64 random(1);
    std::normal_distribution<float> normal(0.0f, 0.02f);
    std::lognormal_distribution<float> lognormal(0.0f, 1.0f);
    std::vector<float> row(weights), columns(weights), decoded(weights);
    for (float& w : row) w = normal(random);
    for (float& c : columns) c = lognormal(random);
    nlohmann::json all = nlohmann::json::array();
    if (!json) {
      std::printf("%s, one thread, %zu normal weights\n", kernels->name, weights);
      std::printf("%-8s %12s %10s %12s %10s\n", "type", "Mweights/s", "error", "high effort",
                  "error");
    }
    const std::string wanted = "," + types + ",";
    for (const brink::Format& format : brink::formats()) {
      const brink::EncodeFn encode = kernels->encode[static_cast<std::size_t>(format.type)];
      if (encode == nullptr) continue;
      if (!types.empty() && wanted.find("," + std::string(format.name) + ",") == wanted.npos) {
        continue;
      }
      std::vector<std::uint8_t> blocks(brink::row_bytes(format.type, weights));
      nlohmann::json r = {{"type", format.name}, {"isa", kernels->name}};
      for (const brink::Effort effort : {brink::Effort::kDefault, brink::Effort::kHigh}) {
        const double t = time_of(seconds, [&] {
          encode(row.data(), importance ? columns.data() : nullptr, weights, effort, blocks.data());
        });
        format.decode(blocks.data(), decoded.data(), weights);
        r[effort == brink::Effort::kDefault ? "default" : "high"] = {
            {"weights_per_second", static_cast<double>(weights) / t},
            {"relative_error", relative_error(row, decoded)}};
      }
      all.push_back(r);
      if (json) continue;
      std::printf("%-8s %12.1f %10.6f %12.1f %10.6f\n", format.name,
                  r["default"]["weights_per_second"].get<double>() / 1e6,
                  r["default"]["relative_error"].get<double>(),
                  r["high"]["weights_per_second"].get<double>() / 1e6,
                  r["high"]["relative_error"].get<double>());
      std::fflush(stdout);
    }
    if (json) std::printf("%s\n", all.dump(2).c_str());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "encode: %s\n", e.what());
    return 1;
  }
  return 0;
}
