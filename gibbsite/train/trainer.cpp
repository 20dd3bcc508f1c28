#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/memory.h>
#include <gibbsite/core/ranks.h>
#include <gibbsite/core/text.h>
#include <gibbsite/train/batch_prefetch.h>
#include <gibbsite/train/diverged.h>
#include <gibbsite/train/gradient_buckets.h>
#include <gibbsite/train/trainer.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <set>

namespace gibbsite {

void TrainOptions::declare(OptionVisitor& o) {
  o.option("steps", steps, "steps of training; in each, every phase makes its own number of updates",
           between(1, kMaximumSteps));
  o.option("batch_size", batch_size, "examples per update", between(1, kMaximumBatch));
  o.option("log_every", log_every, "steps between lines of metrics; 0: none", at_least(0));
  o.option("validate_every", validate_every, "steps between validations; 0: none", at_least(0));
  o.option("checkpoint_every", checkpoint_every, "steps between checkpoints; 0: only at the end", at_least(0));
  o.option("select", select, "validation number that selects the best checkpoint; empty: the first");
  o.option("select_mode", select_mode, "whether small or large values of it are good", {"min", "max"});
  o.option("patience", patience, "stop after this many validations without a new best, and return to it; 0: never",
           at_least(0));
  o.option("ema_decay", ema_decay, "decay of the averaged parameters per step; 0: no average", {0, 1, false, true});
  clipping.declare(o);
  o.option("max_rollbacks", max_rollbacks, "returns to the last good state before a diverging run is given up",
           at_least(0));
  o.option("rollback_factor", rollback_factor, "the learning rate is multiplied by this at each return",
           {0, 1, true, false});
  o.option("snapshot_every", snapshot_every, "steps between the states that a diverging run can return to",
           at_least(1));
  o.option("gradient_blowup", gradient_blowup,
           "a gradient norm beyond this many times its running median, with a loss that jumps out of its recent range, "
           "is divergence (under clipping, which bounds the update, only if it lasts); 0: not checked",
           non_negative());
  o.option("energy_gap_limit", energy_gap_limit,
           "an energy gap between negatives and data beyond this magnitude is divergence; 0: not checked",
           non_negative());
}

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kMedianWindow = 64, kMedianMinimum = 32;
// Clipped updates out of range in a row that make a divergence. Leaving a plateau takes two or three.
constexpr double kClippedBlowups = 8;
// On a device, reading the norm waits for it, so divergence is looked for only in steps that are so many updates apart and in
// those after which something is due.
constexpr std::int64_t kDeviceCheckEvery = 32;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

NamedTensors with_prefix(const std::string& prefix, const NamedTensors& tensors) {
  NamedTensors named;
  for (const auto& [name, tensor] : tensors) named.emplace_back(prefix + name, tensor);
  return named;
}

NamedTensors clones(const NamedTensors& tensors) {
  NamedTensors copies;
  for (const auto& [name, tensor] : tensors) copies.emplace_back(name, tensor.detach().clone());
  return copies;
}

void append(NamedTensors& to, const NamedTensors& more) { to.insert(to.end(), more.begin(), more.end()); }

double total_bytes(const NamedTensors& tensors) {
  double bytes = 0;
  for (const auto& entry : tensors) bytes += static_cast<double>(entry.second.nbytes());
  return bytes;
}

Tensor integer(std::int64_t value) { return torch::full({}, value, torch::kLong); }
Tensor real(double value) { return torch::full({}, value, torch::kDouble); }

NamedTensors part_tensors(const std::vector<Part>& parts, bool buffers) {
  NamedTensors tensors;
  for (const Part& part : parts) {
    const auto own = buffers ? part.module->named_buffers() : part.module->named_parameters();
    for (const auto& item : own)
      if (item.value().defined()) tensors.emplace_back(part.name + "/" + item.key(), item.value());
  }
  return tensors;
}

constexpr std::int64_t kSharedSource = -1, kNoSource = -2;

// A batch and where it came from.
struct KeptBatch {
  BatchKey key{kNoSource, 0, 0};
  Batch batch;
};

// What PhaseState::norms says of the recent updates of a phase. Too few of them say nothing.
struct RecentRange {
  std::vector<double> norms;
  double lowest = std::numeric_limits<double>::infinity(), highest = -lowest;  // of the losses

