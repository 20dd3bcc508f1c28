#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <gibbsite/core/environment.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/process.h>
#include <gibbsite/core/text.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "command.h"
#include "terminal.h"

namespace {

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

int fail(int code, const std::string& what) {
  std::fprintf(stderr, "gibbsite: error: %s\n", first_line(what).c_str());
  return code;
}

std::string version_text() {
  std::string text;
  for (const auto& [name, value] : gibbsite::named_strings(gibbsite::environment()))
    text += (text.empty() ? "" : "\n") + name + " " + value;
  return text;
}

// A first word that is no subcommand, with the nearest one; empty if there is none.
std::string unknown_subcommand(const CLI::App& parser, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return "";
  std::vector<std::string> names;
  for (const CLI::App* subcommand : parser.get_subcommands({})) {
    if (subcommand->get_name() == argv[1]) return "";
    names.push_back(subcommand->get_name());
  }
  return std::string("command line: unknown subcommand '") + argv[1] + "' (" + gibbsite::name_hint(argv[1], names) +
         ")";
}

int run(int argc, char** argv) {
  namespace app = gibbsite::app;
  CLI::App parser("Trains, samples, scores and evaluates energy-based models.", "gibbsite");
  parser.require_subcommand(1);
  parser.set_version_flag("--version", version_text, "version, commit, LibTorch, BLAS and CPU capability");
  app::Context context;
  for (const auto add : {app::add_train, app::add_sample, app::add_score, app::add_encode, app::add_evaluate,
                         app::add_compare, app::add_report, app::add_check, app::add_list, app::add_data,
                         app::add_reproduce, app::add_export, app::add_completion, app::add_manual})
    add(parser, context);
  if (const std::string unknown = unknown_subcommand(parser, argc, argv); !unknown.empty()) return fail(2, unknown);
  try {
    parser.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return parser.exit(help);
  } catch (const CLI::CallForAllHelp& help) {
    return parser.exit(help);
  } catch (const CLI::CallForVersion& text) {
    return parser.exit(text);
  } catch (const CLI::ParseError& error) {
    return fail(2, std::string("command line: ") + error.what() + " (see gibbsite --help)");
  }
  // LibTorch's own default counts one core where its CPU detection does not know the machine.
  if (context.common.threads > 0)
    at::set_num_threads(static_cast<int>(context.common.threads));
  else if (!std::getenv("OMP_NUM_THREADS"))
    at::set_num_threads(static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
  app::TerminalLogger logger;
  app::SignalInterrupt interrupt;
  context.ports.logger = &logger;
  context.ports.interrupt = &interrupt;
  try {
    context.selected();
  } catch (...) {
    logger.clear();
    throw;
  }
  if (std::fflush(stdout) != 0) throw gibbsite::WorkError("stdout", "cannot be written");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  gibbsite::tune_process(argv);
  try {
    return run(argc, argv);
  } catch (const gibbsite::Error& error) {
    return fail(error.exit_code(), error.what());
  } catch (const std::bad_alloc&) {
    return fail(1, "memory: there is not enough");
  } catch (const c10::Error& error) {
    return fail(1, std::string("LibTorch: ") + error.what_without_backtrace());
  } catch (const std::system_error& error) {
    // Printing throws it where the stream takes no more.
    if (std::ferror(stdout) != 0) return fail(1, "stdout: cannot be written: " + error.code().message());
    return fail(1, std::string("unexpected: ") + error.what());
  } catch (const std::exception& error) {
    return fail(1, std::string("unexpected: ") + error.what());
  }
}
