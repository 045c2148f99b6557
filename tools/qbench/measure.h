// Speed of a model, each sample beside a measurement of what the machine could do at that moment.
#ifndef BRINK_TOOLS_QBENCH_MEASURE_H_
#define BRINK_TOOLS_QBENCH_MEASURE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bench/roofline.h"
#include "brink/vulkan/ceilings.h"
#include "tools/qbench/options.h"
#include "tools/qbench/start.h"
#include "tools/support/engine_options.h"

namespace brink::tools {

struct Ceilings {
  double read_bytes_per_second = 0;  ///< of a device: copied, read and written
  double int8_ops_per_second = 0;
};

/// Measures what computes: this machine's processor or a Vulkan device.
class CeilingMeter {
 public:
  explicit CeilingMeter(const EngineOptions& engine);
  Ceilings measure();

 private:
  std::optional<bench::Roofline> roofline_;
  std::optional<vulkan::DeviceCeilings> device_;
};

/// One test of one file.
struct Result {
  std::string model;
  std::string type;
  std::uint64_t bytes = 0;
  std::string test;  ///< "pp512", "tg128"; "tg128@d4096" at a depth, "tg128x8" for 8 sequences
  std::size_t depth = 0;
  std::size_t sequences = 1;
  std::vector<double> tokens_per_second;  ///< of all sequences together
  std::vector<double> ratios_to_one;      ///< to the rate of one sequence, one for each sample
  std::vector<double> bandwidth_shares;   ///< one for each sample
  std::vector<double> int8_shares;
  std::vector<Ceilings> ceilings;  ///< one for each sample
  Start start;
  unsigned threads = 0;
  std::string backend;                 ///< Session::backend_name()
  std::vector<Backend::Work> profile;  ///< of all samples
};

/// Of an odd number of values the middle one, else the mean of the two; 0 of none.
double median(std::vector<double> values);

/// A model to measure: its path and how it is called in the report.
struct Candidate {
  std::string path;
  std::string name;
};

/// Runs the tests of one file; `note` is told what is being done.
std::vector<Result> measure(const Candidate& candidate, const BenchOptions& options,
                            CeilingMeter& meter,
                            const std::function<void(const std::string&)>& note);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QBENCH_MEASURE_H_