  explicit RecentRange(const Tensor& kept) {
    const double *kept_norms = kept.data_ptr<double>(), *losses = kept_norms + kMedianWindow;
    for (std::int64_t i = 0; i < kMedianWindow; ++i)
      if (kept_norms[i] >= 0) {
        norms.push_back(kept_norms[i]);
        lowest = std::min(lowest, losses[i]);
        highest = std::max(highest, losses[i]);
      }
  }
  bool enough() const { return static_cast<std::int64_t>(norms.size()) >= kMedianMinimum; }
  /// By more than the range is wide.
  bool left_by(double loss) const { return enough() && loss > highest + (highest - lowest); }
  /// 0 if there are too few. Changes the order of norms.
  double median_norm() {
    if (!enough()) return 0;
    const auto middle = norms.begin() + static_cast<std::ptrdiff_t>(norms.size() / 2);
    std::nth_element(norms.begin(), middle, norms.end());
    return *middle;
  }
};

struct PhaseState {
  TrainPhase phase;
  std::int64_t source = kSharedSource;  // of batches: the trainer's, or the number of a phase that has its own
  Rng rng{0, "train"};
  NamedTensors parameters;     // that it trains, "<part>/<name>"
  std::vector<Tensor> inputs;  // the same without names
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<GradientBuckets> buckets;  // null until needed
  // Last gradient norms by update modulo the window (< 0: none yet), the losses likewise, updates out of range in a row.
  Tensor norms;            // [2 window + 1], see RecentRange
  std::int64_t first = 0;  // its first update within a step
  // Of the last update, read only when logged.
  NamedTensors log;
  Tensor norm;
  double learning_rate = 0;
};

}  // namespace

struct Trainer::State {
  TrainerSetup setup;
  std::optional<CheckpointStore> store;
  std::vector<PhaseState> phases;
  NamedTensors parameters, buffers;  // of all parts
  std::vector<Tensor> trainable;     // that wanted a gradient when the trainer was made
  std::unique_ptr<Ema> ema;
  bool on_cpu = true;
  std::int64_t cycle = 0;  // updates per step

  // What decides the rest of the run, besides the tensors.
  std::int64_t updates = 0;
  std::int64_t rollbacks = 0;
  std::int64_t stale = 0;       // validations since the best one
  std::int64_t best_step = -1;  // -1: none yet
  double best = 0;
  double rate_scale = 1;
  NamedTensors snapshot;  // core_state() to go back to
  std::int64_t snapshot_updates = -1;
  NamedTensors best_weights;  // kept with patience only

  KeptBatch kept;
  BatchPrefetch prefetch{[this](const BatchKey& key) { return make_batch(key); }};
  const PhaseState* current = nullptr;  // the phase whose parameters want gradients now
  std::int64_t saved_updates = -1;
  bool stop_agreed = false;  // a rank was asked to stop
  NamedNumbers last;
  Clock::time_point start = Clock::now(), last_progress = start;
  std::int64_t start_updates = 0;

  explicit State(TrainerSetup given);

  const TrainOptions& options() const { return setup.options; }
  Ranks& ranks() const { return *setup.ports.ranks; }
  /// Of this rank alone an answer would be no use: all have to stop at the same update.
  bool asked_to_stop() const { return ranks().alone() ? setup.ports.interrupt->requested() : stop_agreed; }
  std::int64_t step() const { return updates / cycle; }
  std::int64_t total_updates() const { return options().steps * cycle; }
  PhaseState& phase_at(std::int64_t update);
  static std::int64_t own_update(const PhaseState& phase, std::int64_t update, std::int64_t cycle) {
    return update / cycle * phase.phase.steps + (update % cycle - phase.first);
  }

  NamedTensors weights() const;
  NamedTensors core_state() const;
  NamedTensors state() const;
  void restore_weights(const Checkpoint& from, const std::string& where);
  void restore_core(const Checkpoint& from, const std::string& where);
  void restore(const NamedTensors& tensors, const std::string& where);
  void take_snapshot();
  /// Whether the state is none to return to: an update out of range was let pass just now, or a phase's last loss is above the
  /// range that it had at the last snapshot, by more than the range is wide. Asked when a snapshot is due; the loss puts off no
  /// two snapshots in a row.
  bool blowing_up() const;

