// quantize --budget: measures what each tensor costs, chooses the types, writes the file and
// measures what it really costs.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "brink/brink.h"
#include "brink/core/fingerprint.h"
#include "brink/core/progress.h"
#include "brink/eval/base_logits.h"
#include "brink/eval/divergence.h"
#include "tools/quantize/options.h"
#include "tools/support/json.h"
#include "tools/support/model_size.h"
#include "tools/support/output_file.h"
#include "tools/support/quantize_file.h"
#include "tools/support/table.h"
#include "tools/support/text_file.h"
#include "tools/support/usage_error.h"

namespace brink::tools {
namespace {

namespace fs = std::filesystem;

/// What the header and the padding of a file may take beyond its tensors.
std::uint64_t overhead_of(const Gguf& gguf) {
  // Another padding before each tensor, and a few keys more.
  return gguf.file_bytes() - data_bytes(gguf) + gguf.tensors().size() * gguf.alignment() + 1024;
}

/// Bytes for all tensors of the file.
std::uint64_t parse_budget(const QuantizeRequest& request, const Gguf& gguf) {
  const std::string& text = request.budget;
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  std::string unit(end);
  if (end == text.c_str()) {
    TypeRequest types;
    types.mix = parse_mix(text);
    types.importance_matrix = !request.imatrix.empty();
    return data_bytes(plan_types(gguf, types));
  }
  if (!(number > 0) || number > 1e15) throw UsageError("--budget '" + text + "' is no size");
  if (unit == "bpw") {
    std::uint64_t weights = 0;
    for (const GgufTensor& tensor : gguf.tensors()) weights += tensor.elements();
    return static_cast<std::uint64_t>(number / 8 * static_cast<double>(weights));
  }
  static constexpr std::pair<const char*, double> kUnits[] = {
      {"B", 1},        {"KB", 1e3},     {"MB", 1e6},    {"GB", 1e9},
      {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}};
  for (const auto& [name, factor] : kUnits) {
    if (unit != name) continue;
    const auto bytes = static_cast<std::uint64_t>(number * factor);
    const std::uint64_t overhead = overhead_of(gguf);
    if (bytes <= overhead) throw Error("the budget is smaller than the file without its tensors");
    return bytes - overhead;
  }
  throw UsageError("--budget '" + text + "' is no size: 4.5bpw, 3.5GiB, 700MB or a mix");
}

/// Every other window is searched with; the others evaluate.
struct Texts {
  Texts(const Model& model, const QuantizeRequest& request)
      : all(TokenWindows::of_text(model.tokenizer(), read_text(request.text), request.context, 0,
                                  request.parse_special)),
        search_windows(request.search_windows != 0 ? request.search_windows
                                                   : windows_for(model, request.context)),
        search(part(0, search_windows, request.context)),
        evaluate(part(1,
                      request.evaluate_windows != 0 ? request.evaluate_windows : 8 * search_windows,
                      request.context)) {}

  TokenWindows all;
  std::size_t search_windows;
  TokenWindows search;
  TokenWindows evaluate;

 private:
  static std::size_t windows_for(const Model& model, std::size_t context) {
    constexpr std::uint64_t kLeast = 512, kMost = 4096;
    const std::uint64_t tokens = search_tokens(model.gguf(), kLeast, kMost);
    return std::max<std::uint64_t>(1, (tokens + context / 2) / context);
  }

  TokenWindows part(std::size_t first, std::size_t most, std::size_t context) const {
    if (all.size() < 2)
      throw Error("--text is too short: a window to search with and one to evaluate are needed");
    std::vector<std::int32_t> ids;
    std::size_t count = 0;
    for (std::size_t w = first; w < all.size() && count < most; w += 2, ++count)
      ids.insert(ids.end(), all[w].begin(), all[w].end());
    return TokenWindows(ids, context);
  }
};

SessionOptions exact(unsigned threads) {
  SessionOptions session;
  session.activations = Activations::kF32;
  session.kv_type = KvType::kF32;
  session.threads = threads;
  return session;
}

/// Products in bf16 are faster; what they round is small beside the error of three bits, though not
/// beside that of eight.
SessionOptions searching(const QuantizeRequest& request) {
  SessionOptions session = exact(request.threads);
  if (!request.measure_types) session.activations = Activations::kBf16;
  return session;
}

/// Base logits in a file that goes away with it.
struct TemporaryBase {
  TemporaryBase(const Model& model, const TokenWindows& windows, const std::string& path,
                const SessionOptions& session, bool silent)
      : file(path), base([&] {
          fs::remove(path);
          Progress progress("base", windows.size(), {.silent = silent, .delay_s = 1});
          BaseLogits logits(model, windows, path, session,
                            [&](std::size_t done) { progress.set(done); });
          progress.finish();
          return logits;
        }()) {}
  ~TemporaryBase() {
    std::error_code ignored;
    fs::remove(file, ignored);
  }
  TemporaryBase(const TemporaryBase&) = delete;
  TemporaryBase& operator=(const TemporaryBase&) = delete;

