// What a training step of several methods costs, interleaved in one run: the tables of step times of every experiment.
#pragma once

#include <gibbsite/metric/cost.h>
#include <gibbsite/recipe/build.h>
#include <gibbsite/report/rows.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gibbsite {

/// A method whose step is timed: overrides of the tables objective and model or score (operations, say), which start empty
/// and from the recipe's network.
struct TimedMethod {
  std::string slug;
  std::vector<std::string> set;
  std::optional<double> published = std::nullopt;  ///< seconds per step
};

/// Time and memory of `of` are divided by those of `against`; both are slugs.
struct TimedRatio {
  std::string of, against;
  std::optional<double> published = std::nullopt;  ///< of the times
};

/// Any work to time under a slug.
struct TimedWork {
  std::string slug;
  Work work;
  std::optional<double> published = std::nullopt;  ///< seconds
};

struct StepCostSettings {
  std::int64_t batch_size = 128;
  std::int64_t rounds = 9;
  std::int64_t threads = 1;
  void declare(OptionVisitor& o) {
    o.option("batch_size", batch_size, "examples of a timed step", at_least(1));
    o.option("rounds", rounds, "timed rounds; every round runs one step of each method", at_least(1));
    o.option("threads", threads, "ratios of single-thread times carry over between machines", at_least(1));
  }
};

/// Keys `experiment.…` of an experiment that trains methods and times their steps.
struct TrainedExperimentOptions : StepCostSettings {
  std::string part = "all";
  void declare(OptionVisitor& o) {
    o.option("part", part, "train and measure the methods, time their steps, or both", {"all", "quality", "cost"});
    StepCostSettings::declare(o);
  }
  bool quality() const { return part != "cost"; }
  bool cost() const { return part != "quality"; }
};

/// Takes the assignments "<name>.key=value" out of `set`, as a table of the keys.
Config take_table(std::vector<std::string>& set, const std::string& name);

/// The same read over `defaults`. Throws RequestError for a key that is none of the options.
template <class Options>
Options take_options(std::vector<std::string>& set, const std::string& name, const Options& defaults) {
  const Config table = take_table(set, name);
  const Options options = read_options(table, name, defaults);
  table.require_all_read(name);
  return options;
}

/// Those of "experiment.key=value".
template <class Options>
Options take_experiment_options(std::vector<std::string>& set, const Options& defaults) {
  return take_options(set, "experiment", defaults);
}

/// Takes "method=NAME,NAME…" out of `set`: the methods of an experiment that are asked for, none for all. Throws RequestError for
/// a name that is not in `slugs`.
std::vector<std::string> take_methods(std::vector<std::string>& set, const std::vector<std::string>& slugs);

/// Takes the assignment "method=NAME" out of `set`: the one method of an experiment that is asked for, "" for all. Throws
/// RequestError for a name that is not in `slugs`.
std::string take_method(std::vector<std::string>& set, const std::vector<std::string>& slugs);

struct StepCosts {
  std::vector<Row> rows;
  std::vector<std::string> summary;  ///< lines for a person
};

/// All of `work` interleaved on settings.threads threads. Rows: seconds_per_step (median of rounds), multiply_adds and
/// peak_bytes (live tensors beyond those alive before) of each, time_ratio (median over rounds of the ratio within a round)
/// and memory_ratio of every ratio with `against`.
StepCosts measure_work(const std::vector<TimedWork>& work, const std::vector<TimedRatio>& ratios,
                       const StepCostSettings& settings, const std::string& dataset);

/// One training step per method: loss, gradient of all parameters, clipping and optimiser step of the first phase of
/// `parts` on the first batch, at learning rate 0 so that every call does the same work. Methods with the same model settings
/// share one model and one optimiser; the work owns them.
std::vector<TimedWork> training_steps(const Parts& parts, const std::vector<TimedMethod>& methods,
                                      std::int64_t batch_size);

/// A step of a recipe's trainer: every update of every phase, on the first batch at learning rate 0, so that every call does
/// the same work.
TimedWork training_round(const std::string& slug, std::shared_ptr<const Parts> parts, std::int64_t batch_size);

/// measure_work of training_steps.
StepCosts measure_steps(const Parts& parts, const std::vector<TimedMethod>& methods,
                        const std::vector<TimedRatio>& ratios, const StepCostSettings& settings);

}  // namespace gibbsite
