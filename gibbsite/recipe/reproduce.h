// Experiments of the papers, and the service behind `gibbsite reproduce`.
#pragma once

#include <gibbsite/core/ports.h>
#include <gibbsite/data/data_path.h>
#include <gibbsite/report/html.h>
#include <gibbsite/report/rows.h>

#include <functional>
#include <string>
#include <vector>

namespace gibbsite {

/// What an experiment is given for one seed.
struct ExperimentContext {
  std::string scale;  ///< "smoke", "desk" or "paper"
  std::uint64_t seed = 0;
  std::vector<std::string> set;  ///< "key=value" of the command line
  std::string directory;         ///< for runs and pictures of this seed; exists
  DataPath path;
  /// Adds rows to result.json at once, so that an interrupted reproduction keeps them. Fills in the seed and the
  /// settings of the call.
  std::function<void(const std::vector<Row>&)> add;
  /// True if result.json has rows of this method and data set for this seed, by the same settings of the call.
  std::function<bool(const std::string& method, const std::string& dataset)> done;
  /// The same for rows of one metric.
  std::function<bool(const std::string& method, const std::string& dataset, const std::string& metric)> measured;
  /// Has rows of these methods measured by other processes, several at a time, and returns their summaries; absent where all is
  /// done in this one.
  std::function<std::vector<std::string>(const std::vector<std::string>& methods)> apart;
  /// Every row of result.json so far by the same settings of the call, of all seeds.
  std::function<std::vector<Row>()> rows;
};

/// Those rows of this context's seed and this method and metric.
std::vector<Row> rows_of_seed(const ExperimentContext& context, const std::string& method, const std::string& metric);

/// A setting that is a number; NaN where the row has none.
double number_of(const Row& row, const std::string& setting);

struct ExperimentOutcome {
  std::vector<std::string> summary;  ///< lines for a person
  std::vector<Picture> pictures;
  std::vector<CurvePlot> curves;
  std::vector<DensityPlot> densities;
};

/// A plot for the report, and in this seed's directory as <name>.png (where gnuplot is there) and <name>.plot.json, from which
/// `gibbsite report` draws it again.
void add_plot(ExperimentOutcome& outcome, const ExperimentContext& context, const Ports& ports, const std::string& name,
              const CurvePlot& plot);
void add_plot(ExperimentOutcome& outcome, const ExperimentContext& context, const Ports& ports, const std::string& name,
              const DensityPlot& plot);

struct Experiment {
  std::string name, summary, paper;
  std::function<ExperimentOutcome(const ExperimentContext&, const Ports&)> run;
};

const std::vector<Experiment>& experiment_table();

struct ReproduceRequest {
  std::string experiment;
  std::string scale = "desk";
  std::uint64_t seed = 0;
  std::int64_t seeds = 1;
  std::vector<std::string> set;
  std::string out;     ///< empty: results/<experiment>
  bool force = false;  ///< forget an earlier result; not with several jobs
  /// Processes side by side, where the experiment can have its methods measured apart; they share the threads.
  std::int64_t jobs = 1;
  bool report = true;  ///< write table.md and report.html
  DataPath path;
};

struct ReproduceOutcome {
  std::string directory;
  Result result;
  std::vector<std::string> summary;  ///< of the last seed, and where the report is
};

/// Writes result.json, table.md and report.html. Rows of an earlier, interrupted call of the same experiment and scale
/// are kept; seeds accumulate. Rows of a call with settings name them (`set`) and stand beside those of other settings; where
/// they change how a run is trained, other than its number of steps, runs have a directory of their own.
/// Throws RequestError for an unknown experiment or scale, several jobs with `force` or another experiment's result.
ReproduceOutcome reproduce(const ReproduceRequest& request, const Ports& ports);

}  // namespace gibbsite