  void want_gradients(const PhaseState* phase);
  /// Of the phase that trains the part.
  AdamState adam(torch::nn::Module& part) const;
  BatchKey batch_key(std::int64_t update);
  Batch make_batch(const BatchKey& key) const;
  /// Of this update. The last one is kept, because the updates of a step often take the same.
  const Batch& batch_at(std::int64_t update);
  /// Makes a batch of `size` rows the part of it that is this rank's.
  void take_share(Batch& batch, std::int64_t size) const;
  /// Gradients of the whole batch, of which `loss` may be a share; then its numbers become those of the whole, too.
  std::vector<Tensor> differentiate(PhaseState& phase, Loss& loss);
  std::optional<std::string> make_update();
  std::optional<std::string> divergence(PhaseState& phase, std::int64_t own, const Loss& loss);
  std::optional<std::string> weights_diverged() const;
  void roll_back(const std::string& reason);
  static bool due_at(std::int64_t step, std::int64_t every) { return every > 0 && step % every == 0; }
  bool due(std::int64_t every) const { return due_at(step(), every); }
  bool something_due(std::int64_t step) const;
  /// Steps between those in which divergence is looked for.
  std::int64_t check_every() const { return on_cpu ? 1 : std::max<std::int64_t>(1, kDeviceCheckEvery / cycle); }
  /// Where a phase keeps the norm and the loss of an update of its own.
  std::int64_t place(const PhaseState& phase, std::int64_t own) const {
    return (on_cpu ? own : own / phase.phase.steps / check_every()) % kMedianWindow;
  }
  bool validate();
  void write_metrics();
  void progress(const PhaseState& phase);
  void save(bool best);
  bool exhausted() const { return options().patience > 0 && stale >= options().patience; }
  void set_training(bool on) {
    for (const Part& part : setup.parts) part.module->train(on);
  }
};

Trainer::State::State(TrainerSetup given) : setup(std::move(given)) {
  std::set<std::string> names;
  for (const Part& part : setup.parts)
    if (!names.insert(part.name).second) throw RequestError("parts", fmt::format("'{}' is there twice", part.name));
  if (setup.phases.empty()) throw RequestError("phases", "there is nothing to train");
  if (!setup.directory.empty()) store.emplace(setup.directory);

  parameters = part_tensors(setup.parts, false);
  buffers = part_tensors(setup.parts, true);
  NamedTensors trainable_named;
  for (const auto& [name, tensor] : parameters) {
    on_cpu = on_cpu && tensor.device().is_cpu();
    if (!tensor.requires_grad()) continue;
    trainable_named.emplace_back(name, tensor);
    trainable.push_back(tensor);
  }
  if (options().ema_decay > 0) ema = std::make_unique<Ema>(trainable_named, options().ema_decay);

  std::set<std::string> phase_names;
  for (TrainPhase& phase : setup.phases) {
    const std::string where = fmt::format("phase '{}'", phase.name);
    if (!phase_names.insert(phase.name).second) throw RequestError(where, "the name is there twice");
    if (phase.steps < 1) throw RequestError(where, fmt::format("steps is {}, expected >= 1", phase.steps));
    if (!phase.objective) throw RequestError(where, "has no objective");
    const bool own_batches = static_cast<bool>(phase.batches);
    if (!own_batches) phase.batches = setup.batches;
    if (!phase.batches) throw RequestError(where, "has no batches");
    if (phase.batch_size <= 0) phase.batch_size = options().batch_size;
    own_rows(ranks(), phase.batch_size, where + " batch_size");
    if (!ranks().alone() && phase.objective->mixes_rows())
      throw RequestError(where,
                         "its objective compares rows of a batch with one another, so ranks cannot share a batch",
                         "train in one process");
    if (!phase.clipping) phase.clipping = options().clipping;
    for (const std::string& trained : phase.trains)
      if (!names.count(trained))
        throw RequestError(where, fmt::format("trains an unknown part '{}'", trained),
                           name_hint(trained, {names.begin(), names.end()}));
    PhaseState state;
    state.rng = Rng(setup.seed, "train/" + phase.name);
    for (const Part& part : setup.parts) {
      if (!phase.trains.empty() && std::find(phase.trains.begin(), phase.trains.end(), part.name) == phase.trains.end())
        continue;
      for (const auto& [name, tensor] : part_tensors({part}, false))
        if (tensor.requires_grad()) {
          state.parameters.emplace_back(name, tensor);
          state.inputs.push_back(tensor);
        }
    }
    if (state.parameters.empty()) throw RequestError(where, "its parts have no parameters to train");
    state.optimizer = make_optimizer(phase.optimizer, state.parameters);
    if (phase.clipping->clip_moments > 0 && !state.optimizer->has_second_moments())
      throw RequestError(where, "clip_moments needs an optimiser that keeps mean squares", "optimizer.name = \"adam\"");
    state.norms = torch::full({2 * kMedianWindow + 1}, -1.0, torch::kDouble);
    state.norms[2 * kMedianWindow] = 0;
    state.first = cycle;
    state.source = own_batches ? static_cast<std::int64_t>(phases.size()) : kSharedSource;
    cycle += phase.steps;
    state.phase = phase;
    phases.push_back(std::move(state));
  }
}

PhaseState& Trainer::State::phase_at(std::int64_t update) {
  const std::int64_t position = update % cycle;
  for (PhaseState& phase : phases)
    if (position < phase.first + phase.phase.steps) return phase;
  return phases.back();
}

// ---- state

NamedTensors Trainer::State::weights() const {
  NamedTensors tensors = with_prefix("parameter/", parameters);
  append(tensors, with_prefix("buffer/", buffers));
  if (ema) append(tensors, with_prefix("average/", ema->state()));
  return tensors;
}

