#include "tools/qeval/sweep.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <span>
#include <utility>

#include "brink/core/error.h"
#include "brink/core/fingerprint.h"
#include "tools/qeval/child.h"
#include "tools/qeval/report.h"
#include "tools/support/cli.h"
#include "tools/support/engine_options.h"
#include "tools/support/interrupt.h"
#include "tools/support/output_file.h"
#include "tools/support/table.h"
#include "tools/support/text_file.h"
#include "tools/support/usage_error.h"

namespace brink::tools {
namespace {

namespace fs = std::filesystem;

// Quants and base logits while they are needed. One sweep at a time works in it.
class WorkFolder {
 public:
  WorkFolder(const SweepOptions& options)
      : path_(options.folder.empty() ? options.store + ".files" : options.folder),
        keep_(options.keep) {
    std::error_code error;
    fs::create_directories(path_, error);
    if (error) throw Error("cannot create: " + error.message(), {.file = path_});
    const std::string lock = (fs::path(path_) / "lock").string();
    fd_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd_ < 0) throw Error(std::string("cannot open: ") + std::strerror(errno), {.file = lock});
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      ::close(fd_);
      throw Error("another sweep is at work in it", {.file = path_});
    }
    // Files that a killed sweep was writing.
    for (const auto& entry : fs::directory_iterator(path_))
      if (entry.path().filename().string().find(".gguf.tmp-") != std::string::npos)
        fs::remove(entry.path(), error);
  }
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;
  ~WorkFolder() { ::close(fd_); }

  const std::string& path() const { return path_; }

  /// At the end of a sweep in which nothing is missing.
  void clean() const {
    if (keep_) return;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(path_))
      if (entry.path().extension() == ".logits") fs::remove(entry.path(), ignored);
    fs::remove(fs::path(path_) / "lock", ignored);
    fs::remove(path_, ignored);  // unless somebody keeps other files there
  }

 private:
  std::string path_;
  bool keep_;
  int fd_ = -1;
};

std::string content_of(const std::string& path) { return fingerprint(read_text(path)); }

// A measurement: what the program is run with, and what decides its result.
struct Step {
  SweepModel* model = nullptr;
  std::size_t row = 0;
  std::string kind;
  std::size_t task = 0;
  std::vector<std::string> arguments;  // without the model and how it runs
  std::vector<std::string> deciding;   // of them and of the files they name

  // Empty while the model's content is not known.
  std::string key(const SweepRow& in) const {
    if (model->hash.empty()) return "";
    Fingerprint sum;
    const auto add = [&](const std::string& part) {
      sum.add(std::to_string(part.size()) + ":");
      sum.add(part);
    };
    for (const std::string& part : {std::string(BRINK_VERSION), kind, model->hash, model->base_hash,
                                    in.activations, in.kv_type})
      add(part);
    for (const std::string& part : deciding) add(part);
    return "step " + sum.hex();
  }
};

// How long what is left takes, by what the same kinds took so far.
class RemainingTime {
 public:
  void add(const std::string& kind, double seconds) {
    auto& [sum, count] = taken_[kind];
    sum += seconds;
    ++count;
  }
  /// ", 3:10 left", or nothing before anything is known.
  std::string left(const std::map<std::string, std::size_t>& missing) const {
    if (taken_.empty()) return "";
    double all = 0, known = 0;
    for (const auto& [kind, taken] : taken_) {
      all += taken.first;
      known += static_cast<double>(taken.second);
    }
    double seconds = 0;
    for (const auto& [kind, count] : missing) {
      const auto taken = taken_.find(kind);
      const double each = taken == taken_.end()
                              ? all / known
                              : taken->second.first / static_cast<double>(taken->second.second);
      seconds += each * static_cast<double>(count);
    }
    const auto whole = static_cast<unsigned long>(seconds + 0.5);
    char text[48];
    if (whole >= 3600)
      std::snprintf(text, sizeof text, ", %lu:%02lu:%02lu left", whole / 3600, whole / 60 % 60,
                    whole % 60);
    else
      std::snprintf(text, sizeof text, ", %lu:%02lu left", whole / 60, whole % 60);
    return text;
  }

 private:
  std::map<std::string, std::pair<double, std::size_t>> taken_;  // seconds, how often
};

