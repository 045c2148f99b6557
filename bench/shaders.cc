// The products of every weight type on a Vulkan device: generation (1 and 8 tokens, weights larger
// than a GPU's cache) as a share of the device's copy bandwidth, for several cuts of the
// matrix-vector shaders; prompts by each kind of tiles. What to look at before a cut is changed in
// vulkan/products.h.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "brink/quant/format.h"
#include "brink/vulkan/ceilings.h"
#include "brink/vulkan/format_tables.h"
#include "brink/vulkan/products.h"
#include "tests/support/random_blocks.h"

namespace {

using brink::Activations;
using brink::vulkan::MatvecShape;
using Clock = std::chrono::steady_clock;
using u32 = std::uint32_t;

struct Settings {
  double seconds = 0.2;
  u32 columns = 4096;
  u32 rows = 4096;
  u32 tokens = 512;
  std::uint64_t megabytes = 512;
  std::string device;
  bool all_shapes = false;
};

class Bench {
 public:
  explicit Bench(const Settings& settings)
      : settings_(settings),
        device_(brink::vulkan::Device::open({.device = settings.device})),
        recording_(*device_) {
    const std::vector<u32> tables = brink::vulkan::format_tables();
    tables_ = device_->allocate(tables.size() * 4, brink::vulkan::Memory::kUpload, "tables");
    std::memcpy(tables_.mapped(), tables.data(), tables.size() * 4);
    const std::uint64_t values = std::uint64_t{settings.tokens} * settings.columns;
    x_ = device_->allocate(values * 4, brink::vulkan::Memory::kUpload, "activations");
    std::mt19937_64 random(1);
    std::normal_distribution<float> normal;
    for (std::uint64_t i = 0; i < values; ++i) x_.as<float>()[i] = normal(random);
    y_ = device_->allocate(std::uint64_t{settings.tokens} * settings.rows * 4,
                           brink::vulkan::Memory::kDevice, "results");
  }

  const brink::vulkan::Device& device() const { return *device_; }

  /// Matrices of one type, together as large as wanted.
  void fill(brink::TensorType type) {
    const brink::Format& format = brink::format_of(type);
    const std::uint64_t row = brink::row_bytes(type, settings_.columns);
    const std::uint64_t bytes = row * settings_.rows;
    const std::uint64_t count = std::max<std::uint64_t>(1, (settings_.megabytes << 20) / bytes);
    weights_ = device_->allocate(bytes * count, brink::vulkan::Memory::kDevice, "weights");
    // Sixteen rows, repeated: speed does not depend on the values.
    std::mt19937_64 random(2);
    std::vector<std::uint8_t> some(16 * row, 0x3c);
    if (format.quantized)
      some = brink::testing::random_blocks(type, 16 * std::size_t{settings_.columns}, random);
    brink::vulkan::Buffer staging =
        device_->allocate(some.size(), brink::vulkan::Memory::kUpload, "weights");
    std::memcpy(staging.mapped(), some.data(), some.size());
    recording_.begin();
    for (std::uint64_t at = 0; at < bytes * count; at += some.size())
      recording_.copy(staging, 0, weights_, at,
                      std::min<std::uint64_t>(some.size(), bytes * count - at));
    recording_.end();
    device_->run(recording_);
    matrices_.clear();
    for (std::uint64_t i = 0; i < count; ++i) {
      brink::vulkan::DeviceMatrix m;
      m.type = type;
      m.rows = settings_.rows;
      m.columns = settings_.columns;
      m.row_bytes = static_cast<u32>(row);
      m.parts = {{weights_.address() + i * bytes, 0, settings_.rows}};
      matrices_.push_back(m);
    }
  }

  /// Median seconds of a product of `tokens` with the first `count` matrices (0: all), one after
  /// the other as far as the device does not overlap them.
  double time(Activations form, u32 tokens, std::size_t count, const MatvecShape* shape) {
    brink::vulkan::Products products(*device_, form, settings_.tokens, settings_.columns,
                                     tables_.address());
    if (shape != nullptr) products.set_matvec_shape(*shape);
    std::vector<brink::vulkan::DeviceProduct> all;
    for (const brink::vulkan::DeviceMatrix& m : matrices_)
      if (count == 0 || all.size() < count) all.push_back({&m, y_.address(), m.rows});
    recording_.begin();
    products.multiply(recording_, {x_.address(), settings_.columns, tokens}, settings_.columns,
                      all);
    recording_.end();
    std::vector<double> times;
    const Clock::time_point start = Clock::now();
    do {
      const Clock::time_point begin = Clock::now();
      device_->run(recording_);
      times.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
    } while (times.size() < 3 ||
             std::chrono::duration<double>(Clock::now() - start).count() < settings_.seconds);
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
  }