NamedTensors Trainer::State::core_state() const {
  NamedTensors tensors = {{"trainer/updates", integer(updates)}, {"trainer/stale", integer(stale)}};
  append(tensors, weights());
  for (const PhaseState& phase : phases) {
    append(tensors, with_prefix("optimizer/" + phase.phase.name + "/", phase.optimizer->state()));
    append(tensors, with_prefix("objective/" + phase.phase.name + "/", phase.phase.objective->state()));
    tensors.emplace_back("norms/" + phase.phase.name, phase.norms);
  }
  return tensors;
}

NamedTensors Trainer::State::state() const {
  NamedTensors tensors = core_state();
  append(tensors, {{"trainer/rollbacks", integer(rollbacks)},
                   {"trainer/best_step", integer(best_step)},
                   {"trainer/best", real(best)},
                   {"trainer/rate_scale", real(rate_scale)}});
  // Stored apart only where they differ from the current state.
  if (!snapshot.empty() && snapshot_updates != updates) append(tensors, with_prefix("snapshot/", snapshot));
  if (!best_weights.empty()) append(tensors, with_prefix("best/", best_weights));
  return tensors;
}

void Trainer::State::restore_weights(const Checkpoint& from, const std::string& where) {
  copy_tensors(from.under("parameter/"), parameters, where);
  copy_tensors(from.under("buffer/"), buffers, where);
  if (ema) copy_tensors(from.under("average/"), ema->state(), where);
}

void Trainer::State::restore_core(const Checkpoint& from, const std::string& where) {
  for (PhaseState& phase : phases) copy_tensors(from.under("norms/"), {{phase.phase.name, phase.norms}}, where);
  restore_weights(from, where);
  for (PhaseState& phase : phases) {
    copy_tensors(from.under("optimizer/" + phase.phase.name + "/"), phase.optimizer->state(), where);
    // A copy, because the objective may keep and change what it is given.
    phase.phase.objective->restore(clones(from.under("objective/" + phase.phase.name + "/")));
  }
  updates = from.at("trainer/updates").item<std::int64_t>();
  stale = from.at("trainer/stale").item<std::int64_t>();
}

void Trainer::State::restore(const NamedTensors& tensors, const std::string& where) {
  Checkpoint whole;
  whole.tensors = tensors;
  rollbacks = whole.at("trainer/rollbacks").item<std::int64_t>();
  best_step = whole.at("trainer/best_step").item<std::int64_t>();
  best = whole.at("trainer/best").item<double>();
  rate_scale = whole.at("trainer/rate_scale").item<double>();
  best_weights = clones(whole.under("best/"));
  restore_core(whole, where);
  const NamedTensors stored = whole.under("snapshot/");
  if (stored.empty()) {
    take_snapshot();
  } else {
    const Checkpoint kept{0, {}, stored};
    for (const PhaseState& phase : phases)
      copy_tensors(kept.under("norms/"), {{phase.phase.name, torch::empty_like(phase.norms)}}, where + ", snapshot");
    snapshot = clones(stored);
    snapshot_updates = Checkpoint{0, {}, snapshot}.at("trainer/updates").item<std::int64_t>();
  }
}

bool Trainer::State::blowing_up() const {
  const bool put_off = updates - snapshot_updates >= 2 * options().snapshot_every * cycle;
  const Checkpoint last_snapshot{0, {}, snapshot};
  return std::any_of(phases.begin(), phases.end(), [&](const PhaseState& phase) {
    if (phase.norms[2 * kMedianWindow].item<double>() > 0) return true;
    if (put_off || options().gradient_blowup <= 0) return false;
    const RecentRange before(last_snapshot.at("norms/" + phase.phase.name));
    const std::int64_t latest = place(phase, step() * phase.phase.steps - 1);
    return before.left_by(phase.norms[kMedianWindow + latest].item<double>());
  });
}

void Trainer::State::take_snapshot() {
  snapshot = clones(core_state());
  snapshot_updates = updates;
}

// ---- one update

void Trainer::State::want_gradients(const PhaseState* phase) {
  if (phase && phase == current) return;
  for (const Tensor& tensor : trainable) tensor.requires_grad_(!phase);
  if (phase)
    for (const Tensor& tensor : phase->inputs) tensor.requires_grad_(true);
  current = phase;
}

