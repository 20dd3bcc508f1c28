// The service behind `gibbsite compare`: the same points under several runs, differences with paired standard errors.
#pragma once

#include <gibbsite/core/ports.h>
#include <gibbsite/data/data_path.h>
#include <gibbsite/metric/estimate.h>

#include <string>
#include <vector>

namespace gibbsite {

struct CompareRequest {
  std::vector<std::string> runs;  ///< two or more
  std::string data;               ///< name or file; empty: the held-out points of the first run
  std::string device;             ///< empty: that of each run
  DataPath path;
};

struct ComparedMetric {
  std::string metric, unit, settings;  ///< settings of a stored number as text, e.g. "out=mnist"
  bool paired = false;           ///< point by point, so that what the points have in common drops out of differences
  std::vector<Estimate> values;  ///< one per run; NaN where a run has no such number
  std::vector<Estimate> differences;  ///< to the first run
};

struct Comparison {
  std::vector<std::string> runs;
  std::int64_t points = 0;
  std::vector<ComparedMetric> metrics;
};

/// On the same points in original units: log_likelihood of the runs whose density is normalised, and sm_loss, the exact
/// score-matching loss (where there are more than 64 coordinates its Laplacian from 8 directions, the same for all runs), of
/// those with an energy. Then the numbers of evaluation.json that two or more runs have for the same settings, whose errors are
/// taken for independent. Throws RequestError for fewer than two runs and for points that a run does not take.
Comparison compare_runs(const CompareRequest& request, const Ports& ports);

std::string json_text(const Comparison& comparison);

}  // namespace gibbsite
