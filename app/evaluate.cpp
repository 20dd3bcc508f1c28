#include <fmt/format.h>
#include <gibbsite/recipe/evaluate.h>

#include <memory>

#include "command.h"

namespace gibbsite::app {

void add_evaluate(CLI::App& app, Context& context) {
  const auto request = std::make_shared<EvaluateRequest>();
  CLI::App* command = subcommand(app, context, "evaluate", "metrics of a run", [request, &context] {
    request->path = context.common.path();
    request->seed = context.common.seed;
    if (!context.common.device.empty()) request->set.push_back("device=" + context.common.device);
    const Result result = evaluate_run(*request, context.ports);
    if (context.common.json) {
      fmt::print("{}\n", json_text(result));
      return;
    }
    for (const Row& row : result.rows) {
      std::string settings;
      for (const auto& [key, value] : row.settings)
        if (const auto* text = std::get_if<std::string>(&value)) settings += fmt::format(" {}={}", key, *text);
      fmt::print("{}{} {} {}\n", row.metric, settings, format_estimate(row.value, row.standard_error), row.unit);
    }
  });
  command->add_option("run", request->run, "directory of the run")->required();
  command->add_option("--metric", request->metrics, "a metric, once for each; default those of the recipe")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--data", request->data, "data set or file; default the held-out points of the run");
  add_set(*command, request->set);
}

}  // namespace gibbsite::app