AdamState Trainer::State::adam(torch::nn::Module& part) const {
  const std::vector<Tensor> wanted = part.parameters();
  for (const PhaseState& phase : phases) {
    const OptimizerOptions& options = phase.phase.optimizer;
    if (&phase == current || options.name != "adam" || options.weight_decay != 0) continue;
    AdamState state{options.learning_rate, options.beta1, options.beta2, options.epsilon, 0, {}, {}};
    const Checkpoint moments{0, {}, phase.optimizer->state()};
    for (const Tensor& parameter : wanted)
      for (const auto& [name, tensor] : phase.parameters)
        if (tensor.is_same(parameter)) {
          state.mean.push_back(moments.at("mean/" + name));
          state.square.push_back(moments.at("square/" + name));
        }
    if (state.mean.size() != wanted.size()) continue;
    state.steps = moments.at("step").item<std::int64_t>();
    const std::int64_t total = this->options().steps * phase.phase.steps;
    state.learning_rate *= rate_scale * schedule_factor(phase.phase.schedule, state.steps, total);
    return state;
  }
  throw RequestError("phases", "no phase trains the encoder by Adam without weight decay",
                     "an objective of another phase goes on with its updates");
}

BatchKey Trainer::State::batch_key(std::int64_t update) {
  const PhaseState& phase = phase_at(update);
  const std::int64_t own = own_update(phase, update, cycle);
  const std::int64_t index = phase.phase.same_batch ? own / phase.phase.steps : own;
  return {phase.source, static_cast<std::uint64_t>(index), phase.phase.batch_size};
}

Batch Trainer::State::make_batch(const BatchKey& key) const {
  const BatchSource& source =
      key.source == kSharedSource ? setup.batches : phases[static_cast<std::size_t>(key.source)].phase.batches;
  Batch batch = source(key.index, key.size);
  if (!ranks().alone()) take_share(batch, key.size);
  return batch;
}

const Batch& Trainer::State::batch_at(std::int64_t update) {
  const BatchKey key = batch_key(update);
  if (!(kept.key == key)) {
    kept = {};  // memory for one at a time, where none is made ahead
    kept = {key, prefetch.take(key)};
    // Who asks for one thread of the processor gets no second one.
    if (on_cpu && at::get_num_threads() == 1) return kept.batch;
    const std::int64_t end = std::min(total_updates(), update + cycle + 1);
    for (std::int64_t next = update + 1; next < end; ++next)
      if (const BatchKey following = batch_key(next); !(following == key)) {
        prefetch.begin(following);
        break;
      }
  }
  return kept.batch;
}

void Trainer::State::take_share(Batch& batch, std::int64_t size) const {
  const RowShare own = own_rows(ranks(), size, "batch_size");
  // The source may know of ranks.
  if (batch.x.size(0) == size) {
    batch.x = batch.x.narrow(0, own.first, own.count);
    if (batch.label.defined()) batch.label = batch.label.narrow(0, own.first, own.count);
  }
  if (batch.x.size(0) != own.count)
    throw WorkError("batch", fmt::format("has {} rows, and the share of a rank is {}", batch.x.size(0), own.count));
  batch.first_row = own.first;
  batch.global_size = size;
  batch.gather = [&others = ranks()](const Tensor& rows) { return others.gather(rows); };
}

std::vector<Tensor> Trainer::State::differentiate(PhaseState& phase, Loss& loss) {
  if (ranks().alone()) return torch::autograd::grad({loss.backward}, phase.inputs, {}, {}, false, true);
  // What all ranks must agree about goes with the gradients.
  std::vector<Tensor> numbers = {real(setup.ports.interrupt->requested() ? 1 : 0), loss.backward.detach()};
  for (const auto& [name, tensor] : loss.log) numbers.push_back(tensor.detach());
  for (Tensor& number : numbers) number = number.to(torch::kCPU, torch::kDouble).squeeze();
  Tensor shared = torch::stack(numbers);
  std::vector<Tensor> gradients = phase.buckets->backward(loss.backward, shared);
  stop_agreed = stop_agreed || shared[0].item<double>() > 0;
  loss.backward = shared[1];
  for (std::size_t i = 0; i < loss.log.size(); ++i) loss.log[i].second = shared[static_cast<std::int64_t>(i) + 2];
  return gradients;
}

