// From a recipe to the parts it names: data, model, sampler, objectives, settings.
#pragma once

#include <gibbsite/core/config.h>
#include <gibbsite/core/ports.h>
#include <gibbsite/data/data.h>
#include <gibbsite/data/named_set.h>
#include <gibbsite/metric/inception.h>
#include <gibbsite/objective/objective.h>
#include <gibbsite/recipe/finalise.h>
#include <gibbsite/recipe/frozen_vae.h>
#include <gibbsite/recipe/networks.h>
#include <gibbsite/recipe/run_directory.h>
#include <gibbsite/recipe/settings.h>
#include <gibbsite/sampler/kernel.h>
#include <gibbsite/train/trainer.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gibbsite {

/// One entry of [[phase]], or the only one made of [objective], [optimizer] and [schedule].
struct PhaseParts {
  std::string name;
  std::string objective_name;
  std::string origin;  ///< where the objective is named
  std::unique_ptr<Objective> objective;
  double noise = 0;  ///< deviation of the Gaussian noise the objective adds to the data
  std::vector<std::string> trains;
  std::int64_t steps = 1;
  std::int64_t batch_size = 0;
  bool same_batch = false;
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
  std::optional<ClippingOptions> clipping;
};

/// Everything a recipe describes.
struct Parts : Networks {
  GeneralOptions general;
  at::ScalarType dtype = at::kFloat;
  at::Device device = at::kCPU;
  std::unique_ptr<Data> data;  ///< null for a run whose data were not asked for
  StoredTransforms transforms;
  std::shared_ptr<const Manifold> manifold;  ///< of [manifold], or of generated data; null for Euclidean space
  FrozenVae vae;                             ///< of [vae]
  std::shared_ptr<const Kernel> kernel;      ///< null without [sampler]
  std::vector<PhaseParts> phases;
  TrainOptions train;
  SampleOptions sample;
  ChainOptions chain;
  TemperatureAnnealing annealing;
  NoiseAnnealing noise_annealing;
  EvaluateOptions evaluate;
  InceptionOptions inception;               ///< of [evaluate.inception]
  std::optional<FinaliseOptions> finalise;  ///< for models with weights in closed form
  Config resolved;                          ///< the recipe with every default written out; builds the same parts

  Rng rng(std::string_view stream) const { return Rng(static_cast<std::uint64_t>(general.seed), stream); }
  /// Throws RequestError naming `who` where there is no energy that is minus a log density up to a constant.
  void require_density(const std::string& who) const;
  /// Whether points lie in Euclidean space.
  bool flat() const;
  /// Throws RequestError, whose place is `origin`, for a metric that this model does not go with.
  void require_metric(const std::string& name, const std::string& origin) const;
  /// Empty, of the model's dtype and device.
  Tensor like() const;
};

/// Other networks in place of those of `parts`, as `tables` describe them, with fresh parameters from the same streams: of
/// the same initial values where the tables do not differ in shapes.
Networks make_networks_like(const Parts& parts, const Config& tables);

/// Builds everything; then every key must have been read. Throws RequestError for what the recipe gets wrong, before any
/// work, and WorkError where data are missing or damaged.
Parts build_parts(const Config& recipe, const DataPath& path);

/// The recipe of a run with `overrides` of the tables sample, sampler and evaluate, and of the device.
Config run_recipe(const RunDirectory& run, const std::vector<std::string>& overrides);

/// The parts of a run: from its recipe (with `overrides` of the tables sample, sampler and evaluate) and its stored
/// transforms. Data are loaded only if `with_data`. Weights are the best checkpoint's where there is one, else the newest,
/// averaged ones first. The checkpoint's step is stored in `step` if given.
Parts load_run(const RunDirectory& run, const std::vector<std::string>& overrides, bool with_data, const DataPath& path,
               Logger& logger, std::int64_t* step = nullptr);

/// How other data are read that the run is asked about: square images in the size of its own.
FileOptions file_options(const Parts& parts);

/// The name in [data], which need not exist on this machine.
std::string data_name(const Parts& parts);

}  // namespace gibbsite
