// Shows what is in a GGUF file and how much memory running it takes.
#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "brink/brink.h"
#include "brink/vulkan/devices.h"
#include "tools/support/cli.h"
#include "tools/support/engine_options.h"
#include "tools/support/json.h"
#include "tools/support/model_size.h"
#include "tools/support/npy.h"
#include "tools/support/table.h"
#include "tools/support/usage_error.h"

namespace brink::tools {
namespace {

struct Options {
  std::string model;
  std::size_t context = 4096;
  std::string tensor;
  std::string npy;
  bool devices = false;
  bool json = false;
  EngineOptions engine;
};

struct Total {
  std::uint64_t tensors = 0;
  std::uint64_t elements = 0;
  std::uint64_t bytes = 0;

  void add(const GgufTensor& tensor) {
    ++tensors;
    elements += tensor.elements();
    bytes += tensor.bytes;
  }
};

struct Totals {
  explicit Totals(const Gguf& gguf) {
    for (const GgufTensor& tensor : gguf.tensors()) {
      all.add(tensor);
      by_type[size_of(tensor.type).name].add(tensor);
    }
  }
  Total all;
  std::map<std::string, Total> by_type;
};

/// What running the model takes, or why it cannot be run.
struct Memory {
  explicit Memory(const Options& options) {
    try {
      SessionOptions session;
      session.context = options.context;
      options.engine.apply(session);
      use = Session::predict_memory(Model::open(options.model), session);
    } catch (const Error& error) {
      reason = error.what();
    }
  }
  std::optional<MemoryUse> use;
  std::string reason;
};

// Arrays of up to this many elements are printed whole; vocabularies are not.
constexpr std::uint64_t kWholeArray = 64;
constexpr std::size_t kFirstElements = 8;

Json to_json(const GgufValue& value) {
  switch (value.type()) {
    case GgufType::kString:
      return std::string(value.as_string().value_or(""));
    case GgufType::kBool:
      return value.as_bool().value_or(false);
    case GgufType::kF32:
    case GgufType::kF64:
      return value.as_float().value_or(0);
    case GgufType::kU64:
      return value.as_uint().value_or(0);
    case GgufType::kArray:
      break;
    default:
      return value.as_int().value_or(0);
  }
  Json elements = Json::array();
  const auto add = [&](const auto& values) {
    const std::size_t shown = value.size() <= kWholeArray ? values.size() : kFirstElements;
    for (std::size_t i = 0; i < std::min(shown, values.size()); ++i)
      if constexpr (std::is_same_v<std::decay_t<decltype(values[i])>, GgufValue>)
        elements.push_back(to_json(values[i]));
      else
        elements.push_back(values[i]);
  };
  switch (value.element_type()) {
    case GgufType::kString:
      add(value.strings());
      break;
    case GgufType::kF32:
    case GgufType::kF64:
      add(value.floats());
      break;
    case GgufType::kArray:
      add(value.elements());
      break;
    default:
      add(value.ints());
      break;
  }
  if (value.size() <= kWholeArray) return elements;
  return {{"elements", value.size()},
          {"element_type", name_of(value.element_type())},
          {"first", elements}};
}

Json to_json(const Total& total) {
  return {{"tensors", total.tensors},
          {"parameters", total.elements},
          {"bytes", total.bytes},
          {"bits_per_weight", bits_per_weight(total.bytes, total.elements)}};
}

void print_json(const Options& options, const Gguf& gguf) {
  Json metadata = Json::object();
  for (const GgufEntry& entry : gguf.metadata())
    metadata[std::string(entry.key)] = to_json(entry.value);
  Json tensors = Json::array();
  for (const GgufTensor& tensor : gguf.tensors())
    tensors.push_back(
        {{"name", tensor.name},
         {"type", size_of(tensor.type).name},
         {"shape", std::vector<std::uint64_t>(tensor.shape.begin(),
                                              tensor.shape.begin() + tensor.dimensions)},
         {"bytes", tensor.bytes},
         {"bits_per_weight", bits_per_weight(tensor.bytes, tensor.elements())}});
  const Totals totals(gguf);
  Json types = Json::object();
  for (const auto& [type, total] : totals.by_type) types[type] = to_json(total);
  Json sum = to_json(totals.all);
  sum["types"] = types;
  const Memory memory(options);
  Json use = nullptr;
  if (memory.use)
    use = {{"context", options.context},       {"weights", memory.use->weights},
           {"kv_cache", memory.use->kv_cache}, {"working", memory.use->working},
           {"total", memory.use->total()},     {"device", memory.use->device}};
  const Json result = {{"file", options.model},
                       {"version", gguf.version()},
                       {"bytes", gguf.file_bytes()},
                       {"metadata", metadata},
                       {"tensors", tensors},
                       {"totals", sum},
                       {"memory", use},
                       {"memory_error", memory.use ? Json(nullptr) : Json(memory.reason)}};
  std::fputs(to_text(result, 1).c_str(), stdout);
}

std::string shape_text(const GgufTensor& tensor) {
  std::string text;
  for (std::uint32_t i = 0; i < tensor.dimensions; ++i)
    text += (i == 0 ? "" : " x ") + std::to_string(tensor.shape[i]);
  return text;
}

void print_text(const Options& options, const Gguf& gguf) {
  std::string out = printable(options.model) + ": GGUF version " + std::to_string(gguf.version()) +
                    ", " + human_bytes(gguf.file_bytes());
  if (gguf.paths().size() > 1) out += " in " + std::to_string(gguf.paths().size()) + " files";
  out += "\n\n";

  Table metadata({"key", "type", "value"});
  for (const GgufEntry& entry : gguf.metadata()) {
    std::string type = name_of(entry.value.type());
    if (entry.value.is_array()) type = std::string(name_of(entry.value.element_type())) + "[]";
    metadata.add({printable(entry.key), type, printable(entry.value.to_string(), 100)});
  }
  out += metadata.text() + '\n';

  const Totals totals(gguf);
  if (totals.all.tensors == 0) {
    out += "no tensors\n";
  } else {
    Table tensors({"tensor", "type", "shape", ">bytes", ">bits/weight"});
    for (const GgufTensor& tensor : gguf.tensors())
      tensors.add({printable(tensor.name), size_of(tensor.type).name, shape_text(tensor),
                   std::to_string(tensor.bytes),
                   fixed(bits_per_weight(tensor.bytes, tensor.elements()), 2)});
    out += tensors.text() + '\n';
    Table sums({"type", ">tensors", ">parameters", ">bytes", ">bits/weight"});
    const auto add = [&](const std::string& name, const Total& total) {
      sums.add({name, std::to_string(total.tensors), std::to_string(total.elements),
                std::to_string(total.bytes),
                fixed(bits_per_weight(total.bytes, total.elements), 2)});
    };
    for (const auto& [type, total] : totals.by_type) add(type, total);
    add("total", totals.all);
    out += sums.text();
  }

  const Memory memory(options);
  if (memory.use)
    out +=
        "\nmemory for a context of " + std::to_string(options.context) + ": weights " +
        human_bytes(memory.use->weights) + " + KV cache " + human_bytes(memory.use->kv_cache) +
        " + working set " + human_bytes(memory.use->working) + " = " +
        human_bytes(memory.use->total()) +
        (memory.use->device > 0 ? ", " + human_bytes(memory.use->device) + " on the device" : "") +
        "\n";
  else
    out += "\nmemory: not known, the model cannot be run: " + printable(memory.reason, 1000) + "\n";
  std::fputs(out.c_str(), stdout);
}

void print_devices(bool json) {
  const std::vector<vulkan::DeviceInfo> devices = vulkan::list_devices();
  if (json) {
    Json list = Json::array();
    for (const vulkan::DeviceInfo& d : devices)
      list.push_back({{"name", d.name},
                      {"kind", d.kind},
                      {"driver", d.driver},
                      {"memory", d.memory},
                      {"memory_budget", d.memory_budget},
                      {"largest_buffer", d.largest_buffer},
                      {"subgroup", d.subgroup},
                      {"cooperative_matrices", d.cooperative},
                      {"missing", d.missing.empty() ? Json(nullptr) : Json(d.missing)}});
    std::fputs(to_text(list, 1).c_str(), stdout);
    return;
  }
  Table table({">device", "name", "kind", "driver", ">memory", ">free for us", "subgroup",
               "cooperative matrices", "usable"});
  for (std::size_t i = 0; i < devices.size(); ++i) {
    const vulkan::DeviceInfo& d = devices[i];
    table.add({std::to_string(i), printable(d.name), d.kind, printable(d.driver),
               human_bytes(d.memory), human_bytes(d.memory_budget), std::to_string(d.subgroup),
               d.cooperative.empty() ? "none" : d.cooperative,
               d.missing.empty() ? "yes" : "no: lacks " + d.missing});
  }
  std::fputs(devices.empty() ? "no Vulkan device: no driver is installed\n" : table.text().c_str(),
             stdout);
}

void write_tensor(const Gguf& gguf, const Options& options) {
  const GgufTensor* tensor = gguf.find_tensor(options.tensor);
  if (tensor == nullptr)
    throw Error("no such tensor", {.file = options.model, .tensor = options.tensor});
  // NumPy's first dimension is the slowest one, GGUF's the fastest.
  std::vector<std::uint64_t> shape(tensor->shape.begin(),
                                   tensor->shape.begin() + tensor->dimensions);
  std::reverse(shape.begin(), shape.end());
  NpyWriter writer = NpyWriter::create<float>(options.npy, shape);
  const Format& format = format_of(tensor->type);
  const std::uint64_t block = format.block_size;
  const std::uint64_t piece = std::max<std::uint64_t>(1, (std::uint64_t{1} << 18) / block) * block;
  std::vector<float> values;
  for (std::uint64_t done = 0; done < tensor->elements(); done += values.size()) {
    values.resize(std::min(piece, tensor->elements() - done));
    const std::byte* blocks = tensor->data + done / block * format.block_bytes;
    format.decode(reinterpret_cast<const std::uint8_t*>(blocks), values.data(), values.size());
    writer.append(std::span<const float>(values));
  }
  writer.close();
}

int run(const Options& options) {
  if (options.devices) {
    print_devices(options.json);
    return 0;
  }
  if (options.model.empty()) throw UsageError("MODEL is required");
  if (options.tensor.empty() != options.npy.empty())
    throw UsageError("--tensor and --npy go together");
  const Gguf gguf = Gguf::open(options.model);
  if (!options.tensor.empty())
    write_tensor(gguf, options);
  else if (options.json)
    print_json(options, gguf);
  else
    print_text(options, gguf);
  return 0;
}

}  // namespace
}  // namespace brink::tools

int main(int argc, char** argv) {
  using namespace brink::tools;
  Options options;
  CLI::App app(
      "Shows what a GGUF file holds: metadata, tensors with their types and sizes, and how much\n"
      "memory running the model takes. Works on any GGUF file, also on vocabularies and on models\n"
      "that brink cannot run.\n\n"
      "  qinfo model.gguf -c 8192\n"
      "  qinfo model.gguf --tensor blk.0.attn_q.weight --npy q.npy",
      "qinfo");
  app.add_option("MODEL", options.model, "GGUF file (of a split model the first part)")
      ->option_text("FILE");
  app.add_option("-c,--context", options.context,
                 "Context in tokens for which memory is computed (default: 4096)")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 28))
      ->option_text("N");
  app.add_option("--tensor", options.tensor, "Write this tensor, decoded to f32, to --npy")
      ->option_text("NAME");
  app.add_option("--npy", options.npy, "File for --tensor, in NumPy's format")->option_text("FILE");
  app.add_flag("--devices", options.devices, "List the Vulkan devices of this machine instead");
  app.add_flag("--json", options.json, "Print one JSON object");
  add_engine_options(app, options.engine);
  return run_tool(app, argc, argv, [&] { return run(options); });
}
