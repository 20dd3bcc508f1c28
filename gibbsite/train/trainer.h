// One trainer for every method: named parts and a list of phases. A step of training (a round) goes through the phases
// in order, and each makes its updates of the parts it trains; with one phase of one update, a step is an update.
//
// Everything drawn or read is a function of (seed, phase, update number), so an interrupted and resumed run has the
// bits of one that was never interrupted, at a fixed thread count on the same build.
//
// Ranks (ports.ranks) each take their rows of every batch and the numbers drawn for those rows, and average their gradients. All
// make the same updates of the same parameters; rank 0 writes.
#pragma once

#include <gibbsite/core/ports.h>
#include <gibbsite/objective/objective.h>
#include <gibbsite/train/checkpoint.h>
#include <gibbsite/train/clipping.h>
#include <gibbsite/train/ema.h>
#include <gibbsite/train/optimizer.h>
#include <gibbsite/train/schedule.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gibbsite {

/// Something with parameters: a model, a posterior, a critic. The module must outlive the trainer.
struct Part {
  std::string name;
  torch::nn::Module* module = nullptr;
};

/// The batch of an update, or this rank's rows of it: a pure function of its arguments. Each phase counts its own updates (or
/// steps, see TrainPhase::same_batch) from 0. May be called on a thread of its own while an update runs, never twice at once.
using BatchSource = std::function<Batch(std::uint64_t step, std::int64_t batch_size)>;

/// Named numbers about the current parameters (the averaged ones under EMA).
using Validation = std::function<NamedNumbers(std::int64_t step)>;

/// One entry of the list of phases.
struct TrainPhase {
  std::string name;
  Objective* objective = nullptr;   ///< must outlive the trainer
  std::vector<std::string> trains;  ///< names of parts; empty: all of them
  std::int64_t steps = 1;           ///< updates per step of training
  std::int64_t batch_size = 0;      ///< 0: the trainer's
  bool same_batch = false;          ///< all updates of a step take the batch of that step, with noise of their own
  OptimizerOptions optimizer;
  ScheduleOptions schedule;                 ///< over this phase's updates
  std::optional<ClippingOptions> clipping;  ///< absent: the trainer's
  BatchSource batches;                      ///< empty: the trainer's
};

constexpr std::int64_t kMaximumBatch = 10'000'000, kMaximumSteps = 1'000'000'000'000;

struct TrainOptions {
  std::int64_t steps = 1000;
  std::int64_t batch_size = 128;
  std::int64_t log_every = 50;
  std::int64_t validate_every = 500;
  std::int64_t checkpoint_every = 1000;
  std::string select = "";
  std::string select_mode = "min";
  std::int64_t patience = 0;
  double ema_decay = 0;
  ClippingOptions clipping;
  std::int64_t max_rollbacks = 5;
  double rollback_factor = 0.5;
  std::int64_t snapshot_every = 100;
  double gradient_blowup = 1000;
  double energy_gap_limit = 1e4;
  void declare(OptionVisitor& o);
};

struct TrainerSetup {
  std::vector<Part> parts;
  std::vector<TrainPhase> phases;
  TrainOptions options;
  std::uint64_t seed = 0;
  BatchSource batches;
  Validation validate;                                     ///< may be empty
  std::string directory;                                   ///< where checkpoints go; empty: none are written
  std::vector<std::pair<std::string, std::string>> notes;  ///< text stored in every checkpoint
  Ports ports;
};

struct TrainResult {
  std::int64_t step = 0;  ///< completed steps
  bool stopped_early = false;
  std::optional<double> best;  ///< best value of the selected number
  std::int64_t best_step = 0;
  std::int64_t rollbacks = 0;
  double seconds = 0;  ///< of this call
  NamedNumbers last;   ///< "<phase>/<name>" as last logged
};

/// What a run would cost.
struct DryRun {
  double seconds_per_step = 0;
  double peak_bytes = 0;  ///< live tensor bytes of one step beyond parameters and optimiser state
  double parameter_bytes = 0;
  double state_bytes = 0;     ///< moments, averages, objective state
  double resident_bytes = 0;  ///< of the process
  double seconds_left = 0;    ///< for the steps that remain
};

class Trainer {
 public:
  /// Throws RequestError if a phase names an unknown part, names repeat, an optimiser option is wrong, or there are ranks and
  /// they cannot share a batch equally or an objective mixes its rows.
  explicit Trainer(TrainerSetup setup);
  ~Trainer();
  Trainer(Trainer&&) noexcept;

  /// Restores the newest readable checkpoint of the directory and returns its step. Throws WorkError if there is none
  /// or it belongs to other parts.
  std::int64_t resume();

  /// Trains from step() to options.steps. A run that starts at step 0 writes a first checkpoint only when one is due.
  /// On a request to interrupt it saves a checkpoint and throws Interrupted. Divergence (a loss or gradient norm that
  /// is not finite, a gradient norm beyond gradient_blowup times its running median while the loss jumps, an "energy_gap"
  /// beyond its limit) returns to the last snapshot with a lower learning rate, and throws Diverged after max_rollbacks. With
  /// gradient_blowup, a snapshot is put off once while the last loss is above the range of losses at the snapshot before, by
  /// more than the range is wide. With patience, the best parameters are in place at the end; the last checkpoint still holds
  /// the last ones.
  TrainResult run();

  /// After run() has thrown RankLost: brings to the disk the newest state that is whole, where the store holds none as new, and
  /// returns the newest step that it holds then.
  std::int64_t save_after_loss(const CheckpointStore& store);

  /// One step and nothing beside it, neither validation, metrics and checkpoints nor care for divergence: what timings
  /// repeat.
  void make_step();

  /// Runs a few steps and restores everything; writes no metrics and no checkpoints.
  DryRun dry_run(std::int64_t steps = 3);

  std::int64_t step() const;
  /// Null without EMA. `EmaScope scope(trainer.ema())` evaluates the averaged parameters.
  Ema* ema();
  /// Everything that decides the rest of the run, live; a checkpoint's tensors.
  NamedTensors state() const;
  void restore(const NamedTensors& state);

 private:
  struct State;
  std::unique_ptr<State> s_;
};

enum class Weights { kLast, kAverage };

/// Parameters and buffers of parts from a checkpoint of a run, e.g. to sample from it. kAverage takes averages where
/// the checkpoint has them. Throws WorkError if a tensor is missing or has another shape or dtype.
void load_parts(const Checkpoint& checkpoint, const std::vector<Part>& parts, Weights weights = Weights::kAverage);

}  // namespace gibbsite
