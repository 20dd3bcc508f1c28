#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <gibbsite/core/environment.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/process.h>
#include <gibbsite/core/text.h>
#include <gibbsite/train/process_group.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "command.h"
#include "terminal.h"

namespace {

constexpr int kInterrupted = 130;

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

int fail(int code, const std::string& what) {
  std::fprintf(stderr, "gibbsite: error: %s\n", first_line(what).c_str());
  return code;
}

// Exit code and text of the exception that is being handled.
std::pair<int, std::string> described() {
  try {
    throw;
  } catch (const gibbsite::Error& error) {
    return {error.exit_code(), error.what()};
  } catch (const std::bad_alloc&) {
    return {1, "memory: there is not enough"};
  } catch (const c10::Error& error) {
    return {1, std::string("LibTorch: ") + error.what_without_backtrace()};
  } catch (const std::system_error& error) {
    // Printing throws it where the stream takes no more.
    if (std::ferror(stdout) != 0) return {1, "stdout: cannot be written: " + error.code().message()};
    return {1, std::string("unexpected: ") + error.what()};
  } catch (const std::exception& error) {
    return {1, std::string("unexpected: ") + error.what()};
  }
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

// Processes that work together are ranks of training or sampling; everything else is one process's work.
std::optional<gibbsite::Launch> launch_of(const std::string& subcommand) {
  const std::optional<gibbsite::Launch> launch = gibbsite::launch_from_environment();
  if (launch && subcommand != "train" && subcommand != "sample")
    throw gibbsite::RequestError("WORLD_SIZE",
                                 fmt::format("is {}, and '{}' is the work of one process", launch->size, subcommand),
                                 "run it without torchrun");
  return launch;
}

// Without OMP_NUM_THREADS. LibTorch's own default counts one core where its CPU detection does not know the machine.
int default_threads(const std::optional<gibbsite::Launch>& launch) {
  const auto cores = static_cast<std::int64_t>(std::thread::hardware_concurrency());
  const std::int64_t sharing = launch && launch->local_size > 0 ? launch->local_size : 1;
  return static_cast<int>(std::max<std::int64_t>(1, cores / sharing));
}

void leave(gibbsite::ProcessGroup& group, int code, const std::string& why) {
  try {
    // All stop together when one is asked to.
    if (code == kInterrupted) return group.finish();
  } catch (const gibbsite::Error&) {
    // Not all of them did.
  }
  group.give_up(first_line(why));
}

// The selected work as one of several ranks, of which the first talks.
int run_rank(const gibbsite::Launch& launch, gibbsite::app::Context& context, gibbsite::app::TerminalLogger& logger) {
  gibbsite::Logger silent;
  std::unique_ptr<gibbsite::ProcessGroup> group;
  try {
    group = gibbsite::make_process_group(launch);
    context.ports.ranks = group.get();
    if (launch.rank != 0) context.ports.logger = &silent;
    std::string& device = context.common.device;
    if (device == "cuda") device = fmt::format("cuda:{}", launch.local_rank);
    context.selected();
    if (std::fflush(stdout) != 0) throw gibbsite::WorkError("stdout", "cannot be written");
    group->finish();
    return 0;
  } catch (...) {
    const auto [code, what] = described();
    logger.clear();
    fail(code, fmt::format("rank {}: {}", launch.rank, what));
    if (group) leave(*group, code, what);
    // Threads that wait for ranks that are gone cannot be joined.
    std::_Exit(code);
  }
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
  const std::optional<gibbsite::Launch> launch = launch_of(parser.get_subcommands().front()->get_name());
  if (context.common.threads > 0)
    at::set_num_threads(static_cast<int>(context.common.threads));
  else if (!std::getenv("OMP_NUM_THREADS"))
    at::set_num_threads(default_threads(launch));
  app::TerminalLogger logger;
  app::SignalInterrupt interrupt;
  context.ports.logger = &logger;
  context.ports.interrupt = &interrupt;
  if (launch) return run_rank(*launch, context, logger);
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
  } catch (...) {
    const auto [code, what] = described();
    return fail(code, what);
  }
}
