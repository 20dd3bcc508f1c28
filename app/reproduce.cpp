#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gibbsite/recipe/reproduce.h>

#include <memory>

#include "command.h"

namespace gibbsite::app {

void add_reproduce(CLI::App& app, Context& context) {
  const auto request = std::make_shared<ReproduceRequest>();
  CLI::App* command = subcommand(app, context, "reproduce", "runs an experiment of a paper", [request, &context] {
    request->seed = static_cast<std::uint64_t>(context.common.seed.value_or(1));
    request->path = context.common.path();
    if (!context.common.device.empty()) request->set.push_back("device=" + context.common.device);
    const ReproduceOutcome outcome = reproduce(*request, context.ports);
    if (context.common.json)
      fmt::print("{}\n", json_text(outcome.result));
    else
      fmt::print("{}\n", fmt::join(outcome.summary, "\n"));
  });
  command->add_option("experiment", request->experiment, "its name, as in `gibbsite list experiments`")->required();
  command->add_option("--scale", request->scale, "smoke, desk or paper");
  command->add_option("--seeds", request->seeds, "how many seeds, from --seed on");
  command->add_option("--out", request->out, "default results/<experiment>");
  command->add_flag("--force", request->force, "forget an earlier result");
  add_set(*command, request->set);
}

}  // namespace gibbsite::app