  std::uint64_t bytes() const { return weights_.size(); }

 private:
  const Settings& settings_;
  std::shared_ptr<brink::vulkan::Device> device_;
  brink::vulkan::Recording recording_;
  brink::vulkan::Buffer tables_, x_, y_, weights_;
  std::vector<brink::vulkan::DeviceMatrix> matrices_;
};

void measure(Bench& bench, const brink::Format& format, const Settings& s, double copy,
             nlohmann::json& out, bool print) {
  bench.fill(format.type);
  std::vector<MatvecShape> shapes = {MatvecShape::for_device(bench.device().info())};
  if (s.all_shapes)
    for (const u32 local : {32u, 64u, 128u})
      for (const u32 rows : {1u, 2u, 4u}) shapes.push_back({local, rows, std::min(rows, 2u)});
  for (const MatvecShape& shape : shapes)
    for (const u32 tokens : {1u, 8u}) {
      const double seconds = bench.time(Activations::kQ8, tokens, 0, &shape);
      const double rate = static_cast<double>(bench.bytes()) / seconds;
      const u32 rows = tokens == 1 ? shape.rows : shape.many_rows;
      out.push_back({{"type", format.name},
                     {"tokens", tokens},
                     {"local", shape.local},
                     {"rows", rows},
                     {"bytes_per_second", rate},
                     {"share", rate / copy}});
      if (print)
        std::printf("%-8s %4u tokens, %3u invocations x %u rows %10.1f GB/s %6.3f of copies\n",
                    format.name, tokens, shape.local, rows, rate / 1e9, rate / copy);
    }
  for (const Activations form : {Activations::kQ8, Activations::kF32}) {
    const double seconds = bench.time(form, s.tokens, 1, nullptr);
    const double operations = 2.0 * s.rows * static_cast<double>(s.columns) * s.tokens;
    const char* const name = form == Activations::kF32      ? "f32"
                             : bench.device().cooperative() ? "f16 cooperative"
                                                            : "int8";
    out.push_back({{"type", format.name},
                   {"tokens", s.tokens},
                   {"tiles", name},
                   {"operations_per_second", operations / seconds}});
    if (print)
      std::printf("%-8s %4u tokens, tiles of %-16s %8.2f TOP/s\n", format.name, s.tokens, name,
                  operations / seconds / 1e12);
  }
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  bool json = false;
  std::string types = "Q8_0,Q6_K,Q4_K,Q4_0,IQ4_XS,F16";
  CLI::App app{"Speed of brink's products on a Vulkan device, per weight type"};
  app.add_option("--types", types, "comma-separated weight types")->capture_default_str();
  app.add_option("--seconds", s.seconds, "time per measurement")->capture_default_str();
  app.add_option("--columns", s.columns, "row length, a multiple of 256")->capture_default_str();
  app.add_option("--rows", s.rows, "rows of a matrix")->capture_default_str();
  app.add_option("--tokens", s.tokens, "tokens of a prompt")->capture_default_str();
  app.add_option("--megabytes", s.megabytes, "weights of the generation product")
      ->capture_default_str();
  app.add_option("--device", s.device, "number or part of the name (default: the best one)");
  app.add_flag("--all-shapes", s.all_shapes, "several cuts of the matrix-vector shaders");
  app.add_flag("--json", json, "JSON instead of lines");
  CLI11_PARSE(app, argc, argv);
  try {
    if (s.columns == 0 || s.columns % 256 != 0)
      throw brink::Error("--columns must be a multiple of 256");
    if (s.rows == 0 || s.tokens < 8) throw brink::Error("--rows and --tokens are too small");
    Bench bench(s);
    const double copy = brink::vulkan::DeviceCeilings(s.device).copy_bytes_per_second(s.seconds);
    if (!json)
      std::printf("%s (%s), copies %.1f GB/s\n", bench.device().info().name.c_str(),
                  bench.device().info().driver.c_str(), copy / 1e9);
    nlohmann::json all = nlohmann::json::array();
    const std::string wanted = "," + types + ",";
    for (const brink::Format& format : brink::formats())
      if (wanted.find("," + std::string(format.name) + ",") != wanted.npos)
        measure(bench, format, s, copy, all, !json);
    if (all.empty()) throw brink::Error("--types " + types + ": no weight type of that name");
    if (json)
      std::printf("%s\n", nlohmann::json{{"device", bench.device().info().name},
                                         {"driver", bench.device().info().driver},
                                         {"copy_bytes_per_second", copy},
                                         {"products", all}}
                              .dump(2)
                              .c_str());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "shaders: %s\n", e.what());
    return 1;
  }
  return 0;
}
