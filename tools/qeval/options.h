// What qeval was asked to do.
#ifndef BRINK_TOOLS_QEVAL_OPTIONS_H_
#define BRINK_TOOLS_QEVAL_OPTIONS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "brink/brink.h"
#include "tools/qeval/dial.h"
#include "tools/support/engine_options.h"

namespace brink::tools {

/// Of all measurements that run a text through a model. Activations and cache of `engine` are not
/// used: those that are measured are the dial's.
struct TextOptions {
  std::string text;  // file, "-" for standard input
  std::size_t context = 512;
  std::size_t most_windows = 0;  // 0: all
  bool parse_special = false;    // control tokens in the text are tokens
  std::size_t batch = 512;
  EngineOptions engine;
  std::string store;  // SQLite file, empty: none
  bool json = false;

  SessionOptions session() const {
    SessionOptions session;
    session.batch = batch;
    engine.apply(session);
    return session;
  }
  /// The same for measuring: -b decides the speed, and no result.
  SessionOptions evaluation() const {
    SessionOptions options = session();
    options.same_kernels = true;
    return options;
  }
};

struct PerplexityOptions {
  std::vector<std::string> models;
  TextOptions text;
  DialOptions dial;
};

struct DivergenceOptions {
  std::string base;
  std::vector<std::string> models;
  TextOptions text;
  DialOptions dial;
  std::string cache_folder;
  bool delete_cache = false;
};

struct ImportanceOptions {
  std::string model;
  std::string output;
  TextOptions text;
};

struct CalibrateOptions {
  std::string model;
  std::string output;
  double percentile = 100;
  TextOptions text;
};

struct ReportOptions {
  std::string store;      // SQLite file
  std::string page, csv;  // files to write, empty: none
  bool json = false;
  std::string baseline;  // weights, empty: those of the most bits
  std::string tolerance = "2pp";
  std::string equivalence;  // empty: the tolerance
};

struct SpeedOptions {
  std::string model;
  std::string store;
  std::size_t prompt_tokens = 512;
  std::size_t generated_tokens = 64;
  std::size_t repetitions = 3;
  bool cold = false;
  EngineOptions engine;
  bool json = false;
};

/// Options that several subcommands have.
void add_models(CLI::App& app, std::vector<std::string>& models);
/// `what` stands for the file in the help text.
void add_model_and_output(CLI::App& app, std::string& model, std::string& output,
                          const std::string& what);
void add_window_options(CLI::App& app, std::size_t& context, std::size_t& most_windows,
                        bool& parse_special);
/// --store of those that always have one.
void add_results(CLI::App& app, std::string& store);
CLI::Option* add_graders(CLI::App& app, std::vector<std::string>& graders);
void add_prompt_and_limit(CLI::App& app, std::string& prompt, std::size_t& limit);
void add_allow_code(CLI::App& app, bool& allow);
void add_code_options(CLI::App& app, bool& allow, unsigned& seconds);

CLI::App* add_speed(CLI::App& app, SpeedOptions& options);

/// The subcommands. Each returns the exit code and throws Error.
int perplexity(const PerplexityOptions& options);
int divergence(const DivergenceOptions& options);
int importance(const ImportanceOptions& options);
int calibrate(const CalibrateOptions& options);
int report(const ReportOptions& options);
int speed(const SpeedOptions& options);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_QEVAL_OPTIONS_H_