std::optional<std::string> Trainer::State::make_update() {
  PhaseState& phase = phase_at(updates);
  const std::int64_t own = own_update(phase, updates, cycle);
  want_gradients(&phase);

  Batch batch = batch_at(updates);
  batch.progress = static_cast<double>(own) / static_cast<double>(options().steps * phase.phase.steps);
  // After a rollback the same noise would meet the same state, so it is drawn anew.
  batch.adam = [this](torch::nn::Module& part) { return adam(part); };
  Rng rng = (rollbacks == 0 ? phase.rng : phase.rng.stream(fmt::format("retry{}", rollbacks)))
                .at_step(static_cast<std::uint64_t>(own))
                .at_row(batch.first_row);
  if (!ranks().alone() && !phase.buckets) phase.buckets = std::make_unique<GradientBuckets>(ranks(), phase.inputs);
  Loss loss = (*phase.phase.objective)(batch, rng);
  if (!loss.backward.requires_grad())
    throw WorkError(fmt::format("phase '{}'", phase.phase.name), "the loss does not depend on the parts it trains");
  std::vector<Tensor> gradients = differentiate(phase, loss);
  const ClippingOptions& clipping = *phase.phase.clipping;
  phase.norm = clip_gradients(gradients, clipping,
                              clipping.clip_moments > 0 ? phase.optimizer->second_moments() : std::vector<Tensor>());
  phase.log = loss.log;

  ++updates;
  const std::int64_t making = (updates - 1) / cycle + 1;
  const bool check = making % check_every() == 0 || something_due(making);
  if (check)
    if (std::optional<std::string> reason = divergence(phase, own, loss)) return reason;
  phase.learning_rate = phase.phase.optimizer.learning_rate * rate_scale *
                        schedule_factor(phase.phase.schedule, own, options().steps * phase.phase.steps);
  phase.optimizer->step(gradients, phase.learning_rate);
  return std::nullopt;
}

std::optional<std::string> Trainer::State::divergence(PhaseState& phase, std::int64_t own, const Loss& loss) {
  const auto value = loss.backward.item<double>();
  if (!std::isfinite(value)) return fmt::format("the loss is {}", value);
  const auto norm = phase.norm.item<double>();
  if (!std::isfinite(norm)) return fmt::format("the gradient norm is {}", norm);
  if (options().energy_gap_limit > 0)
    for (const auto& [name, tensor] : loss.log)
      if (name == "energy_gap") {
        const auto gap = tensor.item<double>();
        if (!(std::abs(gap) <= options().energy_gap_limit)) return fmt::format("the energy gap is {:.4g}", gap);
      }
  double *norms = phase.norms.data_ptr<double>(), *losses = norms + kMedianWindow, &blowups = losses[kMedianWindow];
  if (options().gradient_blowup > 0) {
    // Gradients of score matching grow a thousandfold while a new network learns; only with a loss that leaves its recent
    // range is a large one a failure.
    RecentRange recent(phase.norms);
    const double median = recent.median_norm();
    if (median > 0 && norm > options().gradient_blowup * median && recent.left_by(value)) {
      if (!phase.phase.clipping->on() || ++blowups >= kClippedBlowups)
        return fmt::format("the gradient norm {:.4g} is {:.3g} times its running median and the loss jumped to {:.4g}",
                           norm, norm / median, value);
      return std::nullopt;
    }
  }
  blowups = 0;
  norms[place(phase, own)] = norm;
  losses[place(phase, own)] = value;
  return std::nullopt;
}

std::optional<std::string> Trainer::State::weights_diverged() const {
  const torch::NoGradGuard no_grad;
  // 0 · x is 0 unless x is infinite or NaN.
  for (const auto& [name, tensor] : parameters)
    if (tensor.is_floating_point() && tensor.mul(0).sum().item<double>() != 0)
      return fmt::format("parameter '{}' is not finite", name);
  return std::nullopt;
}

void Trainer::State::roll_back(const std::string& reason) {
  const std::int64_t at = (updates - 1) / cycle + 1;
  const std::string phase = phase_at(updates - 1).phase.name;
  ++rollbacks;
  const bool give_up = rollbacks > options().max_rollbacks;
  restore_core(Checkpoint{0, {}, snapshot}, "snapshot");
  if (give_up)
    throw Diverged(
        fmt::format("diverged at step {} (phase '{}': {}) and {}", at, phase, reason,
                    options().max_rollbacks == 0 ? "rollbacks are off"
                                                 : fmt::format("gave up after {} rollbacks", options().max_rollbacks)),
        options().max_rollbacks);
  rate_scale *= options().rollback_factor;
  setup.ports.logger->warn(
      fmt::format("diverged at step {} (phase '{}': {}): back to step {}, learning rate × {:.4g} "
                  "(rollback {} of {})",
                  at, phase, reason, step(), rate_scale, rollbacks, options().max_rollbacks));
}

// ---- what happens between steps

bool Trainer::State::something_due(std::int64_t step) const {
  return due_at(step, options().snapshot_every) || due_at(step, options().checkpoint_every) ||
         due_at(step, options().log_every) || due_at(step, options().validate_every) || step == options().steps;
}

