// What all command-line tools share: parsing, errors and their exit codes, common options.
#ifndef BRINK_TOOLS_SUPPORT_CLI_H_
#define BRINK_TOOLS_SUPPORT_CLI_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "brink/cpu/activations.h"
#include "brink/cpu/kernels.h"
#include "brink/model/session.h"

namespace brink::tools {

/// Keys keep their order.
using Json = nlohmann::ordered_json;

/// One line (or indented lines), with bytes that are no UTF-8 replaced.
std::string to_text(const Json& json, int indent = -1);

/// Parses and runs a tool. Exit codes: 0; 1 with "NAME: what went wrong" on stderr for anything
/// thrown by `body` or standard output that cannot be written; 2 for wrong usage.
int run_tool(CLI::App& app, int argc, char** argv, const std::function<int()>& body);

/// What SIGINT says before it ends the process: with a bar on the terminal, its line is ended
/// first. A process that was started with SIGINT ignored goes on ignoring it. `text` is one line.
void say_on_interrupt(const std::string& text);

/// A number from `low` to `high`: CLI::Range lets NaN pass.
CLI::Validator number_from(double low, double high);

/// Wrong usage that parsing alone cannot find. Exit code 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Set by --backend, --device, --gpu-layers, --activations, --kv-type and --threads.
struct EngineOptions {
  Activations activations = Activations::kQ8;
  KvType kv_type = KvType::kF16;
  unsigned threads = 0;  ///< 0: one per core
  BackendKind backend = BackendKind::kCpu;
  std::string device;
  std::size_t device_layers = kAllLayers;

  void apply(SessionOptions& session) const;
};
void add_engine_options(CLI::App& app, EngineOptions& options);
/// The same without --activations and --kv-type, and these as lists.
void add_device_options(CLI::App& app, EngineOptions& options);
void add_rounding_lists(CLI::App& app, std::vector<Activations>& activations,
                        std::vector<KvType>& kv_types);

/// --threads alone.
void add_threads(CLI::App& app, unsigned& threads);

/// The word on the command line for it: "q8", "f16".
std::string name_of(Activations activations);
std::string name_of(KvType type);

/// Arguments that add_engine_options() reads as these options.
std::vector<std::string> engine_arguments(const EngineOptions& options);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_SUPPORT_CLI_H_
