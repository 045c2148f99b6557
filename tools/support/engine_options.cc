#include "tools/support/engine_options.h"

#include <algorithm>
#include <utility>

#include "tools/support/cli.h"
#include "tools/support/upload_progress.h"

namespace brink::tools {
namespace {

template <class T>
using Choices = std::vector<std::pair<std::string, T>>;

const Choices<Activations>& activation_choices() {
  static const Choices<Activations> choices = {{"f32", Activations::kF32},
                                               {"bf16", Activations::kBf16},
                                               {"q8", Activations::kQ8},
                                               {"int8-token", Activations::kInt8Token},
                                               {"int8-tensor", Activations::kInt8Tensor},
                                               {"fp8", Activations::kFp8}};
  return choices;
}

const Choices<KvType>& kv_choices() {
  static const Choices<KvType> choices = {{"f32", KvType::kF32},
                                          {"f16", KvType::kF16},
                                          {"q8_0", KvType::kQ8_0},
                                          {"q4_0", KvType::kQ4_0}};
  return choices;
}

const Choices<BackendKind>& backend_choices() {
  static const Choices<BackendKind> choices = {{"cpu", BackendKind::kCpu},
                                               {"vulkan", BackendKind::kVulkan}};
  return choices;
}

template <class T>
std::string word_for(T value, const Choices<T>& choices) {
  for (const auto& [word, meaning] : choices)
    if (meaning == value) return word;
  return "";
}

template <class T>
std::string words_of(const Choices<T>& choices, const char* separator) {
  std::string words;
  for (const auto& [word, meaning] : choices) words += (words.empty() ? "" : separator) + word;
  return words;
}

template <class T>
T meaning_of(const std::string& text, const std::string& option, const Choices<T>& choices) {
  for (const auto& [word, meaning] : choices)
    if (word == text) return meaning;
  throw CLI::ValidationError(option + " '" + text + "' is none of " + words_of(choices, "|"));
}

// An option that takes one of a few words.
template <class T>
void add_choice(CLI::App& app, const std::string& name, T& value, const std::string& help,
                const Choices<T>& choices) {
  app.add_option_function<std::string>(
         name,
         [name, &choices, &value](const std::string& text) {
           value = meaning_of(text, name, choices);
         },
         help)
      ->option_text(words_of(choices, "|"));
}

// An option that takes some of them, with commas between; one that comes twice counts once.
template <class T>
void add_choices(CLI::App& app, const std::string& name, std::vector<T>& values,
                 const std::string& help, const Choices<T>& choices) {
  app.add_option_function<std::vector<std::string>>(
         name,
         [name, &choices, &values](const std::vector<std::string>& words) {
           values.clear();
           for (const std::string& word : words) {
             const T value = meaning_of(word, name, choices);
             if (std::ranges::find(values, value) == values.end()) values.push_back(value);
           }
         },
         help)
      ->delimiter(',')
      ->allow_extra_args(false)
      ->option_text(words_of(choices, ","));
}

}  // namespace

void add_engine_options(CLI::App& app, EngineOptions& options) {
  add_choice(app, "--activations", options.activations,
             "Precision of activations in products: f32 (exact, slow), bf16, or q8 (blocks of\n"
             "8-bit integers, fast; the default); the others are there to be measured by qeval",
             activation_choices());
  add_choice(app, "--kv-type", options.kv_type,
             "Type of the key-value cache: f32, f16 (the default), q8_0 or q4_0", kv_choices());
  add_device_options(app, options);
}

void add_rounding_lists(CLI::App& app, std::vector<Activations>& activations,
                        std::vector<KvType>& kv_types) {
  add_choices(app, "--activations", activations,
              "Precisions of activations in products to measure, with commas between: f32 (the\n"
              "weights alone), bf16, q8 (as run), and to see what other schemes cost int8-token,\n"
              "int8-tensor (with --calibrate or --scales) and fp8 (default: f32,q8)",
              activation_choices());
  add_choices(app, "--kv-type", kv_types,
              "Types of the key-value cache to measure, with commas between (default: f32 with\n"
              "f32 activations, else f16)",
              kv_choices());
}

void add_threads(CLI::App& app, unsigned& threads) {
  app.add_option("-t,--threads", threads, "Number of threads (default: one per core)")
      ->check(CLI::Range(1u, 1024u))
      ->option_text("N");
}

void add_device_options(CLI::App& app, EngineOptions& options) {
  add_choice(app, "--backend", options.backend,
             "What computes: cpu (the default) or vulkan (a GPU)", backend_choices());
  app.add_option("--device", options.device,
                 "Vulkan device: its number in qinfo --devices or part of its name (default: the\n"
                 "first discrete GPU)")
      ->option_text("NAME");
  app.add_option("--gpu-layers", options.device_layers,
                 "Vulkan: compute only the first N layers on the device, the others and the\n"
                 "output on the CPU, for a model that does not fit the device (default: all)")
      ->check(CLI::Range(std::size_t{0}, std::size_t{1} << 20))
      ->option_text("N");
  add_threads(app, options.threads);
  app.parse_complete_callback([&options] {
    if (options.device_layers != kAllLayers && options.backend == BackendKind::kCpu)
      throw CLI::ValidationError("--gpu-layers needs --backend vulkan");
  });
}

std::string name_of(Activations activations) { return word_for(activations, activation_choices()); }
std::string name_of(KvType type) { return word_for(type, kv_choices()); }

std::vector<std::string> engine_arguments(const EngineOptions& options) {
  std::vector<std::string> arguments = {
      "--activations", word_for(options.activations, activation_choices()),
      "--kv-type",     word_for(options.kv_type, kv_choices()),
      "--threads",     std::to_string(options.threads),
      "--backend",     word_for(options.backend, backend_choices())};
  if (!options.device.empty()) {
    arguments.push_back("--device");
    arguments.push_back(options.device);
  }
  if (options.device_layers != kAllLayers) {
    arguments.push_back("--gpu-layers");
    arguments.push_back(std::to_string(options.device_layers));
  }
  return arguments;
}

void EngineOptions::apply(SessionOptions& session) const {
  session.activations = activations;
  session.kv_type = kv_type;
  session.threads = threads;
  session.backend = backend;
  session.device = device;
  session.device_layers = device_layers;
  session.on_upload = upload_progress();
}

}  // namespace brink::tools