class Sweep {
 public:
  explicit Sweep(const SweepOptions& options)
      : options_(options), store_(options.store), folder_(options), maker_(options) {}

  int run();

 private:
  void plan();
  void plan_row(SweepModel& model, const DialSetting& setting);
  void add_scales(Step& step) const;
  std::vector<std::string> command_of(const Step& step) const;
  bool recall(const Step& step);
  void take(const Step& step, const Json& row);
  bool measure(const Step& step);
  void say_what_is_next(const Step& step) const;
  void done_with(const SweepModel& model);

  const SweepOptions& options_;
  Store store_;
  WorkFolder folder_;
  QuantMaker maker_;
  SweepModels models_;
  std::vector<SweepRow> rows_;
  std::vector<Step> steps_;
  std::map<std::string, std::size_t> missing_;  // steps, by kind
  std::size_t done_ = 0;
  RemainingTime remaining_;
};

void Sweep::plan() {
  if (!options_.csv.empty()) check_writable(options_.csv);
  models_ = maker_.plan(folder_.path(), store_);
  for (const SkippedQuant& skipped : models_.skipped)
    std::fprintf(stderr, "qeval: %s of %s is left out: %s\n", skipped.quant.c_str(),
                 skipped.source.c_str(), skipped.reason.c_str());
  for (SweepModel& model : models_.models)
    for (const DialSetting& setting : settings_of(options_.dial)) plan_row(model, setting);
}

// Scales that int8-tensor activations take.
void Sweep::add_scales(Step& step) const {
  const DialOptions& dial = options_.dial;
  if (dial.scales.empty()) {
    const std::string percentile = dumped(Json(dial.percentile));
    step.arguments.insert(step.arguments.end(),
                          {"--calibrate", dial.calibration, "--percentile", percentile});
    step.deciding.insert(step.deciding.end(), {content_of(dial.calibration), percentile});
    if (step.kind == "tasks" && options_.parse_special) {
      step.arguments.push_back("--parse-special");
      step.deciding.push_back("special");
    }
  } else {
    step.arguments.insert(step.arguments.end(), {"--scales", dial.scales});
    step.deciding.push_back(content_of(dial.scales));
  }
}

void Sweep::plan_row(SweepModel& model, const DialSetting& setting) {
  const std::size_t row = rows_.size();
  rows_.push_back({&model,
                   name_of(setting.activations),
                   name_of(setting.kv_type),
                   {},
                   {},
                   {},
                   std::vector<Json>(options_.tasks.size())});
  const auto add = [&](Step step) {
    if (setting.activations == Activations::kInt8Tensor) add_scales(step);
    steps_.push_back(std::move(step));
  };
  if (!options_.text.empty()) {
    Step step{&model, row, model.base.empty() ? "perplexity" : "divergence", 0, {}, {}};
    step.arguments = {"-f", options_.text, "-c", std::to_string(options_.context)};
    if (options_.most_windows > 0)
      step.arguments.insert(step.arguments.end(),
                            {"--windows", std::to_string(options_.most_windows)});
    if (options_.parse_special) step.arguments.push_back("--parse-special");
    if (!model.base.empty())
      step.arguments.insert(step.arguments.end(),
                            {"--base", model.base, "--cache-dir", folder_.path()});
    step.deciding = {content_of(options_.text), std::to_string(options_.context),
                     std::to_string(options_.most_windows)};
    if (options_.parse_special) step.deciding.push_back("special");
    add(std::move(step));
  }
  for (std::size_t t = 0; t < options_.tasks.size(); ++t) {
    const std::string& grader = options_.graders[options_.graders.size() == 1 ? 0 : t];
    Step step{&model, row, "tasks", t, {"--task", options_.tasks[t], "--grader", grader}, {}};
    step.deciding = {content_of(options_.tasks[t]), grader, std::to_string(options_.limit)};
    if (!options_.prompt.empty()) {
      step.arguments.insert(step.arguments.end(), {"--prompt", options_.prompt});
      step.deciding.push_back(content_of(options_.prompt));
    }
    if (options_.limit > 0)
      step.arguments.insert(step.arguments.end(), {"--limit", std::to_string(options_.limit)});
    if (options_.allow_code) step.arguments.push_back("--allow-code");
    add(std::move(step));
  }
  // The other kinds of activations are simulated: how long that takes says nothing.
  const Activations how = setting.activations;
  if (options_.speed &&
      (how == Activations::kF32 || how == Activations::kBf16 || how == Activations::kQ8)) {
    Step step{&model, row, "speed", 0, {}, {std::to_string(options_.threads)}};
    if (options_.cold) {
      step.arguments.push_back("--cold");
      step.deciding.push_back("cold");
    }
    add(std::move(step));
  }
}

