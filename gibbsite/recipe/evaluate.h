// The service behind `gibbsite evaluate`.
#pragma once

#include <gibbsite/core/ports.h>
#include <gibbsite/recipe/build.h>
#include <gibbsite/report/rows.h>

#include <optional>
#include <string>
#include <vector>

namespace gibbsite {

struct EvaluateRequest {
  std::string run;
  std::vector<std::string> metrics;  ///< empty: those of [evaluate]
  std::vector<std::string> set;
  std::string data;                  ///< empty: the held-out points of the run
  std::optional<std::int64_t> seed;  ///< of noise and samples; empty: that of the run
  DataPath path;
};

/// Rows of every metric. Where it is stopped, evaluation.partial keeps the rows made and the states of samplers, and an evaluation
/// with the same settings goes on from them to the same rows. evaluation.json of the run gets them beside those of other metrics and data for the same step. Points judged by a classifier are brought to the
/// original units and clamped to their known range first.
Result evaluate_run(const EvaluateRequest& request, const Ports& ports);

}  // namespace gibbsite
