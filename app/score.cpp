#include <fmt/format.h>
#include <gibbsite/recipe/score.h>
#include <gibbsite/report/rows.h>

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
        if (outcome.p_value.defined()) {
          document["calibrated"] = outcome.calibrated;
          document["smallest_p_value"] = outcome.p_value.min().item().toDouble();
          text += fmt::format("p values among {} held-out energies, the smallest {:.4g}\n", outcome.calibrated,
                              outcome.p_value.min().item().toDouble());
        }
        if (outcome.alarm) {
          document["threshold"] = outcome.alarm->threshold;
          document["false_alarm_rate"] = outcome.alarm->rate;
          document["false_alarm_deviation"] = outcome.alarm->deviation;
          document["alarms"] = outcome.alarms;
          text += fmt::format("alarm above energy {:.6g}, at a false-alarm rate of {}: {} of {} rows\n",
                              outcome.alarm->threshold, format_estimate(outcome.alarm->rate, outcome.alarm->deviation),
                              outcome.alarms, rows);
        }
        fmt::print("{}", context.common.json ? document.dump(2) + "\n" : text);
      });
  command->add_option("run", request->run, "directory of the run")->required();
  command->add_option("--data", request->data, "data set or file; default the held-out points of the run");
  command->add_option("--out", request->out, "F.npz or F.csv; default scores/<data>.npz in the run");
  command->add_option(
      "--calibration", request->calibration,
      "rows whose energies p values are counted among: validation, test, a data set or a file; default the "
      "validation rows of the run");
  command->add_option(
      "--false-alarm", request->false_alarm,
      "wished share of ordinary points that raise an alarm, e.g. 0.01: gives the threshold and the alarms");
}

}  // namespace gibbsite::app
