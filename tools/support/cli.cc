#include "tools/support/cli.h"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>
#include <utility>
#include <vector>

#include "tools/support/upload_progress.h"

namespace brink::tools {
namespace {

int fail(const CLI::App& app, std::string message, int code) {
  std::replace(message.begin(), message.end(), '\n', ' ');
  std::fflush(stdout);
  std::fprintf(stderr, "%s: %s\n", app.get_name().c_str(), message.c_str());
  return code;
}

template <class T>
using Choices = std::vector<std::pair<std::string, T>>;

const Choices<Activations>& activation_choices() {
  static const Choices<Activations> choices = {
      {"f32", Activations::kF32}, {"bf16", Activations::kBf16}, {"q8", Activations::kQ8}};
  return choices;
}

const Choices<KvType>& kv_choices() {
  static const Choices<KvType> choices = {
      {"f32", KvType::kF32}, {"f16", KvType::kF16}, {"q8_0", KvType::kQ8_0}};
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

// An option that takes one of a few words.
template <class T>
void add_choice(CLI::App& app, const std::string& name, T& value, const std::string& help,
                const Choices<T>& choices) {
  std::string words;
  for (const auto& [word, meaning] : choices) words += (words.empty() ? "" : "|") + word;
  app.add_option_function<std::string>(
         name,
         [name, words, &choices, &value](const std::string& text) {
           for (const auto& [word, meaning] : choices) {
             if (word != text) continue;
             value = meaning;
             return;
           }
           throw CLI::ValidationError(name + " '" + text + "' is none of " + words);
         },
         help)
      ->option_text(words);
}

}  // namespace

std::string to_text(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n";
}

int run_tool(CLI::App& app, int argc, char** argv, const std::function<int()>& body) {
  app.set_help_flag("-h,--help", "Show this help");
  int code = 0;
  try {
    app.parse(argc, argv);
    code = body();
  } catch (const CLI::CallForHelp&) {
    std::printf("%s", app.help().c_str());
  } catch (const CLI::ParseError& error) {
    return fail(app, std::string(error.what()) + " (see --help)", 2);
  } catch (const UsageError& error) {
    return fail(app, std::string(error.what()) + " (see --help)", 2);
  } catch (const std::bad_alloc&) {
    return fail(app, "not enough memory", 1);
  } catch (const std::exception& error) {
    return fail(app, error.what(), 1);
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
    return fail(app, "cannot write to standard output", 1);
  return code;
}

void add_engine_options(CLI::App& app, EngineOptions& options) {
  add_choice(app, "--activations", options.activations,
             "Precision of activations in products: f32 (exact, slow), bf16, or q8 (blocks of\n"
             "8-bit integers, fast; the default)",
             activation_choices());
  add_choice(app, "--kv-type", options.kv_type,
             "Type of the key-value cache: f32, f16 (the default) or q8_0", kv_choices());
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
  app.add_option("-t,--threads", options.threads, "Number of threads (default: one per core)")
      ->check(CLI::Range(1u, 1024u))
      ->option_text("N");
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
