#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gibbsite/recipe/reproduce.h>

#include <algorithm>
#include <memory>

#include "command.h"

namespace gibbsite::app {

namespace {

constexpr std::int64_t kMaximumJobs = 4096;

}  // namespace

void add_reproduce(CLI::App& app, Context& context) {
  const auto request = std::make_shared<ReproduceRequest>();
  CLI::App* command = subcommand(app, context, "reproduce", "runs an experiment of a paper", [request, &context] {
    request->seed = static_cast<std::uint64_t>(context.common.seed.value_or(1));
    request->path = context.common.path();
    if (!context.common.device.empty()) request->set.push_back("device=" + context.common.device);
    const bool device = std::any_of(request->set.begin(), request->set.end(),
                                    [](const std::string& set) { return set.rfind("device=", 0) == 0; });
    if (request->jobs == 0)
      request->jobs =
          request->scale == "smoke" || request->force || device ? 1 : static_cast<std::int64_t>(at::get_num_threads());
    const ReproduceOutcome outcome = reproduce(*request, context.ports);
    if (context.common.json)
      fmt::print("{}\n", json_text(outcome.result));
    else if (!outcome.summary.empty())
      fmt::print("{}\n", fmt::join(outcome.summary, "\n"));
  });
  command->add_option("experiment", request->experiment, "its name, as in `gibbsite list experiments`")->required();
  command->add_option("--scale", request->scale, "smoke, desk or paper");
  command->add_option("--seeds", request->seeds, "how many seeds, from --seed on");
  command->add_option("--out", request->out, "default results/<experiment>");
  request->jobs = 0;
  command
      ->add_option("--jobs", request->jobs,
                   "models trained at a time, in processes that share the threads, where an experiment has several; 0: "
                   "as many as threads (one at smoke scale, with --force or --device)")
      ->check(whole_number(0, kMaximumJobs));
  command->add_flag_callback(
      "--no-report", [request] { request->report = false; }, "rows and runs, no table and no page");
  command->add_flag("--force", request->force, "forget an earlier result");
  add_set(*command, request->set);
}

}  // namespace gibbsite::app