bool Trainer::State::validate() {
  set_training(false);
  NamedNumbers numbers;
  {
    const EmaScope averaged(ema.get());
    numbers = setup.validate(step());
  }
  set_training(true);
  if (numbers.empty()) return false;
  if (!ranks().alone()) {
    // Ranks on processors of other kinds may differ in the last bit, and must not differ in what they conclude.
    const Tensor values = torch::empty({static_cast<std::int64_t>(numbers.size())}, torch::kDouble);
    for (std::size_t i = 0; i < numbers.size(); ++i) values.data_ptr<double>()[i] = numbers[i].second;
    ranks().broadcast(values);
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i].second = values.data_ptr<double>()[i];
  }
  setup.ports.metrics->write(step(), "validation", numbers);
  std::vector<std::string> names;
  const double* selected = options().select.empty() ? &numbers[0].second : nullptr;
  for (const auto& [name, value] : numbers) {
    names.push_back(name);
    if (name == options().select) selected = &value;
    last.emplace_back("validation/" + name, value);
  }
  if (!selected)
    throw RequestError("train.select", fmt::format("validation has no number '{}'", options().select),
                       name_hint(options().select, names));
  const double sign = options().select_mode == "max" ? -1 : 1;
  const bool better = !std::isnan(*selected) && (best_step < 0 || sign * *selected < sign * best);
  if (!better) {
    ++stale;
    return false;
  }
  best = *selected;
  best_step = step();
  stale = 0;
  if (options().patience > 0) best_weights = clones(weights());
  return true;
}

void Trainer::State::write_metrics() {
  const double rate =
      static_cast<double>(updates - start_updates) / static_cast<double>(cycle) / std::max(seconds_since(start), 1e-9);
  for (PhaseState& phase : phases) {
    if (!phase.norm.defined()) continue;
    NamedNumbers numbers;
    for (const auto& [name, tensor] : phase.log) numbers.emplace_back(name, tensor.item<double>());
    numbers.emplace_back("gradient_norm", phase.norm.item<double>());
    numbers.emplace_back("learning_rate", phase.learning_rate);
    for (const auto& [name, value] : numbers) last.emplace_back(phase.phase.name + "/" + name, value);
    numbers.emplace_back("steps_per_second", rate);
    setup.ports.metrics->write(step(), phase.phase.name, numbers);
  }
}

void Trainer::State::progress(const PhaseState& phase) {
  const bool end = updates == total_updates();
  if (!end && seconds_since(last_progress) < 0.25) return;
  last_progress = Clock::now();
  const double done = static_cast<double>(updates - start_updates);
  const double rate = done / std::max(seconds_since(start), 1e-9);
  const double value = phase.log.empty() ? std::nan("") : phase.log[0].second.item<double>();
  const double left = static_cast<double>(total_updates() - updates) / std::max(rate, 1e-9);
  setup.ports.logger->progress(
      fmt::format("step {}/{}  {:.4g} steps/s  {} {:.5g}  {}", step(), options().steps,
                  rate / static_cast<double>(cycle), phase.log.empty() ? "loss" : phase.log[0].first, value,
                  end ? "done in " + format_duration(seconds_since(start)) : format_duration(left) + " left"),
      static_cast<double>(updates) / static_cast<double>(total_updates()));
}

void Trainer::State::save(bool best_one) {
  if (!store) return;
  if (ranks().first()) {
    setup.ports.metrics->flush();
    store->save({step(), setup.notes, state()}, best_one);
  }
  saved_updates = updates;
}

// ---- the trainer

Trainer::Trainer(TrainerSetup setup) : s_(std::make_unique<State>(std::move(setup))) {}
Trainer::~Trainer() = default;
Trainer::Trainer(Trainer&&) noexcept = default;

std::int64_t Trainer::step() const { return s_->step(); }
Ema* Trainer::ema() { return s_->ema.get(); }
NamedTensors Trainer::state() const { return s_->state(); }
void Trainer::restore(const NamedTensors& state) { s_->restore(state, "state"); }

std::int64_t Trainer::resume() {
  if (!s_->store) throw WorkError("resume", "there is no run directory");
  // The others are told in run().
  if (!s_->ranks().first()) return s_->step();
  const Checkpoint checkpoint = s_->store->load_newest(*s_->setup.ports.logger);
  s_->restore(checkpoint.tensors, s_->store->path(checkpoint.step));
  s_->saved_updates = s_->updates;
  return s_->step();
}

