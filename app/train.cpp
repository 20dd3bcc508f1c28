#include <fmt/format.h>
#include <gibbsite/core/ranks.h>
#include <gibbsite/core/text.h>
#include <gibbsite/recipe/train.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "command.h"

namespace gibbsite::app {

void add_train(CLI::App& app, Context& context) {
  struct Options {
    TrainRequest request;
    bool resume = false, force = false;
  };
  const auto o = std::make_shared<Options>();
  CLI::App* command = subcommand(app, context, "train", "trains the model of a recipe", [o, &context] {
    TrainRequest& request = o->request;
    request.seed = context.common.seed;
    request.device = context.common.device;
    request.path = context.common.path();
    request.existing = o->resume ? ExistingRun::kResume : o->force ? ExistingRun::kReplace : ExistingRun::kRefuse;
    const TrainOutcome outcome = train_recipe(request, context.ports);
    if (!context.ports.ranks->first()) return;
    nlohmann::ordered_json document;
    if (outcome.dry_run) {
      const DryRun& dry = *outcome.dry_run;
      if (!context.common.json) {
        fmt::print("seconds per step {:.4g}\npeak of a step {}\ntime for the run {}\n", dry.seconds_per_step,
                   format_bytes(dry.peak_bytes), format_duration(dry.seconds_left));
        return;
      }
      document = {{"seconds_per_step", dry.seconds_per_step},
                  {"peak_bytes", dry.peak_bytes},
                  {"resident_bytes", dry.resident_bytes},
                  {"seconds_left", dry.seconds_left}};
    } else {
      document = {{"run", outcome.run},
                  {"step", outcome.result.step},
                  {"seconds", outcome.result.seconds},
                  {"rollbacks", outcome.result.rollbacks},
                  {"stopped_early", outcome.result.stopped_early}};
      for (const auto& [name, value] : outcome.result.last)
        document["last"][name] = std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
      if (!context.common.json) {
        fmt::print("run {}\nsteps {} in {}\n", outcome.run, outcome.result.step,
                   format_duration(outcome.result.seconds));
        for (const auto& [name, value] : outcome.result.last) fmt::print("{} {:.6g}\n", name, value);
        return;
      }
    }
    fmt::print("{}\n", document.dump(2));
  });
  command->add_option("recipe", o->request.recipe, "RECIPE.toml")->required();
  command->add_option("--out", o->request.out, "directory of the run; default runs/<recipe>");
  command->add_flag("--dry-run", o->request.dry_run, "measure a few steps and write nothing");
  CLI::Option* resume = command->add_flag("--resume", o->resume, "go on from the newest checkpoint");
  command->add_flag("--force", o->force, "replace a run that is there")->excludes(resume);
  add_set(*command, o->request.set);
}

}  // namespace gibbsite::app
