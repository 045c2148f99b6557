// Which files a sweep measures, and how quants are made.
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "brink/core/error.h"
#include "brink/core/fingerprint.h"
#include "brink/eval/windows.h"
#include "brink/gguf/fingerprint.h"
#include "brink/gguf/reader.h"
#include "brink/model/model.h"
#include "brink/quantize/plan.h"
#include "tools/qeval/report.h"
#include "tools/qeval/sweep.h"
#include "tools/support/json.h"
#include "tools/support/mix_name.h"
#include "tools/support/model_size.h"
#include "tools/support/quantize_file.h"
#include "tools/support/table.h"
#include "tools/support/text_file.h"
#include "tools/support/type_name.h"

namespace brink::tools {
namespace {

namespace fs = std::filesystem;

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// Names and shapes of all tensors: the same for all quants of one model.
std::string shape_of(const Gguf& gguf) {
  std::map<std::string, std::string> shapes;
  for (const GgufTensor& tensor : gguf.tensors()) {
    std::string& shape = shapes[std::string(tensor.name)];
    for (std::uint32_t d = 0; d < tensor.dimensions; ++d)
      shape += " " + std::to_string(tensor.shape[d]);
  }
  std::string text;
  for (const auto& [name, shape] : shapes) text += name + shape + "\n";
  return fingerprint(text);
}

SweepModel described(const std::string& path, const Gguf& gguf) {
  SweepModel model;
  model.source = model.path = path;
  model.hash = model.source_hash = fingerprint(gguf);
  const auto name = gguf.get_string("general.name");
  model.name = name && !name->empty() ? std::string(*name) : fs::path(path).stem().string();
  model.weights = type_name(gguf);
  model.bits_per_weight = bits_per_weight(gguf);
  model.bytes = gguf.file_bytes();
  return model;
}

TypeRequest request_of(const Mix& mix, const SweepOptions& options) {
  TypeRequest request;
  request.mix = mix;
  request.importance_matrix = !options.importance.empty();
  return request;
}

std::string note_key(const SweepModel& model, const std::string& importance_hash) {
  return "quant " + std::string(BRINK_VERSION) + " " + model.source_hash + " " + model.mix->name +
         " " + importance_hash;
}

// What an earlier sweep found out about the file that this would be.
void recall(SweepModel& model, const std::string& importance_hash, const Store& store) {
  const auto note = store.note(note_key(model, importance_hash));
  if (!note) return;
  const Json json = parse_json_if_any(*note);
  if (!json.is_object()) return;
  model.hash = json.value("hash", "");
  model.weights = json.value("weights", "");
  model.bits_per_weight = json.value("bits_per_weight", 0.0);
  model.bytes = json.value("bytes", std::uint64_t{0});
}

bool is_all(const std::string& quant) { return lower(quant) == "all"; }

// The quants asked for, the most bits first where that is "all".
std::vector<Mix> wanted_mixes(const SweepOptions& options) {
  std::vector<Mix> mixes;
  std::set<std::string> seen;
  const auto add = [&](const Mix& mix) {
    if (seen.insert(mix.name).second) mixes.push_back(mix);
  };
  for (const std::string& quant : options.quants) {
    if (is_all(quant)) {
      for (const std::string_view name : mix_names()) add(find_mix(name).value());
      continue;
    }
    add(parse_mix(quant));
  }
  return mixes;
}

// A text of fewer tokens than a window would fail in every measurement of the model. A file that is
// no model is left to the measurements, which name it.
void check_text(const std::string& path, const std::string& text, const SweepOptions& options) {
  std::optional<Model> model;
  try {
    model.emplace(Model::open(path));
  } catch (const Error&) {
    return;
  }
  naming(options.text + " (as " + path + " reads it)", [&] {
    TokenWindows::of_text(model->tokenizer(), text, options.context, options.most_windows,
                          options.parse_special);
  });
}

}  // namespace

QuantMaker::QuantMaker(const SweepOptions& options)
    : options_(options), importance_(options.importance) {
  if (importance_.matrix) importance_hash_ = fingerprint(read_text(importance_.path));
}

// Why a mix is not made of this file; empty: it is.
std::string QuantMaker::reason_to_skip(const Gguf& gguf,
                                       const std::vector<PlannedTensor>& plan) const {
  if (data_bytes(plan) >= data_bytes(gguf)) return "it is not smaller than the source";
  for (const PlannedTensor& planned : plan) {
    if (!planned.quantizable || !needs_importance(planned.type)) continue;
    const std::string type = size_of(planned.type).name;
    if (!importance_.matrix) return type + " needs an importance matrix (--imatrix)";
    if (importance_.matrix->of(planned.source->name).empty())
      return type + " needs importance, and " + importance_.path + " has none of '" +
             printable(planned.source->name) + "'";
  }
  return "";
}

std::size_t QuantMaker::check_source(const Gguf& gguf,
                                     const std::vector<PlannedTensor>& plan) const {
  for (const PlannedTensor& planned : plan) {
    const GgufTensor& source = *planned.source;
    if (planned.type != source.type && !is_quantize_source(source.type))
      throw Error(std::string("is ") + size_of(source.type).name +
                      ": quantized already; quants are made of F32, F16, BF16 or Q8_0",
                  {gguf.path(), std::string(source.name), {}});
  }
  return importance_.matrix ? importance_.missing(plan).size() : 0;
}

SweepModels QuantMaker::plan(const std::string& folder, const Store& store) const {
  SweepModels result;
  const std::vector<Mix> mixes = wanted_mixes(options_);
  const bool all = std::any_of(options_.quants.begin(), options_.quants.end(), is_all);
  std::string base_path, base_hash, base_shape;
  const std::string text = options_.text.empty() ? "" : read_text(options_.text);
  std::set<std::string> seen;
  for (const std::string& path : options_.models) {
    const Gguf gguf = Gguf::open(path);
    SweepModel source = described(path, gguf);
    if (!seen.insert(source.hash).second) continue;  // the same file twice
    if (!options_.text.empty()) check_text(path, text, options_);
    std::size_t without_importance = 0;
    if (!mixes.empty()) {
      source.base = path;
      source.base_hash = source.hash;
    } else {
      if (base_path.empty()) {
        base_path = options_.base.empty() ? path : options_.base;
        const Gguf base = Gguf::open(base_path);
        base_hash = fingerprint(base);
        base_shape = shape_of(base);
      }
      if (shape_of(gguf) == base_shape) {
        source.base = base_path;
        source.base_hash = base_hash;
      }
    }
    result.models.push_back(source);
    const std::size_t first = result.models.size();
    for (const Mix& mix : mixes) {
      const std::vector<PlannedTensor> plan = plan_types(gguf, request_of(mix, options_));
      if (const std::string reason = reason_to_skip(gguf, plan); !reason.empty()) {
        // Of "all" nobody expects the types that the source has.
        if (!all || reason.find("smaller") == std::string::npos)
          result.skipped.push_back({path, mix.name, reason});
        continue;
      }
      without_importance = std::max(without_importance, check_source(gguf, plan));
      SweepModel quant = source;
      quant.mix = mix;
      quant.hash.clear();
      quant.weights = mix.name;
      quant.bits_per_weight = bits_per_weight(plan);
      quant.bytes = source.bytes - data_bytes(gguf) + data_bytes(plan);
      std::string name = fs::path(path).stem().string() + "-" + source.hash.substr(0, 8) + "-" +
                         mix.name + (importance_hash_.empty() ? "" : "-") +
                         importance_hash_.substr(0, 8) + ".gguf";
      std::replace(name.begin(), name.end(), ':', '-');
      quant.path = (fs::path(folder) / name).string();
      recall(quant, importance_hash_, store);
      result.models.push_back(quant);
    }
    if (without_importance > 0)
      std::fprintf(stderr, "qeval: warning: %s has no importance of %zu tensors of %s\n",
                   printable(options_.importance).c_str(), without_importance,
                   printable(path).c_str());
    std::stable_sort(result.models.begin() + static_cast<std::ptrdiff_t>(first),
                     result.models.end(), [](const SweepModel& a, const SweepModel& b) {
                       return a.bits_per_weight > b.bits_per_weight;
                     });
  }
  return result;
}

void QuantMaker::make(SweepModel& model, Store& store) const {
  if (!model.mix) return;
  if (!fs::exists(model.path)) {
    const Gguf source = Gguf::open(model.source);
    const std::vector<PlannedTensor> plan = plan_types(source, request_of(*model.mix, options_));
    QuantizeOptions quantize_options;
    importance_.apply(quantize_options);
    quantize_options.file_type = model.mix->file_type;
    quantize_options.threads = options_.threads;
    quantize_file("quantize " + model.mix->name, source, plan, model.path, quantize_options);
  }
  const Gguf made = Gguf::open(model.path);
  const std::string hash = fingerprint(made);
  // The same bytes come out of the same source every time.
  if (!model.hash.empty() && model.hash != hash)
    throw Error("is not the file that the results in " + store.path() + " are of; delete it",
                {.file = model.path});
  model.hash = hash;
  model.weights = type_name(made);
  if (!model.mix->file_type) model.weights = model.mix->name;
  model.bits_per_weight = bits_per_weight(made);
  model.bytes = made.file_bytes();
  store.set_note(note_key(model, importance_hash_),
                 dumped({{"hash", model.hash},
                         {"weights", model.weights},
                         {"bits_per_weight", model.bits_per_weight},
                         {"bytes", model.bytes}}));
}

}  // namespace brink::tools
