#include "tools/qeval/run_config.h"

#include "brink/core/error.h"
#include "brink/cpu/thread_pool.h"
#include "tools/support/engine_options.h"
#include "tools/support/model_size.h"
#include "tools/support/type_name.h"

namespace brink::tools {

RunConfig describe(const std::string& kind, const Model& model, const SessionOptions& session,
                   const std::string& model_hash) {
  const Gguf& gguf = model.gguf();
  RunConfig config;
  config.kind = kind;
  config.model = gguf.path();
  config.model_name = gguf.get_string("general.name").value_or("");
  config.model_hash = model_hash;
  config.weights = type_name(gguf);
  config.bits_per_weight = bits_per_weight(gguf);
  config.file_bytes = gguf.file_bytes();
  config.activations = name_of(session.activations);
  config.kv_type = name_of(session.kv_type);
  if (session.backend == BackendKind::kVulkan) {
    config.backend = "vulkan";
    if (session.device_layers != kAllLayers)
      config.backend += " " + std::to_string(session.device_layers);
  }
  config.threads = session.threads == 0 ? ThreadPool::default_threads() : session.threads;
  return config;
}

Json stored_object(const Store& store, std::int64_t run, const std::string& what,
                   const std::string& text) {
  Json json = parse_json_if_any(text);
  if (!json.is_object())
    throw Error("is damaged: " + what + " of run " + std::to_string(run) + " is no JSON object",
                {.file = store.path()});
  return json;
}

}  // namespace brink::tools