  std::string file;
  BaseLogits base;
};

Json to_json(const TensorSensitivity& s) {
  Json costs = Json::array();
  for (const TypeCost& cost : s.costs) {
    Json entry = {{"type", size_of(cost.type).name}, {"bytes", cost.bytes}, {"error", cost.error}};
    if (cost.divergence) entry["kl"] = *cost.divergence;
    costs.push_back(std::move(entry));
  }
  return {{"tensor", s.tensor},
          {"reference", size_of(s.reference).name},
          {"reference_error", s.reference_error},
          {"kl", s.divergence},
          {"types", costs}};
}

TensorSensitivity sensitivity_of(const Json& json) {
  TensorSensitivity s;
  s.tensor = json.at("tensor");
  s.reference = parse_weight_type(json.at("reference").get<std::string>());
  s.reference_error = json.at("reference_error");
  s.divergence = json.at("kl");
  for (const Json& cost : json.at("types")) {
    s.costs.push_back({parse_weight_type(cost.at("type").get<std::string>()),
                       cost.at("bytes"),
                       cost.at("error"),
                       {}});
    if (cost.contains("kl")) s.costs.back().divergence = cost.at("kl").get<double>();
  }
  return s;
}

/// The file of sensitivities: rewritten after every tensor, so that a killed run loses one at most.
class Kept {
 public:
  Kept(std::string path, std::string key) : path_(std::move(path)), key_(std::move(key)) {
    std::ifstream in(path_);
    if (!in) return;
    Json json;
    try {
      json = parse_json(std::string(std::istreambuf_iterator<char>(in), {}));
      if (json.at("key") != key_)
        throw Error(
            "holds sensitivities of another model, text, importance matrix or effort; "
            "name another file (--sensitivities) or delete it",
            {.file = path_});
      for (const Json& tensor : json.at("tensors")) known_.push_back(sensitivity_of(tensor));
    } catch (const Json::exception& error) {
      throw Error(std::string("is no file of sensitivities: ") + error.what(), {.file = path_});
    }
  }

  const std::vector<TensorSensitivity>& known() const { return known_; }

  void save(std::span<const TensorSensitivity> all) const {
    Json tensors = Json::array();
    for (const TensorSensitivity& s : all) tensors.push_back(to_json(s));
    const std::string text = to_text({{"key", key_}, {"tensors", tensors}}, 1);
    OutputFile file(path_);
    file.write(std::as_bytes(std::span(text)));
    file.close();
  }

