#include <fmt/format.h>
#include <gibbsite/recipe/score.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "command.h"

namespace gibbsite::app {

void add_score(CLI::App& app, Context& context) {
  const auto request = std::make_shared<ScoreRequest>();
  CLI::App* command =
      subcommand(app, context, "score", "energy, score and log density of data under a run", [request, &context] {
        request->path = context.common.path();
        request->device = context.common.device;
        const ScoreOutcome outcome = score_run(*request, context.ports);
        const auto rows = outcome.scores.score.size(0);
        nlohmann::ordered_json document = {{"file", outcome.file}, {"rows", rows}};
        std::string text = fmt::format("{}\nrows {}\n", outcome.file, rows);
        // A score network has no energy.
        if (outcome.scores.energy.defined()) {
          const double mean = outcome.scores.energy.mean().item().toDouble();
          document["mean_energy"] = mean;
          text += fmt::format("mean energy {:.6g}\n", mean);
        }
        fmt::print("{}", context.common.json ? document.dump(2) + "\n" : text);
      });
  command->add_option("run", request->run, "directory of the run")->required();
  command->add_option("--data", request->data, "data set or file; default the held-out points of the run");
  command->add_option("--out", request->out, "F.npz; default scores/<data>.npz in the run");
}

}  // namespace gibbsite::app
