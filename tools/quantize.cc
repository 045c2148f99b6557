// Turns a GGUF model into other weight types.
#include <string>
#include <vector>

#include "brink/brink.h"
#include "tools/quantize/options.h"
#include "tools/support/cli.h"
#include "tools/support/engine_options.h"
#include "tools/support/usage_error.h"

int main(int argc, char** argv) {
  using namespace brink::tools;
  QuantizeRequest request;
  CLI::App app(
      "Turns an F32, F16, BF16 or Q8_0 model into any weight type or mix of types.\n\n"
      "  quantize model-f16.gguf model-q4_k_m.gguf Q4_K_M\n"
      "  quantize model-f16.gguf out.gguf Q4_K_M --tensor-type 'ffn_down=Q6_K' --imatrix im.gguf\n"
      "  quantize model-f16.gguf out.gguf Q3_K_M --dry-run\n"
      "  quantize model-f16.gguf out.gguf --budget 4.5bpw --text text.txt --imatrix im.gguf\n"
      "  quantize --verify model-f16.gguf model-q4_k_m.gguf",
      "quantize");
  app.add_option(
         "FILES", request.arguments,
         "IN.gguf OUT.gguf TYPE: source, result and a mix (Q4_K_M, Q2_K, IQ4_XS, ...) or a\n"
         "single type; of a split model the first part. With --verify: A.gguf B.gguf")
      ->option_text("IN OUT TYPE");
  app.add_flag("--pure", request.pure, "One type for every matrix: the base of the mix");
  app.add_option("--tensor-type", request.tensor_types,
                 "Exception: tensors in whose name the regular expression is found get the type;\n"
                 "may be repeated, the first that matches decides")
      ->option_text("PATTERN=TYPE")
      ->allow_extra_args(false);
  app.add_option("--output-tensor-type", request.output_type, "Type of output.weight")
      ->option_text("TYPE");
  app.add_option("--token-embedding-type", request.embedding_type, "Type of token_embd.weight")
      ->option_text("TYPE");
  app.add_option("--effort", "How long to search for the best scales: default or high")
      ->option_text("default|high")
      ->each([&](const std::string& text) {
        if (text == "high")
          request.effort = brink::Effort::kHigh;
        else if (text != "default")
          throw CLI::ValidationError("--effort '" + text + "' is none of default|high");
      });
  app.add_option("--imatrix", request.imatrix,
                 "Importance matrix (qeval importance): weighs errors by how large the inputs of\n"
                 "each column are")
      ->option_text("FILE");
  app.add_option("--budget", request.budget,
                 "Search the types that cost least quality instead of TYPE: 4.5bpw (bits per\n"
                 "weight), 3.5GiB (size of the file), or the size of a mix: Q4_K_M")
      ->option_text("SIZE");
  app.add_option("--text", request.text,
                 "Text for --budget: every other window is searched with, the rest evaluated")
      ->option_text("FILE");
  app.add_flag("--parse-special", request.parse_special,
               "Read control tokens in the text (<|im_start|>) as such, not as plain text");
  app.add_option("-c,--context", request.context, "Tokens a window of the text (default: 512)")
      ->check(CLI::Range(std::size_t{3}, std::size_t{1} << 20))
      ->option_text("N");
  app.add_option("--search-windows", request.search_windows,
                 "Windows to search with, at most (default: 4096 tokens, fewer for models of more\n"
                 "than half a billion weights)")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 20))
      ->option_text("N");
  app.add_option("--evaluate-windows", request.evaluate_windows,
                 "Windows to evaluate with, at most (default: eight times those of the search)")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 20))
      ->option_text("N");
  app.add_flag(
      "--measure-types", request.measure_types,
      "Measure every type of every tensor instead of estimating it from one: sixteen times\n"
      "the work; also says how well the estimate would have ranked them");
  app.add_option("--sensitivities", request.sensitivities,
                 "Where what was measured of each tensor is kept, to be used again and after an\n"
                 "interruption (default: OUT.sensitivities.json)")
      ->option_text("FILE");
  app.add_option("--plot", request.plot, "Write a picture of the types of all tensors (SVG)")
      ->option_text("FILE");
  app.add_flag("--verify", request.verify,
               "Compare the tensors of two files instead: relative RMS, largest difference and\n"
               "cosine, the worst first");
  app.add_flag("--dry-run", request.dry_run, "Show what each tensor would become; write nothing");
  app.add_flag("--allow-requantize", request.allow_requantize,
               "Take sources that are quantized already (other than Q8_0)");
  app.add_flag("--allow-nonfinite", request.allow_nonfinite,
               "Replace weights that are NaN (by 0) or infinite (by the largest number)");
  add_threads(app, request.threads);
  app.add_flag("--json", request.json, "Print one JSON object");
  return run_tool(app, argc, argv, [&] {
    if (request.verify) {
      if (request.arguments.size() != 2) throw UsageError("--verify takes two files");
      run_verify(request);
    } else if (!request.budget.empty()) {
      if (request.arguments.size() != 2 || request.text.empty())
        throw UsageError("--budget takes IN and OUT and needs --text");
      if (request.pure || !request.tensor_types.empty() || !request.output_type.empty() ||
          !request.embedding_type.empty())
        throw UsageError("--budget chooses the types by itself");
      run_budget(request);
    } else {
      if (request.arguments.size() != 3) throw UsageError("IN, OUT and TYPE are required");
      run_quantize(request);
    }
    return 0;
  });
}
