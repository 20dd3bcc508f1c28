// An objective maps a batch to a scalar whose gradient trains the parts it holds. Only objectives reduce over examples.
#pragma once

#include <gibbsite/core/random.h>
#include <gibbsite/core/registry.h>
#include <gibbsite/core/tensor.h>
#include <gibbsite/model/decoder.h>
#include <gibbsite/model/energy.h>
#include <gibbsite/model/hierarchical_vae.h>
#include <gibbsite/model/latent_energy.h>
#include <gibbsite/model/latent_prior.h>
#include <gibbsite/model/latent_score.h>
#include <gibbsite/model/noise_space.h>
#include <gibbsite/model/score.h>
#include <gibbsite/model/score_estimator.h>
#include <gibbsite/objective/differentiable_adam.h>
#include <gibbsite/posterior/posterior.h>
#include <gibbsite/sampler/kernel.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace gibbsite {

struct Batch {
  Tensor x;                      ///< [B, *event]
  Tensor label;                  ///< [B] int64, undefined without labels
  std::int64_t first_row = 0;    ///< global row of x[0] in the whole batch, for shards of a batch
  std::int64_t global_size = 0;  ///< rows of the whole batch; 0 means B
  double progress = 0;           ///< share of the phase's updates made before this one, for schedules of an objective
  /// Adam of the phase that trains this part, as it stands; empty outside training.
  std::function<AdamState(torch::nn::Module& part)> adam = {};
  /// Rows of the whole batch from those of its shards, whose number this shard gives; empty where the batch is whole.
  std::function<Tensor(const Tensor& rows)> gather = {};
};

struct Loss {
  Tensor backward;   ///< 0-dim, the surrogate to differentiate
  NamedTensors log;  ///< what to report, "loss" first: 0-dim, detached, read only when logged
};

class Objective {
 public:
  virtual ~Objective() = default;
  /// `rng` is already at the step and row of the batch.
  virtual Loss operator()(const Batch& batch, Rng& rng) const = 0;
  /// State beyond the parameters of the parts (a replay buffer, say), for checkpoints.
  virtual NamedTensors state() const { return {}; }
  virtual void restore(const NamedTensors& /*state*/) {}
  /// The closed-form problem it poses to models with weights solved for; none where it poses none.
  virtual std::optional<FitProblem> fit_problem() const { return std::nullopt; }
  /// True if the objective differentiates the energy twice or more in x, so that layers without a second derivative are refused.
  virtual bool needs_second_derivative() const { return false; }
  /// True if the objective differentiates a score network in x, so that kinks of the network bias it.
  virtual bool differentiates_score() const { return false; }
  /// True if the objective has no lower bound on data with atoms or constant coordinates.
  virtual bool needs_density() const { return needs_second_derivative(); }
  /// True if loss or gradient on a batch are not the means of those on equal shards of its rows, each with the numbers of its
  /// own rows: then several processes cannot share a batch.
  virtual bool mixes_rows() const { return false; }
};

/// The parts of a latent-variable model. Null members are absent.
struct LatentParts {
  const Posterior* encoder = nullptr;
  const Decoder* decoder = nullptr;
  const LatentPrior* prior = nullptr;
  const LatentScore* score = nullptr;         ///< of the encoder's law
  const ScoreEstimator* estimator = nullptr;  ///< in place of a score network
  const LatentEnergy* joint = nullptr;        ///< E(v, h), of models without a decoder
};

/// What an objective may be built from. Null members are absent; an objective that needs one throws RequestError.
struct ObjectiveParts {
  Energy* energy = nullptr;
  ScoreNetwork* score = nullptr;
  const Score* variational_score = nullptr;  ///< of a latent-variable energy, in place of both
  LatentParts latent;
  HierarchicalVae* generator = nullptr;
  const NoiseSpace* noise_space = nullptr;  ///< of a frozen auto-encoder whose law the energy corrects
  /// What `noise_space` makes of points, [B, *event], by draws of the auto-encoder's posterior.
  std::function<Tensor(const Tensor& x, const Rng& rng)> reconstruct;
  /// Draws of an auto-encoder that chains on x may start from; empty where there is none.
  std::function<Tensor(std::int64_t rows, Rng& rng)> starts;
  std::shared_ptr<const Manifold> manifold;  ///< where x lives; null for Euclidean space
  /// The sampler of [objective.sampler], else that of the recipe, else null. Asking for it reads its options.
  std::function<std::shared_ptr<const Kernel>()> kernel;
  Tensor data_example;  ///< [1, *event], for shapes and dtype
  std::int64_t batch_size = 0;
  Rng rng = Rng(0, "objective");
};

using MakeObjective = std::function<std::unique_ptr<Objective>(const Config& options, const ObjectiveParts& parts)>;
const Table<MakeObjective>& objective_table();

}  // namespace gibbsite
