// The service behind `gibbsite train`.
#pragma once

#include <gibbsite/core/ports.h>
#include <gibbsite/recipe/build.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gibbsite {

struct TrainRequest {
  std::string recipe;            ///< path, or a name below recipes/
  std::vector<std::string> set;  ///< "a.b=value"
  std::string out;               ///< empty: runs/<name of the recipe>
  std::optional<std::int64_t> seed;
  std::string device;  ///< empty: the recipe's
  ExistingRun existing = ExistingRun::kRefuse;
  bool dry_run = false;  ///< measure a few steps, write nothing
  DataPath path;
  std::shared_ptr<void> lock;  ///< of `out`, where the caller holds it already (lock_folder)
};

struct TrainOutcome {
  std::string run;  ///< directory; empty after a dry run
  TrainResult result;
  std::optional<DryRun> dry_run;
};

/// What a trainer of these parts is made from, without a directory and without validation; both must outlive it.
TrainerSetup training_setup(const Parts& parts, const Ports& ports);

/// Parses, builds, guards, trains. Throws RequestError before anything is written, WorkError if the work fails,
/// Interrupted once the state is saved.
TrainOutcome train_recipe(const TrainRequest& request, const Ports& ports);

/// train_recipe of the run at request.out: goes on from its checkpoint where an interrupted call left one, starts again
/// where it was cut short before the first. Waits where another process trains it.
TrainOutcome train_or_resume(TrainRequest request, const Ports& ports);

/// Step of a run's newest readable checkpoint, 0 where it has no checkpoint. Throws WorkError where none can be read.
std::int64_t steps_done(const std::string& run, Logger& logger);

/// The recipe of a request, overrides applied.
Config requested_recipe(const TrainRequest& request);

/// "runs/<stem>".
std::string default_run(const std::string& recipe);

}  // namespace gibbsite