TrainResult Trainer::run() {
  State& s = *s_;
  const TrainOptions& options = s.options();
  if (!s.ranks().alone()) {
    s.restore(broadcast(s.ranks(), s.state()), "the state of rank 0");
    s.stop_agreed = false;
  }
  s.start = s.last_progress = Clock::now();
  s.start_updates = s.updates;
  s.set_training(true);
  struct Restore {
    State& s;
    ~Restore() {
      s.want_gradients(nullptr);
      s.set_training(false);
    }
  } const restore{s};
  if (s.snapshot.empty()) s.take_snapshot();

  while (s.updates < s.total_updates() && !s.exhausted()) {
    if (s.asked_to_stop()) {
      if (s.saved_updates != s.updates) s.save(false);
      throw Interrupted("train", s.store ? fmt::format("interrupted at step {}; the state is in {}", s.step(),
                                                       s.store->path(s.step()))
                                         : fmt::format("interrupted at step {}", s.step()));
    }
    std::optional<std::string> diverged = s.make_update();
    const bool step_done = s.updates % s.cycle == 0;
    const PhaseState& phase = s.phase_at(s.updates - 1);
    if (!diverged && step_done) {
      if (s.ema) s.ema->update();
      if (s.due(options.snapshot_every) || s.due(options.checkpoint_every)) diverged = s.weights_diverged();
    }
    if (diverged) {
      s.roll_back(*diverged);
      s.start_updates = std::min(s.start_updates, s.updates);
      continue;
    }
    s.progress(phase);
    if (!step_done) continue;
    const bool log = s.due(options.log_every), check = s.setup.validate && s.due(options.validate_every);
    if (log || check) s.last.clear();
    if (log) s.write_metrics();
    const bool best = check && s.validate();
    if (s.due(options.snapshot_every) && !s.blowing_up()) s.take_snapshot();
    if (best || s.due(options.checkpoint_every)) s.save(best);
  }
  if (s.saved_updates != s.updates) s.save(false);

  TrainResult result;
  result.step = s.step();
  result.stopped_early = s.exhausted() && s.updates < s.total_updates();
  if (s.best_step >= 0) {
    result.best = s.best;
    result.best_step = s.best_step;
  }
  if (!s.best_weights.empty()) s.restore_weights(Checkpoint{0, {}, s.best_weights}, "best");
  result.rollbacks = s.rollbacks;
  result.seconds = seconds_since(s.start);
  result.last = s.last;
  return result;
}

std::int64_t Trainer::save_after_loss(const CheckpointStore& store) {
  State& s = *s_;
  const std::vector<std::int64_t> saved = store.steps();
  // An update that was cut short leaves parameters as they were, but not what objectives and layers keep.
  bool whole = s.buffers.empty();
  for (const PhaseState& phase : s.phases) whole = whole && phase.phase.objective->state().empty();
  if (!whole && !s.snapshot.empty()) s.restore_core(Checkpoint{0, {}, s.snapshot}, "snapshot");
  if (!saved.empty() && saved.back() >= s.step()) return saved.back();
  store.save({s.step(), s.setup.notes, s.state()}, false);
  return s.step();
}

void Trainer::make_step() {
  State& s = *s_;
  do {
    s.make_update();
  } while (s.updates % s.cycle != 0);
  if (s.ema) s.ema->update();
}

DryRun Trainer::dry_run(std::int64_t steps) {
  State& s = *s_;
  const NamedTensors kept = clones(s.state());
  const NamedTensors kept_snapshot = s.snapshot;
  s.set_training(true);
  DryRun report;
  std::int64_t done = 0;
  {
    struct Restore {
      State& s;
      const NamedTensors& kept;
      ~Restore() {
        s.want_gradients(nullptr);
        s.set_training(false);
      }
    } const restore{s, kept};
    make_step();  // the first one fills caches
    {
      const PeakMemory memory;
      make_step();
      report.peak_bytes = static_cast<double>(memory.peak_bytes());
    }
    const Clock::time_point start = Clock::now();
    for (; done < std::max<std::int64_t>(steps, 1); ++done) make_step();
    // Waits for the device.
    s.parameters[0].second.sum().item<double>();
    report.seconds_per_step = seconds_since(start) / static_cast<double>(done);
  }
  s.restore(kept, "dry run");
  s.snapshot = kept_snapshot;
  for (PhaseState& phase : s.phases) {
    phase.log.clear();
    phase.norm = Tensor();
  }
  report.parameter_bytes = total_bytes(s.parameters);
  report.state_bytes = total_bytes(s.core_state()) - report.parameter_bytes;
  report.resident_bytes = static_cast<double>(resident_bytes());
  report.seconds_left =
      report.seconds_per_step * static_cast<double>(s.total_updates() - s.updates) / static_cast<double>(s.cycle);
  return report;
}

void load_parts(const Checkpoint& checkpoint, const std::vector<Part>& parts, Weights weights) {
  const std::string where = fmt::format("checkpoint of step {}", checkpoint.step);
  NamedTensors stored = checkpoint.under("parameter/");
  if (weights == Weights::kAverage)
    for (auto& [name, tensor] : stored)
      if (const Tensor* average = checkpoint.find("average/" + name)) tensor = *average;
  copy_tensors(stored, part_tensors(parts, false), where);
  copy_tensors(checkpoint.under("buffer/"), part_tensors(parts, true), where);
}

}  // namespace gibbsite
