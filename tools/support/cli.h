// What all command-line tools share: parsing, errors and their exit codes. What only declares
// functions that add options does with the declarations of engine_options.h: CLI11 takes a compiler
// longer than most sources do.
#ifndef BRINK_TOOLS_SUPPORT_CLI_H_
#define BRINK_TOOLS_SUPPORT_CLI_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

namespace brink::tools {

/// Parses and runs a tool. Exit codes: 0; 1 with "NAME: what went wrong" on stderr for anything
/// thrown by `body` or standard output that cannot be written; 2 for wrong usage.
int run_tool(CLI::App& app, int argc, char** argv, const std::function<int()>& body);

/// A number from `low` to `high`: CLI::Range lets NaN pass.
CLI::Validator number_from(double low, double high);

}  // namespace brink::tools

#endif  // BRINK_TOOLS_SUPPORT_CLI_H_