std::vector<std::string> Sweep::command_of(const Step& step) const {
  const SweepRow& row = rows_[step.row];
  std::vector<std::string> command = {
      step.kind,       "-m",        step.model->path, "--store", options_.store, "--activations",
      row.activations, "--kv-type", row.kv_type,      "--json"};
  command.insert(command.end(), step.arguments.begin(), step.arguments.end());
  if (options_.threads > 0)
    command.insert(command.end(), {"--threads", std::to_string(options_.threads)});
  return command;
}

// Takes the figures of an earlier sweep.
bool Sweep::recall(const Step& step) {
  const std::string key = step.key(rows_[step.row]);
  if (key.empty()) return false;
  const auto note = store_.note(key);
  if (!note) return false;
  const Json row = parse_json_if_any(*note);
  if (!row.is_object()) return false;
  take(step, row);
  return true;
}

void Sweep::take(const Step& step, const Json& row) {
  SweepRow& place = rows_[step.row];
  if (step.kind == "divergence") place.divergence = row;
  if (step.kind == "perplexity") place.perplexity = row;
  if (step.kind == "speed") place.speed = row;
  if (step.kind == "tasks") place.tasks[step.task] = row;
}

void Sweep::say_what_is_next(const Step& step) const {
  const SweepRow& row = rows_[step.row];
  std::string what = step.kind;
  if (step.kind == "tasks") what = fs::path(options_.tasks[step.task]).stem().string();
  std::fprintf(stderr, "[%zu/%zu%s] %s %s, %s, %s: %s\n", done_ + 1, steps_.size(),
               remaining_.left(missing_).c_str(), printable(step.model->name, 40).c_str(),
               step.model->weights.c_str(), row.activations.c_str(), row.kv_type.c_str(),
               printable(what, 40).c_str());
}

bool Sweep::measure(const Step& step) {
  say_what_is_next(step);
  const auto start = std::chrono::steady_clock::now();
  const ChildResult result = run_child(command_of(step));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  if (!result.failure.empty()) {
    std::fprintf(stderr, "qeval: %s of %s ended with %s\n", step.kind.c_str(),
                 step.model->path.c_str(), result.failure.c_str());
    return false;
  }
  const Json rows = parse_json_if_any(result.output);
  if (!rows.is_array() || rows.size() != 1 || !rows[0].is_object())
    throw Error("qeval " + step.kind + " gave no single row of JSON", {.file = step.model->path});
  take(step, rows[0]);
  store_.set_note(step.key(rows_[step.row]), dumped(rows[0]));
  remaining_.add(step.kind, seconds.count());
  return true;
}

// Removes a quant's file, whichever sweep made it, unless one was told to keep it.
void Sweep::done_with(const SweepModel& model) {
  if (!model.mix) return;
  const std::string kept = "kept " + fs::absolute(model.path).lexically_normal().string();
  std::error_code ignored;
  if (options_.keep) {
    if (fs::exists(model.path, ignored)) store_.set_note(kept, "{}");
  } else if (!store_.note(kept)) {
    fs::remove(model.path, ignored);
  }
}