 private:
  std::string path_;
  std::string key_;
  std::vector<TensorSensitivity> known_;
};

std::string key_of(const Model& model, const TokenWindows& windows, const QuantizeRequest& request,
                   const Importance& importance) {
  std::string key = BaseLogits::key(model, windows);
  key += request.effort == Effort::kHigh ? " high" : " default";
  if (request.measure_types) key += " every type";
  if (importance.matrix) {
    Fingerprint sum;
    for (const std::string& name : importance.matrix->names()) {
      sum.add(name);
      sum.add(std::as_bytes(importance.matrix->of(name)));
    }
    key += " " + sum.hex();
  }
  return key;
}

Json to_json(const Estimate& estimate) {
  Json json = {{"value", estimate.value}};
  if (estimate.ci) json["ci"] = {estimate.ci->low, estimate.ci->high};
  return json;
}

std::string text_of(const Estimate& estimate) {
  char text[96];
  if (estimate.ci)
    std::snprintf(text, sizeof text, "%.5f [%.5f, %.5f]", estimate.value, estimate.ci->low,
                  estimate.ci->high);
  else
    std::snprintf(text, sizeof text, "%.5f", estimate.value);
  return text;
}

/// The plan as a model in memory.
Model encoded(const Model& model, const std::vector<PlannedTensor>& plan,
              const QuantizeOptions& options) {
  std::vector<TensorBlocks> replaced;
  for (const PlannedTensor& planned : plan)
    if (planned.quantizable)
      replaced.push_back(encode_tensor(model.gguf(), *planned.source, planned.type, options));
  return model.with_tensors(std::move(replaced));
}

std::vector<TensorSensitivity> measure(const Model& model, const Texts& texts,
                                       const QuantizeRequest& request,
                                       SensitivityOptions sensitivity,
                                       const Importance& importance) {
  const std::string path = request.sensitivities.empty()
                               ? request.arguments[1] + ".sensitivities.json"
                               : request.sensitivities;
  const Kept kept(path, key_of(model, texts.search, request, importance));
  const TemporaryBase base(model, texts.search, path + ".base", searching(request), request.json);
  std::size_t matrices = 0;
  for (const GgufTensor& tensor : model.gguf().tensors())
    matrices += is_quantizable(tensor.name, tensor.dimensions);
  Progress progress("sensitivity", matrices, {.silent = request.json});
  progress.set(kept.known().size());
  sensitivity.session = searching(request);
  sensitivity.measure_types = request.measure_types;
  sensitivity.known = kept.known();
  sensitivity.on_tensor = [&](std::span<const TensorSensitivity> all, std::size_t) {
    kept.save(all);
    progress.set(all.size());
  };
  std::vector<TensorSensitivity> result = measure_sensitivities(model, base.base, sensitivity);
  progress.finish();
  return result;
}

std::vector<PlannedTensor> plan_of(const Gguf& gguf, std::span<const TensorSensitivity> known,
                                   const BudgetChoice& choice) {
  std::vector<PlannedTensor> plan;
  for (const GgufTensor& tensor : gguf.tensors()) {
    PlannedTensor planned{&tensor, tensor.type};
    for (std::size_t i = 0; i < known.size(); ++i) {
      if (known[i].tensor != tensor.name) continue;
      planned.type = choice.types[i];
      planned.quantizable = true;
    }
    plan.push_back(planned);
  }
  return plan;
}

/// The choice with rules for what a short text cannot tell, or, where the budget is too small for
/// them, without.
BudgetChoice chosen(std::span<const TensorSensitivity> known, const Gguf& gguf,
                    const Importance& importance, std::uint64_t bytes) {
  std::vector<TensorSensitivity> ruled(known.begin(), known.end());
  leave_out_untold_types(ruled, gguf, importance.matrix ? &*importance.matrix : nullptr);
  if (bytes >= least_bytes(ruled)) return choose_types(ruled, bytes);
  const BudgetChoice choice = choose_types(known, bytes);
  std::fputs(
      "quantize: warning: the budget is too small to keep four bits for a tied embedding and "
      "types that need no importance for experts that have none\n",
      stderr);
  return choice;
}

/// Spearman's correlation of estimated and measured divergence over every type of every tensor.
std::optional<double> rank_of_estimate(std::span<const TensorSensitivity> known) {
  std::vector<double> estimated, measured;
  for (const TensorSensitivity& s : known)
    for (const TypeCost& cost : s.costs) {
      if (!cost.divergence) continue;
      estimated.push_back(s.estimated(cost));
      measured.push_back(*cost.divergence);
    }
  if (measured.empty()) return {};
  return rank_correlation(estimated, measured);
}

std::string text_of_rank(double rank) {
  return "the estimate from one type ranks all types of all tensors with Spearman's correlation " +
         fixed(rank, 4);
}

/// Ratio of mean divergences of two models over the same windows, with its interval.
Estimate ratio(const Divergence& a, const Divergence& b) {
  std::vector<double> rows;
  for (std::size_t w = 0; w < a.kl_windows.size(); ++w)
    rows.insert(rows.end(), {a.kl_windows[w], b.kl_windows[w]});
  return bootstrap(rows, 2, [](std::span<const double> sums) {
    return std::vector<double>{sums[0] / sums[1]};
  })[0];
}

}  // namespace

void run_budget(const QuantizeRequest& request) {
  const Model model = Model::open(request.arguments[0]);
  const Gguf& gguf = model.gguf();
  const std::uint64_t bytes = parse_budget(request, gguf);
  const Importance importance(request.imatrix);
  QuantizeOptions options;
  importance.apply(options);
  options.effort = request.effort;
  options.threads = request.threads;
  options.allow_requantize = request.allow_requantize;
  options.allow_nonfinite = request.allow_nonfinite;
  std::uint64_t others = 0;
  for (const GgufTensor& tensor : gguf.tensors())
    if (!is_quantizable(tensor.name, tensor.dimensions)) others += tensor.bytes;
  SensitivityOptions sensitivity;
  sensitivity.quantize = options;
  // Said before hours of measuring, not after.
  if (const std::uint64_t least = others + least_bytes(gguf, sensitivity); bytes < least)
    throw Error("the budget leaves " + std::to_string(bytes) +
                " bytes for the tensors; in the smallest types they take " + std::to_string(least) +
                (importance.matrix ? "" : " (with --imatrix there are smaller ones)"));
  const Texts texts(model, request);
  const std::vector<TensorSensitivity> known =
      measure(model, texts, request, std::move(sensitivity), importance);
  const std::optional<double> rank = rank_of_estimate(known);

  const BudgetChoice choice = chosen(known, gguf, importance, bytes - others);
  const std::vector<PlannedTensor> plan = plan_of(gguf, known, choice);
  if (!request.plot.empty())
    write_type_plot(request.plot,
                    fs::path(request.arguments[0]).filename().string() + " in " +
                        fixed(bits_per_weight(plan), 2) + " bits per weight",
                    plan);
  if (request.dry_run) {
    print_plan(request, plan);
    if (!request.json) {
      std::printf("predicted KL %.5f nats a token\n", choice.divergence);
      if (rank) std::printf("%s\n", text_of_rank(*rank).c_str());
    }
    return;
  }
  const QuantizeResult result =
      quantize_file("quantize", gguf, plan, request.arguments[1], options, request.json);

  // What it really costs, on windows that the search has not seen; beside it the mix of that size.
  const TemporaryBase base(model, texts.evaluate, request.arguments[1] + ".base",
                           exact(request.threads), request.json);
  const auto evaluate = [&](const char* label, const Model& other) {
    Progress windows(label, texts.evaluate.size(), {.silent = request.json, .delay_s = 1});
    const Divergence d = measure_divergence(base.base, other, exact(request.threads),
                                            [&](std::size_t done) { windows.set(done); });
    windows.finish();
    return d;
  };
  const Divergence real = evaluate("evaluate", Model::open(request.arguments[1]));
  Json json = {{"source", request.arguments[0]},
               {"output", request.arguments[1]},
               {"bytes", result.bytes},
               {"file_bytes", fs::file_size(request.arguments[1])},
               {"bits_per_weight", bits_per_weight(plan)},
               {"predicted_kl", choice.divergence},
               {"kl.mean", to_json(real.kl_mean)},
               {"tokens", real.tokens}};
  std::string text = printable(request.arguments[1]) + ": " + human_bytes(result.bytes) + ", " +
                     fixed(bits_per_weight(plan), 2) + " bits per weight\nmean KL " +
                     text_of(real.kl_mean) + " nats a token over " + std::to_string(real.tokens) +
                     " tokens that the search has not seen (predicted " +
                     fixed(choice.divergence, 5) + ")\n";
  if (request.budget.find_first_not_of("0123456789.") == 0) {
    TypeRequest types;
    types.mix = parse_mix(request.budget);
    types.importance_matrix = importance.matrix.has_value();
    const Divergence stock =
        evaluate(types.mix.name.c_str(), encoded(model, plan_types(gguf, types), options));
    const Estimate share = ratio(real, stock);
    json["mix"] = types.mix.name;
    json["mix.kl.mean"] = to_json(stock.kl_mean);
    json["kl.ratio"] = to_json(share);
    text += types.mix.name + " by the same encoder: mean KL " + text_of(stock.kl_mean) +
            "; ratio " + text_of(share) + "\n";
  }
  if (rank) {
    json["estimate_rank_correlation"] = *rank;
    text += text_of_rank(*rank) + "\n";
  }
  std::fputs(request.json ? to_text(json, 1).c_str() : text.c_str(), stdout);
  warn(request, result);
}

}  // namespace brink::tools
