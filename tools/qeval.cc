// Measures what a quantization costs in quality.
#include "tools/qeval/options.h"
#include "tools/qeval/sweep.h"
#include "tools/qeval/tasks.h"
#include "tools/support/cli.h"
#include "tools/support/engine_options.h"

namespace brink::tools {
namespace {

void add_text_options(CLI::App& app, TextOptions& options) {
  app.add_option("-f,--file", options.text, "Text to measure on (- for standard input)")
      ->required()
      ->option_text("TEXT");
  add_window_options(app, options.context, options.most_windows, options.parse_special);
  app.add_option("-b,--batch", options.batch,
                 "Tokens computed at once; decides the speed, and no figure")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 20))
      ->option_text("N (default: 512)");
  app.add_flag("--json", options.json, "Print JSON");
}

void add_store(CLI::App& app, std::string& store) {
  app.add_option("--store", store,
                 "SQLite file to keep results in, window by window: a run that was interrupted\n"
                 "goes on, one that is there is not repeated")
      ->option_text("FILE");
}

CLI::App* add_report(CLI::App& app, ReportOptions& options) {
  CLI::App* report = app.add_subcommand(
      "report",
      "What a store of results says, on one HTML page: charts, every quant against the baseline\n"
      "with intervals and corrected tests, and which quants are safe");
  report->add_option("--store", options.store, "Results of qeval")->required()->option_text("FILE");
  report->add_option("-o,--output", options.page, "Page to write")->option_text("HTML");
  report->add_option("--csv", options.csv, "Table to write, a row for each setting and task")
      ->option_text("FILE");
  report->add_flag("--json", options.json, "Print the same rows as JSON");
  report
      ->add_option("--baseline", options.baseline,
                   "Weights to compare with, as measured with the most exact activations and KV\n"
                   "cache (default: those of the most bits)")
      ->option_text("WEIGHTS");
  report
      ->add_option("--tolerance", options.tolerance,
                   "Drop in percentage points up to which a quant is good enough")
      ->option_text("Npp (default: 2pp)");
  report
      ->add_option(
          "--equivalence", options.equivalence,
          "Margin in percentage points within which a quant counts as equivalent: neither\n"
          "worse nor better")
      ->option_text("Npp (default: the tolerance)");
  return report;
}

}  // namespace
}  // namespace brink::tools

int main(int argc, char** argv) {
  using namespace brink::tools;
  CLI::App app(
      "Measures what a quantization costs in quality, with error bars.\n\n"
      "  qeval perplexity -m a.gguf -f text.txt -c 512\n"
      "  qeval divergence --base f16.gguf -m q8_0.gguf -m q4_k_m.gguf -f text.txt\n"
      "  qeval perplexity -m q4_k_m.gguf -f text.txt --activations f32,q8,fp8 --kv-type f16,q4_0\n"
      "  qeval importance -m f16.gguf -f text.txt -o imatrix.gguf\n"
      "  qeval calibrate -m f16.gguf -f text.txt -o scales.json\n"
      "  qeval tasks -m q4_k_m.gguf --task gsm8k.jsonl --grader gsm8k\n"
      "  qeval sweep -m f16.gguf --quants all -f text.txt --task gsm8k.jsonl --grader gsm8k\n"
      "  qeval report --store results.sqlite -o report.html",
      "qeval");
  app.set_help_flag("-h,--help", "Show this help");  // before the subcommands, which inherit it
  app.require_subcommand(1);

  PerplexityOptions perplexity_options;
  CLI::App* perplexity_app = app.add_subcommand(
      "perplexity",
      "Perplexity of a text, with its standard error, and bits per byte, which compare\n"
      "across tokenizers");
  add_models(*perplexity_app, perplexity_options.models);
  add_text_options(*perplexity_app, perplexity_options.text);
  add_store(*perplexity_app, perplexity_options.text.store);
  add_dial_options(*perplexity_app, perplexity_options.dial);
  add_device_options(*perplexity_app, perplexity_options.text.engine);

  DivergenceOptions divergence_options;
  CLI::App* divergence_app = app.add_subcommand(
      "divergence",
      "How far each model's predictions are from those of a base: KL divergence, difference\n"
      "of ln perplexity, agreement on the most probable token. The base runs with f32\n"
      "activations and KV cache, once: its logits are kept in a file");
  divergence_app->add_option("--base", divergence_options.base, "GGUF file to compare with")
      ->required()
      ->option_text("FILE");
  add_models(*divergence_app, divergence_options.models);
  add_text_options(*divergence_app, divergence_options.text);
  divergence_app
      ->add_option(
          "--cache-dir", divergence_options.cache_folder,
          "Folder of base logits, 2 bytes a token of the vocabulary for each token scored\n"
          "(default: $XDG_CACHE_HOME/brink or ~/.cache/brink)")
      ->option_text("FOLDER");
  divergence_app->add_flag("--delete-cache", divergence_options.delete_cache,
                           "Delete this base's logits at the end");
  add_store(*divergence_app, divergence_options.text.store);
  add_dial_options(*divergence_app, divergence_options.dial);
  add_device_options(*divergence_app, divergence_options.text.engine);

  ImportanceOptions importance_options;
  CLI::App* importance_app = app.add_subcommand(
      "importance",
      "Mean squared inputs of every matrix, by column, as a GGUF importance matrix for\n"
      "quantizing");
  add_model_and_output(*importance_app, importance_options.model, importance_options.output,
                       "IMATRIX");
  add_text_options(*importance_app, importance_options.text);
  add_threads(*importance_app, importance_options.text.engine.threads);

  CalibrateOptions calibrate_options;
  CLI::App* calibrate_app = app.add_subcommand(
      "calibrate",
      "Static scales for --activations int8-tensor: of every matrix how large its inputs get\n"
      "on a text");
  add_model_and_output(*calibrate_app, calibrate_options.model, calibrate_options.output, "SCALES");
  calibrate_app
      ->add_option(
          "--percentile", calibrate_options.percentile,
          "What so many percent of the values do not exceed becomes the largest int8, and\n"
          "values beyond saturate")
      ->check(number_from(0, 100))
      ->option_text("P (default: 100, the largest value)");
  add_text_options(*calibrate_app, calibrate_options.text);
  add_threads(*calibrate_app, calibrate_options.text.engine.threads);

  TasksOptions tasks_options;
  CLI::App* tasks_app = add_tasks(app, tasks_options);
  RegradeOptions regrade_options;
  CLI::App* regrade_app = add_regrade(app, regrade_options);

  ReportOptions report_options;
  CLI::App* report_app = add_report(app, report_options);
  SpeedOptions speed_options;
  CLI::App* speed_app = add_speed(app, speed_options);
  SweepOptions sweep_options;
  CLI::App* sweep_app = add_sweep(app, sweep_options);

  return run_tool(app, argc, argv, [&] {
    if (tasks_app->parsed()) return tasks(tasks_options);
    if (regrade_app->parsed()) return regrade(regrade_options);
    if (report_app->parsed()) return report(report_options);
    if (perplexity_app->parsed()) return perplexity(perplexity_options);
    if (divergence_app->parsed()) return divergence(divergence_options);
    if (calibrate_app->parsed()) return calibrate(calibrate_options);
    if (speed_app->parsed()) return speed(speed_options);
    if (sweep_app->parsed()) return sweep(sweep_options);
    return importance(importance_options);
  });
}
