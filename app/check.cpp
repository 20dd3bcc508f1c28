#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gibbsite/recipe/check.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "command.h"

namespace gibbsite::app {

void add_check(CLI::App& app, Context& context) {
  struct Options {
    TrainRequest request;
    bool resolved = false;
  };
  const auto o = std::make_shared<Options>();
  CLI::App* command =
      subcommand(app, context, "check", "says what is wrong with a recipe without running it", [o, &context] {
        o->request.seed = context.common.seed;
        o->request.device = context.common.device;
        o->request.path = context.common.path();
        const CheckOutcome outcome = check_recipe(o->request);
        for (const std::string& line : outcome.warnings) context.ports.logger->warn(line);
        if (context.common.json)
          fmt::print("{}\n",
                     nlohmann::ordered_json(
                         {{"summary", outcome.summary}, {"warnings", outcome.warnings}, {"resolved", outcome.resolved}})
                         .dump(2));
        else if (o->resolved)
          fmt::print("{}", outcome.resolved);
        else
          fmt::print("{}\n", fmt::join(outcome.summary, "\n"));
      });
  command->add_option("recipe", o->request.recipe, "RECIPE.toml")->required();
  command->add_flag("--resolved", o->resolved, "print the recipe with every default");
  add_set(*command, o->request.set);
}

}  // namespace gibbsite::app