int Sweep::run() {
  plan();
  std::vector<std::vector<const Step*>> missing_of(models_.models.size());
  for (const Step& step : steps_) {
    if (recall(step)) {
      ++done_;
      continue;
    }
    missing_of[static_cast<std::size_t>(step.model - models_.models.data())].push_back(&step);
    ++missing_[step.kind];
  }
  if (done_ > 0)
    std::fprintf(stderr, "%zu of %zu measurements are in %s\n", done_, steps_.size(),
                 options_.store.c_str());
  std::size_t failed = 0;
  for (std::size_t m = 0; m < models_.models.size(); ++m) {
    SweepModel& model = models_.models[m];
    if (missing_of[m].empty()) {
      done_with(model);  // a sweep may have been killed after the last measurement
      continue;
    }
    try {
      maker_.make(model, store_);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "qeval: %s of %s cannot be made: %s\n", model.weights.c_str(),
                   model.source.c_str(), error.what());
      for (const Step* step : missing_of[m]) --missing_[step->kind];
      failed += missing_of[m].size();
      done_ += missing_of[m].size();
      continue;
    }
    for (const Step* step : missing_of[m]) {
      // A file that has just been made may be known by what it holds.
      failed += !recall(*step) && !measure(*step);
      ++done_;
      --missing_[step->kind];
    }
    done_with(model);
  }
  const Json report = sweep_json(rows_, options_);
  std::fputs((options_.json ? to_text(report, 1) : sweep_table(report, options_)).c_str(), stdout);
  if (!options_.csv.empty()) {
    OutputFile file(options_.csv);
    file.write(std::as_bytes(std::span<const char>(runs_csv(store_))));
    file.close();
  }
  if (failed > 0)
    throw Error(std::to_string(failed) + " of " + std::to_string(steps_.size()) +
                " measurements failed; the same command tries them again");
  folder_.clean();
  return 0;
}

}  // namespace

CLI::App* add_sweep(CLI::App& app, SweepOptions& options) {
  CLI::App* command = app.add_subcommand(
      "sweep",
      "Everything for every quant made from a file, or for given files: perplexity and\n"
      "divergence from the base, tasks, throughput, load time and peak memory, each in a\n"
      "process of its own. What is in the store is not repeated: a sweep that was killed\n"
      "goes on where it was");
  add_models(*command, options.models);
  command
      ->add_option("--quants", options.quants,
                   "Make these of every -m and measure them too: all, or mixes and types with\n"
                   "commas between (default: the files as they are)")
      ->delimiter(',')
      ->option_text("TYPE,...")
      ->allow_extra_args(false);
  command
      ->add_option("--base", options.base,
                   "Without --quants: the file that divergence is from (default: the first -m);\n"
                   "files with other tensors only get perplexity")
      ->option_text("FILE");
  command
      ->add_option("--imatrix", options.importance,
                   "Importance matrix (qeval importance) to quantize with; without one, types\n"
                   "that need it are left out")
      ->option_text("FILE");
  command->add_option("-f,--file", options.text, "Text for perplexity and divergence")
      ->option_text("TEXT");
  add_window_options(*command, options.context, options.most_windows, options.parse_special);
  command->add_option("--task", options.tasks, "Task file for qeval tasks; may be repeated")
      ->option_text("FILE")
      ->allow_extra_args(false);
  add_graders(*command, options.graders);
  add_prompt_and_limit(*command, options.prompt, options.limit);
  add_allow_code(*command, options.allow_code);
  add_dial_options(*command, options.dial);
  command->add_flag_callback(
      "--no-speed", [&options] { options.speed = false; },
      "Leave out throughput, load time and memory");
  command->add_flag("--cold", options.cold,
                    "Load time with the file dropped from the page cache (default: warm)");
  add_threads(*command, options.threads);
  add_results(*command, options.store);
  command
      ->add_option("--work-dir", options.folder,
                   "Folder of quants and base logits while they are needed (default: beside the\n"
                   "store)")
      ->option_text("FOLDER");
  command->add_flag("--keep", options.keep, "Keep quants and base logits");
  command->add_option("--csv", options.csv, "Write all finished runs of the store, too")
      ->option_text("FILE");
  command->add_flag("--json", options.json, "Print JSON");
  return command;
}

int sweep(const SweepOptions& options) {
  if (options.text.empty() && options.tasks.empty() && !options.speed)
    throw UsageError("nothing to measure: give -f or --task");
  if (!options.tasks.empty() && options.graders.size() != 1 &&
      options.graders.size() != options.tasks.size())
    throw UsageError("--grader is needed once, or once for each --task");
  if (!options.quants.empty() && !options.base.empty())
    throw UsageError("--base is for files as they are: quants are compared with what they are of");
  if (options.text == "-") throw UsageError("a sweep reads its text many times: give a file");
  for (const auto& inputs : {options.models, options.tasks})
    for (const std::string& input : inputs) check_output(options.csv, {input});
  check_output(options.csv, {options.store, options.text, options.base, options.importance,
                             options.prompt, options.dial.calibration, options.dial.scales});
  say_on_interrupt("qeval: interrupted; the same command goes on where it was");
  return Sweep(options).run();
}

}  // namespace brink::tools
