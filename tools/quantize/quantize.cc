// quantize IN OUT TYPE: plans the types, writes the file and says what came out.
#include <chrono>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "brink/brink.h"
#include "tools/quantize/options.h"
#include "tools/support/json.h"
#include "tools/support/quantize_file.h"
#include "tools/support/table.h"

namespace brink::tools {
namespace {

TypeRequest type_request(const QuantizeRequest& request) {
  TypeRequest types;
  Mix mix = parse_mix(request.arguments[2]);
  mix.pure = mix.pure || request.pure;
  types.mix = mix;
  // More special first: the first rule that matches decides.
  if (!request.embedding_type.empty())
    types.rules.push_back({"^token_embd\\.weight$", parse_weight_type(request.embedding_type)});
  if (!request.output_type.empty())
    types.rules.push_back({"^output\\.weight$", parse_weight_type(request.output_type)});
  for (const std::string& rule : request.tensor_types)
    types.rules.push_back(parse_tensor_type_rule(rule));
  types.importance_matrix = !request.imatrix.empty();
  return types;
}

void print_result(const QuantizeRequest& request, const std::vector<PlannedTensor>& plan,
                  const QuantizeResult& result, double seconds) {
  std::map<std::string, std::uint64_t> bytes_of_type;
  for (const PlannedTensor& planned : plan)
    bytes_of_type[size_of(planned.type).name] += planned.bytes();
  if (request.json) {
    Json types = Json::object();
    for (const auto& [type, bytes] : bytes_of_type) types[type] = bytes;
    std::fputs(to_text({{"source", request.arguments[0]},
                        {"output", request.arguments[1]},
                        {"type", request.arguments[2]},
                        {"source_bytes", result.source_bytes},
                        {"bytes", result.bytes},
                        {"bits_per_weight", bits_per_weight(plan)},
                        {"types", types},
                        {"replaced", result.replaced},
                        {"without_importance", result.without_importance},
                        {"seconds", seconds}})
                   .c_str(),
               stdout);
    return;
  }
  std::string types;
  for (const auto& [type, bytes] : bytes_of_type)
    types += (types.empty() ? "" : ", ") + type + " " + human_bytes(bytes);
  std::printf("%s: %s instead of %s, %.2f bits per weight (%s)\n",
              printable(request.arguments[1]).c_str(), human_bytes(result.bytes).c_str(),
              human_bytes(result.source_bytes).c_str(), bits_per_weight(plan), types.c_str());
}

}  // namespace

void print_plan(const QuantizeRequest& request, const std::vector<PlannedTensor>& plan) {
  if (request.json) {
    Json tensors = Json::array();
    for (const PlannedTensor& planned : plan)
      tensors.push_back({{"name", planned.source->name},
                         {"from", size_of(planned.source->type).name},
                         {"type", size_of(planned.type).name},
                         {"fallback", planned.fallback},
                         {"bytes", planned.bytes()}});
    std::fputs(to_text({{"source", request.arguments[0]},
                        {"tensors", tensors},
                        {"bytes", data_bytes(plan)},
                        {"bits_per_weight", bits_per_weight(plan)}},
                       1)
                   .c_str(),
               stdout);
    return;
  }
  Table table({"tensor", ">columns", ">rows", "from", "to", ">bytes", "note"});
  for (const PlannedTensor& planned : plan)
    table.add({printable(planned.source->name), std::to_string(planned.source->shape[0]),
               std::to_string(planned.source->rows()), size_of(planned.source->type).name,
               size_of(planned.type).name, std::to_string(planned.bytes()),
               planned.fallback ? "rows fit no block of the type asked for" : ""});
  std::fputs(table.text().c_str(), stdout);
  std::printf("\n%s, %.2f bits per weight\n", human_bytes(data_bytes(plan)).c_str(),
              bits_per_weight(plan));
}

void warn(const QuantizeRequest& request, const QuantizeResult& result) {
  if (result.replaced > 0)
    std::fprintf(stderr, "quantize: warning: %llu weights that were not finite were replaced\n",
                 static_cast<unsigned long long>(result.replaced));
  if (!result.without_importance.empty())
    std::fprintf(stderr,
                 "quantize: warning: %zu tensors (%s first) got a type of about two bits or less "
                 "without an importance matrix%s: expect poor quality\n",
                 result.without_importance.size(),
                 printable(result.without_importance.front()).c_str(),
                 request.imatrix.empty() ? " (--imatrix)" : " for them");
}

void run_quantize(const QuantizeRequest& request) {
  const TypeRequest types = type_request(request);
  const Gguf gguf = Gguf::open(request.arguments[0]);
  const std::vector<PlannedTensor> plan = plan_types(gguf, types);
  if (request.dry_run) {
    print_plan(request, plan);
    return;
  }
  const Importance importance(request.imatrix);
  QuantizeOptions options;
  importance.apply(options);
  options.effort = request.effort;
  options.allow_nonfinite = request.allow_nonfinite;
  options.allow_requantize = request.allow_requantize;
  options.file_type = types.mix.file_type;
  options.threads = request.threads;
  const auto start = std::chrono::steady_clock::now();
  const QuantizeResult result =
      quantize_file("quantize", gguf, plan, request.arguments[1], options, request.json);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  print_result(request, plan, result, seconds.count());
  warn(request, result);
}

}  // namespace brink::tools
