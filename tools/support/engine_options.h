// The options that decide what computes and how it rounds.
#ifndef BRINK_TOOLS_SUPPORT_ENGINE_OPTIONS_H_
#define BRINK_TOOLS_SUPPORT_ENGINE_OPTIONS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "brink/cpu/activations.h"
#include "brink/cpu/kernels.h"
#include "brink/model/session.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace brink::tools {

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

#endif  // BRINK_TOOLS_SUPPORT_ENGINE_OPTIONS_H_
