#include "tools/support/cli.h"

#include <signal.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <new>
#include <vector>

#include "tools/support/json.h"
#include "tools/support/usage_error.h"

namespace brink::tools {
namespace {

int fail(const CLI::App& app, std::string message, int code) {
  std::replace(message.begin(), message.end(), '\n', ' ');
  std::fflush(stdout);
  std::fprintf(stderr, "%s: %s\n", app.get_name().c_str(), message.c_str());
  return code;
}

// The words of a command line that nothing took: what is misspelled, rather than what is then
// missing, should be named.
std::string unknown_word(const CLI::App& app) {
  const std::vector<std::string> words = app.remaining(true);
  if (words.empty()) return "";
  const auto option =
      std::ranges::find_if(words, [](const std::string& word) { return word.starts_with('-'); });
  const std::vector<const CLI::App*> commands =
      app.get_subcommands([](const CLI::App*) { return true; });
  if (!commands.empty() && app.get_subcommands().empty() && !words[0].starts_with('-')) {
    std::string known;
    for (const CLI::App* command : commands)
      known += (known.empty() ? "" : ", ") + command->get_name();
    return "'" + words[0] + "' is no subcommand: " + known;
  }
  if (option == words.end()) return "";
  return "'" + *option + "' is no option";
}

}  // namespace

int run_tool(CLI::App& app, int argc, char** argv, const std::function<int()>& body) {
  app.set_help_flag("-h,--help", "Show this help");
  // A file that may not grow further is an error of the call that writes, which names the file.
  ::signal(SIGXFSZ, SIG_IGN);
  int code = 0;
  try {
    app.parse(argc, argv);
    code = body();
  } catch (const CLI::CallForHelp&) {
    std::printf("%s", app.help().c_str());
  } catch (const CLI::ParseError& error) {
    if (const std::string unknown = unknown_word(app); !unknown.empty())
      return fail(app, unknown + " (see --help)", 2);
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

CLI::Validator number_from(double low, double high) {
  return CLI::Validator(
      [low, high](std::string& text) -> std::string {
        double value = 0;
        if (CLI::detail::lexical_cast(text, value) && value >= low && value <= high) return "";
        return "'" + text + "' is no number from " + dumped(Json(low)) + " to " +
               dumped(Json(high));
      },
      "");
}

}  // namespace brink::tools
