#include <fmt/format.h>
#include <gibbsite/recipe/compare.h>
#include <gibbsite/report/rows.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "command.h"

namespace gibbsite::app {

void add_compare(CLI::App& app, Context& context) {
  const auto request = std::make_shared<CompareRequest>();
  CLI::App* command = subcommand(app, context, "compare", "metrics of runs side by side", [request, &context] {
    request->path = context.common.path();
    request->device = context.common.device;
    const Comparison comparison = compare_runs(*request, context.ports);
    if (context.common.json) {
      fmt::print("{}\n", json_text(comparison));
      return;
    }
    std::size_t width = 0;
    for (const std::string& run : comparison.runs) width = std::max(width, run.size());
    for (const ComparedMetric& metric : comparison.metrics) {
      fmt::print("{}{}{} ({}){}\n", metric.metric, metric.settings.empty() ? "" : " ", metric.settings, metric.unit,
                 metric.paired ? fmt::format(", {} points, paired differences", comparison.points) : "");
      for (std::size_t r = 0; r < comparison.runs.size(); ++r) {
        const Estimate &value = metric.values[r], &difference = metric.differences[r];
        if (std::isnan(value.value)) {
          fmt::print("  {:<{}}  none\n", comparison.runs[r], width);
          continue;
        }
        fmt::print("  {:<{}}  {}", comparison.runs[r], width, format_estimate(value.value, value.standard_error));
        if (r > 0 && !std::isnan(difference.value))
          fmt::print("  difference {}", format_estimate(difference.value, difference.standard_error));
        fmt::print("\n");
      }
    }
  });
  command->add_option("runs", request->runs, "directories of two runs or more")->required();
  command->add_option("--data", request->data, "data set or file; default the held-out points of the first run");
}

}  // namespace gibbsite::app
